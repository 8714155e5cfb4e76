//! From a node's receipt to where one transaction stands, as that node tells it.

use alloy_primitives::B256;
use gateway_domain::chain::Inclusion;

use super::rpc::Receipt;

/// Judges a receipt. `canonical_block` is the hash that the node now gives for the receipt's block number, `head` its
/// newest block number. A receipt of a block that is not on the canonical chain (any more) counts as none: the
/// transaction is on its way again.
pub fn inclusion(receipt: &Receipt, canonical_block: Option<B256>, head: Option<u64>) -> Inclusion {
    let above = head.and_then(|head| head.checked_sub(receipt.block_number));
    match above {
        Some(above) if canonical_block == Some(receipt.block_hash) => Inclusion::Mined {
            block: receipt.block_number,
            block_hash: receipt.block_hash,
            confirmations: above.saturating_add(1),
            succeeded: receipt.success,
        },
        Some(_) | None => Inclusion::Queued,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(block_number: u64, success: bool) -> Receipt {
        Receipt {
            transaction_hash: B256::repeat_byte(1),
            block_hash: B256::repeat_byte(2),
            block_number,
            success,
            gas_used: 21_000,
            effective_gas_price: None,
        }
    }

    fn mined(block: u64, confirmations: u64, succeeded: bool) -> Inclusion {
        Inclusion::Mined { block, block_hash: B256::repeat_byte(2), confirmations, succeeded }
    }

    const CANONICAL: Option<B256> = Some(B256::repeat_byte(2));

    #[test]
    fn confirmations_count_the_block_itself() {
        for (block, head, confirmations) in [(10, 10, 1), (10, 11, 2), (10, 12, 3), (0, 0, 1)] {
            let found = inclusion(&receipt(block, true), CANONICAL, Some(head));
            assert_eq!(found, mined(block, confirmations, true));
        }
        assert_eq!(inclusion(&receipt(10, true), CANONICAL, Some(u64::MAX)), mined(10, u64::MAX - 9, true));
        assert_eq!(inclusion(&receipt(0, true), CANONICAL, Some(u64::MAX)), mined(0, u64::MAX, true));
    }

    #[test]
    fn failed_execution_gathers_confirmations_too() {
        assert_eq!(inclusion(&receipt(10, false), CANONICAL, Some(11)), mined(10, 2, false));
    }

    #[test]
    fn receipt_off_the_canonical_chain_is_none() {
        let stale = receipt(10, true);
        assert_eq!(inclusion(&stale, Some(B256::repeat_byte(3)), Some(12)), Inclusion::Queued);
        assert_eq!(inclusion(&stale, None, Some(12)), Inclusion::Queued);
        assert_eq!(inclusion(&stale, CANONICAL, Some(9)), Inclusion::Queued);
        assert_eq!(inclusion(&stale, CANONICAL, None), Inclusion::Queued);
    }
}
