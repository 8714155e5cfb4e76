//! Seeded chance, and a fuse that ends a process at a chosen call.

use std::{
    future,
    sync::{Mutex, PoisonError},
};

use gateway_domain::entropy::Entropy;
use tokio::sync::Notify;

/// `SplitMix64`: small, and the same everywhere.
pub(super) struct Chance(Mutex<u64>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(super) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// An index into a list that is not empty.
    pub(super) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Counts calls to the outside. At the chosen one the process is dead: the call never returns.
#[derive(Default)]
pub(super) struct Fuse {
    left: Mutex<Option<u64>>,
    blown: Notify,
}

impl Fuse {
    pub(super) fn set(&self, calls: u64) {
        *self.left.lock().unwrap() = Some(calls);
    }

    pub(super) fn remove(&self) {
        *self.left.lock().unwrap() = None;
    }

    pub(super) async fn burn(&self) {
        let is_blown = match self.left.lock().unwrap().as_mut() {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        };
        if is_blown {
            self.blown.notify_one();
            future::pending::<()>().await;
        }
    }

    pub(super) async fn blown(&self) {
        self.blown.notified().await;
    }
}
