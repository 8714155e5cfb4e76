//! Who calls: every authenticator yields an [`OpCtx`], and every domain function takes one first.

use std::{collections::BTreeSet, net::IpAddr};

use alloy_primitives::{Address, B256};

use crate::{
    approvals::EvidenceLevel,
    chain::ChainId,
    changes::ReplayGuard,
    clock::Timestamp,
    credentials::{Label, Scope},
    ids::{CredentialId, OrganizationId, PrincipalId, SessionId},
    operators::OperatorActor,
};

/// One operation's caller, tenant, origin and time.
#[derive(Clone, Debug)]
pub struct OpCtx {
    pub organization: OrganizationId,
    pub actor: Actor,
    /// Where the request came from, behind the trusted proxies; absent for work the gateway starts itself.
    pub source: Option<IpAddr>,
    pub request_id: String,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody proved anything.
    Anonymous,
    ApiKey(ApiKeyActor),
    /// A wallet signed this request or this approval.
    Wallet(WalletActor),
    /// A wallet's owner who has logged in.
    Session(SessionActor),
    /// The gateway's own workers.
    Gateway,
    /// A verification service that holds the deployment's internal token.
    InternalToken,
    /// A person of the charter, who signed the request.
    Operator(OperatorActor),
    /// A command run beside the database by somebody with the operating system's permission to do so.
    LocalOperator,
}

/// A server or user API key that was found, is active and belongs to an active principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyActor {
    pub principal: PrincipalId,
    pub credential: CredentialId,
    pub label: Label,
    pub scopes: BTreeSet<Scope>,
    /// See [`crate::credentials::ApiKey`].
    pub verification_service: Option<u32>,
    /// Whether it is a key of a user who enrolled themselves.
    pub self_registered: bool,
}

/// An Ethereum address that signed. It may not be enrolled yet (`principal` absent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletActor {
    pub address: Address,
    pub principal: Option<PrincipalId>,
    pub evidence: WalletEvidence,
}

/// The bearer of an access token whose session is alive and whose user is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionActor {
    pub principal: PrincipalId,
    pub session: SessionId,
    /// The wallet that logged in.
    pub address: Address,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// Whether the user enrolled themselves.
    pub self_registered: bool,
}

/// What the wallet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletEvidence {
    pub level: EvidenceLevel,
    /// Where the wallet is a contract, the chain on which it said that the signature is its own.
    pub contract_chain: Option<ChainId>,
    /// Of the user whose wallet it is, when it proved this; 0 for somebody who is not enrolled.
    pub wallet_epoch: u64,
    /// 65 bytes, r || s || v with v 0 or 1 and s in the lower half; a contract's has a form of its own.
    pub signature: Vec<u8>,
    /// Hash of the canonical signed text: the replay key.
    pub signed_hash: B256,
    /// Until when a repeat of this request must be recognised.
    pub replay_until: Timestamp,
}

impl WalletActor {
    /// What makes the signed request effective once.
    pub fn replay_guard(&self, organization: OrganizationId) -> ReplayGuard {
        ReplayGuard {
            organization,
            signer: self.address.to_string(),
            signed_hash: self.evidence.signed_hash,
            expires_at: self.evidence.replay_until.plus(ReplayGuard::CLOCKS_DIFFER_BY),
        }
    }
}

impl OpCtx {
    /// The acting principal, where the credential belongs to an enrolled one.
    pub fn principal(&self) -> Option<PrincipalId> {
        match &self.actor {
            Actor::ApiKey(key) => Some(key.principal),
            Actor::Wallet(wallet) => wallet.principal,
            Actor::Session(session) => Some(session.principal),
            Actor::Anonymous
            | Actor::Gateway
            | Actor::InternalToken
            | Actor::Operator(_)
            | Actor::LocalOperator => None,
        }
    }

    /// The same call seen by the gateway's own workers, at `now`.
    pub fn gateway(organization: OrganizationId, now: Timestamp) -> Self {
        Self { organization, actor: Actor::Gateway, source: None, request_id: "-".to_owned(), now }
    }

    /// Whether the caller is a server key that holds `scope`; admin keys hold every server scope.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.actor {
            Actor::ApiKey(key) => {
                key.scopes.contains(&scope) || (scope.is_server() && key.scopes.contains(&Scope::Admin))
            }
            Actor::Anonymous
            | Actor::Wallet(_)
            | Actor::Session(_)
            | Actor::Gateway
            | Actor::InternalToken
            | Actor::Operator(_)
            | Actor::LocalOperator => false,
        }
    }
}
