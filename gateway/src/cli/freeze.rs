//! `countersign freeze`: one person stops an organization or a key from signing and from opening messages, or the keys of a
//! vault from signing; lifting is as local an act.

use anyhow::Result;
use clap::{Args, Subcommand};
use gateway_domain::{
    actor::OpCtx, identity::set_organization_frozen, ids::KeyId, keys::set_key_frozen,
    vaults::set_vault_frozen,
};
use serde_json::json;

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
    vault,
};
use crate::wiring::Gateway;

#[derive(Debug, Args)]
pub(super) struct Freeze {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// The whole organization: nothing of it is signed, and no message to it opened.
    Organization(Choice),
    /// One vault: none of its keys signs anything.
    Vault {
        /// Name of the vault, as `countersign vault list` shows it.
        name: String,
        #[command(flatten)]
        choice: Choice,
    },
    /// One key: a wallet's, a vendor's or the relayer's signs nothing, that of the built-in verification service opens nothing.
    Key {
        /// Id of the key, as `countersign key list` shows it.
        id: KeyId,
        #[command(flatten)]
        choice: Choice,
    },
}

#[derive(Debug, Args)]
struct Choice {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Let it go on.
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    format: Format,
}

impl Freeze {
    pub(super) async fn run(self) -> Result<Status> {
        let (choice, act) = match self.target {
            Target::Organization(choice) => {
                let frozen = !choice.lift;
                (choice, Act::FreezeOrganization { frozen })
            }
            Target::Vault { name, choice } => {
                let frozen = !choice.lift;
                (choice, Act::FreezeVault { name, frozen })
            }
            Target::Key { id, choice } => {
                let frozen = !choice.lift;
                (choice, Act::FreezeKey { id, frozen })
            }
        };
        choice.format.print_answer(&choice.place.order(act).await?)
    }
}

pub(super) async fn organization(gateway: &Gateway, ctx: &OpCtx, frozen: bool) -> Result<Answer> {
    let organization = set_organization_frozen(ctx, &gateway.services, frozen).await?;
    Ok(answer(&format!("organization {}", organization.id), frozen))
}

pub(super) async fn key(gateway: &Gateway, ctx: &OpCtx, id: KeyId, frozen: bool) -> Result<Answer> {
    let key = set_key_frozen(ctx, &gateway.services, id, frozen).await?;
    Ok(answer(&format!("key {}", key.id), frozen))
}

pub(super) async fn vault(gateway: &Gateway, ctx: &OpCtx, name: &str, frozen: bool) -> Result<Answer> {
    let id = vault::named(gateway, ctx, name).await?.id;
    let vault = set_vault_frozen(ctx, &gateway.services, id, frozen).await?;
    Ok(answer(&format!("vault {}", vault.id), frozen))
}

fn answer(subject: &str, frozen: bool) -> Answer {
    let word = if frozen { "frozen" } else { "no longer frozen" };
    Answer {
        value: json!({ "subject": subject, "frozen": frozen }),
        lines: vec![format!("{subject} is {word}")],
    }
}
