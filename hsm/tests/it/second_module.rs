//! The same operations on NSS softokn, which knows P-256 and RSA but neither secp256k1 nor Ed25519.

use std::process::Command;

use hsm::{
    AnyKey, CsrSubject, Hsm, HsmConfig, HsmError, KeyAlgorithm, KeyUsage, Lane, RsaDecryption,
    SecretAlgorithm, SecretKeySpec, SignatureScheme,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{Pkcs1v15Encrypt, pkcs1::DecodeRsaPublicKey, rand_core::OsRng, signature::Verifier};
use sha2::Sha256;

use crate::{
    certificate::openssl_verify,
    harness::{Bench, PIN, generate, id, isolated, label, pin, soon, spec},
};

const SOFTOKN: &str = "/usr/lib/x86_64-linux-gnu/libsoftokn3.so";

fn softokn(bench: &Bench) -> HsmConfig {
    let database = bench.directory.join("nss");
    std::fs::create_dir_all(&database).unwrap();
    let password = bench.directory.join("password");
    std::fs::write(&password, PIN).unwrap();
    let directory = format!("sql:{}", database.display());
    if !database.join("cert9.db").exists() {
        let made =
            Command::new("certutil").args(["-N", "-d", &directory, "-f"]).arg(&password).status().unwrap();
        assert!(made.success());
    }
    let mut config = HsmConfig::new(SOFTOKN, "NSS Certificate DB", pin(PIN), &bench.directory);
    config.init_string = Some(format!(
        "configdir='{directory}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= updatedir=''"
    ));
    config.storage_directories = vec![database];
    config.create_canary = true;
    config
}

#[test]
fn p256_signs_and_requests_certificates() {
    isolated("second_module::p256_signs_and_requests_certificates", async |bench| {
        let hsm = Hsm::start(softokn(&bench)).await.unwrap();
        let key = generate(&hsm, 1, KeyAlgorithm::P256).await;
        let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.public_key.as_bytes()).unwrap();
        let signature = hsm.sign_digest(&key, &[7; 32], Lane::Sign, soon()).await.unwrap();
        verifier
            .verify_prehash(&[7; 32], &p256::ecdsa::Signature::from_slice(&signature.bytes).unwrap())
            .unwrap();
        let subject = CsrSubject { common_name: "nss.example".into(), ..CsrSubject::default() };
        openssl_verify(&hsm.csr(&key, subject).await.unwrap());
        assert_eq!(generate(&hsm, 1, KeyAlgorithm::P256).await, key, "adopted");
        hsm.shutdown().await;
        let hsm = Hsm::start(softokn(&bench)).await.unwrap();
        hsm.sign_digest(&key, &[8; 32], Lane::Sign, soon()).await.unwrap();
        hsm.shutdown().await;
    });
}

#[test]
fn rsa_signs_and_decrypts() {
    isolated("second_module::rsa_signs_and_decrypts", async |bench| {
        let hsm = Hsm::start(softokn(&bench)).await.unwrap();
        let key = generate(&hsm, 1, KeyAlgorithm::Rsa2048).await;
        let public = rsa::RsaPublicKey::from_pkcs1_der(key.public_key.as_bytes()).unwrap();
        let sign = |scheme| hsm.sign_message(&key, scheme, b"message", Lane::Token, soon());
        let pkcs1 = sign(SignatureScheme::RsaPkcs1Sha256).await.unwrap();
        let verifier = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(public.clone());
        verifier.verify(b"message", &pkcs1.as_slice().try_into().unwrap()).unwrap();
        let pss = sign(SignatureScheme::RsaPssSha256).await.unwrap();
        rsa::pss::VerifyingKey::<Sha256>::new(public)
            .verify(b"message", &pss.as_slice().try_into().unwrap())
            .unwrap();
        let mut decryption = spec(2, KeyAlgorithm::Rsa2048);
        decryption.usage = KeyUsage::Decrypt;
        let key = hsm.generate(decryption).await.unwrap();
        let public = rsa::RsaPublicKey::from_pkcs1_der(key.public_key.as_bytes()).unwrap();
        let ciphertext = public.encrypt(&mut OsRng, Pkcs1v15Encrypt, b"session key").unwrap();
        let plaintext = hsm.decrypt_rsa(&key, RsaDecryption::Pkcs1v15, &ciphertext).await.unwrap();
        assert_eq!(plaintext.as_slice(), b"session key");
        hsm.shutdown().await;
    });
}

#[test]
fn what_the_module_lacks_is_said_and_harms_nothing() {
    isolated("second_module::what_the_module_lacks_is_said_and_harms_nothing", async |bench| {
        let hsm = Hsm::start(softokn(&bench)).await.unwrap();
        for algorithm in [KeyAlgorithm::Secp256k1, KeyAlgorithm::Ed25519] {
            let result = hsm.generate(spec(1, algorithm)).await;
            assert!(matches!(result, Err(HsmError::Module(_))), "{result:?}");
        }
        let key = generate(&hsm, 2, KeyAlgorithm::P256).await;
        let retired = hsm.retire(AnyKey::Pair(key.clone())).await;
        assert!(matches!(retired, Ok(()) | Err(HsmError::Unsupported(_))), "{retired:?}");
        let secret = SecretKeySpec {
            cka_id: id(3),
            label: label("org", "secret"),
            algorithm: SecretAlgorithm::HmacSha256,
            permanent: false,
        };
        let secret = hsm.generate_secret(secret).await.unwrap();
        assert_eq!(hsm.hmac_sha256(&secret, b"m").await.unwrap().len(), 32);
        // Its length query for GCM leaves out the tag, so cryptoki hands it too small a buffer.
        let sealing = SecretKeySpec {
            cka_id: id(4),
            label: label("org", "sealing"),
            algorithm: SecretAlgorithm::Aes256,
            permanent: false,
        };
        let result = hsm.generate_secret(sealing).await;
        assert!(matches!(result, Err(HsmError::Unsupported(_))), "{result:?}");
        hsm.sign_digest(&generate(&hsm, 5, KeyAlgorithm::P256).await, &[7; 32], Lane::Sign, soon())
            .await
            .unwrap();
        assert_eq!(hsm.status().counters.breaker_opened, 0);
        hsm.shutdown().await;
    });
}

#[test]
fn a_logged_out_application_recovers_here_too() {
    isolated("second_module::a_logged_out_application_recovers_here_too", async |bench| {
        let hsm = Hsm::start(softokn(&bench)).await.unwrap();
        let key = generate(&hsm, 1, KeyAlgorithm::P256).await;
        let raw = cryptoki::context::Pkcs11::new(SOFTOKN).unwrap();
        let slot = raw
            .get_slots_with_token()
            .unwrap()
            .into_iter()
            .find(|slot| raw.get_token_info(*slot).unwrap().label() == "NSS Certificate DB")
            .unwrap();
        raw.open_rw_session(slot).unwrap().logout().unwrap();
        hsm.sign_digest(&key, &[7; 32], Lane::Sign, soon()).await.unwrap();
        let status = hsm.status();
        assert_eq!((status.generation, status.counters.login_calls), (1, 2));
        hsm.shutdown().await;
    });
}
