//! Keys of the gateway itself: masters from which sealing and hashing keys are derived, and the key that signs
//! audit checkpoints. They are found on the token by identifiers computed from their purpose, so that no
//! database row can name another key.

use std::{collections::BTreeMap, ops::RangeInclusive};

use anyhow::{Context as _, Result, bail};
use gateway_domain::{
    keys::KeyPurpose,
    mac::{MacKey, MacKeys},
    rates::RatePlaces,
    sessions::NonceKeys,
};
use hsm::{
    CkaId, FoundKey, Hsm, KeyAlgorithm, KeyLabel, KeyReference, KeySpec, KeyUsage, SecretAlgorithm,
    SecretKeyReference, SecretKeySpec,
};
use sha2::{Digest as _, Sha256};

/// The first epoch of every key, and the only one of masters and of the checkpoint key: they do not rotate. The epoch is part
/// of every identifier and derivation.
pub(crate) const EPOCH: u32 = 1;
const ORGANIZATION: &str = "gateway";

mod rotated;

pub(crate) use rotated::{
    SealingKeys, TokenKeys, load_sealing_keys, load_token_keys, refuse_unopened_secrets, require_sealing_key,
};

/// What start-up takes from the token.
pub(crate) struct SystemKeys {
    pub(crate) sealing: MacKeys,
    pub(crate) credentials: MacKeys,
    pub(crate) nonces: NonceKeys,
    pub(crate) rate_places: RatePlaces,
    /// Authenticates the cache of compiled plugins.
    pub(crate) plugin_cache: [u8; 32],
    pub(crate) checkpoint: KeyReference,
    /// Whether a charter was founded, whatever the database says.
    pub(crate) is_chartered: bool,
    /// Whether the installation was made for development, and no charter was founded since.
    pub(crate) is_development: bool,
}

/// Whether absent keys are made: on the first start of a fresh token only. An absent master otherwise means that
/// this is not the token it should be, and a new one would orphan every sealed row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Create,
    Refuse,
}

/// How often keys were rotated.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    /// Of the access token key; a higher one than before makes a new key.
    pub(crate) token: u32,
    /// Under which hashes of credentials and login nonces are still taken; the last is the one for new ones.
    pub(crate) credentials: RangeInclusive<u32>,
    /// Whose secrets are still opened; the last seals new ones.
    pub(crate) secrets: RangeInclusive<u32>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { token: EPOCH, credentials: EPOCH..=EPOCH, secrets: EPOCH..=EPOCH }
    }
}

pub(crate) async fn load(hsm: &Hsm, absent: Absent, epochs: &Epochs) -> Result<SystemKeys> {
    let hmac = SecretAlgorithm::HmacSha256;
    let seal_master = secret(hsm, KeyPurpose::SealMaster, hmac, absent).await?;
    let credential_master = secret(hsm, KeyPurpose::CredentialMaster, hmac, absent).await?;
    let is_chartered = found_secret(hsm, KeyPurpose::CharterMark, EPOCH, hmac).await?.is_some();
    Ok(SystemKeys {
        sealing: keys(hsm, &seal_master, "rows", EPOCH..=EPOCH).await?,
        credentials: credential_keys(hsm, &credential_master, "api-keys", &epochs.credentials).await?,
        nonces: NonceKeys::new(
            credential_keys(hsm, &credential_master, "login-nonces", &epochs.credentials).await?,
        ),
        rate_places: RatePlaces::new(keys(hsm, &credential_master, "rate-places", EPOCH..=EPOCH).await?),
        plugin_cache: derive(hsm, &seal_master, "plugin-cache", EPOCH).await?,
        checkpoint: checkpoint(hsm, absent).await?,
        is_chartered,
        is_development: !is_chartered
            && found_secret(hsm, KeyPurpose::DevelopmentMark, EPOCH, hmac).await?.is_some(),
    })
}

/// Has the token remember that the deployment has a charter. It comes before the charter itself: a database that holds
/// none afterwards has lost it, or was never written.
pub(crate) async fn mark_chartered(hsm: &Hsm) -> Result<()> {
    secret(hsm, KeyPurpose::CharterMark, SecretAlgorithm::HmacSha256, Absent::Create).await?;
    Ok(())
}

/// Has the token remember that the installation is for development: no file or row can say so later.
pub(crate) async fn mark_development(hsm: &Hsm) -> Result<()> {
    secret(hsm, KeyPurpose::DevelopmentMark, SecretAlgorithm::HmacSha256, Absent::Create).await?;
    Ok(())
}

async fn keys(
    hsm: &Hsm,
    master: &SecretKeyReference,
    label: &str,
    epochs: RangeInclusive<u32>,
) -> Result<MacKeys> {
    let active = *epochs.end();
    let mut keys = BTreeMap::new();
    for epoch in epochs {
        keys.insert(epoch, MacKey::new(derive(hsm, master, label, epoch).await?));
    }
    Ok(MacKeys::new(keys, active))
}

