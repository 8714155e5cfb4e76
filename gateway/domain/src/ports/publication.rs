//! What OpenPGP keys, encrypted payloads and their records rest on.

use std::sync::Arc;

use alloy_primitives::B256;
use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    error::Result,
    ids::{OrganizationId, PrincipalId, RegistrationId, RelayId, TransactionId},
    openpgp::{Fingerprint, OpenPgp},
    payloads::{EncryptedPayload, Ipfs, PayloadQuota, SessionKeyClaim},
    registrations::Registration,
    registry::{RegistryTarget, Relay, RelayCounts, RelayerSigner},
    sealed::Sealed,
    verification::{OrionMetadata, VerificationService},
};

#[async_trait]
pub trait RegistrationReads: Send + Sync {
    async fn registration(
        &self,
        organization: OrganizationId,
        id: RegistrationId,
    ) -> Result<Option<Sealed<Registration>>>;
    /// The one the user uses now.
    async fn current_registration(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Option<Sealed<Registration>>>;
    /// All that the user ever named, the present one among them; quotas bound them.
    async fn registrations(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Vec<Sealed<Registration>>>;
    async fn registration_by_fingerprint(
        &self,
        organization: OrganizationId,
        fingerprint: Fingerprint,
    ) -> Result<Option<Sealed<Registration>>>;
    async fn relay(&self, organization: OrganizationId, id: RelayId) -> Result<Option<Sealed<Relay>>>;
    /// How many calls were made later than `since`.
    async fn relay_counts(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
        since: Timestamp,
    ) -> Result<RelayCounts>;
}

#[async_trait]
pub trait VerificationReads: Send + Sync {
    /// Ordered by id.
    async fn verification_services(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Sealed<VerificationService>>>;
    async fn verification_service(
        &self,
        organization: OrganizationId,
        id: u32,
    ) -> Result<Option<Sealed<VerificationService>>>;
    async fn encrypted_payload(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Option<Sealed<EncryptedPayload>>>;
    /// Who sent this session-key packet first, in whatever organization.
    async fn session_key_claim(
        &self,
        service_key: Fingerprint,
        digest: B256,
    ) -> Result<Option<SessionKeyClaim>>;
    /// A block by its SHA-256, which the caller compares again.
    async fn ipfs_block(&self, root: B256) -> Result<Option<Vec<u8>>>;
    async fn orion_metadata(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Option<Sealed<OrionMetadata>>>;
}

/// Parts with which keys and encrypted payloads are examined and published.
#[derive(Clone)]
pub struct Publication {
    pub openpgp: Arc<dyn OpenPgp>,
    pub ipfs: Arc<dyn Ipfs>,
    pub relayer: Arc<dyn RelayerSigner>,
    /// Absent if no registry contract is configured.
    pub registry: Option<RegistryTarget>,
    pub payloads: PayloadQuota,
}
