//! Metrics. Labels hold digests and codes, never text of a guest.

use metrics::{Counter, Histogram, counter, histogram};

use crate::digest::Digest;
use crate::failure::FailureCode;
use crate::outcome::Verdict;
use crate::prepare::Origin;

pub(crate) fn failure(plugin: Digest, code: FailureCode) {
    counter!("countersign_plugin_failures_total", "plugin" => plugin.short(), "code" => code.as_str())
        .increment(1);
}

pub(crate) fn prepared(plugin: Digest, origin: Origin) {
    counter!("countersign_plugin_prepared_total", "plugin" => plugin.short(), "origin" => origin.as_str())
        .increment(1);
}

/// The metrics of every single evaluation, looked up once a plugin. Hence a recorder must be installed
/// before plugins are prepared.
pub(crate) struct Gauges {
    pub(crate) wait_seconds: Histogram,
    pub(crate) run_seconds: Histogram,
    memory_peak_bytes: Histogram,
    log_lines: Counter,
    verdicts: [(&'static str, Counter); Verdict::NAMES.len()],
}

impl Gauges {
    pub(crate) fn new(plugin: Digest) -> Self {
        let plugin = plugin.short();
        Self {
            wait_seconds: histogram!("countersign_plugin_wait_seconds", "plugin" => plugin.clone()),
            run_seconds: histogram!("countersign_plugin_run_seconds", "plugin" => plugin.clone()),
            memory_peak_bytes: histogram!("countersign_plugin_memory_peak_bytes", "plugin" => plugin.clone()),
            log_lines: counter!("countersign_plugin_log_lines_total", "plugin" => plugin.clone()),
            verdicts: Verdict::NAMES.map(|name| {
                let labels = [("plugin", plugin.clone()), ("verdict", name.to_owned())];
                (name, counter!("countersign_plugin_verdicts_total", &labels))
            }),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    pub(crate) fn guest(&self, memory_peak_bytes: usize, log_lines: usize) {
        self.memory_peak_bytes.record(memory_peak_bytes as f64);
        self.log_lines.increment(log_lines as u64);
    }
    pub(crate) fn verdict(&self, verdict: &Verdict) {
        let counter = self.verdicts.iter().find(|(name, _)| *name == verdict.as_str());
        counter.inspect(|(_, counter)| counter.increment(1));
    }
}
