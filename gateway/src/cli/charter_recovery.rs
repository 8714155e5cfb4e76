//! `countersign charter-recovery`: new operators for a charter whose operators have lost their keys. It takes the PIN of the
//! token's security officer, twice, with a delay between in which any operator who is left refuses it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    ids::ProposalId,
    operators::{Change, Charter, DEPLOYMENT, Proposal, begin_recovery, complete_recovery},
};
use serde_json::json;

use super::{
    init::read_charter,
    output::{Format, progress},
    place::{Place, operator_context, sign_and_close},
    status::Status,
};
use crate::{
    system_keys::Absent,
    wiring::{self, Gateway},
};

#[derive(Debug, Subcommand)]
pub(super) enum CharterRecoveryCommand {
    /// Name new operators. It stays open for `limits.recovery_delay_seconds`, where everybody sees it. No gateway may run.
    Begin(Begin),
    /// Put them in the place of all others, once the delay is over and nobody has refused. No gateway may run.
    Complete(Complete),
}

/// What a ceremony has: the deployment, and the PIN that was kept away from it.
#[derive(Debug, Args)]
struct Ceremony {
    #[command(flatten)]
    place: Place,
    /// The PIN of the token's security officer, as `init --so-pin-file` stored it. It is sent to the token once.
    #[arg(long, value_name = "FILE")]
    so_pin_file: PathBuf,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Begin {
    #[command(flatten)]
    ceremony: Ceremony,
    /// TOML file of the new operators, as for `init --charter`.
    #[arg(long, value_name = "FILE")]
    charter: PathBuf,
    /// Why, for the operators who are left, and for the record.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Complete {
    #[command(flatten)]
    ceremony: Ceremony,
    /// What `begin` has opened.
    proposal: ProposalId,
}

impl CharterRecoveryCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Begin(begin) => begin.run().await,
            Self::Complete(complete) => complete.run().await,
        }
    }
}

impl Ceremony {
    /// Has the token check the PIN, and opens the deployment.
    async fn open(&self) -> Result<Gateway> {
        let (config, data_dir) = self.place.lock()?;
        let reading = || format!("reading `{}`", self.so_pin_file.display());
        let pin = fs::read_to_string(&self.so_pin_file).with_context(reading)?;
        let pin = hsm::Pin::new(pin.trim_end_matches(['\r', '\n']).to_owned());
        progress("asking the token about its security officer's PIN");
        hsm::check_security_officer(&config.hsm.hsm_config(data_dir.path())?, &pin)?;
        let gateway = Box::pin(wiring::build(config, data_dir, Absent::Refuse)).await?;
        gateway.store.require_rows_proven().await?;
        Ok(gateway)
    }
}

impl Begin {
    async fn run(self) -> Result<Status> {
        let named = read_charter(&self.charter)?;
        let gateway = self.ceremony.open().await?;
        let ctx = operator_context(&gateway, DEPLOYMENT);
        let begun = begin_recovery(&ctx, &gateway.services, named, self.reason).await;
        sign_and_close(gateway).await;
        let begun = begun?;
        let value = json!({ "id": begun.id, "notBeforeMicros": not_before(&begun), "expiresAtMicros": begun.expires_at });
        let lines = [
            format!("recovery {}", begun.id),
            "It is on record, and every start of the gateway warns of it. Whoever is still an operator ends it by \
             `countersign operator refuse`."
                .to_owned(),
            format!("When its delay is over: `countersign charter-recovery complete {}`", begun.id),
        ];
        self.ceremony.format.print(&value, &lines)
    }
}

fn not_before(proposal: &Proposal) -> Option<gateway_domain::Timestamp> {
    match &proposal.change {
        Change::Recovery { not_before, .. } => Some(*not_before),
        _ => None,
    }
}

impl Complete {
    async fn run(self) -> Result<Status> {
        let gateway = self.ceremony.open().await?;
        let ctx = operator_context(&gateway, DEPLOYMENT);
        let completed = complete_recovery(&ctx, &gateway.services, self.proposal).await;
        sign_and_close(gateway).await;
        let Charter { revision, operators, .. } = completed?;
        let active: Vec<_> = operators.iter().filter(|operator| operator.is_active()).collect();
        let value = json!({
            "revision": revision,
            "operators": active.iter().map(|operator| json!({
                "id": operator.id, "name": operator.name, "keyFingerprint": operator.public_key.fingerprint(),
            })).collect::<Vec<_>>(),
        });
        let mut lines = vec![
            format!("charter {revision} is in force; nobody of before is an operator"),
            "What they had signed for judges nothing any more: have a new author sign, upload and propose it"
                .to_owned(),
        ];
        let line = |operator: &&gateway_domain::operators::Operator| {
            format!("operator {}  {}", operator.id, plugin_host::plain(&operator.name, 64))
        };
        lines.extend(active.iter().map(line));
        self.ceremony.format.print(&value, &lines)
    }
}
