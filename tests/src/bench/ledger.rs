//! What the gateway's database holds, read beside the running gateway: answers are believed only as far as
//! this agrees.

use std::time::Duration;

use anyhow::Result;
use countersign_tests::wait;
use sqlx::{AnyConnection, Connection};

pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_mins(2);

pub(crate) struct Ledger {
    connection: AnyConnection,
}

impl Ledger {
    pub(crate) async fn open(url: &str) -> Result<Ledger> {
        sqlx::any::install_default_drivers();
        Ok(Ledger { connection: AnyConnection::connect(url).await? })
    }

    /// Signatures stored so far.
    pub(crate) async fn signatures(&mut self) -> Result<usize> {
        self.count("SELECT count(*) FROM attempts WHERE outcome = 'signed'").await
    }

    pub(crate) async fn audit_entries(&mut self) -> Result<usize> {
        self.count("SELECT count(*) FROM audit_entries").await
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
