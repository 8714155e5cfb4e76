use serde_json::json;

use super::*;

const HASH: B256 = B256::repeat_byte(0x11);

fn text(byte: u8) -> String {
    format!("0x{}", hex::encode([byte; 32]))
}

#[test]
fn quantities_are_minimal_hexadecimal() {
    assert_eq!(quantity(&json!("0x0")), Ok(U256::ZERO));
    assert_eq!(quantity(&json!("0xfF")), Ok(U256::from(255)));
    assert_eq!(quantity(&json!(format!("0x{}", "f".repeat(64)))), Ok(U256::MAX));
    let beyond = format!("0x1{}", "0".repeat(64));
    for value in [
        json!("0x"),
        json!("0x00"),
        json!("0x01"),
        json!("0"),
        json!("12"),
        json!("0X1"),
        json!("0x-1"),
        json!("0x+1"),
        json!("0x1_0"),
        json!(" 0x1"),
        json!(1),
        json!(null),
        json!(["0x1"]),
        json!(beyond),
    ] {
        assert!(quantity(&value).is_err(), "{value}");
    }
    assert_eq!(quantity_u64(&json!("0xffffffffffffffff")), Ok(u64::MAX));
    assert!(quantity_u64(&json!("0x10000000000000000")).is_err());
    assert!(quantity_u128(&json!(format!("0x1{}", "0".repeat(32)))).is_err());
}

#[test]
fn hashes_are_32_bytes() {
    assert_eq!(hash(&json!(text(0x11))), Ok(HASH));
    for value in [json!(&text(1)[2..]), json!(&text(1)[..64]), json!(format!("{}00", text(1))), json!(0)] {
        assert!(hash(&value).is_err(), "{value}");
    }
}

#[test]
fn block_with_and_without_base_fee() {
    let mut answer = json!({
        "number": "0x10", "hash": text(1), "parentHash": text(2), "timestamp": "0x5", "baseFeePerGas": "0x7",
    });
    let read = block(&answer).unwrap().unwrap();
    assert_eq!((read.number, read.base_fee_per_gas), (16, Some(7)));
    answer["baseFeePerGas"] = json!(null);
    assert_eq!(block(&answer).unwrap().unwrap().base_fee_per_gas, None);
    assert_eq!(block(&json!(null)), Ok(None));
    for field in ["number", "hash", "parentHash", "timestamp"] {
        let mut lacking = answer.clone();
        lacking[field] = json!(null);
        assert!(block(&lacking).is_err(), "{field}");
    }
    assert!(block(&json!("0x1")).is_err());
    assert!(block(&json!([])).is_err());
}

#[test]
fn receipt_must_be_the_one_asked_for() {
    let answer = json!({
        "transactionHash": text(0x11), "blockHash": text(2), "blockNumber": "0x3", "status": "0x0",
        "gasUsed": "0x5208", "effectiveGasPrice": "0x9",
    });
    let read = receipt(&answer, HASH).unwrap().unwrap();
    assert!(!read.success);
    assert_eq!((read.block_number, read.gas_used, read.effective_gas_price), (3, 21_000, Some(9)));
    assert_eq!(receipt(&answer, B256::ZERO), Err("receipt is of another transaction"));
    for status in [json!(null), json!("0x2"), json!("0x01"), json!(1), json!(true)] {
        let mut odd = answer.clone();
        odd["status"] = status.clone();
        assert!(receipt(&odd, HASH).is_err(), "{status}");
    }
}

#[test]
fn receipt_without_block_is_none() {
    assert_eq!(receipt(&json!(null), HASH), Ok(None));
    let pending = json!({"transactionHash": text(0x11), "blockHash": null, "status": "0x1"});
    assert_eq!(receipt(&pending, HASH), Ok(None));
    assert!(receipt(&json!(true), HASH).is_err());
}

#[test]
fn known_transaction_must_be_the_one_asked_for() {
    let mut answer = json!({
        "hash": text(0x11), "from": "0x3535353535353535353535353535353535353535", "nonce": "0x7",
        "blockNumber": null,
    });
    let read = known_transaction(&answer, HASH).unwrap().unwrap();
    assert_eq!((read.nonce, read.block_number), (7, None));
    assert_eq!(read.from, Address::repeat_byte(0x35));
    assert!(known_transaction(&answer, B256::ZERO).is_err());
    answer["from"] = json!("0x35");
    assert!(known_transaction(&answer, HASH).is_err());
    assert_eq!(known_transaction(&json!(null), HASH), Ok(None));
}
