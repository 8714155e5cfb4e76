//! `countersign plugin replay`: hears again what plugins said about a transaction, from the records alone.

use anyhow::Result;
use clap::Args;
use gateway_domain::{
    Error,
    actor::OpCtx,
    ids::TransactionId,
    ports::{DecisionReads as _, PolicyReads as _, TransactionReads as _},
};
use serde_json::{Value, json};

use crate::{
    adapters::evaluator::{Changed, Replayed},
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
    // A dry run has evaluations and no transaction.
    if evaluations.is_empty() && store.transaction(organization, id).await?.is_none() {
        return Err(Error::NotFound("transaction").into());
    }
    let policy = store.policy(organization).await?;
    let (mut same, mut values, mut lines) = (true, Vec::new(), Vec::new());
    for evaluation in evaluations {
        let replayed = gateway.plugins.replay(&evaluation).await;
        // What left no record is not shown to be the same either.
        same &= matches!(replayed, Replayed::Same(_));
        let (outcome, text) = told(&replayed);
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
    if lines.is_empty() {
        lines.push("no plugin was asked about this transaction".to_owned());
    }
    Ok(Answer { value: json!({ "transaction": id, "same": same, "evaluations": values }), lines })
}

fn told(replayed: &Replayed) -> (Value, String) {
    match replayed {
        Replayed::Same(changed) => {
            let value = json!({
                "kind": "same", "engineChanged": changed.engine, "limitsChanged": changed.limits,
            });
            (value, format!("the same, bit for bit{}", since(*changed)))
        }
        Replayed::NotRecorded => {
            let text = "not recorded: the plugin was stopped before it could answer".to_owned();
            (json!({ "kind": "not_recorded" }), text)
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
