//! Detached signatures by GnuPG: who makes one has the key.

use gateway_openpgp::verify_possession;

use crate::software::{at, now};

const CURVE: &str = include_str!("fixtures/gpg-curve.asc");
const SUBKEYS: &str = include_str!("fixtures/gpg-subkeys.asc");
const BINARY: &str = include_str!("fixtures/gpg-detached.asc");
const BY_SUBKEY: &str = include_str!("fixtures/gpg-subkeys-detached.asc");
const TEXT: &str = "it is mine";

fn refusal(certificate: &str, signed: (&str, &str)) -> String {
    verify_possession(certificate, signed, now()).unwrap_err().to_string()
}

#[test]
fn a_signature_by_the_primary_key_shows_possession() {
    for signature in [BINARY, include_str!("fixtures/gpg-detached-text.asc")] {
        verify_possession(CURVE, (signature, TEXT), now()).unwrap();
    }
}

#[test]
fn no_other_key_text_or_signature_does() {
    let rule = "is no signature of what is to be signed by the key";
    for (certificate, signature, text) in [
        (CURVE, BINARY, "it is mine."),
        (CURVE, BY_SUBKEY, TEXT),
        (SUBKEYS, BINARY, TEXT),
        (CURVE, include_str!("fixtures/gpg-detached-sha1.asc"), TEXT),
        // A subkey may have been revoked in a certificate that its claimant does not show.
        (SUBKEYS, BY_SUBKEY, TEXT),
        (include_str!("fixtures/gpg-subkeys-revoked.asc"), BY_SUBKEY, TEXT),
    ] {
        assert_eq!(refusal(certificate, (signature, text)), rule);
    }
    let armor = "must be one ASCII-armored block `PGP SIGNATURE` and nothing else";
    for other in ["", CURVE, include_str!("fixtures/gpg-signed.asc")] {
        assert_eq!(refusal(CURVE, (other, TEXT)), armor);
    }
    assert_eq!(refusal(CURVE, (&"x".repeat(5_000), TEXT)), "must have at most 4096 bytes");
    // Made in what is the future there, where clocks differ by more than a little.
    assert!(verify_possession(CURVE, (BINARY, TEXT), at(1_790_000_000)).is_err());
}
