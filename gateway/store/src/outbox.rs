//! Work outside the database: claims are leases by the database's clock, fenced by a number that only rises.

use std::time::Duration;

use async_trait::async_trait;
use gateway_domain::{
    Error, Result,
    changes::{CommitError, Contested},
    ids::{InstanceId, OutboxId},
    outbox::{ClaimedItem, OutboxItem},
    ports::OutboxQueue,
};
use sqlx::any::AnyRow;

use crate::{
    dialect::micros,
    error::{Malformed, StoreError},
    fields::Fields,
    statement::{Expect, Statement},
    store::Store,
    unit::Unit,
};

const SCHEDULE: &str = "INSERT INTO outbox (id, organization, job, due_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, holder = NULL, fencing = outbox.fencing + 1 \
     WHERE outbox.organization = excluded.organization AND outbox.job = excluded.job";
const COMPLETE: &str = "DELETE FROM outbox WHERE id = $1 AND fencing = $2";

pub(crate) fn schedule(item: &OutboxItem) -> Statement {
    Statement::new(SCHEDULE)
        .shown(item.id)
        .shown(item.organization)
        .json(&item.job)
        .bind(item.due_at)
        .expecting(Expect::Change(Contested::Duplicate))
}

/// Claims of a process that no longer lives, seen by the only one that may open the database now.
const RELEASE: &str = "UPDATE outbox SET holder = NULL, due_at = 0 WHERE holder IS NOT NULL";

/// The row after its claim: `due_at` has become the end of the lease.
fn claimed(row: &AnyRow) -> Result<ClaimedItem, Malformed> {
    let row = Fields::new("outbox", row);
    let fencing: u64 = row.unsigned("fencing")?;
    Ok(ClaimedItem {
        item: OutboxItem {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            job: row.json("job")?,
            due_at: row.time("due_at")?,
        },
        fencing,
        tries: u32::try_from(fencing.saturating_sub(1)).unwrap_or(u32::MAX),
    })
}

impl Store {
    pub(crate) async fn release_abandoned_claims(&self) -> Result<(), StoreError> {
        let unit = Unit::housekeeping(vec![Statement::new(RELEASE)]);
        self.writer.submit(unit).await.map(|_| ()).map_err(StoreError::TakeOver)
    }

    async fn settle_claim(&self, statement: Statement, fencing: u64) -> Result<()> {
        let statement = statement.unsigned("fencing", fencing).map_err(Error::inconsistency)?;
        let outcome = self.writer.submit(Unit::housekeeping(vec![statement])).await.map_err(outbox_error)?;
        if outcome.affected == 0 {
            metrics::counter!("countersign_store_stale_claims_total").increment(1);
        }
        Ok(())
    }
}

#[async_trait]
impl OutboxQueue for Store {
    /// The items' `due_at` is the end of the lease: when they are due again unless completed.
    async fn claim(&self, holder: InstanceId, lease: Duration, limit: u32) -> Result<Vec<ClaimedItem>> {
        let statement = Statement::prepared(self.sql.claim_outbox.clone())
            .shown(holder)
            .bind(micros(lease))
            .bind(limit)
            .expecting(Expect::Rows);
        let outcome = self.writer.submit(Unit::housekeeping(vec![statement])).await.map_err(outbox_error)?;
        let items: Result<Vec<_>, _> = outcome.rows.iter().map(claimed).collect();
        Ok(items?)
    }

    async fn complete(&self, id: OutboxId, fencing: u64) -> Result<()> {
        self.settle_claim(Statement::new(COMPLETE).shown(id), fencing).await
    }

    async fn postpone(&self, id: OutboxId, fencing: u64, delay: Duration) -> Result<()> {
        let statement = Statement::prepared(self.sql.postpone_outbox.clone()).shown(id).bind(micros(delay));
        self.settle_claim(statement, fencing).await
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        let row = self.reads.row(Statement::prepared(self.sql.next_outbox.clone())).await?;
        let Some(row) = row else { return Ok(None) };
        let delay = Fields::new("outbox", &row).optional_integer("delay")?;
        Ok(delay.map(|delay| Duration::from_micros(u64::try_from(delay).unwrap_or(0))))
    }
}

fn outbox_error(error: CommitError) -> Error {
    match error {
        CommitError::Unavailable(cause) => Error::unavailable("database", cause),
        refused @ (CommitError::Refused(_) | CommitError::Conflict(_)) => Error::inconsistency(refused),
    }
}
