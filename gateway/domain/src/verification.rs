//! Verification services: who judges encrypted payloads. One may be the gateway itself, with its OpenPGP keys in the
//! token; the others are outside, hold their own keys and vote with an orion key that is bound to them.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{KeyId, OrganizationId},
    openpgp::Fingerprint,
    sealed::{RowVersion, Sealable},
};

mod metadata;
mod services;

pub use metadata::{
    OrionMetadata, Settlement, SettlementStatus, TeeKind, TeeProof, record_settlement, record_tee_proof,
};
pub(crate) use services::unusable;
pub use services::{
    AddVerificationService, ServiceKey, add_verification_service, require_active_service,
    set_verification_service_active,
};

/// Who judges encrypted payloads, and the key they are encrypted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationService {
    pub organization: OrganizationId,
    /// Counts from 1 in each organization.
    pub id: u32,
    pub name: String,
    /// The service's address on chain; unique in the organization.
    pub inbox: Address,
    /// Armored certificate.
    pub public_key: String,
    pub fingerprint: Fingerprint,
    pub description: Option<String>,
    /// When the certificate expires.
    pub usable_until: Option<Timestamp>,
    /// Whether it is switched on.
    pub active: bool,
    /// The token's decryption key, if the gateway itself is the service.
    pub built_in: Option<KeyId>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Sealable for VerificationService {
    const TABLE: &'static str = "verification_services";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(format!("{}/{}", self.organization, self.id), self.version))
    }
}

impl VerificationService {
    /// Whether new payloads may be sent to the service: it is switched on, and its key can be encrypted to.
    pub fn is_offered(&self, now: Timestamp) -> bool {
        self.active && self.usable_until.is_none_or(|until| now < until)
    }
}

/// Whether an orion key that is bound to `key_service` speaks for transactions of `transaction_service`. An unbound
/// key speaks for those that have no service.
pub fn speaks_for(key_service: Option<u32>, transaction_service: Option<u32>) -> bool {
    key_service == transaction_service
}
