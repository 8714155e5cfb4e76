//! Metrics. Labels hold digests and codes, never text of a guest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram, counter, histogram};

use crate::capability::Capability;
use crate::digest::Digest;
use crate::failure::FailureCode;
use crate::outcome::Verdict;
use crate::prepare::Origin;
use crate::sandbox::Sandbox;

pub(crate) fn failure(plugin: Digest, code: FailureCode) {
    counter!("countersign_plugin_failures_total", "plugin" => plugin.short(), "code" => code.as_str())
        .increment(1);
}

/// A component that was never prepared: its digest is whatever somebody uploaded, and no label.
pub(crate) fn unprepared(code: FailureCode) {
    counter!("countersign_plugin_unprepared_total", "code" => code.as_str()).increment(1);
}

pub(crate) fn breaker_opened(plugin: Digest) {
    counter!("countersign_plugin_breaker_opened_total", "plugin" => plugin.short()).increment(1);
}

pub(crate) fn denied(plugin: Digest, capability: Capability) {
    let labels = [("plugin", plugin.short()), ("capability", capability.as_str().to_owned())];
    counter!("countersign_plugin_denied_capabilities_total", &labels).increment(1);
}

pub(crate) fn prepared(plugin: Digest, origin: Origin) {
    counter!("countersign_plugin_prepared_total", "plugin" => plugin.short(), "origin" => origin.as_str())
        .increment(1);
}

/// Where the time of one run went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Making the sandbox, running, throwing it away: all of it.
    pub(crate) run: Duration,
    pub(crate) instantiate: Duration,
    /// Waiting for ports of the caller.
    pub(crate) host_calls: Duration,
}

impl Spent {
    fn guest(&self) -> Duration {
        self.run.saturating_sub(self.instantiate).saturating_sub(self.host_calls)
    }
}

/// For how long metrics that were looked up are used. A recorder may let go of what nobody has touched for long; what is
/// counted under what it let go of is seen by nobody.
const LOOKED_UP_FOR: Duration = Duration::from_mins(1);

/// The metrics of one plugin, looked up once in a while: a look costs as much as an evaluation may cost.
pub(crate) struct PluginMetrics {
    plugin: Digest,
    gauges: Mutex<Option<(Instant, Arc<Gauges>)>>,
}

impl PluginMetrics {
    pub(crate) const fn of(plugin: Digest) -> Self {
        Self { plugin, gauges: Mutex::new(None) }
    }

    pub(crate) fn gauges(&self, now: Instant) -> Arc<Gauges> {
        let mut known = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((at, gauges)) if now.saturating_duration_since(*at) < LOOKED_UP_FOR => Arc::clone(gauges),
            _ => {
                let gauges = Arc::new(Gauges::new(self.plugin));
                *known = Some((now, Arc::clone(&gauges)));
                gauges
            }
        }
    }
}

/// The metrics of every single evaluation.
pub(crate) struct Gauges {
    pub(crate) wait_seconds: Histogram,
    run_seconds: Histogram,
    instantiate_seconds: Histogram,
    guest_seconds: Histogram,
    host_call_seconds: Histogram,
    memory_peak_bytes: Histogram,
    log_lines: Counter,
    log_lines_cut: Counter,
    verdicts: [(&'static str, Counter); Verdict::NAMES.len()],
}

impl Gauges {
    fn new(plugin: Digest) -> Self {
        let plugin = plugin.short();
        Self {
            wait_seconds: histogram!("countersign_plugin_wait_seconds", "plugin" => plugin.clone()),
            run_seconds: histogram!("countersign_plugin_run_seconds", "plugin" => plugin.clone()),
            instantiate_seconds: histogram!("countersign_plugin_instantiate_seconds", "plugin" => plugin.clone()),
            guest_seconds: histogram!("countersign_plugin_guest_seconds", "plugin" => plugin.clone()),
            host_call_seconds: histogram!("countersign_plugin_host_call_seconds", "plugin" => plugin.clone()),
            memory_peak_bytes: histogram!("countersign_plugin_memory_peak_bytes", "plugin" => plugin.clone()),
            log_lines: counter!("countersign_plugin_log_lines_total", "plugin" => plugin.clone()),
            log_lines_cut: counter!("countersign_plugin_log_lines_cut_total", "plugin" => plugin.clone()),
            verdicts: Verdict::NAMES.map(|name| {
                let labels = [("plugin", plugin.clone()), ("verdict", name.to_owned())];
                (name, counter!("countersign_plugin_verdicts_total", &labels))
            }),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    pub(crate) fn ran(&self, spent: &Spent, sandbox: &Sandbox) {
        self.run_seconds.record(spent.run);
        self.instantiate_seconds.record(spent.instantiate);
        self.guest_seconds.record(spent.guest());
        self.host_call_seconds.record(spent.host_calls);
        self.memory_peak_bytes.record(sandbox.memory_peak_bytes as f64);
        self.log_lines.increment(sandbox.logs.len() as u64);
        self.log_lines_cut.increment(sandbox.log_lines_cut);
        // In use, even where this plugin never says so.
        self.verdicts.iter().for_each(|(_, counter)| counter.increment(0));
    }

    pub(crate) fn verdict(&self, verdict: &Verdict) {
        let counter = self.verdicts.iter().find(|(name, _)| *name == verdict.as_str());
        counter.inspect(|(_, counter)| counter.increment(1));
    }
}

#[cfg(test)]
mod tests;
