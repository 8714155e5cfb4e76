//! Node answers into types. Every length and range is checked; nothing is guessed.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use serde_json::Value;

use super::{Block, KnownTransaction, Receipt};

/// What is wrong with an answer.
pub(super) type Fault = &'static str;

/// JSON-RPC 2.0 reply. A `result` of null is an answer, an absent one is not.
#[derive(Deserialize)]
pub(super) struct Reply {
    pub(super) jsonrpc: String,
    pub(super) id: Value,
    #[serde(default, deserialize_with = "present")]
    pub(super) result: Option<Value>,
    pub(super) error: Option<ReplyError>,
}

#[derive(Deserialize)]
pub(super) struct ReplyError {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Hexadecimal quantity of the execution API: `0x0` or no leading zero, at most 256 bits.
pub(super) fn quantity(value: &Value) -> Result<U256, Fault> {
    const FAULT: Fault = "quantity is not minimal `0x` hexadecimal";
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or(FAULT)?;
    let minimal = digits == "0" || !digits.starts_with('0');
    let sized = (1..=64).contains(&digits.len());
    if !minimal || !sized || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(FAULT);
    }
    U256::from_str_radix(digits, 16).map_err(|_| FAULT)
}

/// A quantity as the node wrote it, which is the only way to write it but for the case of its digits.
pub(super) fn quantity_text(value: &Value) -> Result<String, Fault> {
    Ok(format!("{:#x}", quantity(value)?))
}

/// Bytes as text in lower case.
pub(super) fn bytes_text(value: &Value) -> Result<String, Fault> {
    const FAULT: Fault = "bytes are not `0x` hexadecimal";
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or(FAULT)?;
    if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(FAULT);
    }
    Ok(format!("0x{}", digits.to_ascii_lowercase()))
}

pub(super) fn quantity_u64(value: &Value) -> Result<u64, Fault> {
    u64::try_from(quantity(value)?).map_err(|_| "quantity exceeds 64 bits")
}

pub(super) fn quantity_u128(value: &Value) -> Result<u128, Fault> {
    u128::try_from(quantity(value)?).map_err(|_| "quantity exceeds 128 bits")
}

pub(super) fn hash(value: &Value) -> Result<B256, Fault> {
    let mut bytes = [0_u8; 32];
    fixed(value, &mut bytes, "hash is not 32 bytes of `0x` hexadecimal")?;
    Ok(bytes.into())
}

/// Data of any length, `0x` when there is none.
pub(super) fn bytes(value: &Value) -> Result<Bytes, Fault> {
    const FAULT: Fault = "data is not pairs of `0x` hexadecimal digits";
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or(FAULT)?;
    hex::decode(digits).map(Bytes::from).map_err(|_| FAULT)
}

pub(super) fn block(value: &Value) -> Result<Option<Block>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    Ok(Some(Block {
        number: quantity_u64(member(value, "number"))?,
        hash: hash(member(value, "hash"))?,
        parent_hash: hash(member(value, "parentHash"))?,
        timestamp: quantity_u64(member(value, "timestamp"))?,
        base_fee_per_gas: optional(value, "baseFeePerGas", quantity_u128)?,
    }))
}

pub(super) fn receipt(value: &Value, requested: B256) -> Result<Option<Receipt>, Fault> {
    // Some nodes send a receipt without block for a transaction in the pool.
    if value.is_null() || (value.is_object() && member(value, "blockHash").is_null()) {
        return Ok(None);
    }
    let transaction_hash = hash(member(value, "transactionHash"))?;
    if transaction_hash != requested {
        return Err("receipt is of another transaction");
    }
    let success = match member(value, "status").as_str() {
        Some("0x1") => true,
        Some("0x0") => false,
        _ => return Err("receipt status is neither `0x0` nor `0x1`"),
    };
    Ok(Some(Receipt {
        transaction_hash,
        block_hash: hash(member(value, "blockHash"))?,
        block_number: quantity_u64(member(value, "blockNumber"))?,
        success,
        gas_used: quantity_u64(member(value, "gasUsed"))?,
        effective_gas_price: optional(value, "effectiveGasPrice", quantity_u128)?,
    }))
}

pub(super) fn known_transaction(value: &Value, requested: B256) -> Result<Option<KnownTransaction>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    let transaction_hash = hash(member(value, "hash"))?;
    if transaction_hash != requested {
        return Err("answer is another transaction");
    }
    let mut from = [0_u8; 20];
    fixed(member(value, "from"), &mut from, "address is not 20 bytes of `0x` hexadecimal")?;
    Ok(Some(KnownTransaction {
        hash: transaction_hash,
        from: Address::from(from),
        nonce: quantity_u64(member(value, "nonce"))?,
        block_number: optional(value, "blockNumber", quantity_u64)?,
    }))
}

fn fixed(value: &Value, bytes: &mut [u8], fault: Fault) -> Result<(), Fault> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or(fault)?;
    hex::decode_to_slice(digits, bytes).map_err(|_| fault)
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn optional<T>(value: &Value, name: &str, read: fn(&Value) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
    match member(value, name) {
        Value::Null => Ok(None),
        given => read(given).map(Some),
    }
}

#[cfg(test)]
mod tests;
