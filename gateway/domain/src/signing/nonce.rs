//! Choosing a nonce. The unique row behind an attempt is the lease; this only finds a likely free number.

use alloy_primitives::Address;

use crate::{chain::ChainId, error::Result, ports::Services};

/// The lowest nonce that the chain has not used and no live attempt holds, so that a released one is filled before
/// a higher one is taken and nothing waits behind a gap.
///
/// The key never leaves the token, so whatever the chain has used we have signed. A node that says otherwise is
/// lying or lagging behind a restored database, and a nonce from it would be a post-dated cheque: `None`.
pub(super) async fn next(
    services: &Services,
    chain: ChainId,
    address: Address,
    used_on_chain: u64,
) -> Result<Option<u64>> {
    let held = services.store.held_nonces(chain, address, used_on_chain.saturating_sub(1)).await?;
    Ok(first_gap(used_on_chain, &held))
}

fn first_gap(used_on_chain: u64, held: &[u64]) -> Option<u64> {
    if used_on_chain > 0 && held.first() != Some(&(used_on_chain - 1)) {
        return None;
    }
    let mut candidate = used_on_chain;
    for nonce in held {
        if *nonce == candidate {
            candidate += 1;
        }
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use super::first_gap;

    #[test]
    fn fills_the_lowest_gap() {
        assert_eq!(first_gap(0, &[]), Some(0));
        assert_eq!(first_gap(0, &[0, 1]), Some(2));
        assert_eq!(first_gap(5, &[4, 5, 6]), Some(7));
        assert_eq!(first_gap(5, &[4, 6, 7]), Some(5));
        assert_eq!(first_gap(5, &[4, 5, 7]), Some(6));
    }

    #[test]
    fn refuses_a_count_that_we_did_not_make() {
        assert_eq!(first_gap(1_000_000, &[]), None);
        assert_eq!(first_gap(8, &[6]), None);
        assert_eq!(first_gap(u64::MAX, &[3]), None);
    }
}
