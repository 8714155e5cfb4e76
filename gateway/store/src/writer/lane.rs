//! This process's audit lane: where it ends, and what a group adds to it.

use std::sync::Arc;

use gateway_domain::{
    audit::{AuditEntry, AuditEvent, LaneHead},
    ids::InstanceId,
    sealed::{Sealed, Sealer},
};
use sqlx::AnyConnection;

use crate::{
    audit::{EntryInserts, LANE, read_lane},
    error::TooLarge,
    statement::Statement,
};

pub(super) struct Lane {
    instance: InstanceId,
    sealer: Arc<Sealer>,
    inserts: EntryInserts,
    /// Known only while nothing has gone wrong since it was read.
    head: Option<Head>,
}

/// A lane without entries has no place to end.
pub(super) type Head = Option<LaneHead>;

/// What a group appends; becomes the lane's end once it is committed.
pub(super) struct Growth {
    pub(super) statements: Vec<Statement>,
    end: Head,
}

impl Lane {
    pub(super) fn new(instance: InstanceId, sealer: Arc<Sealer>) -> Self {
        Self { instance, sealer, inserts: EntryInserts::new(), head: None }
    }

    pub(super) fn forget(&mut self) {
        self.head = None;
    }

    pub(super) fn is_known(&self) -> bool {
        self.head.is_some()
    }

    /// Reads the head inside the transaction that will move it.
    pub(super) async fn learn(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let statement = Statement::new(LANE).shown(self.instance);
        let row = statement.query().fetch_optional(connection).await?;
        let head =
            row.map(|row| read_lane(&row)).transpose().map_err(|cause| sqlx::Error::Decode(cause.into()))?;
        self.head = Some(head.map(|(_, head)| head));
        Ok(())
    }

    /// Chains the events after the head. The head itself stays until [`Lane::advance`].
    pub(super) fn grow<'e>(&self, events: impl Iterator<Item = &'e AuditEvent>) -> Result<Growth, TooLarge> {
        let before = self.head.flatten();
        let mut end = before;
        let entries: Vec<Sealed<AuditEntry>> = events
            .map(|event| {
                let entry = event.chained(self.instance, end);
                end = Some(entry.head());
                self.sealer.seal(entry)
            })
            .collect();
        Ok(Growth { statements: self.inserts.statements(&entries, before)?, end })
    }

    pub(super) fn advance(&mut self, growth: &Growth) {
        self.head = Some(growth.end);
    }
}
