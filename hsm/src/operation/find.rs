//! Look-up by id.

use crate::{
    Hsm,
    error::HsmError,
    key::{CkaId, FoundKey, KeyReference, PublicKey, SecretKeyReference},
    key_map::Resolved,
    lanes::Lane,
    worker::TokenSession,
};

impl Hsm {
    /// What the token itself holds under this id, read afresh. `None` only from a token that shows its canary.
    pub async fn find(&self, cka_id: CkaId) -> Result<Option<FoundKey>, HsmError> {
        let find = move |token: &TokenSession<'_>| {
            let found = token.shared.keys.resolve_afresh(token, &cka_id)?;
            Ok(found.map(|resolved| describe(cka_id, &resolved)))
        };
        self.run("find", Lane::Generate, self.timeouts().generate, find).await
    }

    /// The public key as the token holds it now, compared with the reference in every part.
    pub async fn public_key(&self, key: &KeyReference) -> Result<PublicKey, HsmError> {
        let key = key.clone();
        let read = move |token: &TokenSession<'_>| {
            token.shared.keys.forget(&key.cka_id);
            Ok(token.shared.keys.pair(token, &key)?.public_key.clone())
        };
        self.run("public_key", Lane::Generate, self.timeouts().generate, read).await
    }
}

fn describe(cka_id: CkaId, resolved: &Resolved) -> FoundKey {
    match resolved {
        Resolved::Pair(pair) => FoundKey::Pair {
            reference: KeyReference {
                cka_id,
                label: pair.label.clone(),
                public_key: pair.public_key.clone(),
            },
            retired: pair.retired,
        },
        Resolved::Secret(secret) => FoundKey::Secret {
            reference: SecretKeyReference {
                cka_id,
                label: secret.label.clone(),
                algorithm: secret.algorithm,
            },
            retired: secret.retired,
        },
    }
}
