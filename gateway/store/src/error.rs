//! Why a store did not open, and how driver errors reach the domain.

use std::{error::Error as StdError, path::PathBuf};

use gateway_domain::{Error, changes::CommitError};

/// Why a database cannot be used. A running store answers in the domain's own errors.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("a database url begins with `sqlite:` or `postgres:`")]
    UnknownEngine,
    #[error("the database does not open")]
    Connect(#[source] sqlx::Error),
    #[error("the database holds migration {0}, which this version does not know; use a newer `countersign`")]
    Newer(i64),
    #[error("{0} migrations are pending; run `countersign migrate`")]
    Older(usize),
    #[error("migration {0} was changed after it had been applied")]
    MigrationChanged(i64),
    #[error("`{0}` is in use by another process")]
    InUse(PathBuf),
    #[error("`{path}` is open to other users (mode {mode:04o}); run `chmod 600` on it")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("`{0}` cannot be locked")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error("the outbox cannot be taken over")]
    TakeOver(#[source] CommitError),
    #[error("a migration failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("a query failed")]
    Query(#[source] sqlx::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the database gave no answer in time")]
    TimedOut,
}

/// A stored row that cannot be a domain value.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` of `{table}` cannot be read")]
pub struct Malformed {
    pub table: &'static str,
    pub column: &'static str,
    #[source]
    pub cause: Box<dyn StdError + Send + Sync>,
}

/// A number that fits no column.
#[derive(Debug, thiserror::Error)]
#[error("`{column}` is larger than the database can hold")]
pub(crate) struct TooLarge {
    pub(crate) column: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Overload {
    #[error("the commit queue is full")]
    QueueFull,
    #[error("the change set waited too long in the commit queue")]
    WaitedTooLong,
    #[error("the commit took too long; whether it took effect is unknown")]
    TimedOut,
    #[error("the writer has stopped")]
    Stopped,
    #[error("less than `database.free_bytes_min` is left on the disk")]
    DiskNearlyFull,
    #[error("the group failed: {0}")]
    Group(String),
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::inconsistency(malformed)
    }
}

impl From<TooLarge> for CommitError {
    fn from(cause: TooLarge) -> Self {
        Self::Refused(Box::new(cause))
    }
}

impl From<Overload> for CommitError {
    fn from(cause: Overload) -> Self {
        Self::Unavailable(Box::new(cause))
    }
}

pub(crate) fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::unavailable("database", cause)
}
