//! `countersign transaction list | show | abort | dry-run`: what waits to be signed, taking it back, and trying it out.

use anyhow::Result;
use clap::{Args, Subcommand};
use gateway_domain::{
    Error,
    actor::OpCtx,
    approvals::Vote,
    evaluations::{Evaluation, EvaluationResult, Purpose},
    ids::TransactionId,
    ports::{DecisionReads as _, TransactionReads as _},
    transactions::{Attempt, CoreStatus, Transaction, abort as abort_transaction},
};
use serde_json::{Value, json};

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::wiring::Gateway;

mod dry_run;

pub(super) use dry_run::dry_run;

#[derive(Debug, Subcommand)]
pub(super) enum TransactionCommand {
    /// List transactions that are pending or approved and not signed, oldest first.
    List(List),
    /// Show a transaction with everything that was said about it.
    Show(One),
    /// End a pending transaction, or an approved one for which no permit is in force.
    Abort(One),
    /// Ask whether a transaction would be approved: every plugin is heard, nothing is signed or decided.
    DryRun(dry_run::DryRun),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the transaction, as `list` shows it.
    id: TransactionId,
    #[command(flatten)]
    format: Format,
}

impl TransactionCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let (place, act, format) = match self {
            Self::List(List { place, limit, format }) => (place, Act::ListTransactions { limit }, format),
            Self::Show(One { place, id, format }) => (place, Act::ShowTransaction(id), format),
            Self::Abort(One { place, id, format }) => (place, Act::AbortTransaction(id), format),
            Self::DryRun(asked) => return asked.run().await,
        };
        format.print_answer(&place.order(act).await?)
    }
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx, limit: u32) -> Result<Answer> {
    let open = gateway.store.open_transactions(ctx.organization, limit).await?;
    let values: Vec<_> = open.iter().map(|transaction| described(transaction)).collect();
    let lines = open.iter().map(|transaction| line(transaction)).collect();
    Ok(Answer { value: json!({ "transactions": values }), lines })
}

pub(super) async fn show(gateway: &Gateway, ctx: &OpCtx, id: TransactionId) -> Result<Answer> {
    let (store, organization) = (&gateway.store, ctx.organization);
    let transaction = store.transaction(organization, id).await?.ok_or(Error::NotFound("transaction"))?;
    let votes = store.votes(organization, id).await?;
    let evaluations = store.evaluations(organization, id).await?;
    let attempts = store.attempts(organization, id).await?;
    let mut value = described(&transaction);
    value["votes"] = votes.iter().map(|vote| voted(vote)).collect();
    value["evaluations"] = evaluations.iter().map(|evaluation| evaluated(evaluation)).collect();
    value["attempts"] = attempts.iter().map(|attempt| attempted(attempt)).collect();
    let mut lines = vec![line(&transaction)];
    lines
        .extend(votes.iter().map(|vote| format!("  {} as {}: {:?}", vote.principal, vote.role, vote.ballot)));
    lines.extend(evaluations.iter().map(|evaluation| {
        let of = if evaluation.purpose == Purpose::Shadow { " (shadow, decides nothing)" } else { "" };
        format!("  plugin {}{of}: {}", evaluation.subject_name, verdict(&evaluation.result))
    }));
    lines.extend(attempts.iter().map(|one| format!("  nonce {}: {}", one.nonce, one.outcome.name())));
    Ok(Answer { value, lines })
}

pub(super) async fn abort(gateway: &Gateway, ctx: &OpCtx, id: TransactionId) -> Result<Answer> {
    let transaction = abort_transaction(ctx, &gateway.services, id).await?;
    Ok(Answer { value: described(&transaction), lines: vec![line(&transaction)] })
}

fn described(transaction: &Transaction) -> Value {
    let intent = &transaction.intent;
    json!({
        "id": transaction.id, "requestHash": transaction.request_hash, "intentHash": transaction.intent_hash,
        "status": CoreStatus::of(&transaction.state).as_str(), "state": transaction.state,
        "reason": CoreStatus::reason(&transaction.state), "chain": intent.chain, "from": intent.from,
        "to": intent.to, "value": intent.value.to_string(), "data": format!("0x{}", hex::encode(&intent.data)),
        "owner": transaction.owner, "initiator": transaction.initiator,
        "requirements": transaction.snapshot.requirements, "createdAtMicros": transaction.created_at,
        "expiresAtMicros": transaction.snapshot.expires_at,
    })
}

fn line(transaction: &Transaction) -> String {
    let intent = &transaction.intent;
    let to = intent.to.map_or_else(|| "-".to_owned(), |to| to.to_string());
    let state = transaction.state.name();
    format!("{}  {state:<9} {} -> {to}  {} on {}", transaction.id, intent.from, intent.value, intent.chain)
}

fn voted(vote: &Vote) -> Value {
    json!({
        "principal": vote.principal, "role": vote.role, "ballot": vote.ballot, "evidence": vote.evidence.level(),
        "createdAtMicros": vote.created_at,
    })
}

fn evaluated(evaluation: &Evaluation) -> Value {
    json!({
        "plugin": evaluation.subject_name, "purpose": evaluation.purpose, "result": verdict(&evaluation.result),
        "policyRevision": evaluation.policy_revision, "createdAtMicros": evaluation.created_at,
    })
}

fn verdict(result: &EvaluationResult) -> &str {
    match result {
        EvaluationResult::Verdict(outcome) => outcome.verdict.as_str(),
        EvaluationResult::Failure { code, .. } => code,
    }
}

fn attempted(attempt: &Attempt) -> Value {
    json!({"id": attempt.id, "nonce": attempt.nonce, "digest": attempt.digest, "outcome": attempt.outcome.name()})
}
