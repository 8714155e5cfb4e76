//! Checks what a guest answered. Text is cut and cleaned; what breaks the contract is a failure.

use crate::config::Limits;
use crate::failure::{FailureCode, Stop};
use crate::outcome::{ApprovalsNeeded, Description, Outcome, PARTS_PER_MILLION, SettingsProblem, Verdict};
use crate::text::plain;

const REASON_CODE_BYTES: usize = 64;

pub(super) fn outcome(outcome: Outcome, limits: &Limits) -> Result<Outcome, Stop> {
    if outcome.confidence_ppm > PARTS_PER_MILLION {
        let detail = format!("confidence of {} parts per million", outcome.confidence_ppm);
        return Err(Stop::new(FailureCode::BadConfidence, detail));
    }
    require_code("reason code", &outcome.reason_code)?;
    require_entries("entries of evidence", outcome.evidence.len(), limits.evidence_entries)?;
    let text = |text: &str| plain(text, limits.evidence_bytes);
    Ok(Outcome {
        verdict: verdict(outcome.verdict, limits)?,
        reason_code: outcome.reason_code,
        analysis: plain(&outcome.analysis, limits.analysis_bytes),
        confidence_ppm: outcome.confidence_ppm,
        evidence: outcome.evidence.iter().map(|(name, value)| (text(name), text(value))).collect(),
    })
}

fn verdict(verdict: Verdict, limits: &Limits) -> Result<Verdict, Stop> {
    match verdict {
        Verdict::Approve | Verdict::Reject | Verdict::Abstain => Ok(verdict),
        Verdict::NeedApprovals(needed) => {
            require_entries("demands for approvals", needed.len(), limits.list_entries)?;
            if needed.is_empty() {
                return Err(invalid("a demand for approvals that names none"));
            }
            needed.into_iter().map(demand).collect::<Result<_, _>>().map(Verdict::NeedApprovals)
        }
        Verdict::Other(name) => {
            require_code("verdict", &name)?;
            Ok(Verdict::Other(name))
        }
    }
}

fn demand(needed: ApprovalsNeeded) -> Result<ApprovalsNeeded, Stop> {
    if needed.count == 0 {
        return Err(invalid("a demand for zero approvals"));
    }
    require_code("role", &needed.role)?;
    Ok(needed)
}

pub(super) fn description(description: Description, limits: &Limits) -> Result<Description, Stop> {
    require_code("name", &description.name)?;
    if description.settings_schema.len() > limits.schema_bytes {
        let detail = format!("a settings schema of more than {} bytes", limits.schema_bytes);
        return Err(Stop::new(FailureCode::OutputTooLarge, detail));
    }
    Ok(Description {
        name: description.name,
        version: plain(&description.version, REASON_CODE_BYTES),
        summary: plain(&description.summary, limits.analysis_bytes),
        settings_schema: plain(&description.settings_schema, limits.schema_bytes),
    })
}

pub(super) fn settings_problems(
    problems: &[SettingsProblem],
    limits: &Limits,
) -> Result<Vec<SettingsProblem>, Stop> {
    require_entries("problems with the settings", problems.len(), limits.list_entries)?;
    let text = |text: &str| plain(text, limits.evidence_bytes);
    Ok(problems
        .iter()
        .map(|problem| SettingsProblem { field: text(&problem.field), rule: text(&problem.rule) })
        .collect())
}

pub(super) fn guest_error(text: &str, limits: &Limits) -> Stop {
    Stop::new(FailureCode::GuestError, plain(text, limits.analysis_bytes))
}

/// Codes are compared and shown by machines, so a bad one is refused instead of cleaned.
fn require_code(what: &str, code: &str) -> Result<(), Stop> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    if (1..=REASON_CODE_BYTES).contains(&code.len()) && code.bytes().all(allowed) {
        return Ok(());
    }
    let shown = plain(code, REASON_CODE_BYTES);
    Err(invalid(&format!("{what} `{shown}`: must be 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`")))
}

fn require_entries(what: &str, actual: usize, limit: usize) -> Result<(), Stop> {
    if actual <= limit {
        return Ok(());
    }
    Err(Stop::new(FailureCode::OutputTooLarge, format!("{actual} {what}, where {limit} are allowed")))
}

fn invalid(detail: &str) -> Stop {
    Stop::new(FailureCode::InvalidOutput, detail)
}

#[cfg(test)]
mod tests;
