//! What the gateway's database holds, read beside the running gateway: answers are believed only as far as
//! this agrees.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use countersign_tests::wait;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

const DRAIN_DEADLINE: Duration = Duration::from_mins(2);

pub(crate) struct Ledger {
    connection: SqliteConnection,
}

impl Ledger {
    pub(crate) async fn open(data_dir: &Path) -> Result<Ledger> {
        let options = SqliteConnectOptions::new().filename(data_dir.join("countersign.db")).read_only(true);
        Ok(Ledger { connection: SqliteConnection::connect_with(&options).await? })
    }

    /// Signatures stored so far.
    pub(crate) async fn signatures(&mut self) -> Result<usize> {
        self.count("SELECT count(*) FROM attempts WHERE outcome = 'signed'").await
    }

    /// Waits until every transaction has ended.
    pub(crate) async fn drained(&mut self) -> Result<()> {
        wait::until("the outbox to be empty", DRAIN_DEADLINE, async || {
            Ok((self.count("SELECT count(*) FROM outbox").await? == 0).then_some(()))
        })
        .await
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }

    async fn count(&mut self, query: &'static str) -> Result<usize> {
        let count: i64 = sqlx::query_scalar(query).fetch_one(&mut self.connection).await?;
        Ok(usize::try_from(count)?)
    }
}
