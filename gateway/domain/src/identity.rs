//! Organizations, principals and users.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    actor::OpCtx,
    chain::ChainId,
    clock::Timestamp,
    ids::{KeyId, OrganizationId, PrincipalId},
    quota::registers_itself,
    sealed::{RowVersion, Sealable},
};

mod contract_account;
mod create;
mod escrow;
mod freeze;
mod login;

pub use contract_account::{
    ContractAccountLimits, ContractAccounts, enrol_contract_account, is_unanswered, prove_contract_signature,
    withdraw_contract_account,
};
pub use create::{CreateUser, create_user, require_user};
pub use escrow::require_escrow;
pub use freeze::set_organization_frozen;
pub use login::user_at_login;

/// The tenant. Nothing of one organization exists for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
    /// A frozen organization signs nothing and opens no message until an operator thaws it.
    pub frozen: bool,
    pub version: u64,
    pub created_at: Timestamp,
}

/// Who can act. Quorums count principals, never credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub id: PrincipalId,
    pub organization: OrganizationId,
    pub kind: PrincipalKind,
    pub name: String,
    pub active: bool,
    pub version: u64,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A wallet owner.
    User,
    /// A server acting under an API key.
    Service,
}

/// A wallet owner of the core family; shares its id with its principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: PrincipalId,
    pub organization: OrganizationId,
    /// The wallet the user signs requests with; never an HSM key of this gateway.
    pub ethereum_address: Address,
    /// Set where the wallet is a contract: the one chain on which it is asked what it signed (ERC-1271). No key proves
    /// anything for such a user.
    pub contract_chain: Option<ChainId>,
    /// Rises whenever it changes what proves for the wallet: its key, or a contract on some chain. Whatever was proven
    /// before counts for nothing.
    pub wallet_epoch: u64,
    pub escrow: Option<Escrow>,
    pub privy_user_id: Option<String>,
    pub display_name: Option<String>,
    pub email: Option<String>,
    /// Enrolled by their own wallet: nobody whom the organization has let in vouches for them.
    pub self_registered: bool,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where a user's funds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escrow {
    /// An HSM key of this gateway, linked when it was generated.
    Hsm { key: KeyId, address: Address },
    /// An address whose key is elsewhere; never gets provider `hsm`.
    Foreign { address: Address },
}

impl User {
    pub(crate) fn without_escrow(ctx: &OpCtx, id: PrincipalId, ethereum_address: Address) -> Self {
        Self {
            id,
            organization: ctx.organization,
            ethereum_address,
            contract_chain: None,
            wallet_epoch: 0,
            escrow: None,
            privy_user_id: None,
            display_name: None,
            email: None,
            self_registered: registers_itself(&ctx.actor),
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        }
    }
}

impl Escrow {
    pub fn address(&self) -> Address {
        match self {
            Self::Hsm { address, .. } | Self::Foreign { address } => *address,
        }
    }
}

impl Sealable for Organization {
    const TABLE: &'static str = "organizations";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl Sealable for Principal {
    const TABLE: &'static str = "principals";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl Sealable for User {
    const TABLE: &'static str = "users";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}
