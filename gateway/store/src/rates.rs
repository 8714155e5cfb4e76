//! What sources have used of the rates that all gateways keep together.
//!
//! A row says when the whole allowance will be back (the generic cell rate algorithm), so one conditional statement takes
//! one from it. On PostgreSQL that statement is a transaction of its own on a connection of its own: two gateways that
//! hold several such rows in a group would otherwise wait for each other crosswise, and their signatures with them. Such
//! a commit does not wait for the disk either: it outlives every gateway, and of a server's crash nothing but the last
//! moment is forgiven. SQLite has one writer anyway.

use std::time::Duration;

use async_trait::async_trait;
use gateway_domain::{
    Error, Result,
    ports::RateCounts,
    rates::{Allowance, RateBucket},
};
use sqlx::{SqlStr, any::AnyRow};

use crate::{
    config::StoreConfig,
    connections::{Connections, Opening},
    dialect::{Access, Engine, micros},
    error::{StoreError, unavailable},
    fields::Fields,
    statement::{Expect, Statement, shared_text},
    store::Store,
    unit::Unit,
};

pub(crate) struct Rates {
    take: SqlStr,
    wait: SqlStr,
    purge: SqlStr,
    /// Absent on SQLite, where the writer takes them along.
    apart: Option<Connections>,
    timeout: Duration,
}

impl Rates {
    pub(crate) async fn open(engine: Engine, config: &StoreConfig) -> Result<Self, StoreError> {
        let apart = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let opening = Opening::new(engine, config, Access::Count, "rw");
                Some(Connections::connect(opening, 1).await.map_err(StoreError::Connect)?)
            }
        };
        let (now, skip) = (engine.now(), engine.skip_locked());
        Ok(Self {
            take: shared_text(format!(
                "INSERT INTO rate_places (rate, place, restored_at) VALUES ($1, $2, {now} + $3) \
                 ON CONFLICT (rate, place) DO UPDATE SET restored_at = $3 + \
                 CASE WHEN rate_places.restored_at > {now} THEN rate_places.restored_at ELSE {now} END \
                 WHERE rate_places.restored_at <= {now} + $4 RETURNING restored_at"
            )),
            wait: shared_text(format!(
                "SELECT restored_at - $3 - {now} AS wait FROM rate_places WHERE rate = $1 AND place = $2"
            )),
            purge: shared_text(format!(
                "DELETE FROM rate_places WHERE (rate, place) IN (SELECT rate, place FROM rate_places \
                 WHERE restored_at <= {now} ORDER BY restored_at LIMIT $1 {skip})"
            )),
            apart,
            timeout: config.read_timeout,
        })
    }

    /// Removes places whose allowance is whole again, which an absent row says as well.
    pub(crate) fn purge(&self, limit: u32) -> Statement {
        Statement::prepared(self.purge.clone()).bind(limit)
    }

    pub(crate) async fn close(&self) {
        if let Some(apart) = &self.apart {
            apart.close().await;
        }
    }
}

impl Store {
    async fn counted(&self, statement: Statement) -> Result<Vec<AnyRow>> {
        let Some(apart) = &self.rates.apart else {
            let outcome = self.writer.submit(Unit::housekeeping(vec![statement])).await;
            return Ok(outcome.map_err(Error::from)?.rows);
        };
        match tokio::time::timeout(self.rates.timeout, apart.fetch(&statement)).await {
            Ok(answer) => answer.map_err(unavailable),
            Err(elapsed) => Err(unavailable(elapsed)),
        }
    }
}

#[async_trait]
impl RateCounts for Store {
    async fn take(&self, bucket: &RateBucket) -> Result<Allowance> {
        let named = |text: &SqlStr| Statement::prepared(text.clone()).bind(bucket.rate).bind(bucket.place);
        let (interval, tolerance) = (micros(bucket.interval()), micros(bucket.tolerance()));
        let take = named(&self.rates.take).bind(interval).bind(tolerance).expecting(Expect::Rows);
        if !self.counted(take).await?.is_empty() {
            return Ok(Allowance::Granted);
        }
        let row = self.reads.row(named(&self.rates.wait).bind(tolerance)).await?;
        let wait = match row {
            Some(row) => Fields::new("rate_places", &row).integer("wait")?,
            None => 0,
        };
        Ok(Allowance::Exhausted(Duration::from_micros(u64::try_from(wait).unwrap_or(0))))
    }
}
