//! The audit log as an auditor reads it: without keys, without writing, without a running gateway.

use std::collections::BTreeMap;

use gateway_domain::{
    audit::{AuditEntry, LaneHead, SignedCheckpoint},
    ids::InstanceId,
};
use sqlx::any::AnyRow;

use crate::{
    audit,
    config::{DatabaseUrl, StoreConfig},
    connections::{Connections, Opening},
    dialect::{Access, Engine},
    error::StoreError,
    fields::Fields,
    reader::Stored,
    statement::Statement,
};

/// Lanes, entries and checkpoints, opened for reading only. Seals are not checked, for that takes keys that live
/// in the HSM's gateway; hashes and signatures prove the log without them.
pub struct AuditArchive {
    connections: Connections,
}

impl AuditArchive {
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let config = StoreConfig::new(url.clone());
        let engine = Engine::of(url)?;
        let opening = Opening::new(engine, &config, Access::Read, "ro");
        let connections = Connections::connect(opening, 1).await.map_err(StoreError::Connect)?;
        Ok(Self { connections })
    }

    /// Where each lane ends, as the database says it.
    pub async fn lanes(&self) -> Result<BTreeMap<InstanceId, LaneHead>, StoreError> {
        let rows = self.rows(Statement::new(audit::LANES)).await?;
        Ok(rows.iter().map(audit::read_lane).collect::<Result<_, _>>()?)
    }

    /// Lanes that have entries, whether or not a head row names them.
    pub async fn lanes_with_entries(&self) -> Result<Vec<InstanceId>, StoreError> {
        let rows = self.rows(Statement::new(audit::LANES_WITH_ENTRIES)).await?;
        let lanes = rows.iter().map(|row| Fields::new("audit_entries", row).parsed("lane"));
        Ok(lanes.collect::<Result<_, _>>()?)
    }

    /// Entries of a lane after `after`, ascending, at most `limit`.
    pub async fn entries(
        &self,
        lane: InstanceId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.rows(Statement::new(audit::ENTRIES).shown(lane).bind(after).bind(limit)).await?;
        let entries: Result<_, _> =
            rows.iter().map(|row| AuditEntry::read(&Fields::new("audit_entries", row))).collect();
        Ok(entries?)
    }

    /// How many rows the lane has, counted.
    pub async fn entry_count(&self, lane: InstanceId) -> Result<u64, StoreError> {
        let rows = self.rows(Statement::new(audit::ENTRY_COUNT).shown(lane)).await?;
        Ok(rows.first().map_or(Ok(0), |row| Fields::new("audit_entries", row).unsigned("entries"))?)
    }

    /// Checkpoints after number `after`, ascending, at most `limit`.
    pub async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.rows(Statement::new(audit::CHECKPOINTS).bind(after).bind(limit)).await?;
        Ok(rows.iter().map(audit::read_checkpoint).collect::<Result<_, _>>()?)
    }

    pub async fn close(self) {
        self.connections.close().await;
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<AnyRow>, StoreError> {
        self.connections.fetch(&statement).await.map_err(StoreError::Query)
    }
}
