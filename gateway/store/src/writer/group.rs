//! One group in one database transaction.
//!
//! Most groups hold no conflict, so the first pass uses no savepoints. If a unit fails, everything is rolled back
//! and applied again with a savepoint around each unit: change sets are data, so that costs time and nothing else.

use gateway_domain::changes::CommitError;
use sqlx::{AnyConnection, Executor};

use super::{Outcome, UnitResult, Writer};
use crate::{
    dialect::Failure,
    statement::{Expect, Statement},
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
        let begin = self.sql.begin;
        let mut connection = self
            .take_connection()
            .await
            .map_err(|cause| GroupFailure::NotApplied(Failure::Unavailable(cause)))?;
        let outcome = self.apply_on(&mut connection, units, (begin, isolation)).await;
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
        (begin, isolation): (&'static str, Isolation),
    ) -> Result<Vec<UnitResult>, GroupFailure> {
        let not_applied = |cause| GroupFailure::NotApplied(Failure::of(cause));
        run(connection, begin).await.map_err(not_applied)?;
        if !self.lane.is_known() {
            self.lane.learn(connection).await.map_err(not_applied)?;
        }
        let mut outcomes = Vec::with_capacity(units.len());
        for unit in units {
            outcomes.push(apply_unit(connection, unit, isolation, units.len()).await?);
        }
        let applied = units.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let growth = self
            .lane
            .grow(applied.flat_map(|(unit, _)| &unit.events))
            .map_err(|cause| GroupFailure::NotApplied(Failure::Refused(sqlx::Error::Encode(cause.into()))))?;
        for statement in &growth.statements {
            if let Err(failure) = execute(connection, statement, &mut Outcome::default()).await {
                return Err(lane_lost(failure));
            }
        }
        run(connection, "COMMIT").await.map_err(commit_failure)?;
        self.lane.advance(&growth);
        Ok(outcomes)
    }
}

/// The entries of our lane did not fit: another process writes it, or our memory of its head is wrong. Reading the
/// head again mends the latter.
fn lane_lost(failure: Failure) -> GroupFailure {
    GroupFailure::NotApplied(match failure {
        Failure::Contested(_) => Failure::Transient(sqlx::Error::Protocol(
            "the head of this audit lane is not where it was left".into(),
        )),
        other => other,
    })
}

/// Only a serialization failure is sure to have undone everything: an I/O error may follow a durable commit.
fn commit_failure(cause: sqlx::Error) -> GroupFailure {
    let undone = cause.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40001"));
    match Failure::of(cause) {
        failure @ Failure::Transient(_) if undone => GroupFailure::NotApplied(failure),
        failure => GroupFailure::Unknown(match failure.into_commit_error() {
            CommitError::Refused(cause) | CommitError::Unavailable(cause) => CommitError::Unavailable(cause),
            conflict @ CommitError::Conflict(_) => conflict,
        }),
    }
}

async fn apply_unit(
    connection: &mut AnyConnection,
    unit: &Unit,
    isolation: Isolation,
    group: usize,
) -> Result<UnitResult, GroupFailure> {
    let not_applied = |cause| GroupFailure::NotApplied(Failure::of(cause));
    let shielded = isolation == Isolation::Savepoints;
    if shielded {
        run(connection, "SAVEPOINT unit").await.map_err(not_applied)?;
    }
    let mut outcome = Outcome::default();
    let mut failure = None;
    for statement in &unit.statements {
        failure = execute(connection, statement, &mut outcome).await.err();
        if failure.is_some() {
            break;
        }
    }
    match failure {
        Some(Failure::Contested(_) | Failure::Refused(_)) if group > 1 && !shielded => {
            return Err(GroupFailure::UnitFailed);
        }
        Some(failure @ (Failure::Transient(_) | Failure::Unavailable(_))) => {
            return Err(GroupFailure::NotApplied(failure));
        }
        Some(failure) if shielded => {
            run(connection, "ROLLBACK TO SAVEPOINT unit").await.map_err(not_applied)?;
            run(connection, "RELEASE SAVEPOINT unit").await.map_err(not_applied)?;
            return Ok(Err(failure.into_commit_error()));
        }
        Some(failure) => return Err(GroupFailure::NotApplied(failure)),
        None => {}
    }
    if shielded {
        run(connection, "RELEASE SAVEPOINT unit").await.map_err(not_applied)?;
    }
    Ok(Ok(outcome))
}

async fn execute(
    connection: &mut AnyConnection,
    statement: &Statement,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    metrics::counter!("countersign_store_statements_total").increment(1);
    match statement.expect() {
        Expect::Rows => {
            outcome.rows = statement.query().fetch_all(connection).await.map_err(Failure::of)?;
            outcome.affected += u64::try_from(outcome.rows.len()).unwrap_or(u64::MAX);
        }
        Expect::Whatever | Expect::Change(_) => {
            let done = statement.query().execute(connection).await.map_err(Failure::of)?;
            if let (Expect::Change(contested), 0) = (statement.expect(), done.rows_affected()) {
                return Err(Failure::Contested(contested));
            }
            outcome.affected += done.rows_affected();
        }
    }
    Ok(())
}

async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    metrics::counter!("countersign_store_statements_total").increment(1);
    sqlx::query(sql).execute(connection).await.map(|_| ())
}
