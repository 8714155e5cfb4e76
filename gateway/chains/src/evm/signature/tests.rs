use alloy_primitives::address;
use proptest::prelude::*;

use super::*;
use crate::evm::testing::{sign, signer};

/// `personal_sign` by the key of the EIP-155 example, made with Python's eth-account 0.14.0:
/// message, ERC-191 hash, signature.
const PERSONAL: [(&str, &str, &str); 2] = [
    (
        "hello Countersign",
        "1b62f5dd402e430787449ec8fec749b2615c212f324edf5cb85c977a5ce5361f",
        "0x889bf5b4233cca3963837da11e08e07ca636d76313f0b8c10c5d5e1e6272a114\
         3e7c84f5ffd1b8042c0be2822d033a70fb2925246072878c0460417cb61ee38a1c",
    ),
    (
        "zürich\n€",
        "942dec6df49e79461b3fa5c6cf79c82821b817817f37c6acf20ceff30da86190",
        "0x544db2269c563ac9700fa04ad836c0eecbe4daee0db2bbfb52459f0bb4ec3498\
         4fe845e26dd0cf4d96777810220b95a47c4a1fe8cf5624c8c11c57633ad2c6d11c",
    ),
];

#[test]
fn personal_messages_hash_and_recover_like_eth_account() {
    for (message, hash, text) in PERSONAL {
        assert_eq!(hex::encode(personal_message_hash(message.as_bytes())), hash);
        let signature = Signature::parse(text).unwrap();
        assert_eq!(recover_personal(message.as_bytes(), &signature), Ok(signer()));
        assert_ne!(recover_personal(b"another text", &signature), Ok(signer()));
        assert_eq!(signature.to_hex(), text);
    }
}

#[test]
fn forms_of_v_and_letter_case_give_one_value() {
    let canonical = PERSONAL[0].2;
    let parsed = Signature::parse(canonical).unwrap();
    let body = &canonical[2..130];
    for form in [format!("0x{body}01"), format!("0x{body}1C"), format!("0x{}1c", body.to_ascii_uppercase())] {
        let other = Signature::parse(&form).unwrap();
        assert_eq!(other, parsed);
        assert_eq!(other.to_hex(), canonical);
    }
}

#[test]
fn other_shapes_are_refused() {
    let canonical = PERSONAL[0].2;
    let body = &canonical[2..130];
    let shapes = [
        String::new(),
        canonical[2..].to_owned(),
        format!("0X{}", &canonical[2..]),
        format!("0x{body}"),
        format!("{canonical}00"),
        format!(" {canonical}"),
        canonical.replace('a', "\u{430}"),
    ];
    for text in shapes {
        assert_eq!(Signature::parse(&text), Err(SignatureError::Shape), "{text:?}");
    }
    for v in ["02", "1a", "1d", "25", "ff"] {
        assert_eq!(Signature::parse(&format!("0x{body}{v}")), Err(SignatureError::RecoveryId));
    }
}

#[test]
fn values_outside_the_group_are_refused() {
    let one = U256::from(1);
    for (r, s) in [(U256::ZERO, one), (one, U256::ZERO), (ORDER, one), (one, ORDER), (U256::MAX, U256::MAX)] {
        assert_eq!(Signature::new(r, s, false), Err(SignatureError::Range));
    }
    assert_eq!(Signature::new(one, HALF_ORDER + one, false), Err(SignatureError::HighS));
    assert_eq!(Signature::new(one, ORDER - one, false), Err(SignatureError::HighS));
    assert!(Signature::new(one, HALF_ORDER, false).is_ok());
}

#[test]
fn r_that_is_no_point_recovers_to_nobody() {
    // x = 5 has no point on secp256k1.
    let signature = Signature::new(U256::from(5), U256::from(1), false).unwrap();
    assert_eq!(signature.recover(B256::repeat_byte(1)), Err(SignatureError::NoSigner));
}

#[test]
fn token_output_for_another_key_or_digest_is_refused() {
    let digest = B256::repeat_byte(7);
    let rs: [u8; 64] = sign(digest).to_bytes()[..64].try_into().unwrap();
    let other = address!("742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71");
    assert_eq!(Signature::from_token(&rs, digest, other), Err(SignatureError::OtherSigner));
    let wrong_digest = Signature::from_token(&rs, B256::repeat_byte(8), signer());
    assert_eq!(wrong_digest, Err(SignatureError::OtherSigner));
    assert_eq!(Signature::from_token(&[0; 64], digest, signer()), Err(SignatureError::Range));
    assert_eq!(Signature::from_token(&[255; 64], digest, signer()), Err(SignatureError::Range));
}

proptest! {
    #[test]
    fn malleated_signatures_are_refused_and_token_output_is_mended(bytes: [u8; 32]) {
        let digest = B256::from(bytes);
        let signature = sign(digest);
        let proven = signature.verify(digest, signer()).unwrap();
        prop_assert_eq!((proven.signature(), proven.digest(), proven.signer()), (signature, digest, signer()));

        let high = ORDER - signature.s();
        prop_assert_eq!(
            Signature::new(signature.r(), high, !signature.y_parity()),
            Err(SignatureError::HighS)
        );

        let mut rs = [0_u8; 64];
        rs[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
        rs[32..].copy_from_slice(&high.to_be_bytes::<32>());
        prop_assert_eq!(Signature::from_token(&rs, digest, signer()), signature.verify(digest, signer()));
        rs[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
        prop_assert_eq!(Signature::from_token(&rs, digest, signer()), signature.verify(digest, signer()));
    }

    #[test]
    fn parsing_never_panics_and_is_stable(text in "(0x)?[0-9a-fA-F]{0,140}") {
        if let Ok(signature) = Signature::parse(&text) {
            prop_assert_eq!(Signature::parse(&signature.to_hex()), Ok(signature));
        }
    }
}
