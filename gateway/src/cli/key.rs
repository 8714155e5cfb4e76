//! `countersign key list | retire`.

use anyhow::Result;
use clap::{Args, Subcommand};
use gateway_domain::{
    ids::KeyId,
    keys::{KeyRecord, retire_key},
    ports::KeyReads as _,
};
use serde_json::{Value, json};

use super::{output::Format, place::OrganizationPlace, status::Status};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List the organization's keys.
    List(List),
    /// Take a key out of use; it stays on the token.
    Retire(Retire),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the key, as `list` shows it.
    id: KeyId,
    #[command(flatten)]
    format: Format,
}

impl KeyCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::List(list) => list.run().await,
            Self::Retire(retire) => retire.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let keys = opened.gateway.store.key_list(opened.ctx.organization).await;
        opened.finish().await;
        let keys = keys?;
        let values: Vec<_> = keys.iter().map(|key| described(key)).collect();
        let lines: Vec<_> = keys.iter().map(|key| line(key)).collect();
        self.format.print(&json!({ "keys": values }), &lines)
    }
}

impl Retire {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let retired = retire_key(&opened.ctx, &opened.gateway.services, self.id).await;
        opened.finish().await;
        let key = retired?;
        self.format.print(&described(&key), &[line(&key)])
    }
}

pub(super) fn described(key: &KeyRecord) -> Value {
    json!({
        "id": key.id, "algorithm": key.algorithm, "purpose": key.purpose, "kinds": key.kinds, "state": key.state,
        "frozen": key.frozen, "address": key.address, "publicKey": key.public_key, "ckaId": hex::encode(key.cka_id),
        "tokenId": key.token_id, "createdAtMicros": key.created_at,
    })
}

fn line(key: &KeyRecord) -> String {
    let address = key.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let state = format!("{:?}", key.state).to_lowercase();
    let frozen = if key.frozen { " frozen" } else { "" };
    format!("{}  {:<16} {address}  {state}{frozen}", key.id, key.purpose.as_str())
}
