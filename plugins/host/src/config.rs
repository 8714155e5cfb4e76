//! Everything that bounds a plugin, with defaults. Raising a limit weakens a promise: each one has a
//! hostile guest that hits it (see `README.md`).

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::cache::CacheKey;
use crate::compile::CompileCommand;
use crate::digest::Digest;

const KIBIBYTE: usize = 1024;
const MEBIBYTE: usize = 1024 * KIBIBYTE;

/// Configuration of a [`PluginHost`](crate::PluginHost).
#[derive(Debug, Clone)]
pub struct HostConfig {
    pub limits: Limits,
    pub schedule: ScheduleConfig,
    pub compile: CompileConfig,
    pub cache: CacheConfig,
}

impl HostConfig {
    /// Defaults around the three things that have none.
    pub fn new(command: CompileCommand, cache_directory: PathBuf, cache_key: CacheKey) -> Self {
        Self {
            limits: Limits::default(),
            schedule: ScheduleConfig::default(),
            compile: CompileConfig::new(command),
            cache: CacheConfig { directory: cache_directory, bytes: 4 << 30, key: cache_key },
        }
    }
}

/// Bounds of one evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    /// Linear memory of all instances together; at most 256 MiB.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances, and tables, of one component.
    pub instances: usize,
    /// Linear memories of one component.
    pub memories: usize,
    /// What large components have instead of the above.
    #[serde(skip)]
    pub large: LargeLimits,
    /// Native stack that guest code may use.
    pub stack_bytes: usize,
    /// Data lifted from the guest in one host call, and in its answer.
    pub transfer_bytes: usize,
    /// Lines written to the log.
    pub log_lines: usize,
    /// Bytes written to the log, all lines together.
    pub log_bytes: usize,
    /// One log line; the rest of it is cut off.
    pub log_line_bytes: usize,
    /// Settings handed to the guest.
    pub settings_bytes: usize,
    /// Different keys of the state that are touched.
    pub state_keys: usize,
    pub state_key_bytes: usize,
    pub state_value_bytes: usize,
    /// Calls to the host for what lies outside: history, http, chain.
    pub host_calls: usize,
    /// Bytes in their questions and answers, all together.
    pub host_call_bytes: usize,
    /// Analysis text and failure detail; the rest of it is cut off.
    pub analysis_bytes: usize,
    /// Entries of the evidence.
    pub evidence_entries: usize,
    /// One name or value of the evidence, and one role; the rest of it is cut off.
    pub evidence_bytes: usize,
    /// Roles in a demand for approvals, and problems reported about settings.
    pub list_entries: usize,
    /// The settings schema of a description.
    pub schema_bytes: usize,
}

/// Bounds of a component that brings an interpreter along, as those of JavaScript and Python do. What is small stays
/// tightly bound; what wants more has to be so large that nobody overlooks it.
#[derive(Debug, Clone)]
pub struct LargeLimits {
    /// A component of as many bytes is large.
    pub component_bytes: usize,
    /// Linear memory of all instances together; at most 256 MiB.
    pub memory_bytes: usize,
    /// Core instances, and tables, of one component.
    pub instances: usize,
}

impl Default for LargeLimits {
    /// Measured: JavaScript starts with 9 MiB and 5 instances, Python with 13 MiB and 40.
    fn default() -> Self {
        Self { component_bytes: 4 * MEBIBYTE, memory_bytes: 64 * MEBIBYTE, instances: 100 }
    }
}

impl Limits {
    /// The same bounds for large components.
    pub(crate) fn of_large_components(&self) -> Self {
        let LargeLimits { memory_bytes, instances, .. } = self.large;
        Self { memory_bytes, instances, ..self.clone() }
    }

    /// Names these bounds and the time that an evaluation has; another digest may end it otherwise.
    pub(crate) fn digest(&self, deadline: Duration) -> Digest {
        let named = serde_json::to_vec(&(self, deadline)).expect("bounds are numbers under names");
        Digest::of(&named)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 16 * MEBIBYTE,
            table_elements: 20_000,
            instances: 10,
            memories: 2,
            large: LargeLimits::default(),
            stack_bytes: 512 * KIBIBYTE,
            transfer_bytes: MEBIBYTE,
            log_lines: 100,
            log_bytes: 16 * KIBIBYTE,
            log_line_bytes: KIBIBYTE,
            settings_bytes: 64 * KIBIBYTE,
            state_keys: 64,
            state_key_bytes: 256,
            state_value_bytes: 16 * KIBIBYTE,
            host_calls: 32,
            host_call_bytes: 256 * KIBIBYTE,
            analysis_bytes: 4 * KIBIBYTE,
            evidence_entries: 32,
            evidence_bytes: 512,
            list_entries: 32,
            schema_bytes: 64 * KIBIBYTE,
        }
    }
}

