//! `countersign plugin record`: what plugins were asked and told, as cases for `plugin test`: about a transaction of a
//! gateway, or by services and nodes that are asked now, without any gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use gateway_domain::{
    Error,
    actor::OpCtx,
    approvals::Role,
    evaluations::{Evaluation, EvaluationResult, Outcome, Verdict},
    ids::{OrganizationId, TransactionId},
    ports::{DecisionReads as _, TransactionReads as _},
};
use serde_json::{Map, Value, json};

use self::live::Live;
use super::cases::INPUTS;
use crate::{
    cli::{
        order::{Act, Answer},
        output::print_text,
        place::OrganizationPlace,
        status::{Status, UsageError},
    },
    wiring::Gateway,
};

mod live;

#[derive(Debug, Args)]
pub(in crate::cli) struct Record {
    /// Id of a transaction of a gateway, as `transaction list` shows it; needs `--data-dir` or `--config`.
    #[arg(required_unless_present = "component", conflicts_with = "component")]
    transaction: Option<TransactionId>,
    /// Only what the plugin bound by this name was asked.
    #[arg(long, value_name = "NAME", conflicts_with = "component")]
    plugin: Option<String>,
    /// Data directory of `countersign dev`.
    #[arg(long, value_name = "DIR", conflicts_with = "component")]
    data_dir: Option<PathBuf>,
    /// Configuration file. With a component, its `plugin_upstreams`, `chains` and `egress` are what is asked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Id of the organization; without it, `core.organization`, or the demo organization of `dev`.
    #[arg(long, value_name = "ID", conflicts_with = "component")]
    organization: Option<OrganizationId>,
    #[command(flatten)]
    live: Live,
}

impl Record {
    /// Prints a file of cases, whichever way other commands print.
    pub(super) async fn run(self) -> Result<Status> {
        let Some(transaction) = self.transaction else {
            return print_cases(&self.live.cases(self.config.as_deref()).await?);
        };
        if self.data_dir.is_none() && self.config.is_none() {
            return Err(
                UsageError("a transaction needs `--data-dir` or `--config`, to say where it is").into()
            );
        }
        let place = OrganizationPlace::of(self.data_dir, self.config, self.organization);
        let answer = place.order(Act::RecordPlugins(transaction)).await?;
        let recorded = answer.value["cases"].as_array().cloned().unwrap_or_default();
        let wanted = |case: &Value| self.plugin.as_deref().is_none_or(|name| case["plugin"] == name);
        let cases: Vec<Value> =
            recorded.iter().filter(|case| wanted(case)).map(|case| case["case"].clone()).collect();
        if cases.is_empty() {
            bail!("no plugin of that name left a record of this transaction");
        }
        print_cases(&cases)
    }
}

fn print_cases(cases: &[Value]) -> Result<Status> {
    print_text(&format!("{:#}\n", json!({ "cases": cases })))
}

pub(in crate::cli) async fn record(gateway: &Gateway, ctx: &OpCtx, id: TransactionId) -> Result<Answer> {
    let (store, organization) = (&gateway.store, ctx.organization);
    store.transaction(organization, id).await?.ok_or(Error::NotFound("transaction"))?;
    let mut cases = Vec::new();
    for evaluation in store.evaluations(organization, id).await? {
        if let Some(case) = case_of(&evaluation)? {
            cases.push(json!({ "plugin": evaluation.subject_name, "case": case }));
        }
    }
    Ok(Answer { value: json!({ "transaction": id, "cases": cases }), lines: Vec::new() })
}

/// The evaluation as a case; none where it was stopped before there was a record, and for built-in rules.
fn case_of(evaluation: &Evaluation) -> Result<Option<Value>> {
    let mut record: Map<String, Value> =
        serde_json::from_str(&evaluation.record).context("an evaluation's record is a JSON object")?;
    if !record.contains_key("component") {
        return Ok(None);
    }
    record.retain(|name, _| INPUTS.contains(&name.as_str()));
    let (purpose, created_at) = (json!(evaluation.purpose), evaluation.created_at.unix_millis());
    let name = format!(
        "{} on {} ({}, {created_at})",
        evaluation.subject_name,
        evaluation.transaction,
        purpose.as_str().unwrap_or_default()
    );
    Ok(Some(json!({ "name": name, "given": record, "expect": expectation(&evaluation.result) })))
}

fn expectation(result: &EvaluationResult) -> Value {
    match result {
        EvaluationResult::Failure { code, .. } => json!({ "failure": code }),
        EvaluationResult::Verdict(outcome) => {
            let Outcome { verdict, reason_code, analysis, confidence_ppm, evidence } = outcome;
            json!({
                "verdict": spelled(verdict), "reason_code": reason_code, "analysis": analysis,
                "confidence_ppm": confidence_ppm, "evidence": evidence,
            })
        }
    }
}

/// As `plugin test` finds it.
fn spelled(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Approve => json!("approve"),
        Verdict::Reject => json!("reject"),
        Verdict::Abstain => json!("abstain"),
        Verdict::NeedApprovals(needs) => {
            let need = |(role, count): &(Role, u32)| json!({ "role": role.to_string(), "count": count });
            json!({ "need_approvals": needs.iter().map(need).collect::<Vec<_>>() })
        }
        Verdict::Other(name) => json!({ "other": name }),
    }
}
