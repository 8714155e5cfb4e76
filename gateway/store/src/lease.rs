//! A process's lease on a database that several share, by the database's clock. A permit is only inserted under a live
//! lease and the fencing number it was prepared with: a process that stood still longer than its lease comes back under
//! another number, so nothing that it decided before takes effect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gateway_domain::{changes::CommitError, ids::InstanceId};
use sqlx::AnyConnection;
use tokio::task::JoinHandle;

use crate::{
    dialect::{EngineSql, micros},
    error::StoreError,
    fields::Fields,
    statement::{Expect, Statement},
    unit::Unit,
    writer::WriterHandle,
};

/// Renewals in one lease: some may fail before it ends.
const RENEWALS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) instance: InstanceId,
    fencing: AtomicU64,
    length: Duration,
}

impl Lease {
    pub(crate) fn new(instance: InstanceId, length: Duration) -> Self {
        Self { instance, fencing: AtomicU64::new(0), length }
    }

    /// The number under which this process may act now.
    pub(crate) fn fencing(&self) -> u64 {
        self.fencing.load(Ordering::Acquire)
    }

    /// Takes the lease before anything else is written, and removes those that ran out: every start has a row of its
    /// own. Who comes back after that finds no row, and its new one has another number, which is the time.
    pub(crate) async fn take(
        &self,
        connection: &mut AnyConnection,
        sql: &EngineSql,
    ) -> Result<(), StoreError> {
        let lapsed = Statement::prepared(sql.forget_lapsed.clone()).shown(self.instance);
        lapsed.query().execute(&mut *connection).await.map_err(StoreError::Query)?;
        let row = self.renewal(sql).query().fetch_one(connection).await.map_err(StoreError::Query)?;
        let number = Fields::new("instances", &row).unsigned("fencing")?;
        self.fencing.store(number, Ordering::Release);
        Ok(())
    }

    fn renewal(&self, sql: &EngineSql) -> Statement {
        let statement = Statement::prepared(sql.renew_lease.clone());
        statement.shown(self.instance).bind(micros(self.length)).expecting(Expect::Rows)
    }

    async fn renew(&self, writer: &WriterHandle, sql: &EngineSql) -> Result<(), CommitError> {
        let outcome = writer.submit(Unit::housekeeping(vec![self.renewal(sql)])).await?;
        let row =
            outcome.rows.first().ok_or_else(|| CommitError::Unavailable("no lease was returned".into()))?;
        let number = Fields::new("instances", row).unsigned("fencing");
        let number = number.map_err(|cause| CommitError::Refused(Box::new(cause)))?;
        let before = self.fencing.swap(number, Ordering::AcqRel);
        if before != number {
            metrics::counter!("countersign_store_lapsed_leases_total").increment(1);
            tracing::warn!(fencing = number, "this gateway stood still longer than its lease");
        }
        Ok(())
    }
}

/// Renews the lease until dropped.
pub(crate) struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    /// Keeps a lease that was taken, on the current runtime.
    pub(crate) fn start(lease: Arc<Lease>, writer: Arc<WriterHandle>, sql: Arc<EngineSql>) -> Self {
        let pause = lease.length / RENEWALS;
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if let Err(error) = lease.renew(&writer, &sql).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease could not be renewed"
                    );
                }
            }
        }))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
