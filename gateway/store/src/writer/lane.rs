//! This process's audit lane: where it ends, and what a group adds to it.

use std::sync::Arc;

use gateway_domain::{audit::AuditEntry, ids::InstanceId, sealed::Sealer};
use sqlx::AnyConnection;

use crate::{
    audit::{EntryInserts, Place},
    error::TooLarge,
    statement::Statement,
    unit::Unit,
};

pub(super) struct Lane {
    instance: InstanceId,
    sealer: Arc<Sealer>,
    inserts: EntryInserts,
    /// Known only while nothing has gone wrong since it was read.
    head: Option<Head>,
}

/// A lane without entries has no place to end.
pub(super) type Head = Option<Place>;

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
        let row = Place::statement(self.instance).query().fetch_optional(connection).await?;
        let place = row.map(|row| Place::read(&row, &self.sealer)).transpose();
        self.head = Some(place.map_err(|cause| sqlx::Error::Decode(cause.into()))?);
        Ok(())
    }

    /// Chains the units' events after the head and adds up what they write. The head itself stays until
    /// [`Lane::advance`].
    pub(super) fn grow<'u>(&self, units: impl Iterator<Item = &'u Unit>) -> Result<Growth, TooLarge> {
        let before = self.head.as_ref().and_then(Option::as_ref);
        let mut head = before.map(|place| place.head);
        let mut tallies = before.map(|place| place.tallies.clone()).unwrap_or_default();
        let mut entries: Vec<AuditEntry> = Vec::new();
        for unit in units {
            tallies = tallies.plus(&unit.tallies);
            for event in &unit.events {
                let entry = event.chained(self.instance, head);
                head = Some(entry.head());
                entries.push(entry);
            }
        }
        let Some(last) = entries.last_mut() else {
            return Ok(Growth { statements: Vec::new(), end: before.cloned() });
        };
        let masked = tallies.masked(&self.sealer, self.instance, last.sequence);
        last.tallies = Some(masked.hash());
        let head = last.head();
        let entries: Vec<_> = entries.into_iter().map(|entry| self.sealer.seal(entry)).collect();
        let statements = self.inserts.statements(&entries, &masked, before.map(|place| place.head))?;
        Ok(Growth { statements, end: Some(Place { lane: self.instance, head, tallies }) })
    }

    pub(super) fn advance(&mut self, growth: Growth) {
        self.head = Some(growth.end);
    }
}
