//! Proposals: changes that wait for the approvals the charter demands.

use std::time::Duration;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Change, Charter, OperatorRole, require_charter, require_role, require_stopper};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, OperatorWrite, Write},
    clock::Timestamp,
    error::{Error, Result},
    ids::{CredentialId, OperatorId, OrganizationId, ProposalId},
    ports::Services,
    sealed::{RowVersion, Sealable, Sealed},
    text::is_plain,
};

/// A change that is made once enough approvers have signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub id: ProposalId,
    /// What the change concerns; [`super::DEPLOYMENT`] for the charter.
    pub organization: OrganizationId,
    pub proposer: OperatorId,
    pub change: Change,
    /// Why, for those who approve: up to 1,000 characters.
    pub reason: String,
    pub approvals: Vec<Approval>,
    pub state: ProposalState,
    pub version: u64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// One approver's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub operator: OperatorId,
    pub at: Timestamp,
    /// The signed request that approved the proposal's digest.
    pub evidence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum ProposalState {
    /// Waits for approvals until it expires.
    Open,
    /// The change was made.
    Carried { at: Timestamp },
    /// The change was made by the proposer alone: an earlier policy came back at once.
    CarriedAtOnce { at: Timestamp },
    /// What it allowed once was used.
    Used { at: Timestamp, credential: CredentialId },
    /// One approver said no.
    Refused { by: OperatorId, at: Timestamp },
    /// The proposer took it back.
    Withdrawn { at: Timestamp },
}

/// A change to be proposed.
#[derive(Clone, Debug)]
pub struct Propose {
    pub change: Change,
    pub reason: String,
    /// For how long it may be approved. Default 7 days, at most 30.
    pub lifetime: Duration,
}

/// Characters of a reason.
pub const REASON_CHARACTERS_MAX: usize = 1_000;

/// Stores a proposal in the caller's organization, if the change could be made now.
pub async fn propose(ctx: &OpCtx, services: &Services, request: Propose) -> Result<Proposal> {
    require_role(ctx, OperatorRole::Author)?;
    let charter = require_charter(services).await?;
    let proposal = request.draft(ctx, services, &charter).await?;
    let open = services.store.open_proposals(ctx.now).await?;
    if open >= u64::from(services.limits.open_proposals_max) {
        return Err(Error::Exhausted {
            what: "too many proposals are open; refuse or withdraw some",
            retry_after: Duration::from_mins(1),
        });
    }
    let changes = ChangeSet::new(proposal.event(ctx, "proposal.made"));
    let write = Write::Operators(OperatorWrite::InsertProposal(services.sealer.seal(proposal.clone())));
    services.store.commit(changes.write(write)).await?;
    Ok(proposal)
}

impl Propose {
    /// The caller's proposal as it would be stored, if the change could be made now.
    pub(super) async fn draft(
        self,
        ctx: &OpCtx,
        services: &Services,
        charter: &Sealed<Charter>,
    ) -> Result<Proposal> {
        let proposer = require_stopper(ctx)?.operator;
        let length = self.reason.chars().count();
        if !(1..=REASON_CHARACTERS_MAX).contains(&length) {
            return Err(Error::invalid(format!("reason must have 1 to {REASON_CHARACTERS_MAX} characters")));
        }
        if !self.reason.chars().all(is_plain) {
            return Err(Error::invalid(
                "reason must not contain characters that hide or reorder what people read",
            ));
        }
        let change = self.change.tied(ctx, services, charter).await?;
        let bytes_max = services.limits.proposal_bytes_max;
        if json!(change).to_string().len() > bytes_max {
            return Err(Error::invalid(format!("change must have at most {bytes_max} bytes")));
        }
        change.prepare(ctx, services, charter, None).await?;
        Ok(Proposal {
            id: ProposalId::generate(ctx.now, services.entropy.as_ref()),
            organization: ctx.organization,
            proposer,
            change,
            reason: self.reason,
            approvals: Vec::new(),
            state: ProposalState::Open,
            version: 1,
            created_at: ctx.now,
            expires_at: ctx.now.plus(self.lifetime),
        })
    }
}

impl Proposal {
    /// What approvers sign: SHA-256 of [`Proposal::signed_text`].
    pub fn digest(&self) -> B256 {
        B256::new(Sha256::digest(self.signed_text()).into())
    }

    /// Everything that was proposed, and nothing that came after, as compact JSON: the word `countersign-proposal-1`, id,
    /// organization, proposer, change, reason, and the times of creation and expiry in microseconds.
    pub fn signed_text(&self) -> String {
        let proposed = json!([
            "countersign-proposal-1",
            self.id,
            self.organization,
            self.proposer,
            self.change,
            self.reason,
            self.created_at,
            self.expires_at,
        ]);
        proposed.to_string()
    }

    pub fn is_open(&self, now: Timestamp) -> bool {
        self.state == ProposalState::Open && now < self.expires_at
    }

    /// The next version in another state.
    pub(super) fn moved_to(&self, state: ProposalState) -> Self {
        Self { state, version: self.version + 1, ..self.clone() }
    }

    pub(super) fn event(&self, ctx: &OpCtx, action: &'static str) -> AuditEvent {
        let ctx = OpCtx { organization: self.organization, ..ctx.clone() };
        // The whole of it once, when it is made; its digest stands for it afterwards.
        let change = (self.version == 1).then_some(&self.change);
        let detail = json!({
            "digest": self.digest(), "proposer": self.proposer, "change": change,
            "approvals": self.approvals.iter().map(|approval| approval.operator).collect::<Vec<_>>(),
        });
        AuditEvent::new(&ctx, action, format!("proposal {}", self.id), detail)
    }
}

impl ProposalState {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Carried { .. } => "carried",
            Self::CarriedAtOnce { .. } => "carried_at_once",
            Self::Used { .. } => "used",
            Self::Refused { .. } => "refused",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

impl Sealable for Proposal {
    const TABLE: &'static str = "proposals";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}
