//! `countersign plugin replay`: hears again what plugins said about a transaction, from the records alone.

use anyhow::Result;
use clap::Args;
use gateway_domain::{
    Error,
    actor::OpCtx,
    ids::TransactionId,
    ports::{DecisionReads as _, TransactionReads as _},
};
use serde_json::{Value, json};

use crate::{
    adapters::evaluator::Replayed,
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
    /// Id of the transaction, as `transaction list` shows it.
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
    store.transaction(organization, id).await?.ok_or(Error::NotFound("transaction"))?;
    let (mut same, mut values, mut lines) = (true, Vec::new(), Vec::new());
    for evaluation in store.evaluations(organization, id).await? {
        let replayed = gateway.plugins.replay(&evaluation).await;
        same &= !matches!(replayed, Replayed::Different { .. });
        let (outcome, text) = told(&replayed);
        let name = &evaluation.subject_name;
        values.push(json!({ "evaluation": evaluation.id, "plugin": name, "purpose": evaluation.purpose, "outcome": outcome }));
        lines.push(format!("{}  {:<20} {text}", evaluation.id, plugin_host::plain(name, 100)));
    }
    if lines.is_empty() {
        lines.push("no plugin was asked about this transaction".to_owned());
    }
    Ok(Answer { value: json!({ "transaction": id, "same": same, "evaluations": values }), lines })
}

fn told(replayed: &Replayed) -> (Value, String) {
    match replayed {
        Replayed::Same => (json!({ "kind": "same" }), "the same, bit for bit".to_owned()),
        Replayed::NotRecorded => {
            let text = "not recorded: the plugin was stopped before it could answer".to_owned();
            (json!({ "kind": "not_recorded" }), text)
        }
        Replayed::Different { what, engine_changed } => {
            let cause = if *engine_changed { "; the engine has changed since" } else { "" };
            let value = json!({ "kind": "different", "what": what, "engineChanged": engine_changed });
            (value, format!("DIFFERENT{cause}: {}", plugin_host::plain(what, 2000)))
        }
    }
}
