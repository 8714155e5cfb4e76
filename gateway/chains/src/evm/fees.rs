//! Fee choice. A node's quote is advice from a stranger: it is capped by configuration here and by
//! the intent's ceilings when the permit is made, and every step is checked arithmetic.

use super::transaction::GasPrice;

/// Bounds and habits of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeePolicy {
    /// Headroom over the current base fee, in percent; 200 survives six full blocks in a row.
    pub base_fee_percent: u32,
    /// Bounds of the tip, in wei per gas; a quote outside is brought to the nearer bound.
    pub priority_fee_min: u128,
    pub priority_fee_max: u128,
    /// No transaction is built above this, in wei per gas.
    pub fee_per_gas_max: u128,
    /// Raise of a replacement over what it replaces, in thousandths; below 125 counts as 125.
    pub replacement_bump_permille: u32,
}

/// Raise that every common pool accepts as a replacement, in thousandths.
pub const REPLACEMENT_BUMP_PERMILLE_MIN: u32 = 125;

/// What a node says about fees, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeQuote {
    /// The chain has no base fee.
    Legacy {
        gas_price: u128,
    },
    Eip1559 {
        base_fee: u128,
        priority_fee: u128,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeeError {
    #[error("fee of {needed} wei per gas exceeds the cap of {cap}")]
    AboveCap { needed: u128, cap: u128 },
    #[error("gas estimate of {estimate} exceeds `gas_limit_max` of {gas_limit_max}")]
    GasAboveMax { estimate: u64, gas_limit_max: u64 },
    #[error("fee does not fit 128 bits")]
    Overflow,
    #[error("replacement must be of the same transaction type")]
    TypeChanged,
}

/// The price for a new transaction. The headroom gives way to the cap; the price that is needed to
/// be included now does not.
pub fn suggest(quote: FeeQuote, policy: &FeePolicy) -> Result<GasPrice, FeeError> {
    let cap = policy.fee_per_gas_max;
    match quote {
        FeeQuote::Legacy { gas_price } => {
            within(gas_price, cap)?;
            Ok(GasPrice::Legacy { gas_price })
        }
        FeeQuote::Eip1559 { base_fee, priority_fee } => {
            let tip = priority_fee.min(policy.priority_fee_max).max(policy.priority_fee_min);
            let needed = base_fee.checked_add(tip).ok_or(FeeError::Overflow)?;
            within(needed, cap)?;
            let roomy = scale_up(base_fee, policy.base_fee_percent, 100)?
                .checked_add(tip)
                .ok_or(FeeError::Overflow)?;
            Ok(GasPrice::Eip1559 {
                max_fee_per_gas: roomy.max(needed).min(cap),
                max_priority_fee_per_gas: tip,
            })
        }
    }
}

/// The price for a transaction that takes the nonce of one that is stuck: at least the bump over
/// `previous` in every part, and at least what a new transaction would pay now.
pub fn suggest_replacement(
    previous: GasPrice,
    quote: FeeQuote,
    policy: &FeePolicy,
) -> Result<GasPrice, FeeError> {
    let bump = policy.replacement_bump_permille.max(REPLACEMENT_BUMP_PERMILLE_MIN);
    let permille = bump.checked_add(1000).ok_or(FeeError::Overflow)?;
    let raised = match (previous, suggest(quote, policy)?) {
        (GasPrice::Legacy { gas_price }, GasPrice::Legacy { gas_price: fresh }) => {
            GasPrice::Legacy { gas_price: scale_up(gas_price, permille, 1000)?.max(fresh) }
        }
        (
            GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas },
            GasPrice::Eip1559 { max_fee_per_gas: fresh_max, max_priority_fee_per_gas: fresh_tip },
        ) => {
            let tip = scale_up(max_priority_fee_per_gas, permille, 1000)?.max(fresh_tip);
            let max = scale_up(max_fee_per_gas, permille, 1000)?.max(fresh_max).max(tip);
            GasPrice::Eip1559 { max_fee_per_gas: max, max_priority_fee_per_gas: tip }
        }
        (GasPrice::Legacy { .. }, GasPrice::Eip1559 { .. })
        | (GasPrice::Eip1559 { .. }, GasPrice::Legacy { .. }) => return Err(FeeError::TypeChanged),
    };
    within(raised.fee_per_gas_max(), policy.fee_per_gas_max)?;
    Ok(raised)
}

/// The gas limit for an estimate: headroom for what changes until inclusion, cut at `gas_limit_max`.
/// An estimate above the maximum is refused, not cut: the transaction would run out of gas.
pub fn gas_limit(estimate: u64, headroom_percent: u32, gas_limit_max: u64) -> Result<u64, FeeError> {
    if estimate > gas_limit_max {
        return Err(FeeError::GasAboveMax { estimate, gas_limit_max });
    }
    let percent = headroom_percent.checked_add(100).ok_or(FeeError::Overflow)?;
    let roomy = scale_up(estimate.into(), percent, 100)?.min(gas_limit_max.into());
    u64::try_from(roomy).map_err(|_| FeeError::Overflow)
}

fn within(needed: u128, cap: u128) -> Result<(), FeeError> {
    if needed > cap { Err(FeeError::AboveCap { needed, cap }) } else { Ok(()) }
}

/// `amount * factor / unit`, rounded up: a bump that is one wei short is refused by the pool.
fn scale_up(amount: u128, factor: u32, unit: u128) -> Result<u128, FeeError> {
    amount.checked_mul(u128::from(factor)).map(|product| product.div_ceil(unit)).ok_or(FeeError::Overflow)
}

#[cfg(test)]
mod tests;
