//! A fresh PostgreSQL database for one test.

use anyhow::{Context, Result};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::environment;

/// A database of its own on the shared server. The server is thrown away after the run, databases and all.
pub struct Postgres {
    url: String,
}

impl Postgres {
    pub async fn create() -> Result<Postgres> {
        let administrator = environment::postgres_url()?;
        let name = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
        let mut connection = PgConnection::connect(&administrator).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        connection.close().await?;
        let (server, _) = administrator.rsplit_once('/').context("the server's URL names no database")?;
        Ok(Postgres { url: format!("{server}/{name}") })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}
