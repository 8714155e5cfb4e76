//! `countersign transaction dry-run`: would this be approved?

use anyhow::Result;
use clap::Args;
use gateway_domain::{
    Address, U256,
    actor::OpCtx,
    approvals::Role,
    chain::ChainId,
    evaluations::{EvaluationResult, Verdict},
    policy::{Mode, Power, Rehearsal, Requirement},
    transactions::{self, DryRunRequest, ExecutionType, Opinion},
};
use serde_json::{Value, json};

use crate::{
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
    },
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DryRun {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Whose funds would move: the escrow address of a user.
    #[arg(long, value_name = "ADDRESS")]
    escrow: Address,
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// Base units of the chain, in decimal digits.
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    value: U256,
    /// Call data, hexadecimal after 0x.
    #[arg(long, value_name = "BYTES", value_parser = call_data)]
    data: Option<CallData>,
    /// The chain, such as `eip155:1`.
    #[arg(long)]
    chain: ChainId,
    /// 0, 1 or 2, as the API has it.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    execution_type: u8,
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Bytes as one argument; a list would be taken for several.
#[derive(Clone, Debug)]
struct CallData(Vec<u8>);

fn call_data(text: &str) -> Result<CallData, String> {
    let digits = text.strip_prefix("0x").ok_or("must begin with 0x")?;
    hex::decode(digits).map(CallData).map_err(|error| error.to_string())
}

impl DryRun {
    pub(super) async fn run(self) -> Result<Status> {
        let asked = DryRunRequest {
            escrow: self.escrow,
            chain: self.chain,
            to: self.to,
            value: self.value,
            data: self.data.map_or_else(Vec::new, |data| data.0),
            execution_type: match self.execution_type {
                0 => ExecutionType::DirectUser,
                1 => ExecutionType::UserExecuted,
                _ => ExecutionType::AgentExecuted,
            },
            note: self.note,
        };
        self.format.print_answer(&self.place.order(Act::DryRun(asked)).await?)
    }
}

pub(in crate::cli) async fn dry_run(gateway: &Gateway, ctx: &OpCtx, asked: DryRunRequest) -> Result<Answer> {
    let run = transactions::dry_run(ctx, &gateway.services, asked).await?;
    let (missing, denial): (&[Requirement], Option<Value>) = match &run.rehearsal {
        Rehearsal::Approved { .. } => (&[], None),
        Rehearsal::Pending(open) => (&open.unmet, None),
        Rehearsal::Denied(denial) => {
            (&[], Some(json!({ "reason": denial.reason.as_str(), "detail": denial.detail })))
        }
    };
    let mut lines =
        vec![format!("{} under policy revision {}", run.rehearsal.as_str(), run.policy_revision())];
    if let Rehearsal::Denied(denial) = &run.rehearsal {
        lines.push(format!("  {}: {}", denial.reason.as_str(), plugin_host::plain(&denial.detail, 2000)));
    }
    lines.extend(missing.iter().map(|one| format!("  missing: {} of role {}", one.count, one.role)));
    lines.extend(run.opinions().map(line));
    if run.asked_too_often {
        lines.push("  a request would be turned away for now: this was denied too often".to_owned());
    }
    let missing: Vec<_> = missing
        .iter()
        .map(|one| json!({ "role": one.role, "count": one.count, "evidence": one.evidence }))
        .collect();
    let value = json!({
        "id": run.id, "policyRevision": run.policy_revision(), "intentHash": run.intent.hash(),
        "decision": run.rehearsal.as_str(), "required": run.rehearsal.required(), "missing": missing,
        "denial": denial, "askedTooOften": run.asked_too_often,
        "bindings": run.opinions().map(described).collect::<Vec<_>>(),
    });
    Ok(Answer { value, lines })
}

fn described(opinion: Opinion<'_>) -> Value {
    let Opinion { binding, evaluation } = opinion;
    let mut value = json!({
        "binding": binding.id, "plugin": binding.plugin, "mode": binding.mode, "power": power(&binding.power),
        "subjectDigest": evaluation.subject_digest, "durationMicros": evaluation.duration_micros,
    });
    match &evaluation.result {
        EvaluationResult::Failure { code, detail } => {
            value["verdict"] = json!("failure");
            value["code"] = json!(code);
            value["analysis"] = json!(detail);
        }
        EvaluationResult::Verdict(outcome) => {
            value["verdict"] = json!(outcome.verdict.as_str());
            value["code"] = json!(outcome.reason_code);
            value["analysis"] = json!(outcome.analysis);
            value["confidencePpm"] = json!(outcome.confidence_ppm);
            value["evidence"] = json!(outcome.evidence);
            value["demands"] = json!(demands(&outcome.verdict));
        }
    }
    value
}

fn demands(verdict: &Verdict) -> &[(Role, u32)] {
    match verdict {
        Verdict::NeedApprovals(needs) => needs,
        Verdict::Approve | Verdict::Reject | Verdict::Abstain | Verdict::Other(_) => &[],
    }
}

fn power(power: &Power) -> String {
    match power {
        Power::Gate => "gate".to_owned(),
        Power::Authority(role) => role.to_string(),
    }
}

fn line(opinion: Opinion<'_>) -> String {
    let Opinion { binding, evaluation } = opinion;
    let mode = if binding.mode == Mode::Shadow { " (shadow)" } else { "" };
    let (said, text) = match &evaluation.result {
        EvaluationResult::Failure { code, detail } => (format!("failed, {code}"), detail.as_str()),
        EvaluationResult::Verdict(outcome) => {
            (outcome.verdict.as_str().to_owned(), outcome.analysis.as_str())
        }
    };
    let name = plugin_host::plain(&binding.plugin, 100);
    format!("  {name}{mode}: {said} in {} us: {}", evaluation.duration_micros, plugin_host::plain(text, 500))
}
