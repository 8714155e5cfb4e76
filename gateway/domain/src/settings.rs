//! What a user may choose. Settings raise requirements; the organization's floor is never lowered by them.

use serde::{Deserialize, Serialize};

use crate::{
    approvals::{EvidenceLevel, Role},
    clock::Timestamp,
    ids::{OrganizationId, PrincipalId},
    policy::{Applies, Requirement},
    sealed::{RowVersion, Sealable},
    transactions::{ExecutionType, Provider},
};

mod update;

pub use update::{EscrowProof, SettingsUpdate, require_settings, update_settings};

/// A user's settings row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub user: PrincipalId,
    pub organization: OrganizationId,
    pub execution_type: ExecutionType,
    pub chain_id: u64,
    pub execution_provider: Provider,
    pub agent_provider: Provider,
    pub verification_service: Option<u64>,
    pub require_arbiter: bool,
    /// Parts per million; an Orion approval below it needs the arbiter too.
    pub orion_confidence_threshold_ppm: u32,
    pub approval_ttl_seconds: u32,
    pub version: u64,
    pub updated_at: Timestamp,
}

impl Settings {
    /// The values of contract/core.md section 7.
    pub fn defaults(user: PrincipalId, organization: OrganizationId, now: Timestamp) -> Self {
        Self {
            user,
            organization,
            execution_type: ExecutionType::UserExecuted,
            chain_id: 1,
            execution_provider: Provider::Hsm,
            agent_provider: Provider::Hsm,
            verification_service: None,
            require_arbiter: false,
            orion_confidence_threshold_ppm: 800_000,
            approval_ttl_seconds: 86_400,
            version: 1,
            updated_at: now,
        }
    }

    /// What a transaction of this type demands, and what the user does. The policy's floor comes on top (T7).
    pub fn requirements(&self, execution_type: ExecutionType) -> Vec<Requirement> {
        let arbiter = Requirement {
            role: Role::Arbiter,
            count: 1,
            evidence: EvidenceLevel::Bearer,
            applies: Applies::Always,
        };
        let arbiter = self.require_arbiter.then_some(arbiter);
        execution_type.requirements().chain(arbiter).collect()
    }
}

impl Sealable for Settings {
    const TABLE: &'static str = "settings";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.user, self.version))
    }
}
