//! `eth_signTransaction`: the request made of what was approved, and the signature taken from the answer.

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Decodable2718;
use gateway_domain::{Error, Result, chain::GasFee, quorums::PrivySigning};
use serde_json::{Value, json};

/// The RPC body for exactly this payload. Nonce and fees were chosen with the permit; Privy fills in nothing.
pub(super) fn request(signing: &PrivySigning<'_>) -> Result<Value> {
    let PrivySigning { intent, nonce, pricing, .. } = signing;
    let to = intent.to.ok_or_else(|| Error::inconsistency("the intent has no recipient"))?;
    let mut transaction = json!({
        "to": to.to_string(),
        "value": format!("{:#x}", intent.value),
        "data": format!("0x{}", hex::encode(&intent.data)),
        "chain_id": intent.chain.number(),
        "nonce": nonce,
        "gas_limit": format!("{:#x}", pricing.gas_limit),
    });
    match pricing.fee {
        GasFee::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
            transaction["type"] = json!(2);
            transaction["max_fee_per_gas"] = json!(format!("{max_fee_per_gas:#x}"));
            transaction["max_priority_fee_per_gas"] = json!(format!("{max_priority_fee_per_gas:#x}"));
        }
        GasFee::Legacy { gas_price } => {
            transaction["type"] = json!(0);
            transaction["gas_price"] = json!(format!("{gas_price:#x}"));
        }
    }
    Ok(json!({"method": "eth_signTransaction", "params": {"transaction": transaction}}))
}

/// r || s || recovery id of the signed transaction. Whatever else the vendor put into it does not matter: the caller
/// joins the signature to its own bytes and recovers the signer.
pub(super) fn signature(told: &Value) -> Result<[u8; 65], &'static str> {
    let text = told["data"]["signed_transaction"].as_str().ok_or("there is no signed transaction")?;
    let raw = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    let raw = raw.ok_or("the signed transaction is not hexadecimal")?;
    let signed = TxEnvelope::decode_2718(&mut raw.as_slice());
    let signed = signed.map_err(|_| "the signed transaction does not decode")?;
    let mut signature = [0; 65];
    signature[..32].copy_from_slice(&signed.signature().r().to_be_bytes::<32>());
    signature[32..64].copy_from_slice(&signed.signature().s().to_be_bytes::<32>());
    signature[64] = u8::from(signed.signature().v());
    Ok(signature)
}
