//! Seals: stored rows are not authority until their HMAC has been checked.
//!
//! A seal is HMAC-SHA256, under a key derived from an HSM-held master, over the table's name and the row's
//! serialized value. The value contains primary key, organization, version and every deciding column, so a row
//! that was edited, moved to another tenant or copied from another table does not open.

use std::{fmt::Display, ops::Deref};

use alloy_primitives::U256;
use serde::Serialize;

pub use crate::mac::EpochMac as Seal;
use crate::{error::Error, mac::MacKeys};

#[cfg(test)]
mod tests;

/// A value whose stored form carries a seal.
pub trait Sealable: Serialize {
    /// Name of the table; part of what is sealed.
    const TABLE: &'static str;

    /// Which row this is and how often it was written; none for a row that its place in a chain protects.
    fn row_version(&self) -> Option<RowVersion>;
}

/// One state of one row. A seal tells that a row is ours; only its version tells whether it is the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowVersion {
    pub table: &'static str,
    /// The primary key as text.
    pub key: String,
    /// Counts from 1; every write of the row adds 1.
    pub version: u64,
}

/// A value whose seal has been made or checked by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed<T> {
    value: T,
    seal: Seal,
}

/// Makes and checks seals.
pub struct Sealer(MacKeys);

#[derive(Debug, thiserror::Error)]
#[error("the seal of a row in `{table}` does not fit")]
pub struct SealBroken {
    pub table: &'static str,
}

impl<T> Sealed<T> {
    pub fn seal(&self) -> Seal {
        self.seal
    }

    /// Gives up the proof that the value was sealed.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Sealed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl RowVersion {
    pub fn new<T: Sealable>(key: impl Display, version: u64) -> Self {
        Self { table: T::TABLE, key: key.to_string(), version }
    }

    /// The only version of a row that is written once.
    pub fn written_once<T: Sealable>(key: impl Display) -> Self {
        Self::new::<T>(key, 1)
    }
}

impl Sealer {
    pub fn new(keys: MacKeys) -> Self {
        Self(keys)
    }

    pub fn seal<T: Sealable>(&self, value: T) -> Sealed<T> {
        let seal = self.0.mac(&[T::TABLE.as_bytes(), &body(&value)]);
        Sealed { value, seal }
    }

    pub fn open<T: Sealable>(&self, value: T, seal: Seal) -> Result<Sealed<T>, SealBroken> {
        if self.0.verifies(&[T::TABLE.as_bytes(), &body(&value)], seal) {
            Ok(Sealed { value, seal })
        } else {
            Err(SealBroken { table: T::TABLE })
        }
    }

    /// A number that only the holder of the keys can tell, for each purpose and name. Unlike a seal it does not change
    /// with the epoch: it is made with the oldest key.
    pub(crate) fn secret_number(&self, purpose: &str, name: &[u8]) -> U256 {
        U256::from_be_bytes(self.0.oldest_mac(&[purpose.as_bytes(), name]))
    }
}

fn body(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("sealed values have string keys only")
}

impl From<SealBroken> for Error {
    fn from(broken: SealBroken) -> Self {
        Self::inconsistency(broken)
    }
}
