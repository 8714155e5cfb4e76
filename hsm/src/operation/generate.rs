//! Key pairs. A repeated call with the same id adopts the pair already made, so an unknown outcome costs nothing.

use cryptoki::{
    error::{Error as ModuleError, RvError},
    mechanism::{
        Mechanism, MechanismType,
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource},
    },
    object::Attribute,
};
use rsa::{Pkcs1v15Encrypt, pkcs1::DecodeRsaPublicKey, rand_core};

use crate::{
    Hsm,
    error::{HsmError, Mismatch},
    key::{KeyAlgorithm, KeyReference, KeySpec, KeyUsage},
    key_map::{Resolved, ResolvedPair},
    lanes::Lane,
    object::{self, OID_ED25519, OID_P256, OID_SECP256K1},
    operation::sign::{self, SignatureScheme},
    status::count,
    storage,
    worker::TokenSession,
};

/// 65537.
const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];

impl Hsm {
    /// Makes a key pair and returns its public half once it is durable and has proven itself: storage synced, objects
    /// found afresh, a test signature verified (or a test ciphertext decrypted).
    ///
    /// If a pair with this id and label exists, it is adopted; nothing is generated beside anything that has the id.
    pub async fn generate(&self, spec: KeySpec) -> Result<KeyReference, HsmError> {
        if spec.usage == KeyUsage::Decrypt && !spec.algorithm.is_rsa() {
            return Err(HsmError::AlgorithmMismatch { operation: "generate" });
        }
        spec.label.encode()?;
        let generate = move |token: &TokenSession<'_>| generate(token, &spec);
        self.run("generate", Lane::Generate, self.timeouts().generate, generate).await
    }
}

fn generate(token: &TokenSession<'_>, spec: &KeySpec) -> Result<KeyReference, HsmError> {
    let pair = token.shared.generate_alone(spec.cka_id, || {
        if let Some(found) = token.shared.keys.resolve_afresh(token, &spec.cka_id)? {
            return expect_pair(spec, found);
        }
        create_pair(token, spec)?;
        let found = token.shared.keys.resolve_afresh(token, &spec.cka_id)?;
        expect_pair(spec, found.ok_or(HsmError::Doubtful("a key just made is not found"))?)
    })?;
    // Also for an adopted pair: the call that made it may have died before its sync.
    storage::sync(&token.shared.config.storage_directories)?;
    prove(token, &pair, spec.usage)?;
    Ok(KeyReference { cka_id: spec.cka_id, label: pair.label.clone(), public_key: pair.public_key.clone() })
}

fn expect_pair(spec: &KeySpec, found: Resolved) -> Result<std::sync::Arc<ResolvedPair>, HsmError> {
    let differs = |mismatch| HsmError::KeyMismatch { cka_id: spec.cka_id, mismatch };
    let Resolved::Pair(pair) = found else { return Err(differs(Mismatch::PrivateCount(0))) };
    if pair.label != spec.label {
        return Err(differs(Mismatch::Label));
    }
    if pair.public_key.algorithm() != spec.algorithm {
        return Err(differs(Mismatch::Algorithm));
    }
    if pair.retired {
        return Err(HsmError::KeyRetired { cka_id: spec.cka_id });
    }
    Ok(pair)
}

