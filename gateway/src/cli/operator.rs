//! `countersign operator`: what operators do with keys of their own, from their own machines.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use gateway_domain::{
    ids::{OperatorId, ProposalId},
    operators::OperatorKey,
};
use p256::{
    SecretKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    output::{Format, progress},
    status::{Status, UsageError},
};

mod charter;
mod client;
mod control;
mod plugin;
mod policy;
mod tenant;
mod vault;

pub(super) use client::unix_seconds;

use client::Client;
use tenant::Tenant;

#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    /// Make an operator's key on this machine. The private key stays here; give the public one, which is what standard output
    /// holds, to whoever enrols you.
    Keygen(Keygen),
    /// Show who the operators are, and propose who they are to be.
    #[command(subcommand)]
    Charter(charter::CharterCommand),
    /// End an operator's power at once.
    Revoke(Revoke),
    /// List proposals, newest first.
    Proposals(control::Proposals),
    /// Show a proposal, with who approved it and how that can be checked.
    Proposal(control::Proposal),
    /// Store, list, inspect and revoke plugin revisions.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// List policies, show one, and propose an earlier one again.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// List and make vaults, move keys, stop the keys of one.
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Stop an organization or one of its keys at once. Letting it go on is a proposal.
    #[command(subcommand)]
    Freeze(control::FreezeCommand),
    /// Ask whether a transaction would be approved: every plugin is heard, nothing is signed or decided.
    DryRun(control::DryRun),
    /// Propose the policy in force with a plugin in it, or with another revision, mode, power or scope of one.
    Bind(policy::Bind),
    /// Propose the policy in force without a plugin.
    Unbind(policy::Unbind),
    /// Propose a change: policy, charter, vault, place of a key, thaw or API key.
    Propose(Propose),
    /// Approve a proposal, after it has been shown.
    Approve(Decide),
    /// End a proposal.
    Refuse(Decide),
    /// Take a proposal of your own back.
    Withdraw(Decide),
    /// Send any request of `/operator/v1`, signed.
    Request(AnyRequest),
}

#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Where the private key goes: a new file, readable by you alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// Who asks, and whom.
#[derive(Clone, Debug, Args)]
struct Identity {
    /// The operator listener, such as `http://127.0.0.1:9090`.
    #[arg(long, env = "COUNTERSIGN_OPERATOR_URL")]
    url: String,
    /// Your id in the charter.
    #[arg(long, value_name = "ID", env = "COUNTERSIGN_OPERATOR_ID")]
    operator: OperatorId,
    /// Your private key, as `keygen` made it.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_OPERATOR_KEY")]
    key: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    identity: Identity,
    /// Whose power ends, as `charter show` names them.
    id: OperatorId,
}

#[derive(Debug, Args)]
pub(super) struct Propose {
    #[command(flatten)]
    identity: Identity,
    /// What it concerns; without it, the charter.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// JSON file of the change, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    change: PathBuf,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    identity: Identity,
    proposal: ProposalId,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct AnyRequest {
    #[command(flatten)]
    identity: Identity,
    /// Such as `POST`.
    method: String,
    /// With the query.
    path: String,
    /// JSON file of the body, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

impl OperatorCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::Charter(charter) => charter.run().await,
            Self::Revoke(Revoke { identity, id }) => {
                identity.show("POST", &format!("/operator/v1/operators/{id}/revoke"), None).await
            }
            Self::Proposals(proposals) => proposals.run().await,
            Self::Proposal(proposal) => proposal.run().await,
            Self::Plugin(plugin) => plugin.run().await,
            Self::Policy(policy) => policy.run().await,
            Self::Vault(vault) => vault.run().await,
            Self::Freeze(freeze) => freeze.run().await,
            Self::DryRun(asked) => asked.run().await,
            Self::Bind(bind) => bind.run().await,
            Self::Unbind(unbind) => unbind.run().await,
            Self::Propose(propose) => propose.run().await,
            Self::Approve(decide) => decide.run("approve").await,
            Self::Refuse(decide) => decide.run("refuse").await,
            Self::Withdraw(decide) => decide.run("withdraw").await,
            Self::Request(AnyRequest { identity, method, path, body }) => {
                let body = body.as_deref().map(read_json).transpose()?;
                identity.show(&method.to_uppercase(), &path, body.as_ref()).await
            }
        }
    }
}

