//! The data of one store: what a guest may reach, what it has used up, what it has done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::capability::{Capability, Grants};
use crate::config::Limits;
use crate::failure::{FailureCode, Stop};
use crate::record::{LogLevel, LogLine};
use crate::state::{NoState, StatePort};
use crate::text::plain;

/// Lives for one call and is never used for another.
pub(crate) struct Sandbox {
    pub(crate) limits: Arc<Limits>,
    pub(crate) settings: String,
    pub(crate) requested_at_ms: u64,
    pub(crate) logs: Vec<LogLine>,
    /// First value of each key that was read, as the port gave it.
    pub(crate) reads: BTreeMap<String, Option<Vec<u8>>>,
    /// Last value of each key that was written.
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) memory_peak_bytes: usize,
    grants: Grants,
    state: Arc<dyn StatePort>,
    log_bytes: usize,
    memory_bytes: usize,
}

impl Sandbox {
    pub(crate) fn new(limits: Arc<Limits>, grants: Grants) -> Self {
        Self {
            limits,
            settings: String::new(),
            requested_at_ms: 0,
            logs: Vec::new(),
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            memory_peak_bytes: 0,
            grants,
            state: Arc::new(NoState),
            log_bytes: 0,
            memory_bytes: 0,
        }
    }

    pub(crate) fn with_inputs(
        mut self,
        settings: String,
        requested_at_ms: u64,
        state: Arc<dyn StatePort>,
    ) -> Self {
        self.settings = settings;
        self.requested_at_ms = requested_at_ms;
        self.state = state;
        self
    }

    /// A store around this sandbox, whose guest stops at `deadline`.
    pub(crate) fn into_store(self, engine: &Engine, deadline: Instant) -> Store<Self> {
        let transfer_bytes = self.limits.transfer_bytes;
        let mut store = Store::new(engine, self);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(transfer_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() < deadline {
                return Ok(UpdateDeadline::Continue(1));
            }
            Err(Stop::new(FailureCode::Timeout, "the guest was still running at the deadline").into())
        });
        store
    }

    /// Linked does not mean granted: every call asks again.
    pub(crate) fn require(&self, capability: Capability) -> Result<(), Stop> {
        if self.grants.allows(capability) {
            return Ok(());
        }
        let detail = format!("capability `{capability}` is not granted");
        Err(Stop::new(FailureCode::MissingCapability, detail))
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: &str) -> Result<(), Stop> {
        self.log_bytes = self.log_bytes.saturating_add(message.len());
        if self.logs.len() >= self.limits.log_lines || self.log_bytes > self.limits.log_bytes {
            let Limits { log_lines, log_bytes, .. } = *self.limits;
            let detail = format!("more than {log_lines} log lines or {log_bytes} bytes of them");
            return Err(Stop::new(FailureCode::LogLimit, detail));
        }
        self.logs.push(LogLine { level, message: plain(message, self.limits.log_line_bytes) });
        Ok(())
    }

    /// The value of a key as this evaluation sees it: its own writes first.
    pub(crate) fn read_state(&mut self, key: &str) -> Result<Option<Vec<u8>>, Stop> {
        within(key.len(), self.limits.state_key_bytes, "bytes in a state key")?;
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let known = self.reads.len();
        match self.reads.entry(key.to_owned()) {
            Entry::Occupied(read) => Ok(read.get().clone()),
            Entry::Vacant(unread) => {
                within(known + 1, self.limits.state_keys, "state keys read")?;
                let value = self
                    .state
                    .read(key)
                    .map_err(|error| Stop::new(FailureCode::StateUnavailable, error.to_string()))?;
                Ok(unread.insert(value).clone())
            }
        }
    }

    /// Every key written has been read, so the limit on reads bounds the writes too.
    pub(crate) fn compare_and_set_state(
        &mut self,
        key: String,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, Stop> {
        within(value.as_ref().map_or(0, Vec::len), self.limits.state_value_bytes, "bytes in a state value")?;
        if self.read_state(&key)?.as_deref() != expected {
            return Ok(false);
        }
        self.writes.insert(key, value);
        Ok(true)
    }
}

fn within(actual: usize, limit: usize, what: &str) -> Result<(), Stop> {
    if actual <= limit {
        return Ok(());
    }
    Err(Stop::new(FailureCode::StateLimit, format!("more than {limit} {what}")))
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        let limit = self.limits.memory_bytes;
        if total > limit {
            let detail = format!("{total} bytes of linear memory, where {limit} are allowed");
            return Err(Stop::new(FailureCode::MemoryLimit, detail).into());
        }
        self.memory_bytes = total;
        self.memory_peak_bytes = self.memory_peak_bytes.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements;
        if desired > limit {
            let detail = format!("{desired} table elements, where {limit} are allowed");
            return Err(Stop::new(FailureCode::TableLimit, detail).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.memories
    }
}
