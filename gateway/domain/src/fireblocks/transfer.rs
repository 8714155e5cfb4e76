//! The body of `POST /v1/transactions`, made from the intent and from nothing else.

use alloy_primitives::{Address, B256, U256};
use serde::Serialize;

use crate::{fireblocks::FireblocksAccount, transactions::Transaction, vendors::ToldTransfer};

/// Path of the one value-moving request.
pub const CREATE_URI: &str = "/v1/transactions";

/// Decimals of the native asset of every chain of namespace `eip155`.
const DECIMALS: usize = 18;
/// Of a gwei, in which Fireblocks takes prices of gas.
const GWEI_DECIMALS: usize = 9;

/// A transaction that Fireblocks cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[error("the transaction has no {0}")]
pub struct TransferInvalid(&'static str);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transfer<'a> {
    operation: &'static str,
    asset_id: &'a str,
    source: Source<'a>,
    destination: Destination,
    amount: String,
    /// The price of gas above which Fireblocks must not pay: the intent's ceiling. Its `gasLimit` is no ceiling but the
    /// limit itself, which the account would have to cover in full, and is left to Fireblocks.
    max_fee: String,
    /// Where the market already asks for more than that, Fireblocks fails the transaction when it signs: below the
    /// ceiling it would be broadcast, stay unmined, and hold up whatever the account sends next.
    fail_on_low_fee: bool,
    note: String,
    external_tx_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_parameters: Option<ExtraParameters>,
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    #[serde(rename = "type")]
    kind: &'static str,
    one_time_address: OneTimeAddress,
}

#[derive(Serialize)]
struct OneTimeAddress {
    address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtraParameters {
    contract_call_data: String,
}

/// The request's body, the same bytes for the same transaction every time.
pub fn compose_transfer(transaction: &Transaction) -> Result<Vec<u8>, TransferInvalid> {
    let intent = &transaction.intent;
    let account: &FireblocksAccount =
        intent.vendor_account.as_ref().ok_or(TransferInvalid("vendor account"))?;
    let to = intent.to.ok_or(TransferInvalid("recipient"))?;
    let name = external_id(transaction.request_hash);
    let is_call = !intent.data.is_empty();
    let transfer = Transfer {
        operation: if is_call { "CONTRACT_CALL" } else { "TRANSFER" },
        asset_id: &account.asset,
        source: Source { kind: "VAULT_ACCOUNT", id: &account.vault_account },
        destination: Destination {
            kind: "ONE_TIME_ADDRESS",
            one_time_address: OneTimeAddress { address: to.to_string() },
        },
        amount: whole_units(intent.value),
        max_fee: gwei(intent.ceilings.fee_per_gas),
        fail_on_low_fee: true,
        note: format!("gateway {name}"),
        external_tx_id: name,
        extra_parameters: is_call
            .then(|| ExtraParameters { contract_call_data: format!("0x{}", hex::encode(&intent.data)) }),
    };
    Ok(serde_json::to_vec(&transfer).expect("text and structs serialize"))
}

/// The name by which Fireblocks knows the transaction.
pub(crate) fn external_id(request_hash: B256) -> String {
    format!("{request_hash:#x}")
}

/// Whether what Fireblocks tells of a transaction contradicts nothing that was asked for: another one may have the
/// same external id.
pub(crate) fn is_about(told: &ToldTransfer, transaction: &Transaction) -> bool {
    let intent = &transaction.intent;
    let Some(account) = intent.vendor_account.as_ref() else { return false };
    let agrees = |told: &Option<String>, asked: &str| told.as_ref().is_none_or(|told| told == asked);
    let destination = told.destination.as_ref().map(|text| text.parse::<Address>().ok());
    let amount = told.amount.as_deref().map(plain_decimal);
    agrees(&told.asset, &account.asset)
        && agrees(&told.vault_account, &account.vault_account)
        && destination.is_none_or(|told| told == intent.to)
        && amount.is_none_or(|told| told == whole_units(intent.value))
}

/// A decimal number without what does not change it: `0.10` and `0.1` are the same amount.
fn plain_decimal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.trim_end_matches('0').is_empty() => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{}", fraction.trim_end_matches('0')),
        None => text.to_owned(),
    }
}

/// Wei as ether, exactly: no rounding, no exponent, no trailing zeros.
pub fn whole_units(wei: U256) -> String {
    decimal(wei, DECIMALS)
}

fn gwei(wei: u128) -> String {
    decimal(U256::from(wei), GWEI_DECIMALS)
}

fn decimal(units: U256, decimals: usize) -> String {
    let digits = format!("{units:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests;
