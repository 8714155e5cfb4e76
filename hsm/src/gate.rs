//! Who is inside the module. `C_Finalize` while another thread is in a call is undefined, so recovery closes the
//! gate and waits until nobody is left.

use std::{
    sync::{Condvar, Mutex, MutexGuard},
    time::Instant,
};

use cryptoki::{context::Pkcs11, slot::Slot};

/// The initialized module and the token's slot in it.
#[derive(Clone)]
pub(crate) struct OpenToken {
    pub(crate) pkcs11: Pkcs11,
    pub(crate) slot: Slot,
    /// Which initialization this is; sessions of an earlier one must not even be closed.
    pub(crate) generation: u64,
}

#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<OpenToken>,
    generation: u64,
    active: usize,
    stuck: usize,
}

impl Gate {
    /// Opens the gate on a fresh initialization.
    pub(crate) fn open(&self, token: OpenToken) {
        let mut state = self.lock();
        state.generation = token.generation;
        state.token = Some(token);
    }

    pub(crate) fn close(&self) {
        self.lock().token = None;
    }

    /// Counts the caller in, if the gate is open.
    pub(crate) fn enter(&self) -> Option<OpenToken> {
        let mut state = self.lock();
        let token = state.token.clone()?;
        state.active += 1;
        Some(token)
    }

    pub(crate) fn leave(&self) {
        self.lock().active -= 1;
        self.changed.notify_all();
    }

    /// Moves one from active to stuck and returns how many are stuck.
    pub(crate) fn write_off(&self) -> usize {
        let mut state = self.lock();
        state.active -= 1;
        state.stuck += 1;
        state.stuck
    }

    pub(crate) fn leave_from_stuck(&self) {
        self.lock().stuck -= 1;
        self.changed.notify_all();
    }

    pub(crate) fn stuck(&self) -> usize {
        self.lock().stuck
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits until nobody is inside; false if `until` passed first.
    pub(crate) fn drained(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while state.active + state.stuck > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state =
                self.changed.wait_timeout(state, left).expect("no thread panics while it holds the gate").0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the gate")
    }
}
