//! Cases: an evaluation's record with only what differs from an ordinary one, and what is expected of it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use plugin_host::{
    Capability, Digest, EvaluationRecord, EvaluationRequest, Grants, PreparedPlugin, VerifiedTransaction,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::adapters::evaluator;

/// Parts of a record that a case may set. What the plugin writes and logs is its own to say.
pub(super) const INPUTS: [&str; 7] =
    ["verified", "claimed", "settings", "requested_at_ms", "state_reads", "counter_reads", "host_calls"];

/// What a case may expect: fields of an outcome, or the code of a failure and its detail, and what was left behind.
pub(super) const EXPECTED: [&str; 10] = [
    "verdict",
    "reason_code",
    "analysis",
    "confidence_ppm",
    "evidence",
    "failure",
    "detail",
    "reservations",
    "state_writes",
    "logs",
];

/// One case of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// What differs from [`ordinary`].
    #[serde(default)]
    given: Map<String, Value>,
    /// Fields of the outcome, or `failure` with its code.
    pub(super) expect: Map<String, Value>,
}

/// A file of cases; `given` there holds for all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(default)]
    given: Map<String, Value>,
    cases: Vec<Case>,
}

/// Reads a file of cases; what it sets for all of them stands beneath what each sets.
pub(super) fn read(path: &Path) -> Result<Vec<Case>> {
    let shown = path.display();
    let text = fs::read(path).with_context(|| format!("reading `{shown}`"))?;
    let Cases { given, mut cases } =
        serde_json::from_slice(&text).with_context(|| format!("`{shown}` is not a file of cases"))?;
    for case in &mut cases {
        if let Some(unknown) = case.expect.keys().find(|name| !EXPECTED.contains(&name.as_str())) {
            bail!("case `{}`: there is no `expect.{unknown}`; there are {}", case.name, EXPECTED.join(", "));
        }
        let own = std::mem::replace(&mut case.given, given.clone());
        overlay(&mut case.given, own);
    }
    Ok(cases)
}

impl Case {
    /// The request of the case to a plugin.
    pub(super) fn request(&self, plugin: &PreparedPlugin) -> Result<EvaluationRequest> {
        Ok(self.record(plugin)?.repeat())
    }

    /// The evaluation that the case repeats, as far as it is given.
    pub(super) fn record(&self, plugin: &PreparedPlugin) -> Result<EvaluationRecord> {
        let mut record = serde_json::to_value(ordinary(plugin)).context("a record is JSON")?;
        let fields = record.as_object_mut().context("a record is an object")?;
        for (name, value) in &self.given {
            if !INPUTS.contains(&name.as_str()) {
                bail!("case `{}`: `given.{name}` cannot be set; there are {}", self.name, INPUTS.join(", "));
            }
            let value = match (name.as_str(), value) {
                // Settings are text to the host; here they may be written as what they are.
                ("settings", Value::Object(_) | Value::Array(_)) => Value::String(value.to_string()),
                _ => with_bytes(value.clone()),
            };
            match (fields.get_mut(name), value) {
                (Some(Value::Object(ordinary)), Value::Object(given)) => {
                    if let Some(unknown) = given.keys().find(|key| !ordinary.contains_key(*key)) {
                        bail!("case `{}`: there is no `given.{name}.{unknown}`", self.name);
                    }
                    overlay(ordinary, given);
                }
                (_, value) => drop(fields.insert(name.clone(), value)),
            }
        }
        let record: EvaluationRecord = serde_path_to_error::deserialize(record)
            .with_context(|| format!("case `{}`: `given` is not as records have it", self.name))?;
        evaluator::require_told_so(&record.verified)
            .map_err(|why| anyhow::anyhow!("case `{}`: `given.verified`: {why}", self.name))?;
        Ok(record)
    }
}

/// Objects field by field, everything else as a whole.
fn overlay(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => overlay(below, above),
            (_, value) => drop(below.insert(name, value)),
        }
    }
}

/// Bytes are hexadecimal in records; `{"text": ..}` and `{"json": ..}` are easier to write.
fn with_bytes(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let bytes = match (fields.len(), fields.get("text"), fields.get("json")) {
                (1, Some(Value::String(text)), None) => Some(text.clone()),
                (1, None, Some(json)) => Some(json.to_string()),
                _ => None,
            };
            match bytes {
                Some(bytes) => Value::String(hex::encode(bytes)),
                None => fields.into_iter().map(|(name, value)| (name, with_bytes(value))).collect(),
            }
        }
        Value::Array(items) => items.into_iter().map(with_bytes).collect(),
        other => other,
    }
}

/// One ether to somebody who was paid before, with everything granted and nothing remembered.
fn ordinary(plugin: &PreparedPlugin) -> EvaluationRecord {
    EvaluationRecord {
        component: plugin.digest(),
        engine: plugin.engine_digest(),
        limits: plugin.limits_digest(),
        contract: plugin.contract_version().to_owned(),
        verified: VerifiedTransaction {
            organization_id: "01980f3e-0000-7000-8000-000000000001".to_owned(),
            transaction_id: "01980f3e-0000-7000-8000-000000000002".to_owned(),
            initiator_id: "01980f3e-0000-7000-8000-000000000004".to_owned(),
            owner_id: "01980f3e-0000-7000-8000-000000000004".to_owned(),
            created_at_ms: 1_800_000_000_000,
            key_id: "01980f3e-0000-7000-8000-000000000003".to_owned(),
            provider: "hsm".to_owned(),
            chain: "eip155:1".to_owned(),
            kind: "transfer".to_owned(),
            sender: "0x00000000000000000000000000000000000000aa".to_owned(),
            recipient: Some("0x00000000000000000000000000000000000000bb".to_owned()),
            value: "1000000000000000000".to_owned(),
            transactions_to_recipient: 1,
            ..VerifiedTransaction::default()
        },
        claimed: plugin_host::ClaimedTransaction::default(),
        settings: "{}".into(),
        settings_digest: Digest::of(b"{}"),
        grants: Grants::from_iter(Capability::ALL),
        requested_at_ms: 1_800_000_000_000,
        state_reads: Vec::new(),
        state_writes: Vec::new(),
        counter_reads: Vec::new(),
        reservations: Vec::new(),
        host_calls: Vec::new(),
        logs: Vec::new(),
        memory_peak_bytes: 0,
    }
}

/// What came of an evaluation, with everything that a case may expect.
pub(super) fn found(
    answer: &Result<plugin_host::Evaluation, plugin_host::EvaluationFailure>,
) -> Map<String, Value> {
    let (value, record) = match answer {
        Ok(evaluation) => {
            let outcome = &evaluation.outcome;
            let value = json!({
                "verdict": outcome.verdict, "reason_code": outcome.reason_code, "analysis": outcome.analysis,
                "confidence_ppm": outcome.confidence_ppm, "evidence": outcome.evidence,
            });
            (value, Some(&evaluation.record))
        }
        Err(failure) => {
            (json!({ "failure": failure.code, "detail": failure.detail }), failure.record.as_deref())
        }
    };
    let mut fields = value.as_object().cloned().unwrap_or_default();
    if let Some(record) = record {
        fields.insert("reservations".to_owned(), json!(record.reservations));
        fields.insert("state_writes".to_owned(), json!(record.state_writes));
        fields.insert("logs".to_owned(), json!(record.logs));
    }
    fields
}

#[cfg(test)]
mod tests;
