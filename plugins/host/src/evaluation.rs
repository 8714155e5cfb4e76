//! One call into a guest, on the thread that called here: fresh store, run, classify, throw away.

mod answer;
mod classify;
mod reused;

pub use reused::Reused;
pub(crate) use reused::time_reused;

use std::sync::Arc;
use std::time::Instant;

use wasmtime::Store;

use crate::bindings::Instance;
use crate::capability::{Capability, Grants};
use crate::config::Limits;
use crate::failure::{EvaluationFailure, FailureCode, Stop};
use crate::measure::{self, Spent};
use crate::outcome::{Description, Outcome, SettingsProblem};
use crate::prepare::PreparedPlugin;
use crate::queue::{Run, Slice};
use crate::record::{Evaluation, EvaluationRecord, EvaluationRequest};
use crate::sandbox::Sandbox;
use crate::settings::Settings;

/// What a guest may use when no binding has granted anything: a log, for its panics.
fn unbound() -> Grants {
    Grants::from_iter([Capability::Log])
}

pub(crate) fn describe(
    plugin: &PreparedPlugin,
    deadline: Instant,
    run: &Arc<Run>,
) -> Result<Description, EvaluationFailure> {
    let mut store = Sandbox::new(Arc::clone(plugin.limits()), unbound()).into_store(
        plugin.engine(),
        deadline,
        Some(Slice::of(Arc::clone(run))),
    );
    let description = plugin.contract().describe(&mut store);
    let description = description.map_err(|error| failure(classify::stop(&error, store.data())))?;
    answer::description(description, plugin.limits()).map_err(failure)
}

pub(crate) fn validate_settings(
    plugin: &PreparedPlugin,
    settings: &str,
    deadline: Instant,
    run: &Arc<Run>,
) -> Result<Vec<SettingsProblem>, EvaluationFailure> {
    require_settings_length(settings, plugin.limits()).map_err(failure)?;
    require_unambiguous(&Settings::from(settings)).map_err(failure)?;
    let mut store = Sandbox::new(Arc::clone(plugin.limits()), unbound()).into_store(
        plugin.engine(),
        deadline,
        Some(Slice::of(Arc::clone(run))),
    );
    let problems = plugin.contract().validate_settings(&mut store, settings);
    let problems = problems.map_err(|error| failure(classify::stop(&error, store.data())))?;
    answer::settings_problems(&problems, plugin.limits()).map_err(failure)
}

/// Judges one transaction. `started` is when the caller asked.
pub(crate) fn evaluate(
    plugin: &PreparedPlugin,
    request: EvaluationRequest,
    started: Instant,
    deadline: Instant,
    run: &Arc<Run>,
) -> Result<Evaluation, EvaluationFailure> {
    require_settings_length(request.settings.as_str(), plugin.limits()).map_err(failure)?;
    require_unambiguous(&request.settings).map_err(failure)?;
    if let Err(capability) = plugin.require_granted(request.grants) {
        let detail = format!("the component imports `{capability}`, which its binding is not granted");
        return Err(EvaluationFailure::new(FailureCode::MissingCapability, detail));
    }
    let EvaluationRequest { verified, claimed, settings, grants, state, outside, requested_at_ms, .. } =
        request;
    let entered = Instant::now();
    let mut store = Sandbox::new(Arc::clone(plugin.limits()), grants)
        .with_inputs(settings.clone(), requested_at_ms, state, (outside, deadline))
        .into_store(plugin.engine(), deadline, Some(Slice::of(Arc::clone(run))));
    let answered = instantiated(plugin, &mut store)
        .and_then(|instance| instance.evaluate(&mut store, &verified, &claimed));
    let checked = check(answered, store.data());
    let fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
    let sandbox = store.into_data();
    let run_time = entered.elapsed();
    let instantiate = sandbox.instantiated_at.map_or(run_time, |at| at.duration_since(entered));
    let host_calls = sandbox.calls.waited() + sandbox.memory.waited();
    run.waited(host_calls);
    plugin.gauges().ran(&Spent { run: run_time, instantiate, host_calls }, &sandbox);
    if let Some(capability) = sandbox.denied.get() {
        measure::denied(plugin.digest(), capability);
    }
    let record = EvaluationRecord::of(plugin, sandbox, grants, settings, (verified, claimed));
    match checked {
        Ok(outcome) => {
            let duration_micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            Ok(Evaluation { outcome, duration_micros, run_time, fuel, record })
        }
        Err(stop) => Err(EvaluationFailure { record: Some(Box::new(record)), ..failure(stop) }),
    }
}

fn instantiated(plugin: &PreparedPlugin, store: &mut Store<Sandbox>) -> wasmtime::Result<Instance> {
    let instance = plugin.contract().instantiate(store)?;
    store.data_mut().instantiated_at = Some(Instant::now());
    Ok(instance)
}

fn check(answered: wasmtime::Result<Result<Outcome, String>>, sandbox: &Sandbox) -> Result<Outcome, Stop> {
    match answered {
        Ok(Ok(outcome)) => answer::outcome(outcome, &sandbox.limits),
        Ok(Err(text)) => Err(answer::guest_error(&text, &sandbox.limits)),
        Err(error) => Err(classify::stop(&error, sandbox)),
    }
}

fn require_settings_length(settings: &str, limits: &Limits) -> Result<(), Stop> {
    let limit = limits.settings_bytes;
    if settings.len() <= limit {
        return Ok(());
    }
    let detail = format!("settings of {} bytes, where {limit} are allowed", settings.len());
    Err(Stop::new(FailureCode::SettingsTooLarge, detail))
}

/// What the author signed for and what the guest reads is one thing.
fn require_unambiguous(settings: &Settings) -> Result<(), Stop> {
    match settings.ambiguity() {
        None => Ok(()),
        Some(fault) => Err(Stop::new(FailureCode::SettingsAmbiguous, format!("settings: {fault}"))),
    }
}

fn failure(stop: Stop) -> EvaluationFailure {
    EvaluationFailure::new(stop.code, stop.detail)
}
