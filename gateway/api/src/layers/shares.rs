//! How many of the places for requests or connections one source holds, so that none can hold all of them with slow
//! bodies.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Places taken, by source. Has an entry for each source that holds one, so whatever bounds all places bounds it too.
pub struct Shares {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source_max: usize,
}

/// One place of a source; given back when dropped.
pub struct Place {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl Shares {
    pub fn new(source_max: usize) -> Self {
        Self { taken: Arc::default(), source_max }
    }

    /// A place, unless the source has its share already.
    pub fn enter(&self, source: IpAddr) -> Option<Place> {
        let mut taken = locked(&self.taken);
        let count = taken.entry(source).or_default();
        if *count >= self.source_max {
            return None;
        }
        *count += 1;
        Some(Place { taken: Arc::clone(&self.taken), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

/// Usable after a panic elsewhere: each change is a single step.
fn locked(counts: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
