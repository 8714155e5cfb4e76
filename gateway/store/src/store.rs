//! The store: a writer, connections for reads, and what the operator asks of them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use gateway_domain::{
    Error, Result, Timestamp,
    changes::{ChangeSet, CommitError},
    ids::InstanceId,
    plugin_state::PluginState,
    ports::UnitOfWork,
    sealed::{Sealable, Sealer},
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    config::StoreConfig,
    connections::{Connections, Opening},
    dialect::{Access, Engine, EngineSql},
    error::StoreError,
    file, guards,
    known::Known,
    lease::{Heartbeat, Lease},
    log_standing::{LogChange, LogStanding},
    migrations,
    operators::CharterExpected,
    ownership::Ownership,
    rates::Rates,
    reader::Reader,
    room::Room,
    seen::Seen,
    sessions,
    statement::Statement,
    sweep::Sweep,
    sweeper::{Integrity, Sweeper, Sweeping},
    unit::Unit,
    writer::{Parts, Writer, WriterHandle},
};

/// One open database. Implements the domain's `Store`.
pub struct Store {
    pub(crate) reads: Reader,
    pub(crate) writer: Arc<WriterHandle>,
    pub(crate) sql: Arc<EngineSql>,
    pub(crate) rates: Rates,
    pub(crate) charter_expected: OnceLock<CharterExpected>,
    room: Room,
    log: LogStanding,
    ownership: Option<Ownership>,
    sweeper: Arc<Sweeper>,
    sweeping: Sweeping,
    _heartbeat: Option<Heartbeat>,
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
        let database = engine.file(&config.url);
        database.as_deref().map(file::require_private).transpose()?;
        let owned = database.filter(|_| !config.shared);
        let ownership = owned.map(|file| Ownership::take(&file)).transpose()?;
        if config.migrate {
            migrations::migrate(&config.url).await?;
        }
        let lease = ownership.is_none().then(|| Arc::new(Lease::new(instance, config.lease)));
        let owned_since = ownership.as_ref().map(|_| started_at(instance));
        let sql = Arc::new(EngineSql::new(engine, owned_since, lease.clone()));
        let known = ownership.as_ref().map(|_| Arc::new(Known::default()));
        // Only what plugins remember is ever removed and made again, which another gateway may do.
        let unwatched = ownership.is_none().then_some(PluginState::TABLE);
        let seen = Arc::new(Seen::new(config.rows_remembered_max, unwatched));
        let sweeper = Arc::new(Sweeper::new(engine, &config, sealer.clone()));
        let parts = Parts {
            sql: sql.clone(),
            sealer: sealer.clone(),
            outbox_written,
            known: known.clone(),
            seen: seen.clone(),
        };
        let mut writer = Writer::new(engine, &config, parts, instance);
        let mut connection = writer.take_connection().await.map_err(StoreError::Connect)?;
        migrations::require_current(engine, &mut connection).await?;
        if let Some(lease) = &lease {
            lease.take(&mut connection, &sql).await?;
        }
        writer.put_back(connection);
        let opening = Opening::new(engine, &config, Access::Read, "rw");
        let connections = Connections::connect(opening, config.read_connections_max);
        let connections = connections.await.map_err(StoreError::Connect)?;
        let reads = Reader { connections, timeout: config.read_timeout, sealer, seen, known };
        let rates = Rates::open(engine, &config).await?;
        let writer = Arc::new(writer.start());
        let heartbeat = lease.map(|lease| Heartbeat::start(lease, writer.clone(), sql.clone()));
        let room = Room::of(engine.file(&config.url), config.free_bytes_min);
        let sweeping = sweeper.clone().start(config.sweep_interval);
        let store = Self {
            reads,
            writer,
            sql,
            rates,
            charter_expected: OnceLock::new(),
            room,
            log: LogStanding::default(),
            ownership,
            sweeper,
            sweeping,
            _heartbeat: heartbeat,
        };
        if store.ownership.is_some() {
            store.release_abandoned_claims().await?;
        }
        Ok(store)
    }

    /// Whether no other process has the database, so that whatever was begun before [`Store::open`] was interrupted.
    pub fn is_owned(&self) -> bool {
        self.ownership.is_some()
    }

    /// Whether the database answers within `deadline`.
    pub async fn health(&self, deadline: Duration) -> Result<(), StoreError> {
        let probe = Statement::new("SELECT 1 AS alive");
        match timeout(deadline, self.reads.connections.fetch(&probe)).await {
            Ok(answer) => answer.map(|_| ()).map_err(StoreError::Query),
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    /// What the last sweep told of the rows.
    pub fn integrity(&self) -> Integrity {
        self.sweeper.integrity()
    }

    /// Why the audit log is not known to be the one that was signed, if so. No permit is given meanwhile, nor before
    /// anybody has looked.
    pub fn log_fault(&self) -> Option<Arc<str>> {
        self.log.fault()
    }

    /// Says what whoever signs checkpoints found: a fault of the log, or none any more.
    pub fn set_log_fault(&self, fault: Option<&str>) -> LogChange {
        self.log.set(fault)
    }

    /// Compares every sealed row with the audit log now.
    pub async fn sweep(&self) -> Result<Sweep, StoreError> {
        self.sweeper.sweep().await
    }

    /// Removes replay guards, idempotency keys and used refresh tokens that expired at `now`, and rates that nobody uses,
    /// at most `limit` of each.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Result<Purged, CommitError> {
        let statements = vec![
            guards::purge_replay_guards(now, limit),
            guards::purge_idempotency(now, limit),
            sessions::purge_used(now, limit),
            self.rates.purge(limit),
        ];
        let outcome = self.writer.submit(Unit::housekeeping(statements)).await?;
        Ok(Purged { rows: outcome.affected })
    }

    /// Says that there must be a charter, as known from outside the database: one that is not found is missing from now on,
    /// and not absent. The first reason stays.
    pub fn expect_charter(&self, reason: CharterExpected) {
        self.charter_expected.get_or_init(|| reason);
    }

    /// That every sealed row is as the audit log says, before something is built on a row that is not there; looks if
    /// nobody has yet.
    pub async fn require_rows_proven(&self) -> Result<()> {
        if self.integrity() == Integrity::Unproven {
            self.sweep().await.map_err(|cause| Error::unavailable("database", cause))?;
        }
        match self.integrity() {
            Integrity::Proven => Ok(()),
            Integrity::Unproven => Err(Error::unavailable("database", "the rows could not be compared")),
            Integrity::Broken(findings) => Err(Error::inconsistency(findings.to_string())),
        }
    }

    /// Sets the gauges of the reading connections and the commit queue; call it before metrics are scraped.
    pub fn publish_metrics(&self) {
        let (open, idle) = self.reads.connections.counts();
        gauge("countersign_store_read_connections_idle", idle);
        gauge("countersign_store_read_connections_used", open.saturating_sub(idle));
        let depth = u32::try_from(self.writer.depth()).unwrap_or(u32::MAX);
        gauge("countersign_store_commit_queue_depth", depth);
    }

    /// Lets the writer finish what is queued, then closes every connection.
    pub async fn close(&self) {
        self.sweeping.stop();
        self.writer.stop().await;
        self.rates.close().await;
        self.reads.connections.close().await;
    }
}

#[async_trait]
impl UnitOfWork for Store {
    async fn commit(&self, changes: ChangeSet) -> Result<(), CommitError> {
        self.room.require()?;
        let unit = Unit::of(&changes, &self.sql, &self.reads.sealer)?;
        if unit.permits {
            self.sweeper.require_proven().await?;
            self.log.require_intact()?;
        }
        self.writer.submit(unit).await.map(|_| ())
    }
}

/// When the process of `instance` started, which its time-ordered id tells.
fn started_at(instance: InstanceId) -> Timestamp {
    let ticks = instance.uuid().get_timestamp().map(|at| at.to_unix());
    let (seconds, nanos) = ticks.unwrap_or_default();
    Timestamp::from_unix_micros(i64::try_from(seconds).unwrap_or(0) * 1_000_000 + i64::from(nanos / 1_000))
}

fn gauge(name: &'static str, value: u32) {
    metrics::gauge!(name).set(f64::from(value));
}