impl Keygen {
    fn run(self) -> Result<Status> {
        let key = random_key();
        let private = key.to_pkcs8_pem(LineEnding::LF).context("encoding the key")?;
        let public = key.public_key().to_public_key_pem(LineEnding::LF).context("encoding the key")?;
        let named = || format!("writing `{}`", self.out.display());
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.out)
            .with_context(named)?;
        file.write_all(private.as_bytes()).and_then(|()| file.sync_all()).with_context(named)?;
        let fingerprint = OperatorKey::from_pem(&public)?.fingerprint();
        let value = json!({ "publicKey": public, "fingerprint": fingerprint });
        // For people, and not in the file that standard output is turned into.
        if !self.format.is_json() {
            progress(&format!("fingerprint {fingerprint}"));
        }
        self.format.print(&value, &[public.trim_end().to_owned()])
    }
}

impl Identity {
    fn client(&self) -> Result<Client> {
        Client::new(&self.url, self.operator, read_private_key(&self.key)?)
    }

    async fn show(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Status> {
        let answer = self.client()?.ask(method, path, body).await?;
        super::output::print_line(&serde_json::to_string_pretty(&answer)?)
    }
}

impl Propose {
    async fn run(self) -> Result<Status> {
        let mut body = json!({ "change": read_json(&self.change)?, "reason": self.reason });
        if let Some(organization) = self.organization {
            body["organization"] = json!(organization);
        }
        self.identity.show("POST", "/operator/v1/proposals", Some(&body)).await
    }
}

impl Decide {
    /// What is signed is the digest of the text that was shown, not whatever the gateway calls its digest.
    async fn run(self, verb: &str) -> Result<Status> {
        let client = self.identity.client()?;
        let path = format!("/operator/v1/proposals/{}", self.proposal);
        let proposal = client.ask("GET", &path, None).await?;
        let text = proposal["signedText"].as_str().context("the gateway shows no `signedText`")?;
        let shown: Value = serde_json::from_str(text).context("the proposal is not JSON")?;
        if shown[1] != json!(self.proposal) {
            bail!("the gateway shows another proposal than the one that was asked for");
        }
        progress(&serde_json::to_string_pretty(&shown)?);
        for line in charter::enrolled_in(&shown[4]) {
            progress(&line);
        }
        if !self.yes && !is_confirmed(verb)? {
            return Err(UsageError("nothing was sent").into());
        }
        let digest = format!("0x{}", hex::encode(Sha256::digest(text)));
        let answer =
            client.ask("POST", &format!("{path}/{verb}"), Some(&json!({ "digest": digest }))).await?;
        super::output::print_line(&serde_json::to_string_pretty(&answer)?)
    }
}

/// An operator's, as `keygen` writes it.
pub(super) fn read_private_key(path: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
    SecretKey::from_pkcs8_pem(&text)
        .with_context(|| format!("`{}` holds no P-256 private key in PEM", path.display()))
}

fn is_confirmed(verb: &str) -> Result<bool> {
    progress(&format!("{verb} this? [y/N]"));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Text of the gateway's answer, safe for a terminal.
fn text(value: &Value, bytes_max: usize) -> String {
    match value {
        Value::String(text) => shown(&plugin_host::plain(text, bytes_max)),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// On one line.
fn shown(text: &str) -> String {
    text.replace('\n', " ")
}

fn read_json(path: &Path) -> Result<Value> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_string(&mut text).context("reading standard input")?;
    } else {
        text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))
}

/// All but one in 2^32 draws are keys.
fn random_key() -> SecretKey {
    loop {
        if let Ok(key) = SecretKey::from_slice(&rand::random::<[u8; 32]>()) {
            return key;
        }
    }
}
