//! What was used last, up to a number of entries.

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// A map that lets go of the entry that was not asked for longest.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: BTreeMap<K, (V, u64)>,
    entries_max: usize,
    /// Rises with every use.
    turn: u64,
}

impl<K: Ord + Copy, V: Clone> Recent<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), entries_max: entries_max.max(1), turn: 0 }
    }

    pub(super) fn get(&mut self, key: K) -> Option<V> {
        self.turn += 1;
        let (value, used) = self.entries.get_mut(&key)?;
        *used = self.turn;
        Some(value.clone())
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.turn += 1;
        self.entries.insert(key, (value, self.turn));
        while self.entries.len() > self.entries_max {
            let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else { return };
            self.entries.remove(&oldest);
        }
    }
}
