use std::collections::BTreeSet;

use alloy_primitives::Address;

use super::{Holder, NonceReservations, first_gap};
use crate::{chain::ChainId, changes::Write};

fn gap(used_on_chain: u64, held: &[u64], reserved: &[u64]) -> Option<u64> {
    gap_of(Holder::Token, used_on_chain, held, reserved)
}

fn gap_of(holder: Holder, used_on_chain: u64, held: &[u64], reserved: &[u64]) -> Option<u64> {
    let set = |nonces: &[u64]| nonces.iter().copied().collect::<BTreeSet<_>>();
    first_gap((used_on_chain, holder), &set(held), &set(reserved))
}

#[test]
fn fills_the_lowest_gap() {
    assert_eq!(gap(0, &[], &[]), Some(0));
    assert_eq!(gap(0, &[0, 1], &[]), Some(2));
    assert_eq!(gap(5, &[4, 5, 6], &[]), Some(7));
    assert_eq!(gap(5, &[4, 6, 7], &[]), Some(5));
    assert_eq!(gap(5, &[4, 5, 7], &[]), Some(6));
}

#[test]
fn passes_over_what_is_reserved() {
    assert_eq!(gap(0, &[], &[0, 1]), Some(2));
    assert_eq!(gap(5, &[4, 6], &[5, 7]), Some(8));
    assert_eq!(gap(5, &[], &[4]), None, "a reservation proves no signature");
}

#[test]
fn refuses_a_count_that_we_did_not_make() {
    assert_eq!(gap(1_000_000, &[], &[]), None);
    assert_eq!(gap(8, &[6], &[]), None);
    assert_eq!(gap(u64::MAX, &[3], &[]), None);
}

#[test]
fn a_vendors_key_goes_on_where_the_chain_is() {
    assert_eq!(gap_of(Holder::Vendor, 7, &[], &[]), Some(7), "all of them were somebody else's");
    assert_eq!(gap_of(Holder::Vendor, 7, &[2, 3], &[]), Some(7));
    assert_eq!(gap_of(Holder::Vendor, 7, &[7, 9], &[8]), Some(10));
}

#[test]
fn a_reservation_ends_with_its_holder_and_only_a_reserved_predecessor_is_a_condition() {
    let reservations = NonceReservations::default();
    let account = (ChainId::eip155(1).unwrap(), Address::ZERO);
    let first = reservations.reserve(account, 3, false);
    let second = reservations.reserve(account, 4, true);
    assert!(first.condition().is_none());
    assert!(matches!(second.condition(), Some(Write::RequireNonce { nonce: 3, .. })));
    drop(first);
    assert_eq!(reservations.of(account), BTreeSet::from([4]));
    drop(second);
    assert!(reservations.locked().is_empty(), "nothing is kept of an address without reservations");
}
