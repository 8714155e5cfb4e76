//! `countersign apikey create | list | revoke`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use gateway_domain::{
    Timestamp,
    actor::OpCtx,
    credentials::{ApiKey, CreateApiKey, Label, create_api_key, revoke_api_key},
    ids::{CredentialId, PrincipalId},
    ports::CredentialReads as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::{bootstrap, wiring::Gateway};

#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Make a key and show it, once.
    Create(Create),
    /// List the organization's keys, without their secrets.
    List(List),
    /// End a key at once.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    new: NewKey,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args, Serialize, Deserialize)]
pub(super) struct NewKey {
    /// What the key stands for in approvals.
    #[arg(long, value_enum)]
    label: LabelArgument,
    /// Name for people, 1 to 100 characters.
    #[arg(long)]
    name: String,
    /// Owner of the key; without it, a service principal of the same name is made.
    #[arg(long, value_name = "ID")]
    principal: Option<PrincipalId>,
    /// Days until the key expires; without it, it does not.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_in_days: Option<u32>,
    /// For an orion key: the verification service it speaks for. Only under `dev` it may be absent; such a key votes on
    /// unencrypted transactions.
    #[arg(long, value_name = "NUMBER")]
    verification_service: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the key, as `list` shows it.
    id: CredentialId,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LabelArgument {
    User,
    Agent,
    Arbiter,
    Orion,
    Admin,
}

impl ApiKeyCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let (place, act, format) = match self {
            Self::Create(Create { place, new, format }) => (place, Act::CreateApiKey(new), format),
            Self::List(List { place, format }) => (place, Act::ListApiKeys, format),
            Self::Revoke(Revoke { place, id, format }) => (place, Act::RevokeApiKey(id), format),
        };
        format.print_answer(&place.order(act).await?)
    }
}

pub(super) async fn create(gateway: &Gateway, ctx: &OpCtx, new: NewKey) -> Result<Answer> {
    let request = CreateApiKey {
        label: new.label.into(),
        name: new.name,
        principal: new.principal,
        expires_at: new.expires_in_days.map(|days| ctx.now.plus(Duration::from_hours(24) * days)),
        verification_service: new.verification_service,
        dev_only: bootstrap::is_dev_directory(gateway.data_dir.path()),
    };
    let (key, text) = create_api_key(ctx, &gateway.services, request).await?;
    let mut value = described(&key);
    value["apiKey"] = json!(text.reveal().as_str());
    let lines =
        vec![format!("id      {}", key.id), format!("api key {}  (shown only now)", text.reveal().as_str())];
    Ok(Answer { value, lines })
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
    let keys = gateway.store.api_key_list(ctx.organization).await?;
    let values: Vec<_> = keys.iter().map(|key| described(key)).collect();
    let lines = keys.iter().map(|key| line(key, ctx.now)).collect();
    Ok(Answer { value: json!({ "apiKeys": values }), lines })
}

pub(super) async fn revoke(gateway: &Gateway, ctx: &OpCtx, id: CredentialId) -> Result<Answer> {
    let key = revoke_api_key(ctx, &gateway.services, id).await?;
    Ok(Answer { value: described(&key), lines: vec![format!("revoked {}", key.id)] })
}

fn line(key: &ApiKey, now: Timestamp) -> String {
    let state = match (key.revoked_at, key.is_active(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "active",
        (None, false) => "expired",
    };
    format!("{}  {:<8} {:<8} {}", key.id, key.label.as_str(), state, plugin_host::plain(&key.name, 100))
}

fn described(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "label": key.label, "name": key.name, "principal": key.principal, "scopes": key.scopes,
        "createdAtMicros": key.created_at, "expiresAtMicros": key.expires_at, "revokedAtMicros": key.revoked_at,
        "devOnly": key.dev_only, "verificationService": key.verification_service,
    })
}

impl From<LabelArgument> for Label {
    fn from(label: LabelArgument) -> Self {
        match label {
            LabelArgument::User => Self::User,
            LabelArgument::Agent => Self::Agent,
            LabelArgument::Arbiter => Self::Arbiter,
            LabelArgument::Orion => Self::Orion,
            LabelArgument::Admin => Self::Admin,
        }
    }
}
