//! The store: a writer, a pool of readers, and what the operator asks of them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use gateway_domain::{
    Result, Timestamp,
    changes::{ChangeSet, CommitError},
    ids::InstanceId,
    ports::UnitOfWork,
    sealed::Sealer,
};
use sqlx::{
    AnyPool, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolOptions,
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    config::StoreConfig,
    dialect::{Access, Engine, EngineSql},
    error::StoreError,
    guards,
    known::Known,
    migrations,
    ownership::Ownership,
    reader::Reader,
    statement::Statement,
    unit::Unit,
    writer::{Writer, WriterHandle},
};

/// One open database. Implements the domain's `Store`.
pub struct Store {
    pub(crate) reads: Reader,
    pub(crate) writer: WriterHandle,
    pub(crate) sql: Arc<EngineSql>,
    ownership: Option<Ownership>,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    pub rows: u64,
}

impl Store {
    /// Connects, checks that binary and database fit, and starts the writer on the current runtime. `instance`
    /// names this process's audit lane; `outbox_written` is notified after commits that scheduled items that are due.
    pub async fn open(
        config: StoreConfig,
        sealer: Arc<Sealer>,
        instance: InstanceId,
        outbox_written: Arc<Notify>,
    ) -> Result<Self, StoreError> {
        let engine = Engine::of(&config.url)?;
        let owned = engine.file(&config.url).filter(|_| !config.shared);
        let ownership = owned.map(|file| Ownership::take(&file)).transpose()?;
        if config.migrate {
            migrations::migrate(&config.url).await?;
        }
        let sql = Arc::new(EngineSql::new(engine, ownership.as_ref().map(|_| started_at(instance))));
        let known = ownership.as_ref().map(|_| Arc::new(Known::default()));
        let parts = (sql.clone(), sealer.clone(), outbox_written, known.clone());
        let mut writer = Writer::new(engine, &config, parts, instance);
        let mut connection = writer.take_connection().await.map_err(StoreError::Connect)?;
        migrations::require_current(engine, &mut connection).await?;
        writer.put_back(connection);
        let options = AnyPoolOptions::new()
            .max_connections(config.read_connections_max)
            .acquire_timeout(config.read_timeout)
            .test_before_acquire(engine == Engine::Postgres);
        let pool = connected_pool(options, engine, &config, (Access::Read, "rw")).await?;
        let reads = Reader { pool, timeout: config.read_timeout, sealer, known };
        let store = Self { reads, writer: writer.start(), sql, ownership };
        if store.ownership.is_some() {
            store.release_abandoned_claims().await?;
        }
        Ok(store)
    }

    /// Whether the database answers within `deadline`.
    pub async fn health(&self, deadline: Duration) -> Result<(), StoreError> {
        let probe = Statement::new("SELECT 1 AS alive");
        match timeout(deadline, probe.query().fetch_one(&self.reads.pool)).await {
            Ok(answer) => answer.map(|_| ()).map_err(StoreError::Query),
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    /// Removes replay guards and idempotency keys that expired at `now`, at most `limit` of each.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Result<Purged, CommitError> {
        let statements = vec![guards::purge_replay_guards(now, limit), guards::purge_idempotency(now, limit)];
        let outcome = self.writer.submit(Unit::housekeeping(statements)).await?;
        Ok(Purged { rows: outcome.affected })
    }

    /// Sets the gauges of the connection pool and the commit queue; call it before metrics are scraped.
    pub fn publish_metrics(&self) {
        let idle = self.reads.pool.num_idle();
        let open = usize::try_from(self.reads.pool.size()).unwrap_or(usize::MAX);
        gauge("countersign_store_read_connections_idle", idle);
        gauge("countersign_store_read_connections_used", open.saturating_sub(idle));
        gauge("countersign_store_commit_queue_depth", self.writer.depth());
    }

    /// Lets the writer finish what is queued, then closes every connection.
    pub async fn close(&self) {
        self.writer.stop().await;
        self.reads.pool.close().await;
    }
}

#[async_trait]
impl UnitOfWork for Store {
    async fn commit(&self, changes: ChangeSet) -> Result<(), CommitError> {
        let unit = Unit::of(&changes, &self.sql)?;
        self.writer.submit(unit).await.map(|_| ())
    }
}

/// A pool whose connections are set up for `access`.
pub(crate) async fn connected_pool(
    options: PoolOptions<sqlx::Any>,
    engine: Engine,
    config: &StoreConfig,
    (access, mode): (Access, &str),
) -> Result<AnyPool, StoreError> {
    sqlx::any::install_default_drivers();
    let url: AnyConnectOptions = engine.driver_url(&config.url, mode).parse().map_err(StoreError::Connect)?;
    let setup = Arc::new(engine.on_connect(access, config));
    options
        .after_connect(move |connection, _| {
            let setup = setup.clone();
            Box::pin(async move {
                for sql in setup.iter() {
                    connection.execute(sql.clone()).await?;
                }
                Ok(())
            })
        })
        .connect_with(url)
        .await
        .map_err(StoreError::Connect)
}

/// When the process of `instance` started, which its time-ordered id tells.
fn started_at(instance: InstanceId) -> Timestamp {
    let ticks = instance.uuid().get_timestamp().map(|at| at.to_unix());
    let (seconds, nanos) = ticks.unwrap_or_default();
    Timestamp::from_unix_micros(i64::try_from(seconds).unwrap_or(0) * 1_000_000 + i64::from(nanos / 1_000))
}

fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
}
