//! Facts for an operator who asks what this token is and can do.

use cryptoki::{mechanism::Mechanism, object::Attribute};

use crate::{
    Hsm,
    error::{Cause, HsmError},
    key::KeyAlgorithm,
    lanes::Lane,
    object::{OID_ED25519, OID_P256, OID_SECP256K1},
    worker::TokenSession,
};

/// What module and token say of themselves, and what they were seen to do.
#[derive(Clone, Debug)]
pub struct DoctorFacts {
    /// Manufacturer, description and version of the library, and the Cryptoki version it speaks.
    pub library: String,
    /// Label of the token.
    pub token_label: String,
    /// Manufacturer, model and firmware.
    pub token_model: String,
    /// Serial number of the token.
    pub token_serial: String,
    /// Names of the token flags that are set and matter: PIN counters, locks, write protection, error state.
    pub token_flags: Vec<&'static str>,
    /// Names of the mechanisms listed.
    pub mechanisms: Vec<String>,
    /// For each algorithm, whether a session key could be made and used; the list of mechanisms does not tell curves.
    pub self_tests: Vec<(KeyAlgorithm, Result<(), Cause>)>,
}

impl Hsm {
    /// Reads the facts and makes one short-lived session key per algorithm.
    pub async fn doctor_facts(&self) -> Result<DoctorFacts, HsmError> {
        self.run("doctor", Lane::Generate, self.timeouts().generate, facts).await
    }
}

fn facts(token: &TokenSession<'_>) -> Result<DoctorFacts, HsmError> {
    let (pkcs11, slot) = (&token.token.pkcs11, token.token.slot);
    let library = pkcs11.get_library_info()?;
    let info = pkcs11.get_token_info(slot)?;
    let flags = [
        ("login required", info.login_required()),
        ("user pin initialized", info.user_pin_initialized()),
        ("user pin count low", info.user_pin_count_low()),
        ("user pin final try", info.user_pin_final_try()),
        ("user pin locked", info.user_pin_locked()),
        ("user pin to be changed", info.user_pin_to_be_changed()),
        ("write protected", info.write_protected()),
        ("error state", info.error_state()),
    ];
    let mechanisms = pkcs11.get_mechanism_list(slot)?.iter().map(ToString::to_string).collect();
    let algorithms =
        [KeyAlgorithm::Secp256k1, KeyAlgorithm::P256, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048];
    Ok(DoctorFacts {
        library: format!(
            "{} {} {} (Cryptoki {})",
            library.manufacturer_id(),
            library.library_description(),
            library.library_version(),
            library.cryptoki_version()
        ),
        token_label: info.label().to_owned(),
        token_model: format!(
            "{} {} firmware {}",
            info.manufacturer_id(),
            info.model(),
            info.firmware_version()
        ),
        token_serial: info.serial_number().to_owned(),
        token_flags: flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect(),
        mechanisms,
        self_tests: algorithms
            .map(|algorithm| (algorithm, self_test(token, algorithm).map_err(|error| Cause::from(&error))))
            .into(),
    })
}

fn self_test(token: &TokenSession<'_>, algorithm: KeyAlgorithm) -> Result<(), HsmError> {
    let (generation, parameters) = match algorithm {
        KeyAlgorithm::Secp256k1 => (Mechanism::EccKeyPairGen, Attribute::EcParams(OID_SECP256K1.to_vec())),
        KeyAlgorithm::P256 => (Mechanism::EccKeyPairGen, Attribute::EcParams(OID_P256.to_vec())),
        KeyAlgorithm::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, Attribute::EcParams(OID_ED25519.to_vec())),
        KeyAlgorithm::Rsa2048 => (Mechanism::RsaPkcsKeyPairGen, Attribute::ModulusBits(2048.into())),
        KeyAlgorithm::Rsa4096 => (Mechanism::RsaPkcsKeyPairGen, Attribute::ModulusBits(4096.into())),
    };
    let mut public = vec![Attribute::Token(false), Attribute::Verify(true), parameters];
    if algorithm.is_rsa() {
        public.push(Attribute::PublicExponent(vec![1, 0, 1]));
    }
    let private = [
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    let (public, private) = token.session.generate_key_pair(&generation, &public, &private)?;
    let mechanism = match algorithm {
        KeyAlgorithm::Secp256k1 | KeyAlgorithm::P256 => Mechanism::Ecdsa,
        KeyAlgorithm::Ed25519 => crate::operation::sign::pure_eddsa(),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => Mechanism::RsaPkcs,
    };
    let outcome = token.session.sign(&mechanism, private, &[0x5a; 32]);
    for handle in [private, public] {
        token.session.destroy_object(handle)?;
    }
    outcome?;
    Ok(())
}
