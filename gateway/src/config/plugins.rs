//! `[plugins]`, and the plugin host's configuration made of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use gateway_domain::ports::{HistoryLimits, StateLimits};
use plugin_host::{
    CacheConfig, CacheKey, CompileCommand, CompileConfig, HostConfig, LargeLimits, Limits, ScheduleConfig,
};

use super::section::section;

section! {
    /// The sandbox of plugins. Raising a limit weakens what the sandbox promises.
    pub(crate) struct Plugins = "plugins" {
        /// Directory of compiled components, private to the gateway. Without it, `plugin-cache` in `core.data_dir`.
        cache_dir: Option<PathBuf> = None, like "\"/var/cache/countersign/plugins\"";
        /// Bytes of compiled components in it; beyond, those that were not used for longest go, and are compiled again when
        /// they are asked for.
        cache_bytes_max: u64 = 4 << 30, within 1 << 20..=1 << 40;
        /// Threads that run plugins. Without it, twice the number of cores, at least 4.
        threads: Option<usize> = None, within 1..=1024, like "4";
        /// Evaluations of one plugin that run at once. Without it, half of the threads.
        running_per_plugin_max: Option<usize> = None, within 1..=1024, like "2";
        /// Milliseconds of processor time after which an evaluation is a long one. Another thread takes the place of its
        /// own, and it stands still while short ones take more than a tenth of the processors' time. So is one that has waited
        /// so long for answers of the host: those of its plugin that follow do not wait on threads that others need.
        slice_ms: u64 = 25, within 1..=60_000;
        /// Milliseconds after a long evaluation for which others of its plugin, under the same settings and for the same
        /// organization, are taken for long ones from the start.
        long_for_ms: u64 = 10_000, within 0..=3_600_000;
        /// Milliseconds for which a long evaluation stands still at most, times the number of them that are under way for
        /// each processor, before it goes on for a tick.
        pause_max_ms: u64 = 40, within 0..=3_600_000;
        /// Long evaluations that run at once, of one plugin at most `running_per_plugin_max`. Without it, as many as threads.
        background_threads: Option<usize> = None, within 1..=1024, like "4";
        /// Evaluations of one plugin that wait; more are denied.
        waiting_per_plugin_max: usize = 1024, within 1..=1_000_000;
        /// Evaluations that wait, all plugins together.
        waiting_total_max: usize = 8192, within 1..=1_000_000;
        /// Milliseconds for an evaluation, waiting included; then it is denied, or refused if its turn had not come.
        deadline_ms: u64 = 500, within 1..=60_000;
        /// Milliseconds between looks at the deadline.
        tick_ms: u64 = 5, within 1..=1000;
        /// Evaluations in a row of one plugin that the sandbox had to stop (time, memory, a trap), after which it is not run
        /// for `breaker_open_ms`; requests are told to come back.
        breaker_failures_max: u32 = 20, within 1..=1_000_000;
        /// Milliseconds for which a plugin that was stopped so often is not run; then one evaluation is let through.
        breaker_open_ms: u64 = 10_000, within 1..=3_600_000;
        /// Threads that run what is only tried out (dry runs, settings at an upload), and as many that run shadows, besides
        /// `threads`: no decision waits for them.
        aside_threads: usize = 1, within 1..=64;
        /// Of either, what waits; more is refused.
        aside_waiting_max: usize = 64, within 1..=100_000;
        /// Of what waits, what may be one organization's; organizations take turns.
        aside_waiting_per_organization_max: usize = 16, within 1..=100_000;
        /// Memories that stay laid out for plugins that do not run at the moment, so that many of them can take turns; each
        /// keeps at most 512 KiB.
        warm_memories: usize = 128, within 0..=1000;
        /// Compiled components, and settings, kept in memory; the ones that were not asked for longest go.
        prepared_max: usize = 64, within 1..=10_000;
        /// Bytes of linear memory, all instances of an evaluation together.
        memory_bytes_max: usize = 16 << 20, within 65_536..=256 << 20;
        /// Elements of one table.
        table_elements_max: usize = 20_000, within 1..=10_000_000;
        /// Core instances, and tables, of one component.
        instances_max: usize = 10, within 1..=1000;
        /// Linear memories of one component.
        memories_max: usize = 2, within 1..=100;
        /// Bytes that make a component large: one that brings an interpreter along, as JavaScript's and Python's do. With
        /// more than `component_bytes_max` there are none, and everything is bound as tightly as Rust's.
        large_component_bytes_min: usize = 4 << 20, within 1024..=1 << 30;
        /// Bytes of linear memory of an evaluation of a large component, instead of `memory_bytes_max`.
        large_memory_bytes_max: usize = 64 << 20, within 65_536..=256 << 20;
        /// Core instances, and tables, of a large component, instead of `instances_max`; Python's has 40.
        large_instances_max: usize = 100, within 1..=1000;
        /// Bytes of native stack.
        stack_bytes_max: usize = 512 << 10, within 65_536..=16 << 20;
        /// Bytes lifted from the plugin in one host call, and in its answer.
        transfer_bytes_max: usize = 1 << 20, within 1024..=64 << 20;
        /// Lines logged by one evaluation.
        log_lines_max: usize = 100, within 1..=100_000;
        /// Bytes logged by one evaluation.
        log_bytes_max: usize = 16 << 10, within 1..=16 << 20;
        /// Bytes of one log line; the rest is cut off.
        log_line_bytes_max: usize = 1 << 10, within 1..=1 << 20;
        /// Bytes of a plugin's settings.
        settings_bytes_max: usize = 64 << 10, within 2..=16 << 20;
        /// Keys and counters of its state that one evaluation may read, and that it may write.
        state_keys_max: usize = 64, within 1..=10_000;
        /// Bytes of the name of one key or counter of the state.
        state_key_bytes_max: usize = 256, within 1..=65_536;
        /// Bytes of one value of the state.
        state_value_bytes_max: usize = 16 << 10, within 1..=16 << 20;
        /// Keys and counters in the state of one binding.
        state_rows_max: u32 = 1024, within 1..=1_000_000;
        /// Unsigned transactions that hold reservations under one counter of the state.
        state_reservations_max: u32 = 256, within 1..=10_000;
        /// Calls of one evaluation to the host for what lies outside of it.
        host_calls_max: usize = 32, within 0..=10_000;
        /// Bytes in their questions and answers, all together.
        host_call_bytes_max: usize = 256 << 10, within 1024..=64 << 20;
        /// Transactions that the gateway reads for one question about history; one that needs more fails.
        history_rows_max: u32 = 1000, within 1..=100_000;
        /// Transactions that one answer about history names.
        history_named_max: u32 = 100, within 1..=10_000;
        /// Seconds that a question about history may go back.
        history_window_seconds_max: u64 = 31 * 86_400, within 1..=366 * 86_400;
        /// Bytes of an analysis and of a failure's detail; the rest is cut off.
        analysis_bytes_max: usize = 4 << 10, within 1..=1 << 20;
        /// Entries of a verdict's evidence.
        evidence_entries_max: usize = 32, within 1..=10_000;
        /// Bytes of one name, value or role in a verdict; the rest is cut off.
        evidence_bytes_max: usize = 512, within 1..=65_536;
        /// Roles in a demand for approvals, and problems reported about settings.
        list_entries_max: usize = 32, within 1..=10_000;
        /// Bytes of the settings schema in a description.
        schema_bytes_max: usize = 64 << 10, within 2..=16 << 20;
        /// Bytes of a component accepted for compiling.
        component_bytes_max: usize = 32 << 20, within 1024..=1 << 30;
        /// Bytes of compiled code accepted from the compiler.
        artifact_bytes_max: usize = 256 << 20, within 1024..=4 << 30;
        /// Bytes of address space of the compiler.
        compile_memory_bytes_max: u64 = 2 << 30, within 256 << 20..=64 << 30;
        /// Seconds of processor time of the compiler.
        compile_cpu_seconds_max: u64 = 60, within 1..=3600;
        /// Milliseconds for one compilation.
        compile_timeout_ms: u64 = 90_000, within 1..=3_600_000;
        /// Compilations at once.
        compile_concurrent_max: usize = 1, within 1..=64;
    }
}

