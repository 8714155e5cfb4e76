//! `countersign key list | create | retire`.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use gateway_domain::{
    actor::OpCtx,
    ids::KeyId,
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, generate_key, retire_key},
    ports::KeyReads as _,
    quorums::MemberKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
    vault,
};
use crate::wiring::Gateway;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List the organization's keys.
    List(List),
    /// Make a key that authorizes requests to a vendor, and show its public half.
    Create(Create),
    /// Make the key that pays for records in the registry contract, unless there is one; send it some coin.
    Relayer(List),
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
pub(super) struct Create {
    #[command(flatten)]
    place: OrganizationPlace,
    /// What the key is for.
    purpose: NewPurpose,
    /// Name of the vault that it is to lie in; without it, where the last key of this purpose lies. Where there are operators,
    /// they move it.
    #[arg(long, value_name = "NAME")]
    vault: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Purposes of which an operator makes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum NewPurpose {
    PrivyAuthorization,
}

impl From<NewPurpose> for KeyPurpose {
    fn from(purpose: NewPurpose) -> Self {
        match purpose {
            NewPurpose::PrivyAuthorization => Self::PrivyAuthorization,
        }
    }
}

/// What is made, and where it is to lie.
#[derive(Serialize, Deserialize)]
pub(super) struct NewKey {
    purpose: NewPurpose,
    vault: Option<String>,
}

impl NewKey {
    pub(super) fn names_vault(&self) -> bool {
        self.vault.is_some()
    }
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
        let (place, act, format) = match self {
            Self::List(List { place, format }) => (place, Act::ListKeys, format),
            Self::Create(Create { place, purpose, vault, format }) => {
                (place, Act::CreateKey(NewKey { purpose, vault }), format)
            }
            Self::Relayer(List { place, format }) => (place, Act::MakeRelayerKey, format),
            Self::Retire(Retire { place, id, format }) => (place, Act::RetireKey(id), format),
        };
        format.print_answer(&place.order(act).await?)
    }
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
    let keys = gateway.store.key_list(ctx.organization).await?;
    let values: Vec<_> = keys.iter().map(|key| described(key)).collect();
    let names = vault::names_of(gateway, ctx, keys.iter().filter_map(|key| key.vault)).await?;
    let place = |key: &KeyRecord| {
        let name = key.vault.and_then(|vault| names.get(&vault));
        name.map_or_else(String::new, |name| format!("  in vault `{name}`"))
    };
    let lines = keys.iter().map(|key| line(key) + &place(key)).collect();
    Ok(Answer { value: json!({ "keys": values }), lines })
}

/// The public half is what the vendor is told.
pub(super) async fn create(gateway: &Gateway, ctx: &OpCtx, new: NewKey) -> Result<Answer> {
    let vault = if let Some(name) = &new.vault {
        Some(vault::named(gateway, ctx, name).await?.id)
    } else {
        // Where the last one lies, in use or not: whoever retires a key takes none out of its vault by that.
        let keys = gateway.store.key_list(ctx.organization).await?;
        keys.iter().rfind(|key| key.purpose == new.purpose.into()).and_then(|key| key.vault)
    };
    let wanted = match new.purpose {
        NewPurpose::PrivyAuthorization => GenerateKey {
            algorithm: KeyAlgorithm::P256,
            purpose: new.purpose.into(),
            kinds: BTreeSet::new(),
            vault,
        },
    };
    let key = generate_key(ctx, &gateway.services, wanted, None).await?;
    let point = key.public_key.as_ref().context("a generated key has a public half")?;
    let public = MemberKey::from_sec1(&point.0)?;
    let mut value = described(&key);
    value["publicKeyPem"] = json!(public.pem());
    Ok(Answer { value, lines: vec![line(&key), public.pem().trim_end().to_owned()] })
}

pub(super) async fn make_relayer(gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
    let keys = gateway.store.key_list(ctx.organization).await?;
    let present =
        keys.into_iter().find(|key| key.purpose == KeyPurpose::Relayer && key.state == KeyState::Active);
    let key = if let Some(key) = present {
        key.into_value()
    } else {
        let wanted = GenerateKey {
            algorithm: KeyAlgorithm::Secp256k1,
            purpose: KeyPurpose::Relayer,
            kinds: BTreeSet::new(),
            vault: None,
        };
        generate_key(ctx, &gateway.services, wanted, None).await?
    };
    Ok(Answer { value: described(&key), lines: vec![line(&key)] })
}

pub(super) async fn retire(gateway: &Gateway, ctx: &OpCtx, id: KeyId) -> Result<Answer> {
    let key = retire_key(ctx, &gateway.services, id).await?;
    Ok(Answer { value: described(&key), lines: vec![line(&key)] })
}

pub(super) fn described(key: &KeyRecord) -> Value {
    json!({
        "id": key.id, "algorithm": key.algorithm, "purpose": key.purpose, "kinds": key.kinds, "state": key.state,
        "frozen": key.frozen, "vault": key.vault, "address": key.address, "publicKey": key.public_key, "ckaId": hex::encode(key.cka_id),
        "tokenId": key.token_id, "createdAtMicros": key.created_at,
    })
}

pub(super) fn line(key: &KeyRecord) -> String {
    let address = key.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let state = format!("{:?}", key.state).to_lowercase();
    let frozen = if key.frozen { " frozen" } else { "" };
    format!("{}  {:<16} {address}  {state}{frozen}", key.id, key.purpose.as_str())
}
