//! The intent: what people and plugins judge, and what signed bytes must stay inside.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    chain::{ChainId, Projection},
    fireblocks::FireblocksAccount,
    ids::{KeyId, OrganizationId, TransactionId},
};

/// Distinct things a key can be asked to sign. A kind that no binding names is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Transaction,
    Message,
    TypedData,
    Digest,
    /// A payload that the gateway cannot read. Names no key; nothing is ever signed for it.
    Encrypted,
}

/// What a transaction may do: no more, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    /// The key that signs the transaction, or the request to the vendor that does; [`Intent::NO_KEY`] where somebody
    /// else executes with a key that is not here.
    pub key: KeyId,
    pub chain: ChainId,
    pub kind: Kind,
    pub from: Address,
    /// Absent for a contract creation.
    pub to: Option<Address>,
    /// Base units.
    pub value: U256,
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
    pub ceilings: Ceilings,
    /// The account that pays where a vendor executes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_account: Option<FireblocksAccount>,
}

/// The most that execution may cost, fixed before anybody approves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    pub gas: u64,
    /// Base units per gas.
    pub fee_per_gas: u128,
    /// Value and fees together, base units.
    pub total: U256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload's {field} is not what was approved")]
pub struct IntentMismatch {
    pub field: &'static str,
}

impl Intent {
    /// Names no key: nothing can be signed for such an intent.
    pub const NO_KEY: KeyId = KeyId::from_uuid(Uuid::nil());

    /// The function that the data names: its first four bytes, or fewer if there are no more.
    pub fn selector(&self) -> &[u8] {
        &self.data[..self.data.len().min(4)]
    }

    /// SHA-256 over the intent as RFC 8785 canonical JSON. Numbers are decimal text, so no reader rounds them.
    pub fn hash(&self) -> B256 {
        let text = |value: &dyn ToString| value.to_string();
        let mut fields = BTreeMap::from([
            ("chain", text(&self.chain)),
            ("data", format!("0x{}", hex::encode(&self.data))),
            ("feePerGasMax", text(&self.ceilings.fee_per_gas)),
            ("from", format!("{:#x}", self.from)),
            ("gasMax", text(&self.ceilings.gas)),
            ("key", text(&self.key)),
            ("kind", self.kind.as_str().to_owned()),
            ("organization", text(&self.organization)),
            ("to", self.to.map_or_else(String::new, |to| format!("{to:#x}"))),
            ("totalMax", text(&self.ceilings.total)),
            ("transaction", text(&self.transaction)),
            ("value", text(&self.value)),
            ("version", "countersign-intent-1".to_owned()),
        ]);
        if let Some(account) = &self.vendor_account {
            fields.insert("vendorAccount", account.canonical());
        }
        let canonical = serde_json::to_vec(&fields).expect("a map of text serializes");
        B256::new(Sha256::digest(canonical).into())
    }

    /// Whether decoded signing bytes do what was approved, within the ceilings.
    pub fn admits(&self, payload: &Projection) -> Result<(), IntentMismatch> {
        let refuse = |field| Err(IntentMismatch { field });
        if payload.chain != self.chain {
            return refuse("chain id");
        }
        if payload.to != self.to {
            return refuse("recipient");
        }
        if payload.value != self.value {
            return refuse("value");
        }
        if payload.data != self.data {
            return refuse("data");
        }
        if payload.gas_limit > self.ceilings.gas {
            return refuse("gas limit");
        }
        if payload.max_fee_per_gas > self.ceilings.fee_per_gas {
            return refuse("fee per gas");
        }
        let fees = U256::from(payload.gas_limit).checked_mul(U256::from(payload.max_fee_per_gas));
        match fees.and_then(|fees| fees.checked_add(payload.value)) {
            Some(total) if total <= self.ceilings.total => Ok(()),
            Some(_) | None => refuse("total"),
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Message => "message",
            Self::TypedData => "typed-data",
            Self::Digest => "digest",
            Self::Encrypted => "encrypted",
        }
    }
}
