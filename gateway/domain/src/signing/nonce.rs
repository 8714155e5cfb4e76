//! Choosing a nonce. The unique row behind an attempt is the lease; this finds a likely free number, and keeps the
//! transactions of one process from wanting the same one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;

use crate::{chain::ChainId, changes::Write, error::Result, ports::Services};

#[cfg(test)]
mod tests;

/// Addresses share so many turns; two that share one wait for each other's read and for nothing else.
const TURNS: usize = 64;

type Account = (ChainId, Address);

/// Nonces that this process has chosen and not stored yet.
pub struct NonceReservations {
    turns: [tokio::sync::Mutex<()>; TURNS],
    reserved: Mutex<BTreeMap<Account, BTreeSet<u64>>>,
}

/// Holds back others who want a nonce of the same address, until the change set is on its way: nonces are then
/// stored in the order in which they were chosen.
pub(crate) type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

/// A nonce that nobody else in this process chooses while this lives.
pub(crate) struct Reservation<'a> {
    reservations: &'a NonceReservations,
    account: Account,
    pub(crate) nonce: u64,
    /// Whether the nonce below is somebody's reservation as well.
    follows: bool,
}

impl Default for NonceReservations {
    fn default() -> Self {
        Self { turns: std::array::from_fn(|_| tokio::sync::Mutex::default()), reserved: Mutex::default() }
    }
}

impl NonceReservations {
    pub(crate) async fn turn(&self, address: Address) -> Turn<'_> {
        self.turns[usize::from(address[19]) % TURNS].lock().await
    }

    fn of(&self, account: Account) -> BTreeSet<u64> {
        self.locked().get(&account).cloned().unwrap_or_default()
    }

    fn reserve(&self, account: Account, nonce: u64, follows: bool) -> Reservation<'_> {
        self.locked().entry(account).or_default().insert(nonce);
        Reservation { reservations: self, account, nonce, follows }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Account, BTreeSet<u64>>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// A nonce above one that is only reserved waits behind a gap if that one is not taken in the end: then ours is
    /// not taken either.
    pub(crate) fn condition(&self) -> Option<Write> {
        let (chain, address) = self.account;
        self.follows.then(|| Write::RequireNonce { chain, address, nonce: self.nonce - 1 })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut reserved = self.reservations.locked();
        if let Some(nonces) = reserved.get_mut(&self.account) {
            nonces.remove(&self.nonce);
            if nonces.is_empty() {
                reserved.remove(&self.account);
            }
        }
    }
}

/// Who holds the key of an address, and so may use its nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Our token, and nobody else: whatever the chain has used we have signed.
    Token,
    /// A vendor, who may sign for others too.
    Vendor,
}

/// The lowest nonce that the chain has not used and no live attempt holds, so that a released one is filled before
/// a higher one is taken and nothing waits behind a gap. To be called in the address's [`Turn`].
///
/// A key that never leaves the token has signed whatever the chain has used. A node that says otherwise is lying or
/// lagging behind a restored database, and a nonce from it would be a post-dated cheque: `None`. Of a vendor's key only
/// the chain can say what it was used for, so its count is the floor.
pub(crate) async fn next(
    services: &Services,
    account: Account,
    (used_on_chain, holder): (u64, Holder),
) -> Result<Option<Reservation<'_>>> {
    let (chain, address) = account;
    // Before the read: a reservation that ends meanwhile has either been stored or was given up, and then the
    // condition fails.
    let reserved = services.nonces.of(account);
    let held = services.store.held_nonces(chain, address, used_on_chain.saturating_sub(1)).await?;
    let held: BTreeSet<u64> = held.into_iter().collect();
    Ok(first_gap((used_on_chain, holder), &held, &reserved).map(|nonce| {
        let below = nonce.saturating_sub(1);
        let follows = nonce > used_on_chain && !held.contains(&below);
        services.nonces.reserve(account, nonce, follows)
    }))
}

fn first_gap(
    (used_on_chain, holder): (u64, Holder),
    held: &BTreeSet<u64>,
    reserved: &BTreeSet<u64>,
) -> Option<u64> {
    if holder == Holder::Token && used_on_chain > 0 && !held.contains(&(used_on_chain - 1)) {
        return None;
    }
    (used_on_chain..=u64::MAX).find(|nonce| !held.contains(nonce) && !reserved.contains(nonce))
}