impl Plugins {
    /// `command` starts a compiler; `data_dir` holds the cache where it has no path of its own.
    pub(crate) fn host_config(
        &self,
        command: CompileCommand,
        cache_key: CacheKey,
        data_dir: &Path,
    ) -> HostConfig {
        let directory = self.cache_dir.clone().unwrap_or_else(|| data_dir.join("plugin-cache"));
        HostConfig {
            limits: self.limits(),
            schedule: self.schedule(),
            compile: CompileConfig {
                command,
                component_bytes: self.component_bytes_max,
                artifact_bytes: self.artifact_bytes_max,
                memory_bytes: self.compile_memory_bytes_max,
                cpu_seconds: self.compile_cpu_seconds_max,
                timeout: Duration::from_millis(self.compile_timeout_ms),
                concurrent: self.compile_concurrent_max,
                count_fuel: false,
            },
            cache: CacheConfig { directory, bytes: self.cache_bytes_max, key: cache_key },
        }
    }

    /// What the domain bounds of plugins' state; the sandbox bounds the rest.
    pub(crate) fn state_limits(&self) -> StateLimits {
        StateLimits { rows_max: self.state_rows_max, reservations_max: self.state_reservations_max }
    }

    /// What the domain bounds of their questions about history.
    pub(crate) fn history_limits(&self) -> HistoryLimits {
        HistoryLimits {
            rows_max: self.history_rows_max,
            named_max: self.history_named_max,
            window_max: Duration::from_secs(self.history_window_seconds_max),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes_max,
            table_elements: self.table_elements_max,
            instances: self.instances_max,
            memories: self.memories_max,
            large: LargeLimits {
                component_bytes: self.large_component_bytes_min,
                memory_bytes: self.large_memory_bytes_max,
                instances: self.large_instances_max,
            },
            stack_bytes: self.stack_bytes_max,
            transfer_bytes: self.transfer_bytes_max,
            log_lines: self.log_lines_max,
            log_bytes: self.log_bytes_max,
            log_line_bytes: self.log_line_bytes_max,
            settings_bytes: self.settings_bytes_max,
            state_keys: self.state_keys_max,
            state_key_bytes: self.state_key_bytes_max,
            state_value_bytes: self.state_value_bytes_max,
            host_calls: self.host_calls_max,
            host_call_bytes: self.host_call_bytes_max,
            analysis_bytes: self.analysis_bytes_max,
            evidence_entries: self.evidence_entries_max,
            evidence_bytes: self.evidence_bytes_max,
            list_entries: self.list_entries_max,
            schema_bytes: self.schema_bytes_max,
        }
    }

    fn schedule(&self) -> ScheduleConfig {
        let defaults = ScheduleConfig::default();
        let threads = self.threads.unwrap_or(defaults.threads);
        ScheduleConfig {
            threads,
            running_per_plugin: self.running_per_plugin_max.unwrap_or((threads / 2).max(1)),
            slice: Duration::from_millis(self.slice_ms),
            long_for: Duration::from_millis(self.long_for_ms),
            pause_max: Duration::from_millis(self.pause_max_ms),
            background_threads: self.background_threads.unwrap_or(threads),
            waiting_per_plugin: self.waiting_per_plugin_max,
            waiting_total: self.waiting_total_max,
            deadline: Duration::from_millis(self.deadline_ms),
            run_max: None,
            tick: Duration::from_millis(self.tick_ms),
            breaker_failures: self.breaker_failures_max,
            breaker_open: Duration::from_millis(self.breaker_open_ms),
            aside_threads: self.aside_threads,
            aside_waiting: self.aside_waiting_max,
            aside_waiting_per_organization: self.aside_waiting_per_organization_max,
            warm_memories: self.warm_memories,
        }
    }
}