/// `C_GenerateKeyPair`, without a look at what exists.
pub(crate) fn create_pair(token: &TokenSession<'_>, spec: &KeySpec) -> Result<(), HsmError> {
    let label = spec.label.encode()?.into_bytes();
    let mut public = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Id(spec.cka_id.to_vec()),
        Attribute::Label(label.clone()),
    ];
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Id(spec.cka_id.to_vec()),
        Attribute::Label(label),
        Attribute::Sign(spec.usage == KeyUsage::Sign),
    ];
    match spec.usage {
        KeyUsage::Sign => public.push(Attribute::Verify(true)),
        KeyUsage::Decrypt => {
            public.push(Attribute::Encrypt(true));
            private.push(Attribute::Decrypt(true));
        }
    }
    let mechanism = match spec.algorithm {
        KeyAlgorithm::Secp256k1 | KeyAlgorithm::P256 => Mechanism::EccKeyPairGen,
        KeyAlgorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => Mechanism::RsaPkcsKeyPairGen,
    };
    match spec.algorithm {
        KeyAlgorithm::Secp256k1 => public.push(Attribute::EcParams(OID_SECP256K1.to_vec())),
        KeyAlgorithm::P256 => public.push(Attribute::EcParams(OID_P256.to_vec())),
        KeyAlgorithm::Ed25519 => public.push(Attribute::EcParams(OID_ED25519.to_vec())),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => {
            let bits: u64 = if spec.algorithm == KeyAlgorithm::Rsa2048 { 2048 } else { 4096 };
            public.push(Attribute::ModulusBits(bits.into()));
            public.push(Attribute::PublicExponent(PUBLIC_EXPONENT.to_vec()));
        }
    }
    if spec.permanent {
        private.push(Attribute::Destroyable(false));
    }
    count(&token.shared.status.counters.generate_calls);
    let make = |hardening: &[Attribute]| {
        let public = [&public[..], hardening].concat();
        let private = [&private[..], hardening].concat();
        token.session.generate_key_pair(&mechanism, &public, &private).map(drop)
    };
    with_hardening(make, || Ok(object::find(token.session, &spec.cka_id)?.is_empty()))
}

/// Runs `make` with attributes that forbid change and copy, and with fewer where the module refuses them. NSS says
/// `CKR_GENERAL_ERROR` for an attribute that its database does not know; after that, only what `is_clean` says has
/// left nothing behind is tried again.
pub(crate) fn with_hardening(
    make: impl Fn(&[Attribute]) -> Result<(), ModuleError>,
    is_clean: impl Fn() -> Result<bool, HsmError>,
) -> Result<(), HsmError> {
    let full = [Attribute::Modifiable(false), Attribute::Copyable(false)];
    for hardening in [&full[..], &full[..1]] {
        match make(hardening) {
            Err(ModuleError::Pkcs11(
                RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::AttributeReadOnly
                | RvError::TemplateInconsistent
                | RvError::GeneralError,
                _,
            )) if is_clean()? => {}
            outcome => return Ok(outcome?),
        }
    }
    Ok(make(&[])?)
}

/// Uses the key once and checks the result with its public half.
fn prove(token: &TokenSession<'_>, pair: &ResolvedPair, usage: KeyUsage) -> Result<(), HsmError> {
    let mut challenge = [0; 32];
    token.session.generate_random_slice(&mut challenge)?;
    match (usage, pair.public_key.algorithm()) {
        (KeyUsage::Decrypt, _) => prove_decryption(token, pair, &challenge),
        (KeyUsage::Sign, KeyAlgorithm::Secp256k1 | KeyAlgorithm::P256) => {
            sign::ecdsa(token, pair, &challenge, None).map(drop)
        }
        (KeyUsage::Sign, KeyAlgorithm::Ed25519) => {
            sign::whole_message(token, pair, SignatureScheme::Ed25519, &challenge, None).map(drop)
        }
        (KeyUsage::Sign, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096) => {
            sign::whole_message(token, pair, SignatureScheme::RsaPkcs1Sha256, &challenge, None).map(drop)
        }
    }
}

fn prove_decryption(token: &TokenSession<'_>, pair: &ResolvedPair, challenge: &[u8]) -> Result<(), HsmError> {
    let key = rsa::RsaPublicKey::from_pkcs1_der(pair.public_key.as_bytes())
        .map_err(|_| HsmError::InvalidInput("the public key is not well formed for its algorithm"))?;
    let ciphertext = key
        .encrypt(&mut rand_core::OsRng, Pkcs1v15Encrypt, challenge)
        .map_err(|_| HsmError::InvalidInput("the public key cannot encrypt"))?;
    let plaintext = token.session.decrypt(&Mechanism::RsaPkcs, pair.private, &ciphertext)?;
    if plaintext == challenge { Ok(()) } else { Err(HsmError::VerificationFailed) }
}

/// OAEP with SHA-256 for hash and mask and an empty label.
pub(crate) fn oaep_sha256() -> Mechanism<'static> {
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(
        MechanismType::SHA256,
        PkcsMgfType::MGF1_SHA256,
        PkcsOaepSource::empty(),
    ))
}
