//! `countersign audit accept-rollback`: where a database was brought back on purpose, witness and anchor go on from what it
//! has. It is on record who decided so and what was given up; in a deployment with operators their quorum decides.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use gateway_domain::{
    audit::{AuditEvent, LogEnd, RollbackApproval, require_agreement},
    changes::ChangeSet,
    operators::DEPLOYMENT,
    ports::{OperatorReads as _, UnitOfWork as _},
};
use serde_json::{Value, json};

use crate::{
    checkpoints::Rollback,
    cli::{
        output::Format,
        place::{Place, operator_context, sign_and_close},
        status::Status,
    },
    system_keys::Absent,
    wiring::{self, Gateway},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct AcceptRollback {
    #[command(flatten)]
    place: Place,
    /// Number of the database's checkpoint from which the log goes on. Without it, what there is to accept is shown and
    /// nothing is done.
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// An approver's agreement, as `audit approve-rollback` makes it: as many as the charter asks for.
    #[arg(long = "approval", value_name = "FILE")]
    approvals: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl AcceptRollback {
    pub(super) async fn run(self) -> Result<Status> {
        let approvals = self.approvals.iter().map(|path| approval(path)).collect::<Result<Vec<_>>>()?;
        let (config, data_dir) = self.place.lock()?;
        let gateway = wiring::build(config, data_dir, Absent::Refuse).await?;
        match accept(&gateway, self.to, &approvals).await {
            Ok(Outcome::Shown(value, lines)) => {
                gateway.close().await;
                self.format.print(&value, &lines)
            }
            Ok(Outcome::Accepted(value, lines)) => {
                sign_and_close(gateway).await;
                self.format.print(&value, &lines)
            }
            Err(error) => {
                gateway.close().await;
                Err(error)
            }
        }
    }
}

enum Outcome {
    Shown(Value, Vec<String>),
    Accepted(Value, Vec<String>),
}

fn approval(path: &Path) -> Result<RollbackApproval> {
    let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
    RollbackApproval::parse(&text).with_context(|| format!("`{}`", path.display()))
}

async fn accept(gateway: &Gateway, to: Option<u64>, approvals: &[RollbackApproval]) -> Result<Outcome> {
    // What is gone on from must hold in itself: a row that was changed is no row that was brought back.
    gateway.store.require_rows_proven().await?;
    let checkpoints = gateway.checkpoints();
    let Some(Rollback { lost, end }) = checkpoints.rollback().await? else {
        bail!("the database has what was handed on: there is nothing to accept");
    };
    let fingerprint = gateway.fingerprint();
    let Some(to) = to else { return Ok(shown(lost, end, &fingerprint)) };
    let (kept, checkpoint) = checkpoints.stored(to).await?;
    if kept.number != to {
        bail!("the database has no checkpoint {to}; it ends at checkpoint {}", end.number);
    }
    let charter = gateway.store.charter().await?;
    let agreed = match &charter {
        Some(charter) => {
            let agreed = require_agreement(
                charter,
                &fingerprint,
                (lost, kept),
                approvals,
                gateway.services.clock.now(),
            );
            agreed.with_context(|| {
                format!(
                    "each approver runs `countersign audit approve-rollback --key {fingerprint} --lost {lost} --kept {kept}`"
                )
            })?
        }
        None if approvals.is_empty() => BTreeSet::new(),
        None => bail!("`--approval` is for a deployment with operators, which this is not"),
    };
    let ctx = operator_context(gateway, DEPLOYMENT);
    let detail = json!({ "lost": lost, "kept": kept, "agreed": agreed, "approvals": approvals });
    let event = AuditEvent::new(&ctx, "audit.rollback_accepted", format!("checkpoint {to}"), detail);
    gateway.store.commit(ChangeSet::new(event)).await.context("recording the decision")?;
    let aside = checkpoints.go_on_from(lost, checkpoint.as_ref())?;
    let mut lines = vec![format!("given up  {lost}"), format!("goes on   {kept}")];
    lines.extend(aside.iter().map(|path| format!("the witness so far is `{}` now", path.display())));
    let aside = aside.map(|path| path.display().to_string());
    let value = json!({ "lost": lost, "kept": kept, "agreed": agreed, "witnessPutAside": aside });
    Ok(Outcome::Accepted(value, lines))
}

fn shown(lost: LogEnd, end: LogEnd, fingerprint: &str) -> Outcome {
    let lines = vec![
        format!("handed on, and not in the database   {lost}"),
        format!("the database ends at                 {end}"),
        String::new(),
        "Nothing was done. Whatever was signed after the database's end may have been sent: look for it before anything is \
         signed again."
            .to_owned(),
        format!("To go on from there, name it: `--to {}`.", end.number),
        "In a deployment with operators each approver agrees to it first:".to_owned(),
        format!("  countersign audit approve-rollback --key {fingerprint} --lost {lost} --kept {end}"),
    ];
    Outcome::Shown(json!({ "lost": lost, "end": end, "auditKeyFingerprint": fingerprint }), lines)
}
