//! `countersign plugin sign`: an author signs for a plugin revision, without a gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use gateway_domain::{
    B256,
    ids::{OperatorId, OrganizationId},
    policy::{RevisionClaims, signing_input, subject_digest},
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::revision::{RevisionArguments, RevisionContents};
use crate::cli::{
    operator::{read_private_key, unix_seconds},
    output::{Format, write_new},
    status::Status,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    #[command(flatten)]
    revision: RevisionArguments,
    /// The organization it is for.
    #[arg(long, value_name = "ID", env = "COUNTERSIGN_ORGANIZATION")]
    organization: OrganizationId,
    /// Scheme, host and port by which clients know the organization.
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_ORIGIN")]
    origin: String,
    /// Your id in the charter.
    #[arg(long, value_name = "ID", env = "COUNTERSIGN_OPERATOR_ID")]
    operator: OperatorId,
    /// Your private key, as `operator keygen` made it.
    #[arg(long = "operator-key", value_name = "FILE", env = "COUNTERSIGN_OPERATOR_KEY")]
    key: PathBuf,
    /// Where the signature goes: a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Sign {
    pub(super) fn run(self) -> Result<Status> {
        let RevisionContents { name, component, settings, grants } = self.revision.read()?;
        let component = B256::new(Sha256::digest(&component).into());
        let subject = subject_digest(component, &settings, &grants);
        let claims = RevisionClaims {
            origin: self.origin,
            organization: self.organization,
            plugin: name,
            subject,
            iat: i64::try_from(unix_seconds()?).context("the clock stands too late")?,
        };
        let input = signing_input(self.operator, &claims);
        let signature: Signature = SigningKey::from(read_private_key(&self.key)?).sign(input.as_bytes());
        let signature = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        write_new(&self.out, &signature)?;
        let value = json!({ "componentDigest": component, "subjectDigest": subject, "signature": signature });
        let lines = [
            format!("component {component}"),
            format!("subject   {subject}"),
            format!("signature {}", self.out.display()),
        ];
        self.format.print(&value, &lines)
    }
}
