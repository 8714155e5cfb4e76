//! From a node's receipt to the progress of one transaction hash.

use alloy_primitives::B256;

use super::rpc::Receipt;

/// How far a broadcast transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No receipt.
    Pending,
    /// A receipt of a block that is not on the canonical chain (any more).
    Orphaned,
    /// On chain with fewer confirmations than needed; the block itself is the first.
    Mined { confirmations: u64 },
    /// Deep enough, and executed.
    Confirmed,
    /// Deep enough, and reverted: the fee is spent, nothing else happened.
    Reverted,
}

/// Judges a receipt. `canonical_block` is the hash that the node now gives for the receipt's block
/// number, `head` its newest block number; `confirmations_needed` of 0 counts as 1.
pub fn progress(
    receipt: Option<&Receipt>,
    canonical_block: Option<B256>,
    head: u64,
    confirmations_needed: u64,
) -> Progress {
    let Some(receipt) = receipt else { return Progress::Pending };
    if canonical_block != Some(receipt.block_hash) || receipt.block_number > head {
        return Progress::Orphaned;
    }
    let confirmations = (head - receipt.block_number).saturating_add(1);
    if confirmations < confirmations_needed {
        Progress::Mined { confirmations }
    } else if receipt.success {
        Progress::Confirmed
    } else {
        Progress::Reverted
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

    const CANONICAL: Option<B256> = Some(B256::repeat_byte(2));

    #[test]
    fn absent_receipt_is_pending() {
        assert_eq!(progress(None, None, 10, 1), Progress::Pending);
    }

    #[test]
    fn confirmations_count_the_block_itself() {
        let mined = receipt(10, true);
        assert_eq!(progress(Some(&mined), CANONICAL, 10, 3), Progress::Mined { confirmations: 1 });
        assert_eq!(progress(Some(&mined), CANONICAL, 11, 3), Progress::Mined { confirmations: 2 });
        assert_eq!(progress(Some(&mined), CANONICAL, 12, 3), Progress::Confirmed);
        assert_eq!(progress(Some(&mined), CANONICAL, 10, 0), Progress::Confirmed);
        assert_eq!(
            progress(Some(&mined), CANONICAL, u64::MAX, u64::MAX),
            Progress::Mined { confirmations: u64::MAX - 9 }
        );
    }

    #[test]
    fn failed_execution_is_final_only_when_deep_enough() {
        let failed = receipt(10, false);
        assert_eq!(progress(Some(&failed), CANONICAL, 10, 2), Progress::Mined { confirmations: 1 });
        assert_eq!(progress(Some(&failed), CANONICAL, 11, 2), Progress::Reverted);
    }

    #[test]
    fn receipt_off_the_canonical_chain_is_orphaned() {
        let mined = receipt(10, true);
        assert_eq!(progress(Some(&mined), Some(B256::repeat_byte(3)), 12, 1), Progress::Orphaned);
        assert_eq!(progress(Some(&mined), None, 12, 1), Progress::Orphaned);
        assert_eq!(progress(Some(&mined), CANONICAL, 9, 1), Progress::Orphaned);
    }
}
