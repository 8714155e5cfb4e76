use cryptoki::object::{Attribute, KeyType, ObjectClass};
use hmac::{Hmac, Mac};
use hsm::{
    AnyKey, HsmError, KeyAlgorithm, KeyUsage, RsaDecryption, SecretAlgorithm, SecretKeyReference,
    SecretKeySpec,
};
use rsa::{Oaep, Pkcs1v15Encrypt, pkcs1::DecodeRsaPublicKey, rand_core::OsRng};
use sha2::Sha256;

use crate::harness::{Raw, generate, id, isolated, label, sign, spec};

fn secret_spec(number: u8, algorithm: SecretAlgorithm) -> SecretKeySpec {
    SecretKeySpec { cka_id: id(number), label: label("org", "secret"), algorithm, permanent: false }
}

#[test]
fn sealed_secrets_open_only_with_their_own_data_and_key() {
    isolated("secrets::sealed_secrets_open_only_with_their_own_data_and_key", async |bench| {
        let hsm = bench.start().await;
        let key = hsm.generate_secret(secret_spec(1, SecretAlgorithm::Aes256)).await.unwrap();
        let other = hsm.generate_secret(secret_spec(2, SecretAlgorithm::Aes256)).await.unwrap();
        let long = vec![0x11; 70_000];
        for plaintext in [&b""[..], b"s", &long] {
            for data in [&b""[..], b"org|table|row|column|1"] {
                let sealed = hsm.seal(&key, plaintext, data).await.unwrap();
                assert_eq!(sealed.len(), 12 + plaintext.len() + 16);
                assert_eq!(hsm.open(&key, &sealed, data).await.unwrap().as_slice(), plaintext);
            }
        }
        let sealed = hsm.seal(&key, b"secret", b"org|row").await.unwrap();
        assert_ne!(hsm.seal(&key, b"secret", b"org|row").await.unwrap(), sealed, "every IV is fresh");
        let fails = |result: Result<_, HsmError>| {
            assert!(matches!(result, Err(HsmError::DecryptFailed)), "{result:?}");
        };
        fails(hsm.open(&key, &sealed, b"other|row").await);
        fails(hsm.open(&other, &sealed, b"org|row").await);
        for position in [0, 11, 12, sealed.len() - 1] {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            fails(hsm.open(&key, &damaged, b"org|row").await);
        }
        for length in [0, 11, 12, 27, sealed.len() - 1] {
            fails(hsm.open(&key, &sealed[..length], b"org|row").await);
        }
        // What an outsider can send must not open the breaker.
        assert_eq!(hsm.status().counters.breaker_opened, 0);
        assert_eq!(hsm.open(&key, &sealed, b"org|row").await.unwrap().as_slice(), b"secret");
        hsm.retire(AnyKey::Secret(key.clone())).await.unwrap();
        assert!(matches!(hsm.open(&key, &sealed, b"org|row").await, Err(HsmError::KeyRetired { .. })));
        hsm.shutdown().await;
    });
}

#[test]
fn secrets_are_compared_with_their_reference() {
    isolated("secrets::secrets_are_compared_with_their_reference", async |bench| {
        let hsm = bench.start().await;
        let key = hsm.generate_secret(secret_spec(1, SecretAlgorithm::HmacSha256)).await.unwrap();
        assert_eq!(hsm.generate_secret(secret_spec(1, SecretAlgorithm::HmacSha256)).await.unwrap(), key);
        let other_tenant = SecretKeyReference { label: label("another", "secret"), ..key.clone() };
        let result = hsm.hmac_sha256(&other_tenant, b"m").await;
        assert!(matches!(result, Err(HsmError::KeyMismatch { .. })), "{result:?}");
        let pair = generate(&hsm, 2, KeyAlgorithm::P256).await;
        let not_a_secret = SecretKeyReference { cka_id: pair.cka_id, ..key.clone() };
        assert!(matches!(hsm.hmac_sha256(&not_a_secret, b"m").await, Err(HsmError::KeyMismatch { .. })));
        assert!(matches!(hsm.seal(&key, b"m", b"").await, Err(HsmError::AlgorithmMismatch { .. })));
        hsm.shutdown().await;
    });
}

