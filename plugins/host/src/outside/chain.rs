//! Questions to the chain's nodes. Field by field the interface `chain` of the contract.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainQuestion {
    /// Which block the answers are about.
    Pinned,
    Read {
        method: ChainMethod,
        parameters: Vec<String>,
    },
}

/// A read-only method; each is granted by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainMethod {
    #[serde(rename = "eth_getBalance")]
    GetBalance,
    #[serde(rename = "eth_getTransactionCount")]
    GetTransactionCount,
    #[serde(rename = "eth_getCode")]
    GetCode,
    #[serde(rename = "eth_getStorageAt")]
    GetStorageAt,
    #[serde(rename = "eth_call")]
    Call,
}

impl ChainMethod {
    pub const ALL: [Self; 5] =
        [Self::GetBalance, Self::GetTransactionCount, Self::GetCode, Self::GetStorageAt, Self::Call];

    /// The name in the contract, which is that of Ethereum's execution API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetBalance => "eth_getBalance",
            Self::GetTransactionCount => "eth_getTransactionCount",
            Self::GetCode => "eth_getCode",
            Self::GetStorageAt => "eth_getStorageAt",
            Self::Call => "eth_call",
        }
    }

    /// The method of that name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainAnswer {
    /// To `Pinned`.
    Block(PinnedBlock),
    /// To `Read`: `0x` and hexadecimal digits.
    Value(String),
    Failure(ChainFailure),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedBlock {
    pub number: u64,
    pub hash: String,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainFailure {
    Unavailable,
    Reverted,
    Refused,
}

impl ChainQuestion {
    /// What the guest hands over, about.
    pub(crate) fn bytes(&self) -> usize {
        let Self::Read { parameters, .. } = self else { return 0 };
        parameters.iter().map(|parameter| parameter.len() + size_of::<String>()).sum()
    }
}

impl ChainAnswer {
    /// What the guest is given, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Block(block) => block.hash.len() + 2 * size_of::<u64>(),
            Self::Value(value) => value.len(),
            Self::Failure(_) => 0,
        }
    }
}
