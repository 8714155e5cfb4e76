//! What one gateway at a time does, of all that share a database.

use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::time::timeout;

use crate::{error::StoreError, statement::shared_text, store::Store};

/// The right to be the only one, until it is released, dropped, or its process ends: the server ends it with the
/// connection that asked for it.
pub struct Exclusive(Option<AnyConnection>);

impl Store {
    /// Waits until no other gateway does `what`, at most for `wait`. A SQLite database is one process's in any case.
    pub async fn exclusive(&self, what: &'static str, wait: Duration) -> Result<Exclusive, StoreError> {
        let Some(lock) = self.sql.lock_alone else { return Ok(Exclusive(None)) };
        let mut connection = self.reads.connections.apart().await.map_err(StoreError::Connect)?;
        let bound = shared_text(format!("SET statement_timeout = {}", wait.as_millis()));
        connection.execute(bound).await.map_err(StoreError::Query)?;
        let locked = timeout(wait, sqlx::query(lock).bind(what).execute(&mut connection)).await;
        locked.map_err(|_| StoreError::TimedOut)?.map_err(StoreError::Query)?;
        Ok(Exclusive(Some(connection)))
    }
}

impl Exclusive {
    /// Lets the next one go on.
    pub async fn release(self) {
        if let Some(connection) = self.0
            && let Err(cause) = connection.close().await
        {
            tracing::warn!(error = %cause, "a connection that held a lock did not close cleanly");
        }
    }
}
