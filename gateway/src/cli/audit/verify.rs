//! `countersign audit verify`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use gateway_store::AuditArchive;

use super::{
    anchor,
    check::{Evidence, Report, check},
    witness,
};
use crate::{
    cli::{
        output::{Format, progress},
        place::Place,
        status::{Status, UsageError},
    },
    config::Config,
};

const UNPINNED: &str =
    "no key is pinned: give `--key`, as `countersign init` showed it, or set `audit.key_fingerprint`";

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    place: Place,
    /// Fingerprint of the key that signs checkpoints. Without it, `audit.key_fingerprint`, or under `--data-dir` the one
    /// that `countersign dev` noted in `bootstrap.json`.
    #[arg(long, value_name = "FINGERPRINT", value_parser = parse_fingerprint)]
    key: Option<String>,
    /// Witness file to compare with. Without it, `audit.witness_file`.
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Verify {
    pub(super) async fn run(self) -> Result<Status> {
        let config = self.place.load()?;
        let evidence = self.evidence(&config)?;
        let archive = AuditArchive::open(&config.database.store_config()?.url).await?;
        let report = check(&archive, evidence, |entries| progress(&format!("{entries} entries read"))).await;
        archive.close().await;
        let report = report?;
        self.format.print(&serde_json::to_value(&report)?, &lines(&report))?;
        Ok(if report.verified { Status::Done } else { Status::Unverified })
    }

    /// The pin and everything kept outside the database, read before it.
    fn evidence(&self, config: &Config) -> Result<Evidence> {
        let anchor = anchor(config)?;
        let configured = config.audit.key_fingerprint.as_ref().map(|key| key.to_lowercase());
        let pinned = match self.key.clone().or(configured) {
            None if self.place.is_dev() => self.place.noted()?.audit_key_fingerprint,
            None => return Err(UsageError(UNPINNED).into()),
            Some(pinned) => pinned,
        };
        if self.witness.as_ref().is_some_and(|path| !path.exists()) {
            return Err(UsageError("`--witness` names no file").into());
        }
        let path = self.witness.as_ref().or(config.audit.witness_file.as_ref());
        let mut witness = path.map_or_else(|| Ok(witness::Witness::default()), |path| witness::read(path))?;
        witness.checkpoints.extend(anchor);
        Ok(Evidence { pinned, witness })
    }
}

pub(super) fn parse_fingerprint(text: &str) -> Result<String, String> {
    let valid = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { Ok(text.to_lowercase()) } else { Err("a fingerprint has 64 hex digits".to_owned()) }
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![format!(
        "{} entries in {} lanes, {} checkpoints: signed to {}, {} not yet",
        report.entries, report.lanes, report.checkpoints, report.signed_to, report.unsigned
    )];
    lines.push(format!("compared with {} checkpoints kept outside the database", report.witnessed));
    lines
        .extend(report.findings.iter().map(|finding| format!("FAULT {}: {}", finding.kind, finding.message)));
    lines.push(if report.verified { "verified".to_owned() } else { "NOT verified".to_owned() });
    lines
}
