//! `CKA_ID` to handle, shared by all sessions. Filled by one scan that the first miss of an epoch makes while the
//! others wait; a key that came later is looked for alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    error::{HsmError, Mismatch},
    key::{CkaId, KeyReference, PublicKey, SecretAlgorithm, SecretKeyReference},
    label::KeyLabel,
    object::{self, Objects},
    operation::canary,
    recovery::SessionHealth,
    status::count,
    verifier::Verifier,
    worker::TokenSession,
};
use cryptoki::object::ObjectHandle;

/// A key pair whose objects were read and found consistent.
pub(crate) struct ResolvedPair {
    pub(crate) private: ObjectHandle,
    pub(crate) label: KeyLabel,
    pub(crate) public_key: PublicKey,
    pub(crate) verifier: Verifier,
    pub(crate) retired: bool,
}

/// A secret key whose object was read and found consistent.
pub(crate) struct ResolvedSecret {
    pub(crate) handle: ObjectHandle,
    pub(crate) label: KeyLabel,
    pub(crate) algorithm: SecretAlgorithm,
    pub(crate) retired: bool,
}

#[derive(Clone)]
pub(crate) enum Resolved {
    Pair(Arc<ResolvedPair>),
    Secret(Arc<ResolvedSecret>),
}

#[derive(Default)]
pub(crate) struct KeyMap {
    state: RwLock<State>,
    scanning: Mutex<()>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    index: Option<HashMap<CkaId, Objects>>,
    resolved: HashMap<CkaId, Resolved>,
}

impl KeyMap {
    pub(crate) fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// Starts a new epoch: every handle is found again before its next use.
    pub(crate) fn forget_all(&self) {
        let mut state = self.write();
        state.epoch += 1;
        state.index = None;
        state.resolved.clear();
    }

    /// Forgets one key, so that its next use reads the token.
    pub(crate) fn forget(&self, cka_id: &CkaId) {
        let mut state = self.write();
        state.resolved.remove(cka_id);
        if let Some(index) = &mut state.index {
            index.remove(cka_id);
        }
    }

    /// The pair that the reference names, compared with it in every part.
    pub(crate) fn pair(
        &self,
        token: &TokenSession<'_>,
        reference: &KeyReference,
    ) -> Result<Arc<ResolvedPair>, HsmError> {
        let cka_id = reference.cka_id;
        let differs = |mismatch| HsmError::KeyMismatch { cka_id, mismatch };
        let Resolved::Pair(pair) = self.resolve(token, &cka_id)? else {
            return Err(differs(Mismatch::PrivateCount(0)));
        };
        if pair.label != reference.label {
            return Err(differs(Mismatch::Label));
        }
        if pair.public_key != reference.public_key {
            return Err(differs(Mismatch::PublicKey));
        }
        Ok(pair)
    }

    /// As [`Self::pair`], and not retired.
    pub(crate) fn usable_pair(
        &self,
        token: &TokenSession<'_>,
        reference: &KeyReference,
    ) -> Result<Arc<ResolvedPair>, HsmError> {
        let pair = self.pair(token, reference)?;
        if pair.retired {
            return Err(HsmError::KeyRetired { cka_id: reference.cka_id });
        }
        Ok(pair)
    }

    /// The secret that the reference names, compared with it in every part.
    pub(crate) fn secret(
        &self,
        token: &TokenSession<'_>,
        reference: &SecretKeyReference,
    ) -> Result<Arc<ResolvedSecret>, HsmError> {
        let cka_id = reference.cka_id;
        let differs = |mismatch| HsmError::KeyMismatch { cka_id, mismatch };
        let Resolved::Secret(secret) = self.resolve(token, &cka_id)? else {
            return Err(differs(Mismatch::PrivateCount(0)));
        };
        if secret.label != reference.label {
            return Err(differs(Mismatch::Label));
        }
        if secret.algorithm != reference.algorithm {
            return Err(differs(Mismatch::Algorithm));
        }
        Ok(secret)
    }

    /// As [`Self::secret`], and not retired.
    pub(crate) fn usable_secret(
        &self,
        token: &TokenSession<'_>,
        reference: &SecretKeyReference,
    ) -> Result<Arc<ResolvedSecret>, HsmError> {
        let secret = self.secret(token, reference)?;
        if secret.retired {
            return Err(HsmError::KeyRetired { cka_id: reference.cka_id });
        }
        Ok(secret)
    }

    /// Whatever has this id. An absent key is only called absent by a token that shows its canary.
    pub(crate) fn resolve(&self, token: &TokenSession<'_>, cka_id: &CkaId) -> Result<Resolved, HsmError> {
        if let Some(resolved) = self.read().resolved.get(cka_id) {
            return Ok(resolved.clone());
        }
        let _scanning = self.scanning.lock().expect("no thread panics while it scans");
        if let Some(resolved) = self.read().resolved.get(cka_id) {
            return Ok(resolved.clone());
        }
        let epoch = self.scan(token)?;
        let indexed = self.read().index.as_ref().and_then(|index| index.get(cka_id).cloned());
        let objects = match indexed {
            Some(objects) => objects,
            None => object::find(token.session, cka_id)?,
        };
        // While logged out public objects are still seen: only a token that shows its canary lacks the private ones.
        if objects.private.is_empty() && objects.secret.is_empty() {
            confirm_token(token)?;
        }
        if objects.is_empty() {
            return Err(HsmError::KeyNotFound { cka_id: *cka_id });
        }
        let resolved = object::read(token.session, cka_id, &objects)?;
        self.remember(epoch, cka_id, &resolved);
        Ok(resolved)
    }

    /// Reads what the token holds now, whatever the map says, and remembers it.
    pub(crate) fn resolve_afresh(
        &self,
        token: &TokenSession<'_>,
        cka_id: &CkaId,
    ) -> Result<Option<Resolved>, HsmError> {
        self.forget(cka_id);
        let epoch = self.epoch();
        let objects = object::find(token.session, cka_id)?;
        if objects.private.is_empty() && objects.secret.is_empty() {
            confirm_token(token)?;
        }
        if objects.is_empty() {
            return Ok(None);
        }
        let resolved = object::read(token.session, cka_id, &objects)?;
        self.remember(epoch, cka_id, &resolved);
        Ok(Some(resolved))
    }

    /// What was read in an earlier epoch is stale already.
    fn remember(&self, epoch: u64, cka_id: &CkaId, resolved: &Resolved) {
        let mut state = self.write();
        if state.epoch == epoch {
            state.resolved.insert(*cka_id, resolved.clone());
        }
    }

    fn scan(&self, token: &TokenSession<'_>) -> Result<u64, HsmError> {
        let epoch = {
            let state = self.read();
            if state.index.is_some() {
                return Ok(state.epoch);
            }
            state.epoch
        };
        count(&token.shared.status.counters.scans);
        let index = object::scan(token.session)?;
        let mut state = self.write();
        if state.epoch == epoch {
            state.index = Some(index);
        }
        Ok(epoch)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no thread panics while it holds the key map")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no thread panics while it holds the key map")
    }
}

/// A find that yields nothing proves nothing while logged out or with the token gone.
fn confirm_token(token: &TokenSession<'_>) -> Result<(), HsmError> {
    if SessionHealth::of(token.session) != SessionHealth::LoggedIn {
        return Err(HsmError::Doubtful("the session is not logged in"));
    }
    if !object::shows_private(token.session, &canary::CKA_ID)? {
        return Err(HsmError::Doubtful("the canary key is not found"));
    }
    Ok(())
}
