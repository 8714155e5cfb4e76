//! A statement as plain data: SQL text, values, and what its success looks like.

use std::{
    fmt::{Display, LowerHex},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use gateway_domain::{Timestamp, changes::Contested};
use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, SqlSafeStr, SqlStr, any::AnyArguments, query::Query};

use crate::error::TooLarge;

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    sql: SqlStr,
    values: Vec<Value>,
    expect: Expect,
}

/// A statement's text and values, to find an earlier answer by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StatementKey(String, Vec<Value>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Vec<u8>),
}

/// What a writing statement must do for its unit to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// Change at least one row; otherwise the unit lost to another write.
    Change(Contested),
    /// Nothing in particular.
    Whatever,
    /// Return rows, possibly none.
    Rows,
}

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self::prepared(SqlStr::from_static(sql))
    }

    pub(crate) fn prepared(sql: SqlStr) -> Self {
        Self { sql, values: Vec::with_capacity(16), expect: Expect::Whatever }
    }

    /// A statement without values, such as those that begin and end a transaction.
    pub(crate) fn bare(sql: &'static str) -> Self {
        Self { sql: SqlStr::from_static(sql), values: Vec::new(), expect: Expect::Whatever }
    }

    pub(crate) fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    pub(crate) fn expect(&self) -> Expect {
        self.expect
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds a value by its `Display`: ids, amounts, seals.
    pub(crate) fn shown(self, value: impl Display) -> Self {
        self.bind(value.to_string())
    }

    /// Binds 0x-prefixed lower-case hexadecimal digits: addresses and hashes.
    pub(crate) fn hex(self, value: impl LowerHex) -> Self {
        self.bind(hex_text(value))
    }

    pub(crate) fn unsigned(self, column: &'static str, value: u64) -> Result<Self, TooLarge> {
        Ok(self.bind(i64::try_from(value).map_err(|_| TooLarge { column })?))
    }

    pub(crate) fn json(self, value: &impl Serialize) -> Self {
        self.bind(serde_json::to_string(value).expect("stored values have string keys only"))
    }

    /// Binds the serde name of a case without facts.
    pub(crate) fn word(self, case: &impl Serialize) -> Self {
        let quoted = serde_json::to_string(case).expect("a case without facts serializes");
        self.bind(quoted.trim_matches('"'))
    }

    pub(crate) fn key(&self) -> StatementKey {
        StatementKey(self.sql.as_str().to_owned(), self.values.clone())
    }

    /// Cheap to clone: texts are static or shared.
    pub(crate) fn sql(&self) -> SqlStr {
        self.sql.clone()
    }

    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    pub(crate) fn query(&self) -> Query<'_, Any, AnyArguments> {
        query(self.sql(), &self.values)
    }
}

pub(crate) fn query<'v>(
    sql: SqlStr,
    values: impl IntoIterator<Item = &'v Value>,
) -> Query<'v, Any, AnyArguments> {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(Some(text)) => query.bind(text.as_str()),
        Value::Text(None) => query.bind(None::<String>),
        Value::Integer(number) => query.bind(*number),
        Value::Bytes(bytes) => query.bind(bytes.as_slice()),
    })
}

/// A text made at run time, shared by every statement that uses it.
pub(crate) fn shared_text(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

pub(crate) fn hex_text(value: impl LowerHex) -> String {
    format!("{value:#x}")
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<Address>> for Value {
    fn from(address: Option<Address>) -> Self {
        Self::Text(address.map(hex_text))
    }
}

impl From<B256> for Value {
    fn from(hash: B256) -> Self {
        Self::Text(Some(hex_text(hash)))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(Some(i64::from(number)))
    }
}

impl From<Option<u32>> for Value {
    fn from(number: Option<u32>) -> Self {
        Self::Integer(number.map(i64::from))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(Some(i64::from(flag)))
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Integer(Some(at.unix_micros()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        Self::Integer(at.map(Timestamp::unix_micros))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}
