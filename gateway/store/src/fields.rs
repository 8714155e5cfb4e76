//! Typed access to the columns of a row. Whatever does not read is [`Malformed`], never a default.

use std::{error::Error as StdError, str::FromStr};

use gateway_domain::Timestamp;
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as WordUnknown};
use sqlx::{Any, Decode, Row, Type, any::AnyRow};

use crate::error::Malformed;

pub(crate) struct Fields<'r> {
    row: &'r AnyRow,
    table: &'static str,
}

impl<'r> Fields<'r> {
    pub(crate) fn new(table: &'static str, row: &'r AnyRow) -> Self {
        Self { row, table }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, Malformed> {
        self.get(column)
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, Malformed> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Malformed> {
        self.get(column)
    }

    pub(crate) fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, Malformed> {
        self.get(column)
    }

    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, Malformed> {
        self.get(column)
    }

    pub(crate) fn unsigned<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, Malformed>
    where
        T::Error: StdError + Send + Sync + 'static,
    {
        T::try_from(self.integer(column)?).map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn optional_unsigned<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Malformed>
    where
        T::Error: StdError + Send + Sync + 'static,
    {
        let number: Option<i64> = self.get(column)?;
        number.map(T::try_from).transpose().map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, Malformed> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed(column, "a flag is 0 or 1")),
        }
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, Malformed> {
        self.integer(column).map(Timestamp::from_unix_micros)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, Malformed> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_unix_micros))
    }

    pub(crate) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, Malformed>
    where
        T::Err: StdError + Send + Sync + 'static,
    {
        self.borrowed(column)?.parse().map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn optional_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, Malformed>
    where
        T::Err: StdError + Send + Sync + 'static,
    {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse()).transpose().map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Malformed> {
        serde_json::from_str(self.borrowed(column)?).map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn optional_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Malformed> {
        let text: Option<String> = self.get(column)?;
        let value = text.map(|text| serde_json::from_str(&text)).transpose();
        value.map_err(|cause| self.malformed(column, cause))
    }

    pub(crate) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Malformed> {
        let word = self.borrowed(column)?.into_deserializer();
        T::deserialize(word).map_err(|cause: WordUnknown| self.malformed(column, cause))
    }

    /// Refuses a row whose copy of a fact differs from the fact.
    pub(crate) fn agree(&self, column: &'static str, same: bool) -> Result<(), Malformed> {
        if same { Ok(()) } else { Err(self.malformed(column, "the column contradicts its row")) }
    }

    pub(crate) fn malformed(
        &self,
        column: &'static str,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Malformed {
        Malformed { table: self.table, column, cause: cause.into() }
    }

    fn borrowed(&self, column: &'static str) -> Result<&'r str, Malformed> {
        self.get(column)
    }

    fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &'static str) -> Result<T, Malformed> {
        self.row.try_get(column).map_err(|cause| self.malformed(column, cause))
    }
}
