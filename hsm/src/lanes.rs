//! Bounded queues by rank, from which session threads take work.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{config::HsmConfig, error::HsmError, worker::Job};

/// Kinds of work in order of rank. One thread is always left to `Sign` where there are two or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Wallet signatures.
    Sign,
    /// Token and vendor signatures, HMAC, random numbers, seal.
    Token,
    /// Unseal and decrypt.
    Decrypt,
    /// Generation, look-up, retirement and destruction.
    Generate,
    /// The health signature.
    Canary,
}

impl Lane {
    /// All lanes, highest rank first.
    pub const ALL: [Self; 5] = [Self::Sign, Self::Token, Self::Decrypt, Self::Generate, Self::Canary];

    /// Lower-case name, a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Token => "token",
            Self::Decrypt => "decrypt",
            Self::Generate => "generate",
            Self::Canary => "canary",
        }
    }

    fn rank(self) -> usize {
        self as usize
    }

    /// How many of `threads` this lane may hold at once.
    fn share(self, threads: usize) -> usize {
        match self {
            Self::Sign => threads,
            Self::Token | Self::Decrypt => threads.saturating_sub(1).max(1),
            Self::Generate => (threads / 2).max(1),
            Self::Canary => 1,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

pub(crate) struct Lanes {
    state: Mutex<State>,
    available: Condvar,
    bounds: [usize; 5],
    shares: [usize; 5],
    /// Threads that lanes other than `Sign` may hold together.
    shared_max: usize,
    patience: Duration,
}

#[derive(Default)]
struct State {
    waiting: [VecDeque<Job>; 5],
    running: [usize; 5],
    closed: bool,
}

impl Lanes {
    pub(crate) fn new(config: &HsmConfig) -> Self {
        let threads = config.session_threads;
        Self {
            state: Mutex::default(),
            available: Condvar::new(),
            bounds: Lane::ALL.map(|lane| config.queue_bounds.of(lane)),
            shares: Lane::ALL.map(|lane| lane.share(threads)),
            shared_max: threads.saturating_sub(1).max(1),
            patience: config.lane_patience,
        }
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), HsmError> {
        let mut state = self.lock();
        let lane = job.lane;
        if state.closed {
            return Err(HsmError::ShutDown);
        }
        if state.waiting[lane.rank()].len() >= self.bounds[lane.rank()] {
            return Err(HsmError::Busy { lane });
        }
        state.waiting[lane.rank()].push_back(job);
        drop(state);
        self.available.notify_one();
        Ok(())
    }

    /// Waits for a job this thread may take; `None` once closed.
    pub(crate) fn pop(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(lane) = self.choose(&state) {
                state.running[lane.rank()] += 1;
                return state.waiting[lane.rank()].pop_front();
            }
            state = self.available.wait(state).expect("no thread panics while it holds the lanes");
        }
    }

    /// Gives back the place that `pop` took.
    pub(crate) fn done(&self, lane: Lane) {
        self.lock().running[lane.rank()] -= 1;
        self.available.notify_one();
    }

    pub(crate) fn depths(&self) -> [(Lane, usize); 5] {
        let state = self.lock();
        Lane::ALL.map(|lane| (lane, state.waiting[lane.rank()].len()))
    }

    /// Refuses new jobs and returns those still waiting.
    pub(crate) fn close(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed = true;
        let left = state.waiting.iter_mut().flat_map(|waiting| waiting.drain(..)).collect();
        drop(state);
        self.available.notify_all();
        left
    }

    fn choose(&self, state: &State) -> Option<Lane> {
        let shared_running: usize = state.running.iter().skip(1).sum();
        let eligible = |lane: &Lane| {
            let rank = lane.rank();
            !state.waiting[rank].is_empty()
                && state.running[rank] < self.shares[rank]
                && (*lane == Lane::Sign || shared_running < self.shared_max)
        };
        let first = Lane::ALL.into_iter().find(eligible)?;
        let now = Instant::now();
        let impatient = Lane::ALL.into_iter().filter(eligible).find(|lane| {
            let oldest = state.waiting[lane.rank()].front();
            *lane != Lane::Sign && oldest.is_some_and(|job| now - job.submitted_at >= self.patience)
        });
        Some(impatient.unwrap_or(first))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lanes")
    }
}

#[cfg(test)]
mod tests;
