//! Choosing a nonce. The unique row behind an attempt is the lease; this only finds a likely free number.

use alloy_primitives::Address;

use crate::{chain::ChainId, error::Result, ports::Services};

/// The lowest nonce that the chain has not used and no live attempt holds, so that a released one is filled
/// before a higher one is taken and nothing waits behind a gap.
pub(super) async fn next(
    services: &Services,
    chain: ChainId,
    address: Address,
    used_on_chain: u64,
) -> Result<u64> {
    let held = services.store.held_nonces(chain, address, used_on_chain).await?;
    Ok(first_gap(used_on_chain, &held))
}

fn first_gap(from: u64, held: &[u64]) -> u64 {
    let mut candidate = from;
    for nonce in held {
        if *nonce == candidate {
            candidate += 1;
        }
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::first_gap;

    #[test]
    fn fills_the_lowest_gap() {
        assert_eq!(first_gap(5, &[]), 5);
        assert_eq!(first_gap(5, &[5, 6]), 7);
        assert_eq!(first_gap(5, &[6, 7]), 5);
        assert_eq!(first_gap(5, &[5, 7]), 6);
    }
}
