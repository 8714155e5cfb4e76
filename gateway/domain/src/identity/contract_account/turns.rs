//! How many questions about contracts are under way, by organization, account and source: a stranger who asks about
//! somebody's contract holds neither all places of that account nor those of the others, and one tenant's strangers
//! not those of another tenant.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;

use super::ContractAccountLimits;
use crate::{chain::ChainId, ids::OrganizationId};

#[cfg(test)]
mod tests;

/// About which contract who asks, for whom; an operator asks from no source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) organization: OrganizationId,
    pub(super) account: Address,
    pub(super) chain: ChainId,
    pub(super) source: Option<IpAddr>,
}

#[derive(Default)]
pub(super) struct Turns(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    all: usize,
    organizations: HashMap<OrganizationId, usize>,
    accounts: HashMap<(Address, ChainId), usize>,
    sources: HashMap<IpAddr, usize>,
}

/// One place, until dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    asking: Asking,
}

impl Turns {
    /// A place, or why there is none.
    pub(super) fn take(
        &self,
        asking: Asking,
        limits: &ContractAccountLimits,
    ) -> Result<Turn<'_>, &'static str> {
        let mut under_way = self.locked();
        if under_way.all >= limits.questions_max {
            return Err("too many questions are under way");
        }
        if count(&under_way.organizations, &asking.organization) >= limits.questions_per_organization_max {
            return Err("too many questions of this organization are under way");
        }
        let account = (asking.account, asking.chain);
        if count(&under_way.accounts, &account) >= limits.questions_per_account_max {
            return Err("too many questions about this account are under way");
        }
        if let Some(source) = asking.source {
            if count(&under_way.sources, &source) >= limits.questions_per_source_max {
                return Err("too many questions of this source are under way");
            }
            *under_way.sources.entry(source).or_default() += 1;
        }
        under_way.all += 1;
        *under_way.organizations.entry(asking.organization).or_default() += 1;
        *under_way.accounts.entry(account).or_default() += 1;
        Ok(Turn { turns: self, asking })
    }

    /// The counts stay whole after a panic elsewhere: nothing between their changes can panic.
    fn locked(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.turns.locked();
        under_way.all -= 1;
        give_back(&mut under_way.organizations, self.asking.organization);
        give_back(&mut under_way.accounts, (self.asking.account, self.asking.chain));
        if let Some(source) = self.asking.source {
            give_back(&mut under_way.sources, source);
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

/// Leaves no entry for who has nothing under way, so that the maps stay as small as the bounds.
fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    let left = count(counts, &key).saturating_sub(1);
    if left == 0 {
        counts.remove(&key);
    } else {
        counts.insert(key, left);
    }
}
