//! `countersign plugin replay`: hears again what plugins said about a transaction, from the records alone.

use anyhow::Result;
use clap::Args;
use gateway_domain::{
    Error,
    actor::OpCtx,
    evaluations::{Evaluation, EvaluationResult},
    ids::TransactionId,
    ports::{DecisionReads as _, PolicyReads as _, TransactionReads as _},
    transactions::State,
};
use serde_json::{Value, json};

use crate::{
    adapters::evaluator::{Changed, Ended, Replayed},
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
    },
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the transaction, as `transaction list` shows it, or of a dry run.
    transaction: TransactionId,
    #[command(flatten)]
    format: Format,
}

impl Replay {
    pub(super) async fn run(self) -> Result<Status> {
        let answer = self.place.order(Act::ReplayPlugins(self.transaction)).await?;
        self.format.print_answer(&answer)?;
        Ok(if answer.value["same"] == true { Status::Done } else { Status::Unverified })
    }
}

pub(in crate::cli) async fn replay(gateway: &Gateway, ctx: &OpCtx, id: TransactionId) -> Result<Answer> {
    let (store, organization) = (&gateway.store, ctx.organization);
    let evaluations = store.evaluations(organization, id).await?;
    if evaluations.is_empty() {
        // A dry run has evaluations and no transaction.
        let transaction = store.transaction(organization, id).await?.ok_or(Error::NotFound("transaction"))?;
        return Ok(nobody_asked(id, &transaction.state));
    }
    let policy = store.policy(organization).await?;
    let (mut same, mut values, mut lines) = (true, Vec::new(), Vec::new());
    for evaluation in evaluations {
        let replayed = gateway.plugins.replay(&evaluation).await;
        // What left no record is not shown to be the same either.
        same &= matches!(replayed, Replayed::Same(_));
        let (outcome, text) = told(&evaluation, &replayed);
        let name = &evaluation.subject_name;
        let bound = policy.iter().flat_map(|policy| &policy.bindings);
        let guest_changed =
            !bound.into_iter().any(|binding| binding.subject_digest == evaluation.subject_digest);
        let today =
            if guest_changed { "; no longer bound: today another revision is asked, or none" } else { "" };
        values.push(json!({
            "evaluation": evaluation.id, "plugin": name, "purpose": evaluation.purpose, "outcome": outcome,
            "guestChanged": guest_changed,
        }));
        lines.push(format!("{}  {:<20} {text}{today}", evaluation.id, plugin_host::plain(name, 100)));
    }
    Ok(Answer { value: json!({ "transaction": id, "same": same, "evaluations": values }), lines })
}

/// Where nothing was said nothing is shown to be the same, as in a comparison of nothing.
fn nobody_asked(id: TransactionId, state: &State) -> Answer {
    let why = match state {
        State::Rejected { detail, .. } => format!(", which was refused: {}", plugin_host::plain(detail, 300)),
        _ => String::new(),
    };
    Answer {
        value: json!({ "transaction": id, "same": false, "evaluations": [] }),
        lines: vec![format!("no plugin was asked about this transaction{why}")],
    }
}

fn told(evaluation: &Evaluation, replayed: &Replayed) -> (Value, String) {
    match replayed {
        Replayed::Same(changed) => {
            let value = json!({
                "kind": "same", "engineChanged": changed.engine, "limitsChanged": changed.limits,
            });
            (value, format!("the same, bit for bit{}", since(*changed)))
        }
        Replayed::NotRepeatable(ended) => {
            let (code, detail) = match &evaluation.result {
                EvaluationResult::Failure { code, detail } => (code.as_str(), detail.as_str()),
                EvaluationResult::Verdict(_) => ("", ""),
            };
            let (kind, what) = match ended {
                Ended::Unasked => ("not_asked", "not asked: the plugin was not run"),
                Ended::Late => ("not_recorded", "not recorded: time was up before the plugin had answered"),
                Ended::OverQuota => (
                    "over_quota",
                    "not stored: the plugin had answered, and what it would remember was refused",
                ),
                Ended::Abandoned => ("not_recorded", "not recorded: the gateway gave up, not the plugin"),
            };
            let text = format!("{what} ({code}: {})", plugin_host::plain(detail, 300));
            (json!({ "kind": kind, "code": code }), text)
        }
        Replayed::Different { what, changed } => {
            let value = json!({
                "kind": "different", "what": what, "engineChanged": changed.engine,
                "limitsChanged": changed.limits,
            });
            (value, format!("DIFFERENT{}: {}", since(*changed), plugin_host::plain(what, 2000)))
        }
    }
}

/// What has changed since the record was made.
fn since(changed: Changed) -> &'static str {
    match changed {
        Changed { engine: false, limits: false } => "",
        Changed { engine: true, limits: false } => "; the engine has changed since",
        Changed { engine: false, limits: true } => "; limits of `[plugins]` have changed since",
        Changed { engine: true, limits: true } => "; the engine and limits of `[plugins]` have changed since",
    }
}
