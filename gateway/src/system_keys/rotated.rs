//! Keys of the gateway itself that rotate. Each is made one rotation ahead of its use, so that every gateway knows it
//! before any of them uses it.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use anyhow::{Context as _, Result, bail};
use gateway_domain::{keys::KeyPurpose, sessions::TokenKey};
use gateway_store::Store;
use hsm::{Hsm, KeyAlgorithm, KeyReference, SecretAlgorithm, SecretKeyReference};
use sha2::{Digest as _, Sha256};

use super::{Absent, EPOCH, found_secret, new_secret, pair, pair_or_new, refuse_absent};

/// The keys of access tokens: the active one, the one before it, whose tokens are still taken, and the next one, with
/// which another gateway may sign already while rotation goes from one to the next.
pub(crate) struct TokenKeys {
    pub(crate) active: KeyReference,
    /// The active one first.
    pub(crate) accepted: Vec<TokenKey>,
}

/// The keys that seal secrets, by rotation: those whose secrets are still opened, and the next one.
pub(crate) struct SealingKeys {
    /// The rotation under which secrets are sealed.
    pub(crate) active: u32,
    pub(crate) keys: BTreeMap<u32, SecretKeyReference>,
}

/// Of gateways that begin at once under a raised epoch one makes the keys, and the others wait at most `wait` and find
/// them: two pairs under one identifier could be used by nobody.
pub(crate) async fn load_token_keys(
    hsm: &Hsm,
    store: &Store,
    (absent, epoch): (Absent, u32),
    wait: Duration,
) -> Result<TokenKeys> {
    let (purpose, algorithm) = (KeyPurpose::AccessToken, KeyAlgorithm::Ed25519);
    let mut are_there = true;
    for needed in [epoch, epoch.saturating_add(1)] {
        // Of a pair that another gateway is just making the token may show one half, which is an error: not there yet.
        are_there &= matches!(pair(hsm, purpose, needed, algorithm).await, Ok(Some(_)));
    }
    let loading = token_keys(hsm, absent, epoch);
    if are_there { loading.await } else { alone(store, ("token-keys", wait), loading).await }
}

/// The first key comes with the masters; each later one is made one rotation ahead of its use, so that every gateway
/// knows it before any of them signs with it.
async fn token_keys(hsm: &Hsm, absent: Absent, epoch: u32) -> Result<TokenKeys> {
    let (purpose, algorithm) = (KeyPurpose::AccessToken, KeyAlgorithm::Ed25519);
    if epoch == EPOCH && pair(hsm, purpose, epoch, algorithm).await?.is_none() {
        refuse_absent(purpose, absent)?;
    }
    let active = pair_or_new(hsm, purpose, epoch, algorithm).await?;
    let next = pair_or_new(hsm, purpose, epoch.saturating_add(1), algorithm).await?;
    let before = match epoch.checked_sub(1).filter(|before| *before >= EPOCH) {
        Some(before) => pair(hsm, purpose, before, algorithm).await?,
        None => None,
    };
    let accepted = [Some(&active), before.as_ref(), Some(&next)].into_iter().flatten().map(token_key);
    let accepted = accepted.collect::<Result<_>>()?;
    Ok(TokenKeys { active, accepted })
}

fn token_key(key: &KeyReference) -> Result<TokenKey> {
    let bytes = key.public_key.as_bytes();
    let public_key = bytes.try_into().context("an Ed25519 public key has 32 bytes")?;
    Ok(TokenKey { id: hex::encode(&Sha256::digest(bytes)[..8]), public_key })
}

/// Refuses to begin where a stored secret could be opened by nobody: it is sealed before the oldest rotation in use or
/// after the next one, or the token lacks its key. `sealed` counts secrets by rotation. To be called before any key is
/// made: a new one under the identifier of one that is missing would hide that.
pub(crate) async fn refuse_unopened_secrets(
    hsm: &Hsm,
    sealed: BTreeMap<u32, u64>,
    epochs: &RangeInclusive<u32>,
) -> Result<()> {
    let (oldest, next) = (*epochs.start(), epochs.end().saturating_add(1));
    for (epoch, count) in sealed {
        if epoch < oldest {
            bail!(
                "{count} Fireblocks API keys are sealed under rotation {epoch}, before `core.secrets.oldest_key_epoch`: \
                 lower it, and serve until the log says that none is left"
            );
        }
        if epoch > next {
            bail!(
                "{count} Fireblocks API keys are sealed under rotation {epoch}, after `core.secrets.key_epoch`: raise it"
            );
        }
        if sealing_key(hsm, epoch).await?.is_none() {
            bail!(
                "{count} Fireblocks API keys are sealed under rotation {epoch} of `core.secrets`, whose key is not on the \
                 token: bring it back from the token's backup"
            );
        }
    }
    Ok(())
}

/// As [`load_token_keys`], for `epochs` of the keys that seal secrets.
pub(crate) async fn load_sealing_keys(
    hsm: &Hsm,
    store: &Store,
    (absent, epochs): (Absent, &RangeInclusive<u32>),
    wait: Duration,
) -> Result<SealingKeys> {
    let active = *epochs.end();
    let mut are_there = true;
    for needed in [active, active.saturating_add(1)] {
        are_there &= matches!(sealing_key(hsm, needed).await, Ok(Some(_)));
    }
    let loading = sealing_keys(hsm, absent, epochs);
    if are_there { loading.await } else { alone(store, ("sealing-keys", wait), loading).await }
}

async fn sealing_keys(hsm: &Hsm, absent: Absent, epochs: &RangeInclusive<u32>) -> Result<SealingKeys> {
    let active = *epochs.end();
    if active == EPOCH && sealing_key(hsm, active).await?.is_none() {
        refuse_absent(KeyPurpose::SecretSealing, absent)?;
    }
    let mut keys = BTreeMap::new();
    for epoch in *epochs.start()..active {
        // One that was passed over has sealed nothing.
        if let Some(key) = sealing_key(hsm, epoch).await? {
            keys.insert(epoch, key);
        }
    }
    for epoch in [active, active.saturating_add(1)] {
        let key = match sealing_key(hsm, epoch).await? {
            Some(key) => key,
            None => new_secret(hsm, KeyPurpose::SecretSealing, epoch, SecretAlgorithm::Aes256).await?,
        };
        keys.insert(epoch, key);
    }
    Ok(SealingKeys { active, keys })
}

/// Refuses a token that has none of the keys that seal secrets.
pub(crate) async fn require_sealing_key(hsm: &Hsm, epochs: RangeInclusive<u32>) -> Result<()> {
    for epoch in epochs {
        if sealing_key(hsm, epoch).await?.is_some() {
            return Ok(());
        }
    }
    refuse_absent(KeyPurpose::SecretSealing, Absent::Refuse)
}

async fn sealing_key(hsm: &Hsm, epoch: u32) -> Result<Option<SecretKeyReference>> {
    found_secret(hsm, KeyPurpose::SecretSealing, epoch, SecretAlgorithm::Aes256).await
}

/// Makes keys of this sort while no other gateway does, for which it waits.
async fn alone<T>(
    store: &Store,
    (what, wait): (&'static str, Duration),
    making: impl Future<Output = Result<T>>,
) -> Result<T> {
    let alone = store.exclusive(what, wait).await.context("waiting for another gateway to make its keys")?;
    let made = making.await;
    alone.release().await;
    made
}
