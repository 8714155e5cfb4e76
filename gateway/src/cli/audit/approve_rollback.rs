//! `countersign audit approve-rollback`: an approver agrees to what a database lacks, without a gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use gateway_domain::{
    audit::{LogEnd, RollbackClaims, rollback_signing_input},
    ids::OperatorId,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use serde_json::json;

use super::verify::parse_fingerprint;
use crate::cli::{
    operator::{read_private_key, unix_seconds},
    output::{Format, write_new},
    status::Status,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ApproveRollback {
    /// Fingerprint of the key that signs checkpoints, as `countersign init` showed it.
    #[arg(long, value_name = "FINGERPRINT", value_parser = parse_fingerprint)]
    key: String,
    /// The checkpoint that is given up, as `audit accept-rollback` shows it.
    #[arg(long, value_name = "NUMBER:HASH")]
    lost: LogEnd,
    /// The checkpoint from which the log is to go on, as `audit accept-rollback` shows it.
    #[arg(long, value_name = "NUMBER:HASH")]
    kept: LogEnd,
    /// Your id in the charter.
    #[arg(long, value_name = "ID", env = "COUNTERSIGN_OPERATOR_ID")]
    operator: OperatorId,
    /// Your private key, as `operator keygen` made it.
    #[arg(long = "operator-key", value_name = "FILE", env = "COUNTERSIGN_OPERATOR_KEY")]
    operator_key: PathBuf,
    /// Where the approval goes: a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl ApproveRollback {
    pub(super) fn run(self) -> Result<Status> {
        let iat = i64::try_from(unix_seconds()?).context("the clock stands too late")?;
        let claims = RollbackClaims { audit_key: self.key, lost: self.lost, kept: self.kept, iat };
        let input = rollback_signing_input(self.operator, &claims);
        let key = SigningKey::from(read_private_key(&self.operator_key)?);
        let signature: Signature = key.sign(input.as_bytes());
        let approval = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        write_new(&self.out, &approval)?;
        let lines = [
            format!("given up  {}", claims.lost),
            format!("kept      {}", claims.kept),
            format!("approval  {}", self.out.display()),
        ];
        self.format.print(&json!({ "claims": claims, "approval": approval }), &lines)
    }
}
