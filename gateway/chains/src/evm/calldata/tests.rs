use super::*;

const ESCROW: &str = "000000000000000000000000742d35cc6486c8b9bc0cbe34cb8b6ca7ec440e71";
const TO: &str = "0000000000000000000000003535353535353535353535353535353535353535";
const ESCROW_TEXT: &str = "0x742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71";
const TO_TEXT: &str = "0x3535353535353535353535353535353535353535";

fn word(value: u64) -> String {
    format!("{value:064x}")
}

fn bytes(parts: &[&str]) -> Vec<u8> {
    hex::decode(parts.concat()).unwrap()
}

fn check(data: &[u8], standard: &str, signature: &str, arguments: &[(&str, &str)]) {
    let call = decode(data).unwrap().unwrap();
    assert_eq!((call.standard, call.signature), (standard, signature));
    let found: Vec<_> = call.arguments.iter().map(|found| (found.name, found.value.as_str())).collect();
    assert_eq!(found, arguments);
}

/// Selectors and the dynamic encodings below from Python's eth-abi 6.0.0.
#[test]
fn token_calls_are_named() {
    let (five, yes) = (word(5), word(1));
    check(
        &bytes(&["a9059cbb", TO, &five]),
        "ERC-20",
        "transfer(address,uint256)",
        &[("to", TO_TEXT), ("amount", "5")],
    );
    let most = "f".repeat(64);
    check(
        &bytes(&["095ea7b3", TO, &most]),
        "ERC-20 or ERC-721",
        "approve(address,uint256)",
        &[("spender", TO_TEXT), ("amountOrTokenId", &U256::MAX.to_string())],
    );
    check(
        &bytes(&["23b872dd", ESCROW, TO, &five]),
        "ERC-20 or ERC-721",
        "transferFrom(address,address,uint256)",
        &[("from", ESCROW_TEXT), ("to", TO_TEXT), ("amountOrTokenId", "5")],
    );
    check(
        &bytes(&["39509351", TO, &five]),
        "ERC-20 extension",
        "increaseAllowance(address,uint256)",
        &[("spender", TO_TEXT), ("addedValue", "5")],
    );
    check(
        &bytes(&["a457c2d7", TO, &five]),
        "ERC-20 extension",
        "decreaseAllowance(address,uint256)",
        &[("spender", TO_TEXT), ("subtractedValue", "5")],
    );
    check(
        &bytes(&["a22cb465", TO, &yes]),
        "ERC-721 or ERC-1155",
        "setApprovalForAll(address,bool)",
        &[("operator", TO_TEXT), ("approved", "true")],
    );
    check(&bytes(&["d0e30db0"]), "WETH", "deposit()", &[]);
    check(&bytes(&["2e1a7d4d", &five]), "WETH", "withdraw(uint256)", &[("amount", "5")]);
}

#[test]
fn permit_is_named() {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    check(
        &bytes(&["d505accf", ESCROW, TO, &word(5), &word(6), &word(27), &one, &two]),
        "ERC-2612",
        "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
        &[
            ("owner", ESCROW_TEXT),
            ("spender", TO_TEXT),
            ("value", "5"),
            ("deadline", "6"),
            ("v", "27"),
            ("r", &format!("0x{one}")),
            ("s", &format!("0x{two}")),
        ],
    );
}

#[test]
fn token_transfers_with_data_are_named() {
    check(
        &bytes(&["42842e0e", ESCROW, TO, &word(5)]),
        "ERC-721",
        "safeTransferFrom(address,address,uint256)",
        &[("from", ESCROW_TEXT), ("to", TO_TEXT), ("tokenId", "5")],
    );
    let one_byte = format!("01{}", "00".repeat(31));
    check(
        &bytes(&["b88d4fde", ESCROW, TO, &word(5), &word(0x80), &word(1), &one_byte]),
        "ERC-721",
        "safeTransferFrom(address,address,uint256,bytes)",
        &[("from", ESCROW_TEXT), ("to", TO_TEXT), ("tokenId", "5"), ("data", "0x01")],
    );
    check(
        &bytes(&["f242432a", ESCROW, TO, &word(5), &word(6), &word(0xa0), &word(0)]),
        "ERC-1155",
        "safeTransferFrom(address,address,uint256,uint256,bytes)",
        &[("from", ESCROW_TEXT), ("to", TO_TEXT), ("id", "5"), ("amount", "6"), ("data", "0x")],
    );
    check(
        &batch(),
        "ERC-1155",
        "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
        &[
            ("from", ESCROW_TEXT),
            ("to", TO_TEXT),
            ("ids", "[1, 2]"),
            ("amounts", "[30, 40]"),
            ("data", "0xaabb"),
        ],
    );
}

fn batch() -> Vec<u8> {
    let tail = format!("aabb{}", "00".repeat(30));
    bytes(&[
        "2eb2c2d6",
        ESCROW,
        TO,
        &word(0xa0),
        &word(0x100),
        &word(0x160),
        &word(2),
        &word(1),
        &word(2),
        &word(2),
        &word(30),
        &word(40),
        &word(2),
        &tail,
    ])
}

#[test]
fn unknown_and_absent_selectors_are_no_call() {
    for data in [&[][..], &[0xa9, 0x05, 0x9c], &[0xde, 0xad, 0xbe, 0xef], &[0; 100]] {
        assert_eq!(decode(data), Ok(None));
    }
}

#[test]
fn selectors_are_distinct() {
    let mut selectors: Vec<_> = DECODERS.iter().map(|decoder| decoder.selector).collect();
    selectors.sort_unstable();
    selectors.dedup();
    assert_eq!(selectors.len(), DECODERS.len());
}

#[test]
fn arguments_that_no_encoder_makes_are_refused() {
    let dirty_address = format!("01{}", &TO[2..]);
    let five = word(5);
    let cases = [
        bytes(&["a9059cbb"]),
        bytes(&["a9059cbb", TO]),
        bytes(&["a9059cbb", TO, &five[..62]]),
        bytes(&["a9059cbb", TO, &five, "00"]),
        bytes(&["a9059cbb", TO, &five, &five]),
        bytes(&["a9059cbb", &dirty_address, &five]),
        bytes(&["a22cb465", TO, &word(2)]),
        bytes(&["d0e30db0", "00"]),
    ];
    for data in cases {
        assert!(matches!(decode(&data), Err(CalldataError::NotCanonical { .. })), "{}", hex::encode(data));
    }
}

#[test]
fn hostile_offsets_and_lengths_are_refused() {
    let canonical = batch();
    for place in (4 + 64..canonical.len()).step_by(32) {
        let mut altered = canonical.clone();
        altered[place..place + 31].fill(0xff);
        if let Ok(Some(call)) = decode(&altered) {
            // Only the elements of the arrays are free.
            assert!(call.arguments.iter().any(|argument| argument.value.len() > 70), "{place}");
        }
    }
    let empty_payload = "00".repeat(31);
    let shared_tail = bytes(&["b88d4fde", ESCROW, TO, &word(5), &word(0xa0), &word(0), &word(0)]);
    let dirty_padding =
        bytes(&["b88d4fde", ESCROW, TO, &word(5), &word(0x80), &word(1), "0101", &empty_payload[2..]]);
    for data in [shared_tail, dirty_padding] {
        assert!(decode(&data).is_err(), "{}", hex::encode(data));
    }
}