#[test]
fn hmac_equals_the_software_hmac_of_the_same_key() {
    isolated("secrets::hmac_equals_the_software_hmac_of_the_same_key", async |bench| {
        let hsm = bench.start().await;
        let raw = Raw::softhsm();
        let session = raw.session();
        let value = [0x42; 32];
        let reference = SecretKeyReference {
            cka_id: id(1),
            label: label("org", "imported"),
            algorithm: SecretAlgorithm::HmacSha256,
        };
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Id(id(1).to_vec()),
            Attribute::Label(reference.label.encode().unwrap().into_bytes()),
            Attribute::Value(value.to_vec()),
        ];
        session.create_object(&template).unwrap();
        for message in [&b""[..], b"label|epoch 1", &[0x33; 1000]] {
            let mut software = Hmac::<Sha256>::new_from_slice(&value).unwrap();
            software.update(message);
            let expected: [u8; 32] = software.finalize().into_bytes().into();
            assert_eq!(hsm.hmac_sha256(&reference, message).await.unwrap(), expected);
        }
        hsm.shutdown().await;
    });
}

#[test]
fn random_numbers_have_their_length_and_differ() {
    isolated("secrets::random_numbers_have_their_length_and_differ", async |bench| {
        let hsm = bench.start().await;
        assert_eq!(hsm.random(0).await.unwrap().len(), 0);
        let (one, two) = (hsm.random(32).await.unwrap(), hsm.random(32).await.unwrap());
        assert_eq!((one.len(), two.len()), (32, 32));
        assert_ne!(one.as_slice(), two.as_slice());
        assert!(matches!(hsm.random((1 << 20) + 1).await, Err(HsmError::InvalidInput(_))));
        hsm.shutdown().await;
    });
}

#[test]
fn rsa_decrypts_and_a_decryption_key_does_not_sign() {
    isolated("secrets::rsa_decrypts_and_a_decryption_key_does_not_sign", async |bench| {
        let hsm = bench.start().await;
        let mut decryption = spec(1, KeyAlgorithm::Rsa2048);
        decryption.usage = KeyUsage::Decrypt;
        let key = hsm.generate(decryption).await.unwrap();
        let public = rsa::RsaPublicKey::from_pkcs1_der(key.public_key.as_bytes()).unwrap();
        let ciphertext = public.encrypt(&mut OsRng, Pkcs1v15Encrypt, b"session key").unwrap();
        let plaintext = hsm.decrypt_rsa(&key, RsaDecryption::Pkcs1v15, &ciphertext).await.unwrap();
        assert_eq!(plaintext.as_slice(), b"session key");
        for bad in [&ciphertext[1..], &[0; 256], &[0xff; 256], &[1; 300]] {
            let result = hsm.decrypt_rsa(&key, RsaDecryption::Pkcs1v15, bad).await;
            assert!(matches!(result, Err(HsmError::DecryptFailed)), "{result:?}");
        }
        let oaep = public.encrypt(&mut OsRng, Oaep::new::<Sha256>(), b"session key").unwrap();
        match hsm.decrypt_rsa(&key, RsaDecryption::OaepSha256, &oaep).await {
            Ok(plaintext) => assert_eq!(plaintext.as_slice(), b"session key"),
            // SoftHSM 2.6 knows OAEP with SHA-1 only.
            Err(error) => assert!(matches!(error, HsmError::Unsupported(_)), "{error:?}"),
        }
        let result = hsm.sign_message(
            &key,
            hsm::SignatureScheme::RsaPkcs1Sha256,
            b"m",
            hsm::Lane::Sign,
            crate::harness::soon(),
        );
        assert!(result.await.is_err());
        assert_eq!(hsm.status().counters.breaker_opened, 0);
        let signing = generate(&hsm, 2, KeyAlgorithm::P256).await;
        sign(&hsm, &signing).await.unwrap();
        hsm.shutdown().await;
    });
}
