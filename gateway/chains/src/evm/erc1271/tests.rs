use alloy_primitives::B256;

use super::{call_data, is_yes};

/// As `cast calldata "isValidSignature(bytes32,bytes)"` writes it.
#[test]
fn a_call_is_abi_encoded() {
    let data = call_data(B256::repeat_byte(0x11), &[0xaa, 0xbb, 0xcc]);
    let expected = format!("1626ba7e{}{:064x}{:064x}aabbcc{}", "11".repeat(32), 64, 3, "00".repeat(29));
    assert_eq!(hex::encode(data), expected);
    assert_eq!(call_data(B256::ZERO, &[1; 64]).len(), 4 + 3 * 32 + 64, "nothing to pad");
    assert_eq!(call_data(B256::ZERO, &[]).len(), 4 + 3 * 32);
}

#[test]
fn only_the_padded_magic_word_is_a_yes() {
    let word = |head: &str| hex::decode(format!("{head:0<64}")).unwrap();
    assert!(is_yes(&word("1626ba7e")));
    assert!(
        is_yes(&[word("1626ba7e"), word("ff")].concat()),
        "what follows the word is ignored, as Solidity does"
    );
    for no in [
        Vec::new(),
        vec![0x16, 0x26, 0xba, 0x7e],
        word("ffffffff"),
        word("1626ba7f"),
        word("1626ba7e01"),
        // The identity precompile answers with its input.
        call_data(B256::repeat_byte(0x11), &[1; 65]),
        hex::decode(format!("{:0>64}", "1626ba7e")).unwrap(),
        hex::decode(format!("{:0>64}", "1")).unwrap(),
    ] {
        assert!(!is_yes(&no), "{}", hex::encode(no));
    }
}
