//! Fireblocks integrations: one per user and role, from the certificate request to a validated API key.
//!
//! The RSA key is made in the HSM for this purpose alone. The API key is sealed and read back only to authenticate a
//! request, or for a server key that asks for the configuration.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    chain::ChainId,
    clock::Timestamp,
    error::Result,
    ids::{IntegrationId, KeyId, OrganizationId, PrincipalId},
    keys::KeyRecord,
    policy::VendorPermit,
    sealed::{RowVersion, Sealable, Sealed},
    secrets::{SealedSecret, SecretPlace, SecretText},
    vendors::{VendorError, VendorRole, VendorTransaction},
};

mod complete;
mod disclose;
mod enrol;
mod fingerprint;
mod refused;
mod reseal;
mod status;
mod transfer;
mod validate;

pub use complete::{CompleteIntegration, complete_integration};
pub use disclose::disclose_api_key;
pub use enrol::{CertificateSubject, RequestCertificate, request_certificate};
pub use fingerprint::fingerprint;
pub use reseal::{Resealed, reseal_api_keys};
pub use status::VendorStatus;
pub(crate) use transfer::is_about;
pub use transfer::{CREATE_URI, TransferInvalid, compose_transfer, whole_units};
pub use validate::{Validation, validate_integration};

pub(crate) use refused::{note_answer, note_refusal, note_said, note_unsaid};
pub(crate) use status::Meaning;
pub(crate) use transfer::external_id;

/// A user's access to a Fireblocks workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    pub id: IntegrationId,
    pub organization: OrganizationId,
    pub owner: PrincipalId,
    pub role: VendorRole,
    /// The RSA key of the certificate request.
    pub key: KeyId,
    /// PKCS #10 in PEM.
    pub csr: String,
    pub csr_created_at: Timestamp,
    pub state: IntegrationState,
    /// When the key was made anew, within the last day.
    pub recreated_at: Vec<Timestamp>,
    /// Counts against the share of the quota that strangers may use.
    pub self_registered: bool,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How far an integration has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum IntegrationState {
    /// The key is being made; nobody is shown anything yet.
    Requested,
    /// The request waits for Fireblocks to make an API user of it.
    CsrGenerated,
    Active(Access),
    /// Fireblocks refused the API key when it was last asked something.
    Invalid(Access),
}

/// What the user brought back from Fireblocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub api_key: SealedSecret,
    /// Part of the place the API key is sealed to; rises when another is brought or the same is sealed anew.
    pub api_key_version: u64,
    pub api_key_last4: String,
    pub vault_account: String,
    pub environment: Environment,
    pub region: Region,
    /// When it was brought.
    pub completed_at: Timestamp,
    /// When Fireblocks was asked last whether it works, whatever it answered.
    pub asked_at: Option<Timestamp>,
    /// When it answered last, and what was wrong if anything was.
    pub validated_at: Option<Timestamp>,
    pub validation_error: Option<String>,
    /// Since when it has refused every look-up of a transaction that was sent with this API key.
    pub refused_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    Sandbox,
    Testnet,
    Mainnet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Region {
    Us,
    Eu,
    Eu2,
}

/// The account that pays for a transaction, part of its intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FireblocksAccount {
    pub integration: IntegrationId,
    pub environment: Environment,
    pub region: Region,
    /// Decimal digits.
    pub vault_account: String,
    /// Fireblocks' name of the chain's native asset.
    pub asset: String,
}

/// What authenticates requests to a workspace.
pub struct Login {
    pub key: Sealed<KeyRecord>,
    pub environment: Environment,
    pub region: Region,
    pub api_key: SecretText,
}

/// What Fireblocks answered to a harmless request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReply {
    pub http_status: u16,
    /// Fireblocks' own error code, where it gave one.
    pub code: Option<i64>,
}

/// Fireblocks and the HSM key that authenticates to it. Only the listed reads, and posts with a permit, can be
/// sent (T8).
#[async_trait]
pub trait FireblocksApi: Send + Sync {
    /// A PKCS #10 request in PEM, signed by `key` with SHA-256 and RSA.
    async fn certificate_request(
        &self,
        key: &Sealed<KeyRecord>,
        subject: &CertificateSubject,
    ) -> Result<String>;

    /// The API's root, such as `https://api.fireblocks.io`.
    fn base_url(&self, environment: Environment, region: Region) -> String;

    /// The configured name of a chain's native asset.
    fn asset(&self, environment: Environment, chain: ChainId) -> Option<String>;

    /// Lists one vault account: harmless, and refused for a wrong key. An answer of any status is a reply.
    async fn check(&self, login: &Login) -> Result<CheckReply, VendorError>;

    /// The transaction made under an external id, if there is one.
    async fn find(&self, login: &Login, external_id: &str) -> Result<Option<VendorTransaction>, VendorError>;

    /// Sends the very request that the permit binds.
    async fn create(&self, login: &Login, permit: &VendorPermit) -> Result<VendorTransaction, VendorError>;
}

impl Sealable for Integration {
    const TABLE: &'static str = "fireblocks_integrations";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl IntegrationState {
    /// The stable word stored beside the facts and shown to clients.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::CsrGenerated => "csr_generated",
            Self::Active(_) => "active",
            Self::Invalid(_) => "invalid",
        }
    }

    pub fn access(&self) -> Option<&Access> {
        match self {
            Self::Requested | Self::CsrGenerated => None,
            Self::Active(access) | Self::Invalid(access) => Some(access),
        }
    }
}

impl Integration {
    /// Where an API key of this integration is sealed to.
    pub(crate) fn secret_place(&self, version: u64) -> SecretPlace {
        SecretPlace {
            organization: self.organization,
            table: Self::TABLE,
            row: self.id.to_string(),
            column: "api_key",
            version,
        }
    }

    /// The next version of this integration in `state`.
    #[must_use]
    pub(crate) fn moved_to(&self, state: IntegrationState, now: Timestamp) -> Self {
        Self { state, version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

impl Environment {
    pub const ALL: [Self; 3] = [Self::Sandbox, Self::Testnet, Self::Mainnet];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Testnet => "testnet",
            Self::Mainnet => "mainnet",
        }
    }
}

impl Region {
    pub const ALL: [Self; 3] = [Self::Us, Self::Eu, Self::Eu2];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Us => "US",
            Self::Eu => "EU",
            Self::Eu2 => "EU2",
        }
    }
}

impl FireblocksAccount {
    /// The account as one word of the intent hash and of plugins' records.
    pub fn canonical(&self) -> String {
        let Self { integration, environment, region, vault_account, asset } = self;
        format!(
            "fireblocks/{integration}/{}/{}/{vault_account}/{asset}",
            environment.as_str(),
            region.as_str()
        )
    }
}
