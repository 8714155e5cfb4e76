//! Secret keys, with the same rules as pairs.

use cryptoki::{mechanism::Mechanism, object::Attribute};

use crate::{
    Hsm,
    error::{HsmError, Mismatch},
    key::{SecretAlgorithm, SecretKeyReference, SecretKeySpec},
    key_map::Resolved,
    lanes::Lane,
    object,
    operation::{generate::with_hardening, hmac, seal},
    status::count,
    storage,
    worker::TokenSession,
};

impl Hsm {
    /// Makes a secret key, or adopts the one of this id and label; durable and tried before it returns.
    pub async fn generate_secret(&self, spec: SecretKeySpec) -> Result<SecretKeyReference, HsmError> {
        spec.label.encode()?;
        let generate = move |token: &TokenSession<'_>| generate(token, &spec);
        self.run("generate_secret", Lane::Generate, self.timeouts().generate, generate).await
    }
}

fn generate(token: &TokenSession<'_>, spec: &SecretKeySpec) -> Result<SecretKeyReference, HsmError> {
    let reference =
        SecretKeyReference { cka_id: spec.cka_id, label: spec.label.clone(), algorithm: spec.algorithm };
    let differs = |mismatch| HsmError::KeyMismatch { cka_id: spec.cka_id, mismatch };
    token.shared.generate_alone(spec.cka_id, || {
        match token.shared.keys.resolve_afresh(token, &spec.cka_id)? {
            Some(Resolved::Secret(_)) => Ok(()),
            Some(Resolved::Pair(_)) => Err(differs(Mismatch::Algorithm)),
            None => create(token, spec),
        }
    })?;
    storage::sync(&token.shared.config.storage_directories)?;
    let secret = token.shared.keys.usable_secret(token, &reference)?;
    match spec.algorithm {
        SecretAlgorithm::Aes256 => {
            let sealed = seal::seal(token, &secret, b"canary", &reference.cka_id)?;
            if seal::open(token, &secret, &sealed, &reference.cka_id)?.as_slice() != b"canary" {
                return Err(HsmError::VerificationFailed);
            }
        }
        SecretAlgorithm::HmacSha256 => {
            hmac::hmac_sha256(token, &secret, b"canary")?;
        }
    }
    Ok(reference)
}

fn create(token: &TokenSession<'_>, spec: &SecretKeySpec) -> Result<(), HsmError> {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Id(spec.cka_id.to_vec()),
        Attribute::Label(spec.label.encode()?.into_bytes()),
        Attribute::ValueLen(32.into()),
    ];
    let mechanism = match spec.algorithm {
        SecretAlgorithm::Aes256 => {
            template.extend([Attribute::Encrypt(true), Attribute::Decrypt(true)]);
            Mechanism::AesKeyGen
        }
        SecretAlgorithm::HmacSha256 => {
            template.push(Attribute::Sign(true));
            Mechanism::GenericSecretKeyGen
        }
    };
    if spec.permanent {
        template.push(Attribute::Destroyable(false));
    }
    count(&token.shared.status.counters.generate_calls);
    let make = |hardening: &[Attribute]| {
        token.session.generate_key(&mechanism, &[&template[..], hardening].concat()).map(drop)
    };
    with_hardening(make, || Ok(object::find(token.session, &spec.cka_id)?.is_empty()))
}
