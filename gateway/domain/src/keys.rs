//! Records of HSM keys. The key itself never leaves the token; a record says which object it is and what for.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::Result,
    ids::{KeyId, OrganizationId, VaultId},
    ports::Services,
    sealed::{RowVersion, Sealable},
    transactions::Kind,
    vaults::vault_of_key,
};

mod freeze;
mod generate;
mod quota;
mod unfinished;

pub use freeze::set_key_frozen;
pub use generate::{GenerateKey, generate_key, retire_key};
pub(crate) use generate::{abandon_key, activation, reserve_key, retirement};
pub use quota::WalletKeys;
pub use unfinished::{FinishedKeys, finish_unfinished_keys};

/// A key pair or secret key of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub id: KeyId,
    pub organization: OrganizationId,
    /// Which token holds the key; a token holds a few thousand.
    pub token_id: String,
    /// `CKA_ID`, decided and stored before the token was asked to generate.
    pub cka_id: [u8; 16],
    pub algorithm: KeyAlgorithm,
    pub purpose: KeyPurpose,
    /// What the key may sign; empty for keys that sign no transactions.
    pub kinds: BTreeSet<Kind>,
    /// As read back from the token; absent until generation has been confirmed.
    pub public_key: Option<PublicKey>,
    /// The EVM address of a secp256k1 wallet key.
    pub address: Option<Address>,
    pub state: KeyState,
    /// Made for a wallet that enrolled itself: counts against the share of the quota that strangers may use.
    pub self_registered: bool,
    pub frozen: bool,
    /// Where it lies, if it lies in any.
    pub vault: Option<VaultId>,
    pub version: u64,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAlgorithm {
    Secp256k1,
    P256,
    Ed25519,
    Rsa2048,
    Rsa4096,
    Aes256,
    HmacSha256,
}

/// What a key is for. Purposes never mix: each has a function of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Holds funds; used with a `SigningPermit` only.
    Wallet,
    /// Signs heads of the audit log.
    AuditCheckpoint,
    /// Says by being there that a charter was founded; used for nothing.
    CharterMark,
    /// Says by being there that the installation was made for development; used for nothing.
    DevelopmentMark,
    /// Master from which sealing keys are derived.
    SealMaster,
    /// Master from which credential-hash keys are derived.
    CredentialMaster,
    /// Signs the access tokens of the core family.
    AccessToken,
    /// Pays for the gateway's own on-chain registrations.
    Relayer,
    /// Authenticates requests of one integration to Fireblocks.
    FireblocksRequest,
    /// Authorizes requests for wallets at Privy.
    PrivyAuthorization,
    /// Seals secrets that must be read back.
    SecretSealing,
    /// Certifies the OpenPGP certificate of the built-in verification service.
    OpenPgpCertify,
    /// Decrypts session keys of messages for the built-in verification service.
    OpenPgpDecrypt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The `CKA_ID` is reserved; the token may or may not hold the pair.
    Generating,
    Active,
    /// Signs nothing any more; reversible until destroyed.
    Retired,
}

/// SEC1 uncompressed point, 32 raw Ed25519 bytes, or PKCS#1 DER, by algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "hex::serde")] pub Vec<u8>);

impl Sealable for KeyRecord {
    const TABLE: &'static str = "keys";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl KeyRecord {
    /// Whether it may be used now: it is active, and neither it nor its vault is frozen.
    pub(crate) async fn is_usable(&self, services: &Services) -> Result<bool> {
        if self.state != KeyState::Active || self.frozen {
            return Ok(false);
        }
        let Some(vault) = self.vault else { return Ok(true) };
        Ok(!vault_of_key(services, self.organization, vault).await?.frozen)
    }
}

impl KeyPurpose {
    /// Whether intents name keys of this purpose: such a key can lie in a vault.
    pub fn signs_transactions(self) -> bool {
        match self {
            Self::Wallet | Self::FireblocksRequest | Self::PrivyAuthorization => true,
            Self::AuditCheckpoint
            | Self::CharterMark
            | Self::DevelopmentMark
            | Self::SealMaster
            | Self::CredentialMaster
            | Self::AccessToken
            | Self::Relayer
            | Self::SecretSealing
            | Self::OpenPgpCertify
            | Self::OpenPgpDecrypt => false,
        }
    }

    /// The word that stands in the HSM object's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::AuditCheckpoint => "audit-checkpoint",
            Self::CharterMark => "charter-mark",
            Self::DevelopmentMark => "development-mark",
            Self::SealMaster => "seal-master",
            Self::CredentialMaster => "credential-master",
            Self::AccessToken => "access-token",
            Self::Relayer => "relayer",
            Self::FireblocksRequest => "fireblocks-request",
            Self::PrivyAuthorization => "privy-authorization",
            Self::SecretSealing => "secret-sealing",
            Self::OpenPgpCertify => "openpgp-certify",
            Self::OpenPgpDecrypt => "openpgp-decrypt",
        }
    }
}
