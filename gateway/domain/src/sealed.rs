//! Seals: stored rows are not authority until their HMAC has been checked.
//!
//! A seal is HMAC-SHA256, under a key derived from an HSM-held master, over the table's name and the row's
//! serialized value. The value contains primary key, organization, version and every deciding column, so a row
//! that was edited, moved to another tenant or copied from another table does not open.

use std::ops::Deref;

use serde::Serialize;

pub use crate::mac::EpochMac as Seal;
use crate::{error::Error, mac::MacKeys};

#[cfg(test)]
mod tests;

/// A value whose stored form carries a seal.
pub trait Sealable: Serialize {
    /// Name of the table; part of what is sealed.
    const TABLE: &'static str;
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
}

fn body(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("sealed values have string keys only")
}

impl From<SealBroken> for Error {
    fn from(broken: SealBroken) -> Self {
        Self::inconsistency(broken)
    }
}