/// Threads, queues and time.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    /// Threads that run guests; twice the cores, at least four, so that plugins that hold theirs to the
    /// deadline leave some to others.
    pub threads: usize,
    /// Evaluations of one plugin that run at once, long ones not counted; half of the threads.
    pub running_per_plugin: usize,
    /// Processor time after which an evaluation is a long one: it goes on beside the threads, while short ones take
    /// no more than a tenth of the processors' time; 25 ms. Looked at once a tick.
    pub slice: Duration,
    /// How long after one all others of its plugin, under the same settings, are taken for long ones; 10 s.
    pub long_for: Duration,
    /// The longest that a long evaluation stands still for short ones before it goes on for a tick, times the number of long
    /// ones under way for each processor; 40 ms: together they have a ninth of the processors' time, whatever others ask for.
    pub pause_max: Duration,
    /// Long evaluations that run at once, of one plugin at most `running_per_plugin`; as many as threads. Beyond, they hold
    /// their threads, and those that are known to be long wait.
    pub background_threads: usize,
    /// Evaluations of one plugin that wait.
    pub waiting_per_plugin: usize,
    /// Evaluations that wait, all plugins together.
    pub waiting_total: usize,
    /// The longest that any call may take, waiting included; a request may ask for less.
    pub deadline: Duration,
    /// The longest that an evaluation may run, counted from its turn; one whose turn leaves less than that is not run. None
    /// where the deadline alone counts, as in a gateway, whose callers wait; for who tries out what a gateway would stop.
    pub run_max: Option<Duration>,
    /// How often running guests are interrupted to look at the deadline. The answer to a late call
    /// comes at most two of these after the deadline.
    pub tick: Duration,
    /// Evaluations in a row of one plugin under the same settings that the sandbox had to stop, after which it is not
    /// run for a while.
    pub breaker_failures: u32,
    /// How long that is; then one evaluation shows whether others may follow.
    pub breaker_open: Duration,
    /// Threads that run what is only tried out, besides those above: it holds up nothing else.
    pub aside_threads: usize,
    /// Of that, what waits.
    pub aside_waiting: usize,
    /// Of what waits, what may be one organization's; organizations take turns.
    pub aside_waiting_per_organization: usize,
    /// Memories that stay laid out for their plugin while it does not run, besides one for each thread.
    pub warm_memories: usize,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (2 * cores).max(4);
        Self {
            threads,
            running_per_plugin: threads / 2,
            slice: Duration::from_millis(25),
            long_for: Duration::from_secs(10),
            pause_max: Duration::from_millis(40),
            background_threads: threads,
            waiting_per_plugin: 1024,
            waiting_total: 8192,
            deadline: Duration::from_millis(500),
            run_max: None,
            tick: Duration::from_millis(5),
            breaker_failures: 20,
            breaker_open: Duration::from_secs(10),
            aside_threads: 1,
            aside_waiting: 64,
            aside_waiting_per_organization: 16,
            warm_memories: 128,
        }
    }
}

/// Compiling components in child processes.
#[derive(Debug, Clone)]
pub struct CompileConfig {
    /// Starts a child that runs [`compile_child_main`](crate::compile_child_main).
    pub command: CompileCommand,
    /// Component accepted for compiling; 32 MiB.
    pub component_bytes: usize,
    /// Artifact accepted from the child; 256 MiB.
    pub artifact_bytes: usize,
    /// Address space of the child; 2 GiB.
    pub memory_bytes: u64,
    /// Processor time of the child; 60 s.
    pub cpu_seconds: u64,
    /// Wall-clock time of the child; 90 s.
    pub timeout: Duration,
    /// Children at once; 1.
    pub concurrent: usize,
    /// Whether compiled code counts its steps as fuel: slower, and for authors who want a cost that is the same on
    /// every machine.
    pub count_fuel: bool,
}

impl CompileConfig {
    /// Defaults for a command.
    pub fn new(command: CompileCommand) -> Self {
        Self {
            command,
            component_bytes: 32 * MEBIBYTE,
            artifact_bytes: 256 * MEBIBYTE,
            memory_bytes: 2 << 30,
            cpu_seconds: 60,
            timeout: Duration::from_secs(90),
            concurrent: 1,
            count_fuel: false,
        }
    }
}

/// The cache of compiled components: native code, hence private and under a MAC.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Created with mode 0700; refused when others may enter it, or own it.
    pub directory: PathBuf,
    /// Bytes of its files, beyond which those that were used last stay; 4 GiB.
    pub bytes: u64,
    pub key: CacheKey,
}
