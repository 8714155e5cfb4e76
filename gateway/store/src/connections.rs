//! Connections for reads: opened when needed, at most as many as allowed, kept open.
//!
//! A pool that asks each connection whether it lives whenever it is taken or given back doubles what a small read
//! costs. Here a read that finds its kept connection dead is made again on another; reads may be repeated.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use sqlx::{AnyConnection, Connection, Executor, SqlStr, any::AnyRow};
use tokio::sync::Semaphore;

use crate::{
    config::StoreConfig,
    dialect::{Access, Engine, is_connection_lost},
    statement::Statement,
};

/// How to connect.
pub(crate) struct Opening {
    url: String,
    setup: Vec<SqlStr>,
}

pub(crate) struct Connections {
    opening: Opening,
    slots: Semaphore,
    kept: Mutex<Vec<AnyConnection>>,
    max: u32,
    open: AtomicU32,
}

/// A connection in use, counted until it is closed or dropped.
struct Used<'c> {
    connection: Option<AnyConnection>,
    connections: &'c Connections,
}

impl Opening {
    /// `mode` is what SQLite may do with the file: `ro`, `rw` or `rwc`.
    pub(crate) fn new(engine: Engine, config: &StoreConfig, access: Access, mode: &str) -> Self {
        sqlx::any::install_default_drivers();
        Self { url: engine.driver_url(&config.url, mode), setup: engine.on_connect(access, config) }
    }

    pub(crate) async fn open(&self) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = AnyConnection::connect(&self.url).await?;
        for sql in &self.setup {
            connection.execute(sql.clone()).await?;
        }
        Ok(connection)
    }
}

impl Connections {
    /// Opens the first connection, so that a wrong address is told at once.
    pub(crate) async fn connect(opening: Opening, max: u32) -> Result<Self, sqlx::Error> {
        let first = opening.open().await?;
        let slots = Semaphore::new(usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS));
        Ok(Self { opening, slots, kept: Mutex::new(vec![first]), max, open: AtomicU32::new(1) })
    }

    /// Waits for a free connection and reads. Dropping the future drops the connection, whose read may go on.
    pub(crate) async fn fetch(&self, statement: &Statement) -> Result<Vec<AnyRow>, sqlx::Error> {
        let _slot = self.slots.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let kept = self.kept().pop();
            let is_kept = kept.is_some();
            let mut used = Used { connection: kept, connections: self };
            let connection = used.connected().await?;
            metrics::counter!("countersign_store_round_trips_total").increment(1);
            match statement.query().fetch_all(connection).await {
                Err(cause) if is_connection_lost(&cause) => {
                    drop(used);
                    if !is_kept {
                        return Err(cause);
                    }
                }
                answer => {
                    used.keep();
                    return answer;
                }
            }
        }
    }

    /// One more, which is not counted and whose end is the caller's.
    pub(crate) async fn apart(&self) -> Result<AnyConnection, sqlx::Error> {
        self.opening.open().await
    }

    /// Connections that are open, and those of them that wait for a read.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let open = self.open.load(Ordering::Relaxed);
        let idle = u32::try_from(self.kept().len()).unwrap_or(u32::MAX);
        (open, idle)
    }

    /// Refuses further reads, waits for those under way and closes.
    pub(crate) async fn close(&self) {
        let all = self.slots.acquire_many(self.max).await;
        self.slots.close();
        drop(all);
        let kept = std::mem::take(&mut *self.kept());
        for connection in kept {
            if let Err(cause) = connection.close().await {
                tracing::warn!(error = %cause, "a reading connection did not close cleanly");
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<AnyConnection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used<'_> {
    async fn connected(&mut self) -> Result<&mut AnyConnection, sqlx::Error> {
        let connection = if let Some(kept) = self.connection.take() {
            kept
        } else {
            let opened = self.connections.opening.open().await?;
            self.connections.open.fetch_add(1, Ordering::Relaxed);
            opened
        };
        Ok(self.connection.insert(connection))
    }

    fn keep(mut self) {
        if let Some(connection) = self.connection.take() {
            self.connections.kept().push(connection);
        }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        if self.connection.take().is_some() {
            self.connections.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
