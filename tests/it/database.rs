//! The attacker who can write the embedded database but holds nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

/// A copy of a stopped gateway's database, to go back to between attacks.
pub(crate) struct Snapshot {
    database: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// A column of a table whose rows carry a seal.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Snapshot {
    pub(crate) fn take(data_dir: &Path) -> Result<Snapshot> {
        let database = find_database(data_dir)?;
        let mut files = Vec::new();
        for path in with_log(&database) {
            if path.exists() {
                files.push((path.clone(), fs::read(&path)?));
            }
        }
        Ok(Snapshot { database, files })
    }

    pub(crate) fn restore(&self) -> Result<()> {
        for path in with_log(&self.database) {
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        for (path, bytes) in &self.files {
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// The copy as a database of its own in `directory`.
    pub(crate) fn copy_to(&self, directory: &Path) -> Result<PathBuf> {
        for (path, bytes) in &self.files {
            fs::write(directory.join(path.file_name().context("a database is a file")?), bytes)?;
        }
        Ok(directory.join(self.database.file_name().context("a database is a file")?))
    }

    /// Goes back to the copy, without the triggers that would stop an honest program, and attacks.
    pub(crate) async fn attack(&self, statements: &[&str]) -> Result<()> {
        self.restore()?;
        self.attack_on(self.connect().await?, statements).await
    }

    /// [`Snapshot::attack`] with an older copy at hand, as `earlier`.
    pub(crate) async fn attack_with(&self, earlier: &Path, statements: &[&str]) -> Result<()> {
        self.restore()?;
        let mut connection = self.connect().await?;
        attach(&mut connection, earlier, "earlier").await?;
        self.attack_on(connection, statements).await
    }

    /// Takes every checkpoint out of the database of a running gateway, into one at `kept`.
    pub(crate) async fn take_checkpoints(&self, kept: &Path) -> Result<()> {
        // An empty file is an empty database; attaching makes none.
        fs::File::create_new(kept)?;
        let mut connection = self.connect().await?;
        attach(&mut connection, kept, "kept").await?;
        connection
            .execute("CREATE TABLE kept.audit_checkpoints AS SELECT * FROM main.audit_checkpoints")
            .await?;
        self.attack_on(connection, &["DELETE FROM main.audit_checkpoints"]).await
    }

    /// Puts them back.
    pub(crate) async fn put_checkpoints_back(&self, kept: &Path) -> Result<()> {
        let mut connection = self.connect().await?;
        attach(&mut connection, kept, "kept").await?;
        let back = "INSERT INTO main.audit_checkpoints SELECT * FROM kept.audit_checkpoints";
        self.attack_on(connection, &[back]).await
    }

    async fn attack_on(&self, mut connection: SqliteConnection, statements: &[&str]) -> Result<()> {
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&mut connection)
                .await?;
        for trigger in triggers {
            connection.execute(AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).await?;
        }
        connection.execute("PRAGMA foreign_keys = OFF").await?;
        for statement in statements {
            let done = connection
                .execute(AssertSqlSafe((*statement).to_owned()))
                .await
                .with_context(|| format!("the attack `{statement}` does not fit the schema"))?;
            anyhow::ensure!(done.rows_affected() > 0, "the attack `{statement}` changes nothing");
        }
        connection.close().await?;
        Ok(())
    }

    pub(crate) async fn count(&self, query: &'static str) -> Result<i64> {
        let mut connection = self.connect().await?;
        let count = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(count)
    }

    /// Every column, but the seal itself, of every sealed table that has rows.
    pub(crate) async fn sealed_columns(&self) -> Result<Vec<Column>> {
        let mut connection = self.connect().await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
             WHERE m.type = 'table' AND c.name = 'seal' ORDER BY m.name",
        )
        .fetch_all(&mut connection)
        .await?;
        let mut columns = Vec::new();
        for table in tables {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
            if rows == 0 {
                continue;
            }
            let described = sqlx::query("SELECT name, type FROM pragma_table_info($1) WHERE name <> 'seal'")
                .bind(&table)
                .fetch_all(&mut connection)
                .await?;
            columns.extend(described.iter().map(|row| Column {
                table: table.clone(),
                name: row.get("name"),
                kind: row.get("type"),
            }));
        }
        connection.close().await?;
        Ok(columns)
    }

    async fn connect(&self) -> Result<SqliteConnection> {
        Ok(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&self.database)).await?)
    }
}

impl Column {
    /// Changes the column in every row, to something of the same type.
    pub(crate) fn change(&self) -> String {
        let Column { table, name, kind } = self;
        match kind.as_str() {
            "INTEGER" => format!("UPDATE {table} SET {name} = coalesce({name}, 0) + 1000003"),
            "BLOB" => format!("UPDATE {table} SET {name} = CAST({name} || x'00' AS BLOB)"),
            _ => format!("UPDATE {table} SET {name} = coalesce({name}, '') || '0'"),
        }
    }
}

async fn attach(connection: &mut SqliteConnection, database: &Path, name: &str) -> Result<()> {
    let attach = format!("ATTACH DATABASE '{}' AS {name}", database.display());
    connection.execute(AssertSqlSafe(attach)).await?;
    Ok(())
}

fn find_database(data_dir: &Path) -> Result<PathBuf> {
    let found = fs::read_dir(data_dir)?.flatten().map(|entry| entry.path()).find(|path| {
        path.is_file() && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
    });
    found.with_context(|| format!("no SQLite database in `{}`", data_dir.display()))
}

fn with_log(database: &Path) -> [PathBuf; 3] {
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", database.display()));
    [database.to_owned(), beside("-wal"), beside("-shm")]
}
