//! How the family shows a transaction and its approvals.

use std::collections::BTreeSet;

use gateway_domain::{
    approvals::{Ballot, Evidence, Role, Vote},
    payloads::Submission,
    transactions::{AttemptOutcome, CoreStatus, ExecutionType, State, Transaction},
    verification::OrionMetadata,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::{
    internal::{SettlementResponse, TeeProofResponse},
    shapes,
    transactions::hearing::{Hearing, OrionWord},
};
use crate::presentation;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionResponse {
    #[schema(format = "uuid")]
    id: String,
    #[schema(value_type = shapes::Hash)]
    request_hash: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[schema(value_type = shapes::Address)]
    escrow_address: String,
    #[schema(value_type = shapes::ChainId)]
    chain_id: u64,
    #[schema(minimum = 0, maximum = 2)]
    execution_type: u8,
    #[schema(value_type = shapes::TransactionStatus)]
    status: &'static str,
    #[schema(value_type = shapes::PayloadType)]
    payload_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Address>)]
    to: Option<String>,
    /// The payload's name in IPFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    ipfs_cid: Option<String>,
    /// Wei in decimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Wei>)]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::CallData>)]
    data: Option<String>,
    /// The record of an encrypted payload in the registry contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    submission_tx_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    execution_tx_hash: Option<String>,
    /// The name under which a vendor has the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_tx_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    approvals: Vec<TransactionApproval>,
    api_key_approvals: Vec<ApiKeyApproval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orion_metadata: Option<OrionMetadataResponse>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A wallet's vote.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionApproval {
    #[schema(format = "uuid")]
    id: String,
    approved: bool,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::WalletApprovalType)]
    kind: &'static str,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[schema(value_type = shapes::WalletSignature)]
    signature: String,
    #[schema(format = "date-time")]
    created_at: String,
}

/// An API key's vote, or the Orion plugin's verdict.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyApproval {
    #[schema(format = "uuid")]
    id: String,
    approved: bool,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::ApprovalType)]
    kind: &'static str,
    /// The key; for the Orion plugin its binding.
    #[schema(format = "uuid")]
    api_key_id: String,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    /// Text by the voter, without control and direction characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    request_hash: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
}

/// What the verification service said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrionMetadataResponse {
    #[schema(value_type = shapes::Hash)]
    request_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tee_proof: Option<TeeProofResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<SettlementResponse>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A vote in the shape its evidence gives it.
pub(crate) enum VoteView {
    Wallet(TransactionApproval),
    ApiKey(ApiKeyApproval),
}

pub(crate) fn status_word(state: &State) -> &'static str {
    CoreStatus::of(state).as_str()
}

pub(crate) fn execution_number(execution_type: ExecutionType) -> u8 {
    match execution_type {
        ExecutionType::DirectUser => 0,
        ExecutionType::UserExecuted => 1,
        ExecutionType::AgentExecuted => 2,
    }
}

