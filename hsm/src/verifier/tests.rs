use k256::ecdsa::{SigningKey, signature::hazmat::PrehashSigner};

use super::*;

const DIGEST: [u8; 32] = [0x5a; 32];

fn secp256k1() -> (SigningKey, Verifier) {
    let signer = SigningKey::from_slice(&[0x11; 32]).unwrap();
    let point = signer.verifying_key().to_encoded_point(false);
    (signer, Verifier::parse(KeyAlgorithm::Secp256k1, point.as_bytes()).unwrap())
}

#[test]
fn high_s_is_brought_low_and_recovers_the_same_key() {
    let (signer, verifier) = secp256k1();
    let low: k256::ecdsa::Signature = signer.sign_prehash(&DIGEST).unwrap();
    let low = low.normalize_s().unwrap_or(low);
    let (r, s) = low.split_scalars();
    let high = k256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    let from_low = verifier.recover(&DIGEST, &low.to_bytes()).unwrap();
    let from_high = verifier.recover(&DIGEST, &high.to_bytes()).unwrap();
    assert_eq!(from_low.compact, from_high.compact);
    assert_eq!(from_low.recovery_id, from_high.recovery_id);
    assert_eq!(from_low.compact[..], low.to_bytes()[..]);
}

#[test]
fn signatures_of_other_digests_keys_and_shapes_are_refused() {
    let (signer, verifier) = secp256k1();
    let signature: k256::ecdsa::Signature = signer.sign_prehash(&DIGEST).unwrap();
    let raw = signature.to_bytes();
    assert!(verifier.recover(&[0x5b; 32], &raw).is_err());
    let other = SigningKey::from_slice(&[0x22; 32]).unwrap();
    let other_point = other.verifying_key().to_encoded_point(false);
    let other = Verifier::parse(KeyAlgorithm::Secp256k1, other_point.as_bytes()).unwrap();
    assert!(other.recover(&DIGEST, &raw).is_err());
    let (mut zero_r, mut zero_s) = (raw, raw);
    zero_r[..32].fill(0);
    zero_s[32..].fill(0);
    let order = [0xff; 64];
    for bad in [&zero_r[..], &zero_s, &order, &raw[..63], &[], &[&raw[..], &[0]].concat()] {
        assert!(verifier.recover(&DIGEST, bad).is_err(), "{}", hex::encode(bad));
        assert!(verifier.verify_p256(&DIGEST, bad).is_err());
        assert!(verifier.verify_ed25519(&DIGEST, bad).is_err());
        assert!(verifier.verify_rsa(RsaPadding::Pss, &DIGEST, bad).is_err());
    }
}

#[test]
fn malformed_public_keys_are_refused() {
    let (signer, _) = secp256k1();
    let compressed = signer.verifying_key().to_encoded_point(true);
    let mut off_curve = signer.verifying_key().to_encoded_point(false).as_bytes().to_vec();
    off_curve[64] ^= 1;
    for bad in [compressed.as_bytes(), &off_curve, &[0; 65], &[4; 65], &[0], &[]] {
        for algorithm in
            [KeyAlgorithm::Secp256k1, KeyAlgorithm::P256, KeyAlgorithm::Rsa2048, KeyAlgorithm::Rsa4096]
        {
            assert!(Verifier::parse(algorithm, bad).is_err(), "{algorithm} {}", hex::encode(bad));
        }
    }
    // y = 2 has no x on the Edwards curve.
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert!(Verifier::parse(KeyAlgorithm::Ed25519, &no_point).is_err());
    assert!(Verifier::parse(KeyAlgorithm::Ed25519, &[0; 31]).is_err());
}
