use gateway_domain::openpgp::PUBLIC_KEY_BYTES_MAX;
use gateway_openpgp::{inspect_key, read_fingerprint};

use crate::software::{at, now};

fn refusal(armored: &str) -> String {
    inspect_key(armored, now()).unwrap_err().to_string()
}

#[test]
fn keys_of_other_implementations_are_read_with_their_own_fingerprints() {
    for (armored, fingerprint) in [
        (include_str!("fixtures/gpg-rsa.asc"), include_str!("fixtures/gpg-rsa.fingerprint")),
        (include_str!("fixtures/gpg-curve.asc"), include_str!("fixtures/gpg-curve.fingerprint")),
        (include_str!("fixtures/js-rsa.asc"), include_str!("fixtures/js-rsa.fingerprint")),
        (include_str!("fixtures/js-curve.asc"), include_str!("fixtures/js-curve.fingerprint")),
    ] {
        let inspected = inspect_key(armored, now()).unwrap();
        assert_eq!(inspected.fingerprint.to_string(), fingerprint.trim().to_uppercase());
        assert_eq!(read_fingerprint(armored).unwrap(), inspected.fingerprint);
    }
}

#[test]
fn what_cannot_be_encrypted_to_is_refused() {
    for (armored, rule) in [
        (include_str!("fixtures/gpg-expired.asc"), "is expired"),
        (include_str!("fixtures/gpg-revoked.asc"), "is revoked"),
        (include_str!("fixtures/gpg-sign.asc"), "has no key that may be encrypted to"),
        (include_str!("fixtures/gpg-short.asc"), "has no key that may be encrypted to"),
        (include_str!("fixtures/js-v6.asc"), "must be a version 4 key"),
        (include_str!("fixtures/gpg-two.asc"), "must hold exactly one certificate"),
        (
            include_str!("fixtures/gpg-signatures.asc"),
            "holds more than 32 signatures; export it without those of others",
        ),
        (
            include_str!("fixtures/gpg-dsa.asc"),
            "has a primary key of type DSA or ElGamal, which are not taken",
        ),
    ] {
        assert_eq!(refusal(armored), rule);
    }
}

/// Its encryption subkey ends before the whole does.
#[test]
fn it_is_known_from_when_on_a_key_is_of_no_use() {
    const UNTIL: i64 = 1_797_104_603;
    let expiring = include_str!("fixtures/gpg-expiring.asc");
    assert_eq!(inspect_key(expiring, at(UNTIL - 1)).unwrap().usable_until, Some(at(UNTIL)));
    let fault = inspect_key(expiring, at(UNTIL)).unwrap_err().to_string();
    assert_eq!(fault, "has no key that may be encrypted to");
    assert_eq!(inspect_key(include_str!("fixtures/gpg-rsa.asc"), now()).unwrap().usable_until, None);
}

#[test]
fn a_key_is_named_whatever_its_signatures_say() {
    let expired = include_str!("fixtures/gpg-expired.asc");
    assert_ne!(
        read_fingerprint(expired).unwrap(),
        read_fingerprint(include_str!("fixtures/gpg-revoked.asc")).unwrap()
    );
    for unnamed in [include_str!("fixtures/js-v6.asc"), include_str!("fixtures/gpg-two.asc"), "nonsense"] {
        assert!(read_fingerprint(unnamed).is_err());
    }
}

#[test]
fn secret_material_is_refused_under_either_header() {
    let secret = include_str!("fixtures/gpg-secret.asc");
    let rule = "holds secret key material; send the public key only";
    assert_eq!(refusal(secret), rule);
    assert_eq!(refusal(&secret.replace("PRIVATE KEY", "PUBLIC KEY")), rule);
}

#[test]
fn a_key_is_judged_by_the_time_that_is_given() {
    let key = include_str!("fixtures/gpg-curve.asc");
    assert!(inspect_key(key, now()).is_ok());
    let before_it_was_made = at(1_600_000_000);
    assert_eq!(inspect_key(key, before_it_was_made).unwrap_err().0, "has no valid self-signature");
}

#[test]
fn anything_around_or_instead_of_the_block_is_refused() {
    let key = include_str!("fixtures/gpg-curve.asc");
    let rule = "must be one ASCII-armored block `PGP PUBLIC KEY BLOCK` and nothing else";
    let message = include_str!("fixtures/gpg-message.asc");
    for text in
        ["", "key", &format!("Dear all,\n{key}"), &format!("{key}{key}"), &format!("{key}\nx"), message]
    {
        assert_eq!(refusal(text), rule, "{text}");
    }
    let long = format!("{key}{}", " ".repeat(PUBLIC_KEY_BYTES_MAX));
    assert_eq!(refusal(&long), "must have at most 16384 bytes");
}

/// Whatever is changed, the answer is a refusal or the same key; nothing panics.
#[test]
fn no_changed_character_changes_the_fingerprint() {
    let key = include_str!("fixtures/gpg-curve.asc");
    let genuine = inspect_key(key, now()).unwrap();
    for position in 0..key.len() {
        let mut bytes = key.as_bytes().to_vec();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        if let Ok(inspected) = inspect_key(&changed, now()) {
            assert_eq!(inspected, genuine, "changed at {position}");
        }
    }
}
