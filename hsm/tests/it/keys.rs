use cryptoki::{
    error::{Error as ModuleError, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass},
};
use hsm::{AnyKey, Destruction, FoundKey, Hsm, HsmError, KeyAlgorithm, KeyReference, Mismatch};

use crate::harness::{Raw, generate, id, isolated, label, only, sign, spec, without_canaries};

#[test]
fn repeated_generation_adopts_the_one_pair() {
    isolated("keys::repeated_generation_adopts_the_one_pair", async |bench| {
        let hsm = bench.start().await;
        let first = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let made = hsm.status().counters.generate_calls;
        assert_eq!(generate(&hsm, 1, KeyAlgorithm::Secp256k1).await, first);
        // As after a crash between generation and the answer.
        hsm.shutdown().await;
        let mut config = bench.config();
        config.create_canary = false;
        let hsm = Hsm::start(config).await.unwrap();
        assert_eq!(generate(&hsm, 1, KeyAlgorithm::Secp256k1).await, first);
        assert_eq!((made, hsm.status().counters.generate_calls), (2, 0), "canary and key, then none");
        let both = tokio::join!(
            hsm.generate(spec(2, KeyAlgorithm::P256)),
            hsm.generate(spec(2, KeyAlgorithm::P256)),
        );
        assert_eq!(both.0.unwrap(), both.1.unwrap());
        assert_eq!(hsm.status().counters.generate_calls, 1);
        hsm.shutdown().await;
    });
}

#[test]
fn generation_beside_another_key_of_the_same_id_is_refused() {
    isolated("keys::generation_beside_another_key_of_the_same_id_is_refused", async |bench| {
        let hsm = bench.start().await;
        generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let made = hsm.status().counters.generate_calls;
        let mut other = spec(1, KeyAlgorithm::Secp256k1);
        other.label = label("another", "key-1");
        assert_mismatch(hsm.generate(other).await, Mismatch::Label);
        assert_mismatch(hsm.generate(spec(1, KeyAlgorithm::P256)).await, Mismatch::Algorithm);
        assert_eq!(hsm.status().counters.generate_calls, made);
        hsm.shutdown().await;
    });
}

#[test]
fn a_reference_changed_in_any_part_is_refused() {
    isolated("keys::a_reference_changed_in_any_part_is_refused", async |bench| {
        let hsm = bench.start_with(without_canaries).await;
        let mine = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let theirs = generate(&hsm, 2, KeyAlgorithm::Secp256k1).await;
        let before = hsm.status().counters.sign_calls;
        let swapped_id = KeyReference { cka_id: theirs.cka_id, ..mine.clone() };
        assert_mismatch(sign(&hsm, &swapped_id).await, Mismatch::Label);
        let swapped_key = KeyReference { public_key: theirs.public_key.clone(), ..mine.clone() };
        assert_mismatch(sign(&hsm, &swapped_key).await, Mismatch::PublicKey);
        let other_tenant = KeyReference { label: label("another", "key-1"), ..mine.clone() };
        assert_mismatch(sign(&hsm, &other_tenant).await, Mismatch::Label);
        for field in 0..2 {
            let mut changed = mine.clone();
            match field {
                0 => changed.label.purpose = "login".into(),
                _ => changed.label.kinds.push("message".into()),
            }
            assert_mismatch(sign(&hsm, &changed).await, Mismatch::Label);
        }
        assert_eq!(hsm.status().counters.sign_calls, before, "nothing was signed");
        assert!(hsm.is_ready(), "a wrong record does not open the breaker");
        assert_eq!(hsm.status().counters.breaker_opened, 0);
        hsm.shutdown().await;
    });
}

#[test]
fn a_second_pair_with_the_same_id_is_refused() {
    isolated("keys::a_second_pair_with_the_same_id_is_refused", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let raw = Raw::softhsm();
        let session = raw.session();
        let public = [
            Attribute::Token(true),
            Attribute::EcParams(vec![0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
            Attribute::Id(id(1).to_vec()),
            Attribute::Label(key.label.encode().unwrap().into_bytes()),
        ];
        let private =
            [Attribute::Token(true), Attribute::Private(true), public[2].clone(), public[3].clone()];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
        assert_mismatch(hsm.public_key(&key).await, Mismatch::PrivateCount(2));
        assert_mismatch(hsm.generate(spec(1, KeyAlgorithm::Secp256k1)).await, Mismatch::PrivateCount(2));
        // The next resolution after an epoch sees it too.
        session.logout().unwrap();
        assert_mismatch(sign(&hsm, &key).await, Mismatch::PrivateCount(2));
        hsm.shutdown().await;
    });
}

#[test]
fn half_a_pair_is_neither_used_nor_completed() {
    isolated("keys::half_a_pair_is_neither_used_nor_completed", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::P256).await;
        let raw = Raw::softhsm();
        let session = raw.session();
        session.destroy_object(only(&session, ObjectClass::PUBLIC_KEY, 1)).unwrap();
        assert_mismatch(hsm.generate(spec(1, KeyAlgorithm::P256)).await, Mismatch::PublicCount(0));
        assert_mismatch(sign(&hsm, &key).await, Mismatch::PublicCount(0));
        hsm.shutdown().await;
    });
}

