//! Runs policy plugins: WebAssembly components that judge transactions and are trusted with nothing.
//!
//! [`PluginHost::prepare`] turns a component into a [`PreparedPlugin`] once: digest checked, compiled in
//! a child process with limits, cached under a MAC, imports checked. [`PluginHost::evaluate`] then runs
//! it in a fresh store per call, on threads of the host's own, under one deadline and a budget for
//! everything that a guest can consume. Whatever goes wrong is an [`EvaluationFailure`] with a stable
//! code; a failure is never a verdict, and the caller denies.
//!
//! The contract with plugins is `wit/` in the repository root; every released version has its module in
//! `bindings`, and everything above works on one model of transaction and outcome.

#![deny(unsafe_code)]

mod bindings;
mod breaker;
mod cache;
mod capability;
mod compile;
mod config;
mod decimal;
mod digest;
mod engine;
mod epoch;
mod evaluation;
mod failure;
mod hexadecimal;
mod host;
mod imports;
mod measure;
mod outcome;
mod outside;
mod prepare;
mod queue;
mod record;
mod sandbox;
mod settings;
mod state;
mod subject;
mod text;
mod transaction;

pub use cache::CacheKey;
pub use capability::{Capability, Grants};
pub use compile::{CompileCommand, compile_child_main};
pub use config::{CacheConfig, CompileConfig, HostConfig, LargeLimits, Limits, ScheduleConfig};
pub use digest::Digest;
pub use evaluation::Reused;
pub use failure::{EvaluationFailure, FailureCode};
pub use host::PluginHost;
pub use outcome::{ApprovalsNeeded, Description, Outcome, PARTS_PER_MILLION, SettingsProblem, Verdict};
pub use outside::{
    ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, Gap, HistoryAnswer, HistoryQuestion, HostCall,
    HttpAnswer, HttpFailure, HttpQuestion, HttpResponse, NoOutside, OutsideError, OutsidePort,
    PastTransaction, PinnedBlock, Selection, Stage,
};
pub use prepare::{ComponentSource, Origin, PreparedPlugin};
pub use record::{
    CounterRead, Evaluation, EvaluationRecord, EvaluationRequest, LogLevel, LogLine, Reservation, StateRead,
    StateWrite,
};
pub use settings::{Settings, SettingsFault};
pub use state::{Counted, CounterName, NoState, StatePort, StatePortError, StateSnapshot};
pub use text::plain;
pub use transaction::{
    Approval, Argument, Call, Ceilings, ClaimedTransaction, NameValue, VerifiedTransaction,
};
