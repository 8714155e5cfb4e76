//! Fireblocks' answers. Unknown fields are ignored; what is used is checked.

use gateway_domain::{
    B256,
    fireblocks::VendorStatus,
    vendors::{ToldTransfer, VendorTransaction},
};
use serde::Deserialize;

/// Longest id taken; Fireblocks' are UUIDs.
const ID_CHARACTERS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    id: String,
    status: String,
    external_tx_id: Option<String>,
    tx_hash: Option<String>,
    asset_id: Option<String>,
    source: Option<Source>,
    destination_address: Option<String>,
    amount_info: Option<AmountInfo>,
}

#[derive(Deserialize)]
struct Source {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AmountInfo {
    requested_amount: Option<String>,
    amount: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<i64>,
}

/// A transaction; where an external id was asked for, the answer must be about it.
pub(super) fn transaction(body: &[u8], external_id: Option<&str>) -> Result<VendorTransaction, &'static str> {
    let told: Transaction = serde_json::from_slice(body).map_err(|_| "it is not a transaction")?;
    let id_fits = !told.id.is_empty()
        && told.id.len() <= ID_CHARACTERS_MAX
        && told.id.bytes().all(|byte| byte.is_ascii_graphic());
    if !id_fits {
        return Err("its id is not one");
    }
    if let (Some(asked), Some(told)) = (external_id, &told.external_tx_id)
        && asked != told
    {
        return Err("it is about another external id");
    }
    // Chains without hashes leave it empty.
    let hash = told.tx_hash.filter(|hash| !hash.is_empty()).and_then(|hash| hash.parse::<B256>().ok());
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let amount = told.amount_info.and_then(|info| given(info.requested_amount).or(given(info.amount)));
    let transfer = ToldTransfer {
        asset: given(told.asset_id),
        vault_account: told.source.and_then(|source| given(source.id)),
        destination: given(told.destination_address),
        amount,
    };
    Ok(VendorTransaction { id: told.id, status: VendorStatus::read(&told.status), hash, transfer })
}

/// Fireblocks' own number for what went wrong.
pub(super) fn error_code(body: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Failure>(body).ok()?.code
}