#[test]
fn keys_stay_inside_and_keep_their_label() {
    isolated("keys::keys_stay_inside_and_keep_their_label", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let raw = Raw::softhsm();
        let session = raw.session();
        let private = only(&session, ObjectClass::PRIVATE_KEY, 1);
        let wanted = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::AlwaysSensitive,
            AttributeType::NeverExtractable,
            AttributeType::Local,
        ];
        let expected = [
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
        ];
        assert_eq!(session.get_attributes(private, &wanted).unwrap(), expected);
        for change in [
            Attribute::Label(b"cs1|evil|k|p|".to_vec()),
            Attribute::Id(id(9).to_vec()),
            Attribute::Extractable(true),
        ] {
            let outcome = session.update_attributes(private, &[change]);
            assert!(matches!(outcome, Err(ModuleError::Pkcs11(_, _))), "{outcome:?}");
        }
        assert!(session.copy_object(private, &[Attribute::Label(b"copy".to_vec())]).is_err());
        sign(&hsm, &key).await.unwrap();
        hsm.shutdown().await;
    });
}

#[test]
fn find_tells_absence_from_a_token_that_cannot_be_trusted() {
    isolated("keys::find_tells_absence_from_a_token_that_cannot_be_trusted", async |bench| {
        let hsm = bench.start().await;
        assert_eq!(hsm.find(id(1)).await.unwrap(), None);
        let key = generate(&hsm, 1, KeyAlgorithm::Ed25519).await;
        assert_eq!(
            hsm.find(id(1)).await.unwrap(),
            Some(FoundKey::Pair { reference: key.clone(), retired: false })
        );
        let raw = Raw::softhsm();
        let session = raw.session();
        session.destroy_object(only(&session, ObjectClass::PRIVATE_KEY, 1)).unwrap();
        session.destroy_object(only(&session, ObjectClass::PUBLIC_KEY, 1)).unwrap();
        assert!(matches!(hsm.public_key(&key).await, Err(HsmError::KeyNotFound { .. })));
        assert!(hsm.is_ready());
        let canary = *b"countersign-cnry";
        let found = session.find_objects(&[Attribute::Id(canary.to_vec())]).unwrap();
        for handle in found {
            session.destroy_object(handle).unwrap();
        }
        let result = hsm.find(id(1)).await;
        assert!(matches!(result, Err(HsmError::Unavailable { .. })), "{result:?}");
        hsm.shutdown().await;
    });
}

#[test]
fn retired_keys_do_nothing_until_reinstated_or_destroyed() {
    isolated("keys::retired_keys_do_nothing_until_reinstated_or_destroyed", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let any = AnyKey::Pair(key.clone());
        let result = hsm.destroy(any.clone(), Destruction::Confirmed).await;
        assert!(matches!(result, Err(HsmError::NotRetired { .. })), "{result:?}");
        hsm.retire(any.clone()).await.unwrap();
        hsm.retire(any.clone()).await.unwrap();
        assert!(matches!(sign(&hsm, &key).await, Err(HsmError::KeyRetired { .. })));
        assert!(matches!(
            hsm.generate(spec(1, KeyAlgorithm::Secp256k1)).await,
            Err(HsmError::KeyRetired { .. })
        ));
        // Retirement is on the token, not in memory.
        hsm.shutdown().await;
        let hsm = Hsm::start(bench.config()).await.unwrap();
        assert!(matches!(sign(&hsm, &key).await, Err(HsmError::KeyRetired { .. })));
        hsm.reinstate(any.clone()).await.unwrap();
        sign(&hsm, &key).await.unwrap();
        hsm.retire(any.clone()).await.unwrap();
        hsm.destroy(any, Destruction::Confirmed).await.unwrap();
        assert!(matches!(sign(&hsm, &key).await, Err(HsmError::KeyNotFound { .. })));
        assert_eq!(hsm.find(id(1)).await.unwrap(), None);
        // Destruction leaves no mark behind.
        assert_ne!(generate(&hsm, 1, KeyAlgorithm::Secp256k1).await, key);
        hsm.shutdown().await;
    });
}

#[test]
fn permanent_keys_cannot_be_destroyed() {
    isolated("keys::permanent_keys_cannot_be_destroyed", async |bench| {
        let hsm = bench.start().await;
        let mut permanent = spec(1, KeyAlgorithm::Secp256k1);
        permanent.permanent = true;
        let key = hsm.generate(permanent).await.unwrap();
        let any = AnyKey::Pair(key.clone());
        hsm.retire(any.clone()).await.unwrap();
        let result = hsm.destroy(any.clone(), Destruction::Confirmed).await;
        assert!(matches!(result, Err(HsmError::Permanent { .. })), "{result:?}");
        hsm.reinstate(any).await.unwrap();
        sign(&hsm, &key).await.unwrap();
        let raw = Raw::softhsm();
        let session = raw.session();
        let outcome = session.destroy_object(only(&session, ObjectClass::PRIVATE_KEY, 1));
        assert!(matches!(outcome, Err(ModuleError::Pkcs11(RvError::ActionProhibited, _))), "{outcome:?}");
        hsm.shutdown().await;
    });
}

fn assert_mismatch<T: std::fmt::Debug>(result: Result<T, HsmError>, expected: Mismatch) {
    match result {
        Err(HsmError::KeyMismatch { mismatch, .. }) => assert_eq!(mismatch, expected),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}
