//! What decoded bytes would do, and whether that is what was judged. A permit to sign is made only
//! after [`check_within`] accepted the projection of the final bytes.

use alloy_primitives::{Address, Bytes, U256};

use super::transaction::UnsignedTransaction;

/// The effect of a transaction, with its worst-case cost. On rollups the fee for posting data to
/// the parent chain comes on top; it is not part of the signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    pub chain_id: u64,
    pub to: Address,
    /// In wei.
    pub value: U256,
    pub data: Bytes,
    pub gas_limit: u64,
    /// In wei.
    pub fee_per_gas_max: u128,
    /// `value + gas_limit * fee_per_gas_max`, in wei.
    pub total_max: U256,
}

/// Upper bounds that an intent carries, so that nonce and fee can be chosen late (in wei).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    pub gas_limit_max: u64,
    pub fee_per_gas_max: u128,
    pub total_max: U256,
}

/// The part of an intent that bytes are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentView<'a> {
    pub chain_id: u64,
    pub to: Address,
    /// In wei.
    pub value: U256,
    pub data: &'a [u8],
    pub ceilings: Ceilings,
}

/// The first field in which bytes and intent differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("`chain_id` is {found}, the intent says {intended}")]
    ChainId { intended: u64, found: u64 },
    #[error("`to` is {found}, the intent says {intended}")]
    To { intended: Address, found: Address },
    #[error("`value` is {found}, the intent says {intended}")]
    Value { intended: U256, found: U256 },
    #[error("`data` differs from the intent")]
    Data,
    #[error("`gas_limit` {found} exceeds the ceiling {ceiling}")]
    GasLimit { ceiling: u64, found: u64 },
    #[error("`fee_per_gas` {found} exceeds the ceiling {ceiling}")]
    FeePerGas { ceiling: u128, found: u128 },
    #[error("`total` {found} exceeds the ceiling {ceiling}")]
    Total { ceiling: U256, found: U256 },
    #[error("`total` overflows 256 bits")]
    TotalOverflow,
}

/// Projects a transaction; fails only when its total does not fit 256 bits.
pub fn project(transaction: &UnsignedTransaction) -> Result<Projection, Mismatch> {
    let fee_per_gas_max = transaction.gas_price.fee_per_gas_max();
    let total_max = U256::from(transaction.gas_limit)
        .checked_mul(U256::from(fee_per_gas_max))
        .and_then(|fee| fee.checked_add(transaction.value))
        .ok_or(Mismatch::TotalOverflow)?;
    Ok(Projection {
        chain_id: transaction.chain_id,
        to: transaction.to,
        value: transaction.value,
        data: transaction.data.clone(),
        gas_limit: transaction.gas_limit,
        fee_per_gas_max,
        total_max,
    })
}

/// Accepts a projection that does what the intent says at no more than its ceilings.
pub fn check_within(projection: &Projection, intent: &IntentView<'_>) -> Result<(), Mismatch> {
    let Ceilings { gas_limit_max, fee_per_gas_max, total_max } = intent.ceilings;
    if projection.chain_id != intent.chain_id {
        return Err(Mismatch::ChainId { intended: intent.chain_id, found: projection.chain_id });
    }
    if projection.to != intent.to {
        return Err(Mismatch::To { intended: intent.to, found: projection.to });
    }
    if projection.value != intent.value {
        return Err(Mismatch::Value { intended: intent.value, found: projection.value });
    }
    if *projection.data != *intent.data {
        return Err(Mismatch::Data);
    }
    if projection.gas_limit > gas_limit_max {
        return Err(Mismatch::GasLimit { ceiling: gas_limit_max, found: projection.gas_limit });
    }
    if projection.fee_per_gas_max > fee_per_gas_max {
        return Err(Mismatch::FeePerGas { ceiling: fee_per_gas_max, found: projection.fee_per_gas_max });
    }
    if projection.total_max > total_max {
        return Err(Mismatch::Total { ceiling: total_max, found: projection.total_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
