//! Rows by the million, written around the gateway while it is stopped. They are copies of genuine ones under other
//! ids and earlier times: nothing may read them, and if something does, their seals do not hold.

use std::path::Path;

use anyhow::{Result, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::report::progress;

const CHUNK: u32 = 50_000;

pub(super) struct Filling {
    connection: SqliteConnection,
}

/// A table, and for its columns what a copy has instead of the original's value; `n.i` counts the copies.
struct Copies {
    table: &'static str,
    from: &'static str,
    changed: &'static [(&'static str, &'static str)],
}

/// An id before all that a clock gives out now; the group tells tables apart.
macro_rules! id {
    ($group:literal) => {
        concat!("printf('00000000-0000-7", $group, "-8000-%012x', n.i)")
    };
}

const HASH: &str = "'0x' || lower(hex(randomblob(32)))";
const ADDRESS: &str = "'0x' || lower(hex(randomblob(20)))";
const EARLIER: &str = "t.created_at - 86400000000 - n.i * 1000";

const OF_TRANSACTION: &[Copies] = &[
    Copies {
        table: "transactions",
        from: "SELECT * FROM transactions WHERE state = 'executed' LIMIT 1",
        changed: &[
            ("id", id!("001")),
            ("request_hash", HASH),
            ("created_at", EARLIER),
            ("updated_at", EARLIER),
        ],
    },
    Copies {
        table: "evaluations",
        from: "SELECT * FROM evaluations LIMIT 1",
        changed: &[("id", id!("002")), ("transaction_id", id!("001")), ("created_at", EARLIER)],
    },
    Copies {
        table: "attempts",
        from: "SELECT * FROM attempts WHERE outcome = 'signed' LIMIT 1",
        changed: &[("id", id!("003")), ("transaction_id", id!("001")), ("created_at", EARLIER)],
    },
    Copies {
        table: "permits",
        from: "SELECT * FROM permits LIMIT 1",
        changed: &[("id", id!("004")), ("transaction_id", id!("001"))],
    },
    Copies { table: "nonces", from: "SELECT * FROM nonces LIMIT 1", changed: &[("address", ADDRESS)] },
    Copies {
        table: "audit_entries",
        from: "SELECT * FROM audit_entries LIMIT 1",
        changed: &[("lane", "'00000000-0000-7000-8000-000000000000'"), ("sequence", "n.i")],
    },
];

const OF_KEY: &[Copies] = &[
    Copies {
        table: "principals",
        from: "SELECT * FROM principals WHERE kind = 'user' LIMIT 1",
        changed: &[("id", id!("005"))],
    },
    Copies {
        table: "users",
        from: "SELECT * FROM users LIMIT 1",
        changed: &[
            ("id", id!("005")),
            ("ethereum_address", ADDRESS),
            ("escrow_key", id!("006")),
            ("escrow_address", ADDRESS),
        ],
    },
    Copies { table: "settings", from: "SELECT * FROM settings LIMIT 1", changed: &[("user_id", id!("005"))] },
    Copies {
        table: "keys",
        from: "SELECT * FROM keys WHERE purpose = 'wallet' AND address IS NOT NULL LIMIT 1",
        changed: &[("id", id!("006")), ("cka_id", "lower(hex(randomblob(16)))"), ("address", ADDRESS)],
    },
];

impl Filling {
    /// The gateway must be stopped: it owns its database.
    pub(super) async fn open(data_dir: &Path) -> Result<Filling> {
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join("countersign.db"))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .foreign_keys(false)
            .pragma("cache_size", "-200000");
        Ok(Filling { connection: SqliteConnection::connect_with(&options).await? })
    }

    /// Copies until there are `count` transactions, each with what belongs to one.
    pub(super) async fn transactions(&mut self, count: u32) -> Result<()> {
        for copies in OF_TRANSACTION {
            self.copy(copies, count).await?;
        }
        Ok(())
    }

    /// Copies until there are `count` keys, each of a user.
    pub(super) async fn keys(&mut self, count: u32) -> Result<()> {
        for copies in OF_KEY {
            self.copy(copies, count).await?;
        }
        Ok(())
    }

    pub(super) async fn close(mut self) -> Result<()> {
        // The next start shall find the pages in the file, as after a long life, and not in the log.
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        Ok(self.connection.close().await?)
    }

    async fn copy(&mut self, copies: &Copies, count: u32) -> Result<()> {
        let table = copies.table;
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(&mut self.connection)
            .await?;
        ensure!(!columns.is_empty(), "no table `{table}`");
        let values: Vec<String> = columns
            .iter()
            .map(|column| match copies.changed.iter().find(|(changed, _)| changed == column) {
                Some((_, value)) => (*value).to_owned(),
                None => format!("t.{column}"),
            })
            .collect();
        let mut present = self.count(table).await?;
        while present < count {
            let last = count.min(present + CHUNK);
            progress(&format!("filling `{table}`: {last} of {count}"))?;
            let sql = format!(
                "INSERT INTO {table} ({}) WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
                 SELECT {} FROM ({}) t CROSS JOIN n",
                columns.join(", "),
                values.join(", "),
                copies.from,
                first = present + 1,
            );
            self.connection.execute(AssertSqlSafe(sql)).await?;
            let now = self.count(table).await?;
            ensure!(now == last, "`{table}` has {now} rows instead of {last}");
            present = now;
        }
        Ok(())
    }

    async fn count(&mut self, table: &str) -> Result<u32> {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(u32::try_from(count)?)
    }
}
