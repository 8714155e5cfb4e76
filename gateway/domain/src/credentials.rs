//! API keys: how they are made, recognised and revoked. Only a keyed hash of the secret is stored.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{CredentialId, OrganizationId, PrincipalId},
    sealed::{RowVersion, Sealable},
};

mod hash;
mod key_text;
mod manage;
mod own;

pub use hash::{CredentialHash, CredentialHasher};
pub use key_text::{ApiKeySecret, ApiKeyText, KeyTextMalformed};
pub use manage::{CreateApiKey, authenticate_api_key, create_api_key, revoke_api_key};
pub(crate) use manage::{api_key_with_owner, revoking_own_keys};
pub use own::{CreateOwnApiKey, UsedApiKey, create_own_api_key, own_api_keys, revoke_own_api_key};

/// What an API key may stand for in an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    User,
    Agent,
    Arbiter,
    Orion,
    /// A server key without a label; counts for no approval role.
    Admin,
}

/// One thing an API key may do (contract/core.md section 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    #[serde(rename = "transactions:create:own")]
    CreateOwnTransactions,
    #[serde(rename = "transactions:approve:own")]
    ApproveOwnTransactions,
    #[serde(rename = "transactions:read:own")]
    ReadOwnTransactions,
    #[serde(rename = "transactions:create")]
    CreateTransactions,
    #[serde(rename = "transactions:approve")]
    ApproveTransactions,
    #[serde(rename = "transactions:read")]
    ReadTransactions,
    #[serde(rename = "users:read")]
    ReadUsers,
    #[serde(rename = "users:create")]
    CreateUsers,
    #[serde(rename = "quorums:create")]
    CreateQuorums,
    #[serde(rename = "fireblocks:config")]
    ReadFireblocksConfig,
    #[serde(rename = "orion:metadata")]
    WriteOrionMetadata,
    #[serde(rename = "admin")]
    Admin,
}

/// The stored form of an API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: CredentialId,
    pub organization: OrganizationId,
    pub principal: PrincipalId,
    /// The 12 characters by which the key is looked up.
    pub public_id: String,
    pub name: String,
    pub label: Label,
    pub scopes: BTreeSet<Scope>,
    pub secret_hash: CredentialHash,
    /// The verification service an orion key speaks for; an unbound one speaks for what has none.
    pub verification_service: Option<u32>,
    /// Works from loopback peers only and never under `serve`.
    pub dev_only: bool,
    /// Whether it is a user's who enrolled themselves, which users stay.
    pub self_registered: bool,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub version: u64,
    pub created_at: Timestamp,
}

impl ApiKey {
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

impl Sealable for ApiKey {
    const TABLE: &'static str = "api_keys";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl Scope {
    /// The word by which clients know the scope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateOwnTransactions => "transactions:create:own",
            Self::ApproveOwnTransactions => "transactions:approve:own",
            Self::ReadOwnTransactions => "transactions:read:own",
            Self::CreateTransactions => "transactions:create",
            Self::ApproveTransactions => "transactions:approve",
            Self::ReadTransactions => "transactions:read",
            Self::ReadUsers => "users:read",
            Self::CreateUsers => "users:create",
            Self::CreateQuorums => "quorums:create",
            Self::ReadFireblocksConfig => "fireblocks:config",
            Self::WriteOrionMetadata => "orion:metadata",
            Self::Admin => "admin",
        }
    }

    /// Scopes that reach beyond the owner's own objects; `admin` implies them all.
    pub fn is_server(self) -> bool {
        !matches!(
            self,
            Self::CreateOwnTransactions | Self::ApproveOwnTransactions | Self::ReadOwnTransactions
        )
    }
}

impl Label {
    /// The scopes a new key of this label gets.
    pub fn default_scopes(self) -> BTreeSet<Scope> {
        let scopes: &[Scope] = match self {
            Self::User => {
                &[Scope::CreateOwnTransactions, Scope::ApproveOwnTransactions, Scope::ReadOwnTransactions]
            }
            Self::Agent => &[
                Scope::CreateTransactions,
                Scope::ApproveTransactions,
                Scope::ReadTransactions,
                Scope::ReadUsers,
                Scope::CreateUsers,
                Scope::CreateQuorums,
                Scope::ReadFireblocksConfig,
            ],
            Self::Arbiter => &[Scope::ApproveTransactions, Scope::ReadTransactions, Scope::ReadUsers],
            Self::Orion => &[Scope::ApproveTransactions, Scope::ReadTransactions, Scope::WriteOrionMetadata],
            Self::Admin => &[Scope::Admin],
        };
        scopes.iter().copied().collect()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Arbiter => "arbiter",
            Self::Orion => "orion",
            Self::Admin => "admin",
        }
    }
}
