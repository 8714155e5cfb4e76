//! `countersign apikey create | list | revoke`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use gateway_domain::{
    credentials::{ApiKey, CreateApiKey, Label, create_api_key, revoke_api_key},
    ids::{CredentialId, PrincipalId},
    ports::CredentialReads as _,
};
use serde_json::{Value, json};

use super::{output::Format, place::OrganizationPlace, status::Status};

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
    #[command(flatten)]
    format: Format,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LabelArgument {
    User,
    Agent,
    Arbiter,
    Orion,
    Admin,
}

impl ApiKeyCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let request = CreateApiKey {
            label: self.label.into(),
            name: self.name,
            principal: self.principal,
            expires_at: self.expires_in_days.map(|days| opened.ctx.now.plus(Duration::from_hours(24) * days)),
            dev_only: opened.is_dev,
        };
        let made = create_api_key(&opened.ctx, &opened.gateway.services, request).await;
        opened.finish().await;
        let (key, text) = made?;
        let mut value = described(&key);
        value["apiKey"] = json!(text.reveal().as_str());
        let lines =
            [format!("id      {}", key.id), format!("api key {}  (shown only now)", text.reveal().as_str())];
        self.format.print(&value, &lines)
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let now = opened.ctx.now;
        let keys = opened.gateway.store.api_key_list(opened.ctx.organization).await;
        opened.finish().await;
        let keys = keys?;
        let lines: Vec<_> = keys
            .iter()
            .map(|key| {
                let state = match (key.revoked_at, key.is_active(now)) {
                    (Some(_), _) => "revoked",
                    (None, true) => "active",
                    (None, false) => "expired",
                };
                format!(
                    "{}  {:<8} {:<8} {}",
                    key.id,
                    key.label.as_str(),
                    state,
                    plugin_host::plain(&key.name, 100)
                )
            })
            .collect();
        let values: Vec<_> = keys.iter().map(|key| described(key)).collect();
        self.format.print(&json!({ "apiKeys": values }), &lines)
    }
}

impl Revoke {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let revoked = revoke_api_key(&opened.ctx, &opened.gateway.services, self.id).await;
        opened.finish().await;
        let key = revoked?;
        self.format.print(&described(&key), &[format!("revoked {}", key.id)])
    }
}

fn described(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "label": key.label, "name": key.name, "principal": key.principal, "scopes": key.scopes,
        "createdAtMicros": key.created_at, "expiresAtMicros": key.expires_at, "revokedAtMicros": key.revoked_at,
        "devOnly": key.dev_only,
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
