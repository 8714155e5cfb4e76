//! Reads: bounded in time, and sealed values only.

use std::{fmt::Display, sync::Arc, time::Duration};

use gateway_domain::{
    Error, Result,
    ids::OrganizationId,
    sealed::{Sealable, Sealed, Sealer},
};
use sqlx::any::AnyRow;

use crate::{
    connections::Connections,
    error::{Malformed, unavailable},
    fields::Fields,
    known::Known,
    seen::{Moment, Seen},
    statement::{Statement, StatementKey},
};

/// A sealed value that a row holds.
pub(crate) trait Stored: Sealable + Sized {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed>;
}

pub(crate) struct Reader {
    pub(crate) connections: Connections,
    pub(crate) timeout: Duration,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) seen: Arc<Seen>,
    /// Absent for a database that other processes may write.
    pub(crate) known: Option<Arc<Known>>,
}

/// How many ids [`placeholders!`] lists, after the organization.
pub(crate) const IDS_MAX: usize = 16;

/// One text for every number of ids, so that statements stay prepared; spare places repeat the last id.
macro_rules! placeholders {
    () => {
        "($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
    };
}
pub(crate) use placeholders;

impl Reader {
    pub(crate) async fn optional<T: Stored>(&self, statement: Statement) -> Result<Option<Sealed<T>>> {
        let began = self.seen.moment();
        self.row(statement).await?.map(|row| self.open(&row, began)).transpose()
    }

    /// [`Reader::optional`] for the tables of [`crate::known`].
    pub(crate) async fn known_optional<T>(&self, statement: Statement) -> Result<Option<Sealed<T>>>
    where
        T: Stored + Clone + Send + Sync + 'static,
    {
        self.recalled(&statement.key(), self.optional(statement)).await
    }

    /// [`Reader::list`] for the tables of [`crate::known`].
    pub(crate) async fn known_list<T>(&self, statement: Statement) -> Result<Vec<Sealed<T>>>
    where
        T: Stored + Clone + Send + Sync + 'static,
    {
        self.recalled(&statement.key(), self.list(statement)).await
    }

    /// The kept answer to `key`, or that of `read`, which is kept if nothing was written meanwhile.
    pub(crate) async fn recalled<A>(
        &self,
        key: &StatementKey,
        read: impl Future<Output = Result<A>>,
    ) -> Result<A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let Some(known) = &self.known else { return read.await };
        match known.recall(key) {
            Ok(answer) => Ok(answer),
            Err(generation) => {
                let answer = read.await?;
                known.keep(key.clone(), answer.clone(), generation);
                Ok(answer)
            }
        }
    }

    pub(crate) async fn list<T: Stored>(&self, statement: Statement) -> Result<Vec<Sealed<T>>> {
        let began = self.seen.moment();
        self.rows(statement).await?.iter().map(|row| self.open(row, began)).collect()
    }

    /// Values of the organization whose ids are listed; `sql` ends in [`placeholders!`].
    pub(crate) async fn list_by_ids<T: Stored + Clone + Send + Sync + 'static>(
        &self,
        sql: &'static str,
        organization: OrganizationId,
        ids: &[impl Display],
    ) -> Result<Vec<Sealed<T>>> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_MAX) {
            let padded = chunk.iter().chain(chunk.iter().rev().take(1).cycle()).take(IDS_MAX);
            let statement = padded.fold(Statement::new(sql).shown(organization), Statement::shown);
            found.append(&mut self.known_list(statement).await?);
        }
        Ok(found)
    }

    pub(crate) async fn row(&self, statement: Statement) -> Result<Option<AnyRow>> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    pub(crate) async fn rows(&self, statement: Statement) -> Result<Vec<AnyRow>> {
        match tokio::time::timeout(self.timeout, self.connections.fetch(&statement)).await {
            Ok(Ok(rows)) => Ok(rows),
            // The driver found a type that no column of ours has: somebody else wrote the row.
            Ok(Err(
                cause @ (sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::AnyDriverError(_)),
            )) => Err(Error::inconsistency(cause)),
            Ok(Err(cause)) => Err(unavailable(cause)),
            Err(elapsed) => Err(unavailable(elapsed)),
        }
    }

    /// The value of a row that was read since `began`: its seal fits, and no newer version of it was known by then.
    pub(crate) fn open<T: Stored>(&self, row: &AnyRow, began: Moment) -> Result<Sealed<T>> {
        self.newest(open(row, &self.sealer)?, began)
    }

    /// Passes a value on of which no newer version was known when the read began.
    pub(crate) fn newest<T: Sealable>(&self, value: Sealed<T>, began: Moment) -> Result<Sealed<T>> {
        if let Some(version) = value.row_version() {
            self.seen.check(version, began).map_err(Error::inconsistency)?;
        }
        Ok(value)
    }
}

/// The value of a row whose seal fits.
pub(crate) fn open<T: Stored>(row: &AnyRow, sealer: &Sealer) -> Result<Sealed<T>> {
    let fields = Fields::new(T::TABLE, row);
    let value = T::read(&fields)?;
    Ok(sealer.open(value, fields.parsed("seal")?)?)
}