pub(crate) fn role_words(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

impl TransactionResponse {
    pub(crate) fn of(hearing: &Hearing) -> Self {
        let transaction = &hearing.transaction;
        let is_trusted = transaction.verification_service.is_none();
        let mut approvals = Vec::new();
        let mut api_key_approvals: Vec<ApiKeyApproval> =
            hearing.orion.iter().map(|word| ApiKeyApproval::of_plugin(word, transaction)).collect();
        for vote in &hearing.votes {
            match VoteView::of(vote, transaction) {
                VoteView::Wallet(approval) => approvals.push(approval),
                VoteView::ApiKey(approval) => api_key_approvals.push(approval),
            }
        }
        Self {
            id: transaction.id.to_string(),
            request_hash: presentation::hash(transaction.request_hash),
            ethereum_address: presentation::address(transaction.owner_address),
            escrow_address: presentation::address(transaction.intent.from),
            chain_id: transaction.intent.chain.number(),
            execution_type: execution_number(transaction.execution_type),
            status: status_word(&transaction.state),
            payload_type: if is_trusted { "trusted" } else { "encrypted" },
            ipfs_cid: hearing.payload.as_ref().map(|payload| payload.cid.clone()),
            // What was sent encrypted is never given back in clear (T23).
            to: transaction.intent.to.filter(|_| is_trusted).map(presentation::address),
            value: is_trusted.then(|| transaction.intent.value.to_string()),
            data: is_trusted.then(|| presentation::bytes(&transaction.intent.data)),
            submission_tx_hash: submission_hash(hearing),
            execution_tx_hash: execution_hash(hearing),
            external_tx_id: transaction
                .intent
                .vendor_account
                .as_ref()
                .map(|_| presentation::hash(transaction.request_hash)),
            failure_reason: CoreStatus::reason(&transaction.state)
                .map(|reason| presentation::prose(&reason))
                .or_else(|| submission_failure(hearing)),
            approvals,
            api_key_approvals,
            orion_metadata: OrionMetadataResponse::of(hearing),
            created_at: presentation::time(transaction.created_at),
            updated_at: presentation::time(transaction.updated_at),
        }
    }
}

fn submission_hash(hearing: &Hearing) -> Option<String> {
    match hearing.payload.as_ref()?.submission {
        Submission::Submitted { hash, .. } => Some(presentation::hash(hash)),
        Submission::Pending | Submission::Failed { .. } | Submission::Withheld => None,
    }
}

/// Why the payload is not on record, which an equal request tries again. It holds up nothing else.
fn submission_failure(hearing: &Hearing) -> Option<String> {
    match hearing.payload.as_ref()?.submission {
        Submission::Failed { reason } => Some(format!("submission_failed: {}", reason.as_str())),
        Submission::Pending | Submission::Submitted { .. } | Submission::Withheld => None,
    }
}

/// The hash under which the transaction was sent. A signature that was never sent is nobody's business.
fn execution_hash(hearing: &Hearing) -> Option<String> {
    match &hearing.transaction.state {
        State::ExecutedByVendor { hash, .. } => hash.map(presentation::hash),
        State::Executed { hash, .. } | State::Settled { hash, .. } => Some(presentation::hash(*hash)),
        State::Submitted { attempt, .. } => {
            hearing.attempts.iter().find(|candidate| candidate.id == *attempt).and_then(|sent| {
                match &sent.outcome {
                    AttemptOutcome::Signed { hash, .. } => Some(presentation::hash(*hash)),
                    AttemptOutcome::Prepared | AttemptOutcome::Released => None,
                }
            })
        }
        State::Pending
        | State::Approved
        | State::Signed { .. }
        | State::HandedOver { .. }
        | State::Rejected { .. }
        | State::Aborted
        | State::Failed { .. } => None,
    }
}

impl VoteView {
    pub(crate) fn of(vote: &Vote, transaction: &Transaction) -> Self {
        let by_wallet = |signature: &[u8]| {
            Self::Wallet(TransactionApproval {
                id: vote.id.to_string(),
                approved: vote.ballot == Ballot::Approve,
                kind: "user",
                ethereum_address: presentation::address(transaction.owner_address),
                signature: presentation::bytes(signature),
                created_at: presentation::time(vote.created_at),
            })
        };
        match &vote.evidence {
            Evidence::WalletRequest { signature, .. } | Evidence::WalletApproval { signature, .. } => {
                by_wallet(&with_wallet_v(signature))
            }
            Evidence::ContractRequest { signature, .. } => by_wallet(signature),
            Evidence::ApiKey { credential } => {
                let is_orion = vote.role == Role::Orion;
                Self::ApiKey(ApiKeyApproval {
                    id: vote.id.to_string(),
                    approved: vote.ballot == Ballot::Approve,
                    kind: approval_type(&vote.role),
                    api_key_id: credential.to_string(),
                    label: vote.role.to_string(),
                    confidence: vote.confidence_ppm.map(presentation::share),
                    analysis: vote.analysis.as_deref().map(presentation::prose),
                    request_hash: is_orion.then(|| presentation::hash(transaction.request_hash)),
                    created_at: presentation::time(vote.created_at),
                })
            }
        }
    }
}

impl ApiKeyApproval {
    /// The plugin's verdict, shown exactly like one made with an orion API key.
    fn of_plugin(word: &OrionWord, transaction: &Transaction) -> Self {
        Self {
            id: word.evaluation.id.to_string(),
            approved: word.approved,
            kind: "orion",
            api_key_id: word.evaluation.binding.to_string(),
            label: "orion".to_owned(),
            confidence: word.outcome.confidence_ppm.map(presentation::share),
            analysis: Some(presentation::prose(&word.outcome.analysis)),
            request_hash: Some(presentation::hash(transaction.request_hash)),
            created_at: presentation::time(word.evaluation.created_at),
        }
    }
}

impl OrionMetadataResponse {
    /// What was reported, with what was said before.
    pub(crate) fn reported(hearing: &Hearing, metadata: &OrionMetadata) -> Self {
        let said = Self::said(hearing);
        let (confidence, analysis) = said.map_or((None, None), |said| (said.confidence, said.analysis));
        Self {
            request_hash: presentation::hash(hearing.transaction.request_hash),
            confidence,
            analysis,
            tee_proof: metadata.tee_proof.as_ref().map(TeeProofResponse::of),
            settlement: metadata.settlement.as_ref().map(SettlementResponse::of),
            created_at: presentation::time(metadata.created_at),
            updated_at: presentation::time(metadata.updated_at),
        }
    }

    fn of(hearing: &Hearing) -> Option<Self> {
        match &hearing.metadata {
            Some(metadata) => Some(Self::reported(hearing, metadata)),
            None => Self::said(hearing),
        }
    }

    /// The plugin's word, else that of an orion key.
    fn said(hearing: &Hearing) -> Option<Self> {
        let by_plugin = hearing.orion.as_ref().map(|word| {
            (word.outcome.confidence_ppm, Some(word.outcome.analysis.as_str()), word.evaluation.created_at)
        });
        let by_key = || {
            let vote = hearing.votes.iter().rfind(|vote| vote.role == Role::Orion)?;
            Some((vote.confidence_ppm, vote.analysis.as_deref(), vote.created_at))
        };
        let (confidence, analysis, at) = by_plugin.or_else(by_key)?;
        Some(Self {
            request_hash: presentation::hash(hearing.transaction.request_hash),
            confidence: confidence.map(presentation::share),
            analysis: analysis.map(presentation::prose),
            tee_proof: None,
            settlement: None,
            created_at: presentation::time(at),
            updated_at: presentation::time(at),
        })
    }
}

/// Approval type by role (contract/core.md section 4): agents and arbiters are recorded as `admin`.
fn approval_type(role: &Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Orion => "orion",
        Role::Agent | Role::Arbiter | Role::Named(_) => "admin",
    }
}

/// Wallets write v as 27 or 28.
fn with_wallet_v(signature: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    if let Some(v) = bytes.last_mut()
        && *v < 27
    {
        *v += 27;
    }
    bytes
}
