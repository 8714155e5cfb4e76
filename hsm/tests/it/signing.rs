use std::time::Instant;

use hsm::{HsmConfig, HsmError, KeyAlgorithm, Lane, SignatureScheme};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{pkcs1::DecodeRsaPublicKey, signature::Verifier};
use sha2::{Digest, Sha256};

use crate::harness::{generate, isolated, label, sign, soon, spec, without_canaries};

#[test]
fn secp256k1_is_low_s_and_recovers_the_key_200_times() {
    isolated("signing::secp256k1_is_low_s_and_recovers_the_key_200_times", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let expected = k256::ecdsa::VerifyingKey::from_sec1_bytes(key.public_key.as_bytes()).unwrap();
        for round in 0_u32..200 {
            let digest: [u8; 32] = Sha256::digest(round.to_be_bytes()).into();
            let signature = hsm.sign_digest(&key, &digest, Lane::Sign, soon()).await.unwrap();
            let parsed = k256::ecdsa::Signature::from_slice(&signature.bytes).unwrap();
            assert!(parsed.normalize_s().is_none(), "round {round} is high S");
            let id = k256::ecdsa::RecoveryId::from_byte(signature.recovery_id.unwrap()).unwrap();
            let recovered = k256::ecdsa::VerifyingKey::recover_from_prehash(&digest, &parsed, id).unwrap();
            assert_eq!(recovered, expected, "round {round}");
        }
        hsm.shutdown().await;
    });
}

#[test]
fn edge_digests_are_signed_exactly() {
    isolated("signing::edge_digests_are_signed_exactly", async |bench| {
        let hsm = bench.start().await;
        let secp256k1 = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let p256 = generate(&hsm, 2, KeyAlgorithm::P256).await;
        let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(p256.public_key.as_bytes()).unwrap();
        let mut one = [0; 32];
        one[31] = 1;
        // At and above both group orders, zero and one: the cases where truncation and reduction go wrong.
        for digest in [[0; 32], one, [0xff; 32], [0x80; 32]] {
            let signature = hsm.sign_digest(&p256, &digest, Lane::Token, soon()).await.unwrap();
            assert_eq!(signature.recovery_id, None);
            let parsed = p256::ecdsa::Signature::from_slice(&signature.bytes).unwrap();
            verifier.verify_prehash(&digest, &parsed).unwrap();
            if digest != [0; 32] {
                hsm.sign_digest(&secp256k1, &digest, Lane::Sign, soon()).await.unwrap();
            }
        }
        hsm.shutdown().await;
    });
}

#[test]
fn messages_verify_with_independent_libraries() {
    isolated("signing::messages_verify_with_independent_libraries", async |bench| {
        let hsm = bench.start().await;
        let ed25519 = generate(&hsm, 1, KeyAlgorithm::Ed25519).await;
        let point = ed25519.public_key.as_bytes().try_into().unwrap();
        let verifier = ed25519_dalek::VerifyingKey::from_bytes(point).unwrap();
        for message in [&b""[..], b"a", &[0x5a; 4096]] {
            let signature = hsm
                .sign_message(&ed25519, SignatureScheme::Ed25519, message, Lane::Token, soon())
                .await
                .unwrap();
            let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
            verifier.verify_strict(message, &parsed).unwrap();
        }
        for (number, algorithm) in [(2, KeyAlgorithm::Rsa2048), (3, KeyAlgorithm::Rsa4096)] {
            let key = generate(&hsm, number, algorithm).await;
            let public = rsa::RsaPublicKey::from_pkcs1_der(key.public_key.as_bytes()).unwrap();
            let sign = |scheme| hsm.sign_message(&key, scheme, b"message", Lane::Token, soon());
            let pkcs1 = sign(SignatureScheme::RsaPkcs1Sha256).await.unwrap();
            let verifier = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(public.clone());
            verifier.verify(b"message", &pkcs1.as_slice().try_into().unwrap()).unwrap();
            let pss = sign(SignatureScheme::RsaPssSha256).await.unwrap();
            let verifier = rsa::pss::VerifyingKey::<Sha256>::new(public);
            verifier.verify(b"message", &pss.as_slice().try_into().unwrap()).unwrap();
        }
        hsm.shutdown().await;
    });
}

#[test]
fn another_algorithm_is_refused_before_the_token_is_asked() {
    isolated("signing::another_algorithm_is_refused_before_the_token_is_asked", async |bench| {
        let hsm = bench.start_with(without_canaries).await;
        let secp256k1 = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let ed25519 = generate(&hsm, 2, KeyAlgorithm::Ed25519).await;
        let before = hsm.status().counters.sign_calls;
        let refused = |result: Result<(), HsmError>| {
            assert!(matches!(result, Err(HsmError::AlgorithmMismatch { .. })), "{result:?}");
        };
        refused(hsm.sign_digest(&ed25519, &[1; 32], Lane::Sign, soon()).await.map(drop));
        for scheme in
            [SignatureScheme::Ed25519, SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPssSha256]
        {
            refused(hsm.sign_message(&secp256k1, scheme, b"m", Lane::Sign, soon()).await.map(drop));
        }
        refused(hsm.csr(&secp256k1, hsm::CsrSubject::default()).await.map(drop));
        assert_eq!(hsm.status().counters.sign_calls, before);
        hsm.shutdown().await;
    });
}

#[test]
fn nothing_is_signed_after_not_after() {
    isolated("signing::nothing_is_signed_after_not_after", async |bench| {
        let log = bench.directory.join("spy.log");
        let spied = |config: &mut HsmConfig| {
            config.module = crate::harness::SPY.into();
            without_canaries(config);
        };
        let hsm = bench.start_with(spied).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        let before = count_calls(&log, "C_SignInit");
        assert!(before >= 3, "canary, proof and signature are in the spy's log: {before}");
        let expired = Instant::now();
        let result = hsm.sign_digest(&key, &[7; 32], Lane::Sign, expired).await;
        assert!(matches!(result, Err(HsmError::Expired)), "{result:?}");
        assert_eq!(count_calls(&log, "C_SignInit"), before);
        hsm.shutdown().await;
    });
}

#[test]
fn a_label_is_refused_before_a_key_is_made_under_it() {
    isolated("signing::a_label_is_refused_before_a_key_is_made_under_it", async |bench| {
        let hsm = bench.start().await;
        let before = hsm.status().counters.generate_calls;
        let mut bad = spec(1, KeyAlgorithm::P256);
        bad.label = label("org|other", "key");
        assert!(matches!(hsm.generate(bad).await, Err(HsmError::InvalidInput(_))));
        assert_eq!(hsm.status().counters.generate_calls, before);
        hsm.shutdown().await;
    });
}

/// Calls of one function in the log of `pkcs11-spy`, which sits between the layer and the module.
pub(crate) fn count_calls(log: &std::path::Path, function: &str) -> usize {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    text.lines().filter(|line| line.ends_with(&format!(": {function}"))).count()
}
