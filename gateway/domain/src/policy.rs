//! Policy: what must be true before a key is used, and the only place that can say it is.

use std::collections::BTreeSet;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    approvals::{EvidenceLevel, Role},
    chain::ChainId,
    clock::Timestamp,
    ids::{BindingId, KeyId, OrganizationId, PluginRevisionId, ProposalId, VaultId},
    sealed::{RowVersion, Sealable},
    transactions::{ExecutionType, Intent, Kind},
};

mod decide;
mod fitness;
mod permit;
mod rehearse;
mod requirements;
mod revision;
mod revoke;
mod scope;
mod signature;
mod upload;
mod validate;
mod vendor_permit;

pub(crate) use decide::denied as refusal;
pub use decide::{Approved, Decision, DecisionInput, Denial, DenialReason, Open, decide};
pub(crate) use fitness::{Examiner, fitness};
pub use permit::{PERMIT_LIFETIME, PermitMismatch, PermitRecord, SigningPermit, issue_permit};
pub use rehearse::{Rehearsal, rehearse};
pub use requirements::{Standing, required_roles};
pub(crate) use requirements::{counting, demanded, supersedes};
pub use revision::{
    Examined, PluginRevision, PluginRevocation, ProvenSignatures, RevisionFault, SignedOther, subject_digest,
};
pub use revoke::revoke_plugin;
pub use scope::require_scopes;
pub use signature::{RevisionClaims, RevisionSignature, SignatureMalformed, SignedRevision, signing_input};
pub use upload::{AdmittedPlugin, UploadPlugin, admit_plugin, upload_plugin};
pub use validate::validate_policy;
pub use vendor_permit::{VendorPermit, VendorPermitMismatch, issue_vendor_permit};

/// One revision of an organization's policy. Revisions are never edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub organization: OrganizationId,
    pub revision: u64,
    pub floor: Floor,
    /// Asked all at once; the first of them that denies says why.
    pub bindings: Vec<Binding>,
    /// What its approvers signed; absent in a deployment without operators.
    pub proposal: Option<ProposalId>,
    pub created_at: Timestamp,
}

/// The revision in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyHead {
    pub organization: OrganizationId,
    pub revision: u64,
}

/// What holds for every transaction of the organization. Requests and settings raise it and never lower it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// All of them must be met.
    pub requirements: Vec<Requirement>,
    /// The least that an execution type may demand: a request for a lower one is judged as if it had asked for this.
    #[serde(default = "ExecutionType::least")]
    pub minimum_execution_type: ExecutionType,
    /// Parts per million; an authority's approval below it demands the arbiter as well.
    pub minimum_confidence_ppm: u32,
    /// Decision evaluations older than this are made again. Default 900.
    pub evaluation_age_max_seconds: u32,
    /// Votes older than this no longer count. Default 604800.
    pub vote_age_max_seconds: u32,
    /// Whether the principal that created a transaction may vote on it. Default false.
    pub initiator_may_vote: bool,
}

/// `count` distinct principals in `role`, each with at least `evidence`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    pub role: Role,
    /// At least 1.
    pub count: u32,
    pub evidence: EvidenceLevel,
    /// When the requirement applies.
    pub applies: Applies,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    Always,
    /// To every transaction that moves more than this many base units or carries call data, whose worth the
    /// floor cannot know.
    AboveValue(U256),
}

/// A place in the policy where a plugin is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub id: BindingId,
    pub revision: PluginRevisionId,
    pub plugin: String,
    /// SHA-256 over component digest, settings and grants; compared with every evaluation.
    pub subject_digest: B256,
    pub scope: BindingScope,
    pub mode: Mode,
    pub power: Power,
}

/// Where a binding applies. An empty list means everywhere, except for kinds, which must be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingScope {
    pub kinds: BTreeSet<Kind>,
    pub chains: BTreeSet<ChainId>,
    pub keys: BTreeSet<KeyId>,
    /// Covers what is signed with a key that lies in one of them now.
    #[serde(default)]
    pub vaults: BTreeSet<VaultId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Enforce,
    /// Recorded and not used.
    Shadow,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Can deny and demand; its approval means nothing.
    Gate,
    /// Its approval counts for one named role.
    Authority(Role),
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

impl Floor {
    /// No people, the published maximum ages.
    pub fn open() -> Self {
        Self {
            requirements: Vec::new(),
            minimum_execution_type: ExecutionType::least(),
            minimum_confidence_ppm: 0,
            evaluation_age_max_seconds: 900,
            vote_age_max_seconds: 604_800,
            initiator_may_vote: false,
        }
    }

    /// Everything the floor demands of every transaction that it applies to.
    pub fn demands(&self) -> impl Iterator<Item = Requirement> {
        self.requirements.iter().cloned().chain(self.minimum_execution_type.requirements())
    }
}

impl BindingScope {
    /// Whether it covers an intent whose key lies in `vault`.
    pub fn covers(&self, intent: &Intent, vault: Option<VaultId>) -> bool {
        self.kinds.contains(&intent.kind)
            && (self.chains.is_empty() || self.chains.contains(&intent.chain))
            && (self.keys.is_empty() || self.keys.contains(&intent.key))
            && (self.vaults.is_empty() || vault.is_some_and(|vault| self.vaults.contains(&vault)))
    }
}

impl Policy {
    /// The bindings of `mode` that cover an intent whose key lies in `vault`.
    pub(crate) fn covering(
        &self,
        mode: Mode,
        intent: &Intent,
        vault: Option<VaultId>,
    ) -> impl Iterator<Item = &Binding> {
        let covers = move |binding: &&Binding| binding.mode == mode && binding.scope.covers(intent, vault);
        self.bindings.iter().filter(covers)
    }
}

impl Sealable for Policy {
    const TABLE: &'static str = "policies";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::written_once::<Self>(format_args!("{}/{}", self.organization, self.revision)))
    }
}

impl Sealable for PolicyHead {
    const TABLE: &'static str = "policy_heads";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.organization, self.revision))
    }
}
