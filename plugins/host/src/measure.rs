//! Metrics. Labels hold digests and codes, never text of a guest.

use std::time::Duration;

use metrics::{counter, histogram};

use crate::digest::Digest;
use crate::failure::FailureCode;
use crate::outcome::Verdict;
use crate::prepare::Origin;

pub(crate) fn verdict(plugin: Digest, verdict: &Verdict) {
    counter!("countersign_plugin_verdicts_total", "plugin" => plugin.short(), "verdict" => verdict.as_str())
        .increment(1);
}

pub(crate) fn failure(plugin: Digest, code: FailureCode) {
    counter!("countersign_plugin_failures_total", "plugin" => plugin.short(), "code" => code.as_str())
        .increment(1);
}

pub(crate) fn prepared(plugin: Digest, origin: Origin) {
    counter!("countersign_plugin_prepared_total", "plugin" => plugin.short(), "origin" => origin.as_str())
        .increment(1);
}

pub(crate) fn waited(plugin: Digest, time: Duration) {
    histogram!("countersign_plugin_wait_seconds", "plugin" => plugin.short()).record(time);
}

pub(crate) fn ran(plugin: Digest, time: Duration) {
    histogram!("countersign_plugin_run_seconds", "plugin" => plugin.short()).record(time);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of megabytes needs no more than 52 bits")]
pub(crate) fn guest(plugin: Digest, memory_peak_bytes: usize, log_lines: usize) {
    histogram!("countersign_plugin_memory_peak_bytes", "plugin" => plugin.short())
        .record(memory_peak_bytes as f64);
    counter!("countersign_plugin_log_lines_total", "plugin" => plugin.short()).increment(log_lines as u64);
}
