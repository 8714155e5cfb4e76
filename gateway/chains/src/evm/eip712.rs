//! The two EIP-712 structs that this gateway asks people to sign. A wallet key of the gateway
//! itself never signs them: [`is_own_domain`] lets the signing path refuse.

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};

/// Domain name of every struct below.
pub const DOMAIN_NAME: &str = "gateway-core";
/// Domain version of every struct below.
pub const DOMAIN_VERSION: &str = "1";

/// What an API client signs over one HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Public origin of the gateway: scheme, host and port.
    pub origin: &'a str,
    pub method: &'a str,
    /// Path with query, as sent.
    pub path: &'a str,
    /// SHA-256 of the raw body.
    pub body_hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// What an approver signs over one transaction; evidence level `signed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval<'a> {
    /// Public origin of the gateway: scheme, host and port.
    pub origin: &'a str,
    pub organization: &'a str,
    pub transaction_id: &'a str,
    pub request_hash: B256,
    pub intent_hash: B256,
    pub approved: bool,
    /// Seconds since 1970.
    pub expires: u64,
}

mod typed {
    alloy_sol_types::sol! {
        struct Request {
            string origin;
            string method;
            string path;
            bytes32 bodyHash;
            uint256 timestamp;
        }

        struct Approval {
            string origin;
            string organization;
            string transactionId;
            bytes32 requestHash;
            bytes32 intentHash;
            bool approved;
            uint256 expires;
        }
    }
}

/// The digest that the wallet signs for `request` on `chain_id`.
pub fn request_signing_hash(request: &Request<'_>, chain_id: u64) -> B256 {
    typed::Request {
        origin: request.origin.to_owned(),
        method: request.method.to_owned(),
        path: request.path.to_owned(),
        bodyHash: request.body_hash,
        timestamp: U256::from(request.timestamp),
    }
    .eip712_signing_hash(&domain(chain_id))
}

/// The digest that the wallet signs for `approval` on `chain_id`.
pub fn approval_signing_hash(approval: &Approval<'_>, chain_id: u64) -> B256 {
    typed::Approval {
        origin: approval.origin.to_owned(),
        organization: approval.organization.to_owned(),
        transactionId: approval.transaction_id.to_owned(),
        requestHash: approval.request_hash,
        intentHash: approval.intent_hash,
        approved: approval.approved,
        expires: U256::from(approval.expires),
    }
    .eip712_signing_hash(&domain(chain_id))
}

/// Whether typed data names this gateway's own domain, whatever its version and chain.
pub fn is_own_domain(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.trim().eq_ignore_ascii_case(DOMAIN_NAME))
}

fn domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(DOMAIN_NAME.into()),
        Some(DOMAIN_VERSION.into()),
        Some(U256::from(chain_id)),
        None,
        None,
    )
}

#[cfg(test)]
mod tests;
