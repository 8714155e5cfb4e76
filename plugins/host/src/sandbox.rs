//! The data of one store: what a guest may reach, what it has used up, what it has done.

mod calls;
mod memory;
mod services;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::capability::{Capability, Grants};
use crate::config::Limits;
use crate::failure::{FailureCode, Stop};
use crate::outside::OutsidePort;
use crate::queue::Slice;
use crate::record::{LogLevel, LogLine};
use crate::settings::Settings;
use crate::state::StatePort;
use crate::text::plain;

pub(crate) use calls::Calls;
pub(crate) use memory::Memory;

/// Lives for one call and is never used for another.
pub(crate) struct Sandbox {
    pub(crate) limits: Arc<Limits>,
    /// None for calls without a binding.
    pub(crate) settings: Option<Settings>,
    pub(crate) requested_at_ms: u64,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) memory: Memory,
    pub(crate) calls: Calls,
    pub(crate) memory_peak_bytes: usize,
    /// When the guest was instantiated, if it came to that.
    pub(crate) instantiated_at: Option<Instant>,
    /// What the guest called without being granted it.
    pub(crate) denied: Cell<Option<Capability>>,
    pub(crate) log_lines_cut: u64,
    grants: Grants,
    log_bytes: usize,
    memory_bytes: usize,
}

impl Sandbox {
    pub(crate) fn new(limits: Arc<Limits>, grants: Grants) -> Self {
        Self {
            limits,
            settings: None,
            requested_at_ms: 0,
            logs: Vec::new(),
            memory: Memory::default(),
            calls: Calls::default(),
            memory_peak_bytes: 0,
            instantiated_at: None,
            denied: Cell::new(None),
            log_lines_cut: 0,
            grants,
            log_bytes: 0,
            memory_bytes: 0,
        }
    }

    pub(crate) fn with_inputs(
        mut self,
        settings: Settings,
        requested_at_ms: u64,
        state: Arc<dyn StatePort>,
        (outside, deadline): (Arc<dyn OutsidePort>, Instant),
    ) -> Self {
        self.settings = Some(settings);
        self.requested_at_ms = requested_at_ms;
        self.memory = Memory::of(state, deadline);
        self.calls = Calls::of(outside, deadline);
        self
    }

    /// The same sandbox with other inputs and nothing used up but memory, which its instance keeps.
    pub(crate) fn renew(
        &mut self,
        settings: Settings,
        requested_at_ms: u64,
        state: Arc<dyn StatePort>,
        outside: (Arc<dyn OutsidePort>, Instant),
    ) {
        let (memory_bytes, memory_peak_bytes) = (self.memory_bytes, self.memory_peak_bytes);
        let renewed = Self::new(Arc::clone(&self.limits), self.grants);
        *self = renewed.with_inputs(settings, requested_at_ms, state, outside);
        (self.memory_bytes, self.memory_peak_bytes) = (memory_bytes, memory_peak_bytes);
    }

    /// A store around this sandbox, whose guest stops at `deadline`, and makes room when its slice is over.
    pub(crate) fn into_store(
        self,
        engine: &Engine,
        deadline: Instant,
        mut slice: Option<Slice>,
    ) -> Store<Self> {
        let transfer_bytes = self.limits.transfer_bytes;
        let mut store = Store::new(engine, self);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(transfer_bytes);
        // Fails only where the engine counts no fuel.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if let Some(slice) = &mut slice {
                slice.look(deadline);
            }
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
        self.denied.set(Some(capability));
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
        self.log_lines_cut += u64::from(message.len() > self.limits.log_line_bytes);
        self.logs.push(LogLine { level, message: plain(message, self.limits.log_line_bytes) });
        Ok(())
    }
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
