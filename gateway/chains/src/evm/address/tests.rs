use super::*;

/// Vectors of EIP-55.
const CHECKSUMMED: [&str; 8] = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
];

#[test]
fn eip55_vectors_in_any_case_are_shown_checksummed() {
    for text in CHECKSUMMED {
        let upper = format!("0x{}", text[2..].to_ascii_uppercase());
        for form in [text.to_owned(), text.to_ascii_lowercase(), upper] {
            assert_eq!(to_checksum(&parse(&form).unwrap()), text);
        }
        assert!(has_valid_checksum(text));
        assert!(has_valid_checksum(&text.to_ascii_lowercase()));
    }
}

#[test]
fn wrong_checksum_is_read_yet_reported() {
    let sample = "0x742d35Cc6486C8B9BC0cBe34CB8B6ca7EC440E71";
    assert_eq!(to_checksum(&parse(sample).unwrap()), "0x742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71");
    assert!(!has_valid_checksum(sample));
}

#[test]
fn other_shapes_are_refused() {
    let digits = "742d35cc6486c8b9bc0cbe34cb8b6ca7ec440e71";
    for text in [
        String::new(),
        "0x".into(),
        digits.into(),
        format!("0X{digits}"),
        format!("0x{}", &digits[1..]),
        format!("0x{digits}0"),
        format!(" 0x{digits}"),
        format!("0x{digits}\n"),
        format!("0x{}g", &digits[1..]),
        format!("0x{}\u{0661}", &digits[2..]),
    ] {
        assert_eq!(parse(&text), Err(AddressError::Shape), "{text:?}");
        assert!(!has_valid_checksum(&text));
    }
}

/// The key of the EIP-155 example; coordinates and address from Python's eth-account 0.14.0.
#[test]
fn both_key_forms_give_one_address() {
    let address = parse("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F").unwrap();
    let x = "4bc2a31265153f07e70e0bab08724e6b85e217f8cd628ceb62974247bb493382";
    let y = "ce28cab79ad7119ee1ad3ebcdb98a16805211530ecc6cfefa1b88e6dff99232a";
    let uncompressed = hex::decode(format!("04{x}{y}")).unwrap();
    let compressed = hex::decode(format!("02{x}")).unwrap();
    assert_eq!(from_public_key(&uncompressed), Ok(address));
    assert_eq!(from_public_key(&compressed), Ok(address));

    let hybrid = hex::decode(format!("06{x}{y}")).unwrap();
    let mut off_curve = uncompressed.clone();
    off_curve[64] ^= 1;
    for bytes in [&hybrid[..], &off_curve, &uncompressed[1..], &[], &[0], &[4; 65], &[2; 65], &[4; 33]] {
        assert_eq!(from_public_key(bytes), Err(AddressError::PublicKey));
    }
}