/// The next epoch's key too: another gateway may hash with it already while rotation goes from one to the next.
async fn credential_keys(
    hsm: &Hsm,
    master: &SecretKeyReference,
    label: &str,
    taken: &RangeInclusive<u32>,
) -> Result<MacKeys> {
    let mut keys = BTreeMap::new();
    for epoch in *taken.start()..=taken.end() + 1 {
        keys.insert(epoch, MacKey::new(derive(hsm, master, label, epoch).await?));
    }
    Ok(MacKeys::new(keys, *taken.end()))
}

async fn derive(hsm: &Hsm, master: &SecretKeyReference, label: &str, epoch: u32) -> Result<[u8; 32]> {
    let message = format!("countersign-derive-1|{label}|{epoch}");
    hsm.hmac_sha256(master, message.as_bytes())
        .await
        .with_context(|| format!("deriving the key for `{label}`"))
}

async fn secret(
    hsm: &Hsm,
    purpose: KeyPurpose,
    algorithm: SecretAlgorithm,
    absent: Absent,
) -> Result<SecretKeyReference> {
    if let Some(reference) = found_secret(hsm, purpose, EPOCH, algorithm).await? {
        return Ok(reference);
    }
    refuse_absent(purpose, absent)?;
    new_secret(hsm, purpose, EPOCH, algorithm).await
}

async fn new_secret(
    hsm: &Hsm,
    purpose: KeyPurpose,
    epoch: u32,
    algorithm: SecretAlgorithm,
) -> Result<SecretKeyReference> {
    let (cka_id, label) = identity(purpose, epoch);
    Ok(hsm.generate_secret(SecretKeySpec { cka_id, label, algorithm, permanent: false }).await?)
}

async fn found_secret(
    hsm: &Hsm,
    purpose: KeyPurpose,
    epoch: u32,
    algorithm: SecretAlgorithm,
) -> Result<Option<SecretKeyReference>> {
    let (cka_id, label) = identity(purpose, epoch);
    let expected = SecretKeyReference { cka_id, label, algorithm };
    match hsm.find(cka_id).await? {
        Some(FoundKey::Secret { reference, .. }) if reference == expected => Ok(Some(reference)),
        Some(_) => bail!("the token holds another object in place of the `{}` key", purpose.as_str()),
        None => Ok(None),
    }
}

async fn checkpoint(hsm: &Hsm, absent: Absent) -> Result<KeyReference> {
    let purpose = KeyPurpose::AuditCheckpoint;
    if pair(hsm, purpose, EPOCH, KeyAlgorithm::P256).await?.is_none() {
        refuse_absent(purpose, absent)?;
    }
    pair_or_new(hsm, purpose, EPOCH, KeyAlgorithm::P256).await
}

async fn pair(
    hsm: &Hsm,
    purpose: KeyPurpose,
    epoch: u32,
    algorithm: KeyAlgorithm,
) -> Result<Option<KeyReference>> {
    let (cka_id, label) = identity(purpose, epoch);
    match hsm.find(cka_id).await? {
        Some(FoundKey::Pair { reference, .. })
            if reference.label == label && reference.public_key.algorithm() == algorithm =>
        {
            Ok(Some(reference))
        }
        Some(_) => bail!("the token holds another object in place of the `{}` key", purpose.as_str()),
        None => Ok(None),
    }
}

async fn pair_or_new(
    hsm: &Hsm,
    purpose: KeyPurpose,
    epoch: u32,
    algorithm: KeyAlgorithm,
) -> Result<KeyReference> {
    match pair(hsm, purpose, epoch, algorithm).await? {
        Some(key) => Ok(key),
        None => generate(hsm, purpose, epoch, algorithm).await,
    }
}

async fn generate(
    hsm: &Hsm,
    purpose: KeyPurpose,
    epoch: u32,
    algorithm: KeyAlgorithm,
) -> Result<KeyReference> {
    let (cka_id, label) = identity(purpose, epoch);
    let usage = KeyUsage::Sign;
    Ok(hsm.generate(KeySpec { cka_id, label, algorithm, usage, permanent: false }).await?)
}

fn refuse_absent(purpose: KeyPurpose, absent: Absent) -> Result<()> {
    if absent == Absent::Refuse {
        bail!(
            "the token has no `{}` key: it is not the token this gateway was initialized with; run `countersign init` \
             only for a new deployment",
            purpose.as_str()
        );
    }
    Ok(())
}

fn identity(purpose: KeyPurpose, epoch: u32) -> (CkaId, KeyLabel) {
    let name = format!("countersign-system-key-1|{}|{epoch}", purpose.as_str());
    let hash = Sha256::digest(name.as_bytes());
    let cka_id = hash[..16].try_into().expect("SHA-256 has more than 16 bytes");
    let label = KeyLabel {
        organization: ORGANIZATION.to_owned(),
        key_id: format!("epoch-{epoch}"),
        purpose: purpose.as_str().to_owned(),
        kinds: Vec::new(),
    };
    (cka_id, label)
}

/// Hex SHA-256 of the checkpoint key's SEC1 point: what an auditor pins.
pub(crate) fn fingerprint(key: &KeyReference) -> String {
    hex::encode(Sha256::digest(key.public_key.as_bytes()))
}
