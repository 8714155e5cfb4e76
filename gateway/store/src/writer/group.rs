//! One group in one database transaction.
//!
//! Most groups hold no conflict, so the first pass uses no savepoints. If a unit fails, everything is rolled back
//! and applied again with a savepoint around each unit: change sets are data, so that costs time and nothing else.

use gateway_domain::changes::CommitError;
use sqlx::{AnyConnection, Executor};

use super::{UnitResult, Writer, lane::Growth};
use crate::{
    batch::{Batch, Failed, Place},
    dialect::Failure,
    statement::Statement,
    unit::Unit,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    None,
    Savepoints,
}

pub(super) enum GroupFailure {
    /// One of several units failed; they need to be told apart.
    UnitFailed,
    /// Certainly nothing was applied.
    NotApplied(Failure),
    /// The commit may or may not have taken effect.
    Unknown(CommitError),
}

impl Writer {
    pub(super) async fn apply(
        &mut self,
        units: &[&Unit],
        isolation: Isolation,
    ) -> Result<Vec<UnitResult>, GroupFailure> {
        let mut connection = self
            .take_connection()
            .await
            .map_err(|cause| GroupFailure::NotApplied(Failure::Unavailable(cause)))?;
        let outcome = self.apply_on(&mut connection, units, isolation).await;
        match &outcome {
            Ok(_) => self.put_back(connection),
            Err(
                GroupFailure::UnitFailed
                | GroupFailure::NotApplied(Failure::Contested(_) | Failure::Refused(_)),
            ) => {
                if connection.execute("ROLLBACK").await.is_ok() {
                    self.put_back(connection);
                }
            }
            // The connection itself may be at fault: it is dropped, which rolls back too.
            Err(_) => self.lane.forget(),
        }
        outcome
    }

    async fn apply_on(
        &mut self,
        connection: &mut AnyConnection,
        units: &[&Unit],
        isolation: Isolation,
    ) -> Result<Vec<UnitResult>, GroupFailure> {
        let not_applied = |cause| GroupFailure::NotApplied(Failure::of(cause));
        let begin = Statement::bare(self.sql.begin);
        let mut opening = Batch::of(&begin);
        if !self.lane.is_known() {
            self.batches.send(connection, std::mem::take(&mut opening)).await.map_err(around)?;
            self.lane.learn(connection).await.map_err(not_applied)?;
        }
        let (outcomes, growth) = match isolation {
            Isolation::None => self.apply_together(connection, opening, units).await?,
            Isolation::Savepoints => self.apply_apart(connection, opening, units).await?,
        };
        let commit = Statement::bare("COMMIT");
        self.batches
            .send(connection, Batch::of(&commit))
            .await
            .map_err(|lost| commit_failure(lost.failure))?;
        self.lane.advance(growth);
        Ok(outcomes)
    }

    /// Every unit must succeed. A lone unit, which is the rule, and its audit entries take one batch with the begin.
    async fn apply_together(
        &mut self,
        connection: &mut AnyConnection,
        mut opening: Batch<'_>,
        units: &[&Unit],
    ) -> Result<(Vec<UnitResult>, Growth), GroupFailure> {
        let growth = self.grow(units.iter())?;
        let is_alone = units.len() == 1;
        let mut outcomes = Vec::with_capacity(units.len());
        for unit in units {
            let batch = std::mem::take(&mut opening).unit(&unit.statements);
            let batch = if is_alone { batch.and(&growth.statements) } else { batch };
            let sent = self.batches.send(connection, batch).await;
            let outcome = sent.map_err(|lost| match (lost.place, lost.failure) {
                (Place::Unit, Failure::Contested(_) | Failure::Refused(_)) if !is_alone => {
                    GroupFailure::UnitFailed
                }
                (place, failure) => around(Failed { place, failure }),
            })?;
            outcomes.push(Ok(outcome));
        }
        if !is_alone {
            self.batches.send(connection, Batch::default().and(&growth.statements)).await.map_err(around)?;
        }
        Ok((outcomes, growth))
    }

    /// Units that fail are undone alone.
    async fn apply_apart(
        &mut self,
        connection: &mut AnyConnection,
        mut opening: Batch<'_>,
        units: &[&Unit],
    ) -> Result<(Vec<UnitResult>, Growth), GroupFailure> {
        let savepoint = [Statement::bare("SAVEPOINT unit")];
        let release = [Statement::bare("RELEASE SAVEPOINT unit")];
        let undo = [Statement::bare("ROLLBACK TO SAVEPOINT unit"), Statement::bare("RELEASE SAVEPOINT unit")];
        let mut outcomes: Vec<UnitResult> = Vec::with_capacity(units.len());
        for unit in units {
            let batch = opening.and(&savepoint).unit(&unit.statements);
            match self.batches.send(connection, batch).await {
                Ok(outcome) => {
                    outcomes.push(Ok(outcome));
                    opening = Batch::default().and(&release);
                }
                Err(Failed {
                    place: Place::Unit,
                    failure: failure @ (Failure::Contested(_) | Failure::Refused(_)),
                }) => {
                    outcomes.push(Err(failure.into_commit_error()));
                    opening = Batch::default().and(&undo);
                }
                Err(lost) => return Err(around(lost)),
            }
        }
        let applied = units.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let growth = self.grow(applied.map(|(unit, _)| unit))?;
        self.batches.send(connection, opening.and(&growth.statements)).await.map_err(around)?;
        Ok((outcomes, growth))
    }

    fn grow<'u>(&self, units: impl Iterator<Item = &'u &'u Unit>) -> Result<Growth, GroupFailure> {
        let growth = self.lane.grow(units.copied());
        growth.map_err(|cause| GroupFailure::NotApplied(Failure::Refused(sqlx::Error::Encode(cause.into()))))
    }
}

/// A batch of which nothing may be kept.
///
/// What follows a unit are its audit entries. If they do not fit, another process writes our lane, or our memory of its
/// head is wrong; reading the head again mends the latter.
fn around(lost: Failed) -> GroupFailure {
    GroupFailure::NotApplied(match (lost.place, lost.failure) {
        (Place::After, Failure::Contested(_)) => Failure::Transient(sqlx::Error::Protocol(
            "the head of this audit lane is not where it was left".into(),
        )),
        (_, failure) => failure,
    })
}

/// Only a serialization failure is sure to have undone everything: an I/O error may follow a durable commit.
fn commit_failure(failure: Failure) -> GroupFailure {
    match failure {
        failure @ Failure::Transient(_) if failure.is_serialization() => GroupFailure::NotApplied(failure),
        failure => GroupFailure::Unknown(match failure.into_commit_error() {
            CommitError::Refused(cause) | CommitError::Unavailable(cause) => CommitError::Unavailable(cause),
            conflict @ CommitError::Conflict(_) => conflict,
        }),
    }
}
