//! Keyed hashes whose keys are derived from an HSM-held master, one per epoch, and live in memory only.

use std::{collections::BTreeMap, fmt, str::FromStr};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// HMAC-SHA256 and the epoch of the key that made it; written `<epoch>:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EpochMac {
    epoch: u32,
    mac: [u8; 32],
}

/// The keys of all epochs that may still be checked.
pub struct MacKeys {
    keys: BTreeMap<u32, MacKey>,
    active: u32,
}

/// 32 bytes derived from the HSM master for one epoch.
pub struct MacKey(Zeroizing<[u8; 32]>);

#[derive(Debug, thiserror::Error)]
#[error("a keyed hash reads `<epoch>:<64 hex digits>`")]
pub struct EpochMacMalformed;

impl MacKeys {
    /// `keys` must hold `active`, the epoch under which new hashes are made.
    pub fn new(keys: BTreeMap<u32, MacKey>, active: u32) -> Self {
        assert!(keys.contains_key(&active), "the active epoch has a key");
        Self { keys, active }
    }

    /// Hashes the parts with a zero byte between them; only the last may contain one.
    pub fn mac(&self, parts: &[&[u8]]) -> EpochMac {
        let key = self.keys.get(&self.active).expect("the active epoch has a key");
        EpochMac { epoch: self.active, mac: key.mac(parts) }
    }

    /// The hash under the key of every epoch: what an equal value may have been stored as.
    pub fn macs(&self, parts: &[&[u8]]) -> Vec<EpochMac> {
        self.keys.iter().map(|(epoch, key)| EpochMac { epoch: *epoch, mac: key.mac(parts) }).collect()
    }

    /// The hash under the key of the first epoch.
    pub(crate) fn oldest_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.keys.values().next().expect("the active epoch has a key").mac(parts)
    }

    /// In constant time over the hash; false for an unknown epoch.
    pub fn verifies(&self, parts: &[&[u8]], mac: EpochMac) -> bool {
        self.keys.get(&mac.epoch).is_some_and(|key| key.mac(parts).ct_eq(&mac.mac).into())
    }
}

impl EpochMac {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.mac
    }
}

impl MacKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes a key of any length");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                mac.update(&[0]);
            }
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Display for EpochMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, hex::encode(self.mac))
    }
}

impl fmt::Debug for EpochMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochMac(epoch {})", self.epoch)
    }
}

impl FromStr for EpochMac {
    type Err = EpochMacMalformed;

    fn from_str(text: &str) -> Result<Self, EpochMacMalformed> {
        let (epoch, mac) = text.split_once(':').ok_or(EpochMacMalformed)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(mac, &mut bytes).map_err(|_| EpochMacMalformed)?;
        Ok(Self { epoch: epoch.parse().map_err(|_| EpochMacMalformed)?, mac: bytes })
    }
}

impl From<EpochMac> for String {
    fn from(mac: EpochMac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for EpochMac {
    type Error = EpochMacMalformed;

    fn try_from(text: String) -> Result<Self, EpochMacMalformed> {
        text.parse()
    }
}
