//! The transaction as a plugin sees it. Field by field the records of `wit/1.0/types.wit`, whose
//! documentation holds; kept apart from the generated types so that every contract version converts
//! from one model.

use serde::{Deserialize, Serialize};

/// A name and its value.
pub type NameValue = (String, String);

/// What the host decoded from the bytes that will be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedTransaction {
    pub organization_id: String,
    pub transaction_id: String,
    pub initiator_id: String,
    pub owner_id: String,
    pub created_at_ms: u64,
    pub key_id: String,
    /// `hsm`, `fireblocks`, `privy` or `none`.
    pub provider: String,
    /// CAIP-2.
    pub chain: String,
    /// `transfer`, `contract-call` or `contract-creation`.
    pub kind: String,
    pub sender: String,
    pub recipient: Option<String>,
    /// Decimal text in the smallest unit.
    pub value: String,
    #[serde(with = "crate::hexadecimal")]
    pub data: Vec<u8>,
    pub call: Option<Call>,
    pub ceilings: Ceilings,
    pub approvals: Vec<Approval>,
    /// Transactions from this key to this recipient that were signed before.
    pub transactions_to_recipient: u64,
    pub extra: Vec<NameValue>,
}

/// A contract call as decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub selector: String,
    pub function: Option<String>,
    pub arguments: Vec<Argument>,
}

/// One decoded argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    pub name: String,
    pub abi_type: String,
    pub value: String,
}

/// The most that the transaction may cost; amounts are decimal text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    pub gas_limit: Option<u64>,
    pub fee_per_gas: Option<String>,
    pub priority_fee_per_gas: Option<String>,
    pub total_fee: Option<String>,
}

/// An approval already given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub role: String,
    pub principal_id: String,
    /// `bearer`, `request` or `signed`.
    pub evidence_level: String,
    pub given_at_ms: u64,
}

/// What the client says about the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedTransaction {
    pub reference: Option<String>,
    pub description: Option<String>,
    pub extra: Vec<NameValue>,
}
