//! The newest version that this process saw of each row, so that no row goes back under its eyes.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gateway_domain::{changes::RowWrite, sealed::RowVersion};

#[cfg(test)]
mod tests;

/// Remembers at least the rows that were seen last.
pub(crate) struct Seen {
    /// Counts what was noted. A read that began before something was noted may miss it.
    clock: AtomicU64,
    hashers: [RandomState; 2],
    rows: Mutex<Generations>,
    generation_max: usize,
    /// Whose rows come and go without this process knowing.
    unwatched: Option<&'static str>,
}

/// Rows noted lately, and those noted before them.
#[derive(Default)]
struct Generations {
    young: HashMap<u128, Sight>,
    old: HashMap<u128, Sight>,
}

#[derive(Clone, Copy)]
struct Sight {
    version: u64,
    noted: u64,
}

/// When a read began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

/// A row that was seen at a later version before.
#[derive(Debug, thiserror::Error)]
#[error("row `{}` of `{}` went back from version {seen} to {}", .row.key, .row.table, .row.version)]
pub(crate) struct WentBack {
    row: RowVersion,
    seen: u64,
}

impl Seen {
    pub(crate) fn new(rows_max: usize, unwatched: Option<&'static str>) -> Self {
        Self {
            clock: AtomicU64::new(0),
            hashers: [RandomState::new(), RandomState::new()],
            rows: Mutex::default(),
            generation_max: rows_max.div_ceil(2),
            unwatched,
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment(self.clock.load(Ordering::SeqCst))
    }

    /// Refuses a row that a read begun at `began` found older than it was known to be by then.
    pub(crate) fn check(&self, row: RowVersion, began: Moment) -> Result<(), WentBack> {
        if self.unwatched == Some(row.table) {
            return Ok(());
        }
        let place = self.place(&row);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match rows.get(place) {
            // Noted while the read was under way, which may have missed it.
            Some(sight) if sight.noted > began.0 => Ok(()),
            Some(sight) if row.version < sight.version => Err(WentBack { row, seen: sight.version }),
            Some(sight) if row.version == sight.version => Ok(()),
            Some(_) | None => {
                let noted = self.tick();
                rows.note(place, Sight { version: row.version, noted }, self.generation_max);
                Ok(())
            }
        }
    }

    /// Notes what was committed. A removed row may come back as its first version.
    pub(crate) fn wrote(&self, writes: &[RowWrite]) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            let place = self.place(write.row());
            let version = match write {
                RowWrite::Stored(row) => match rows.get(place) {
                    Some(sight) if sight.version >= row.version => continue,
                    Some(_) | None => row.version,
                },
                RowWrite::Removed(_) => 0,
            };
            let noted = self.tick();
            rows.note(place, Sight { version, noted }, self.generation_max);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn place(&self, row: &RowVersion) -> u128 {
        let [low, high] = &self.hashers;
        let name = (row.table, &row.key);
        u128::from(high.hash_one(name)) << 64 | u128::from(low.hash_one(name))
    }
}

impl Generations {
    fn get(&self, place: u128) -> Option<Sight> {
        self.young.get(&place).or_else(|| self.old.get(&place)).copied()
    }

    fn note(&mut self, place: u128, sight: Sight, generation_max: usize) {
        if self.young.len() >= generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, sight);
    }
}
