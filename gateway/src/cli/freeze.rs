//! `countersign freeze`: one person stops an organization or a key from signing; lifting is as local an act.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    identity::Organization,
    ids::KeyId,
    keys::KeyRecord,
    ports::{IdentityReads as _, KeyReads as _, UnitOfWork as _},
};
use serde_json::json;

use super::{
    output::Format,
    place::{Opened, OrganizationPlace},
    status::Status,
};

#[derive(Debug, Args)]
pub(super) struct Freeze {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// The whole organization.
    Organization(Choice),
    /// One key.
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
    /// Let it sign again.
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    format: Format,
}

impl Freeze {
    pub(super) async fn run(self) -> Result<Status> {
        let (choice, key) = match self.target {
            Target::Organization(choice) => (choice, None),
            Target::Key { id, choice } => (choice, Some(id)),
        };
        let opened = choice.place.open().await?;
        let done = match key {
            None => freeze_organization(&opened, !choice.lift).await,
            Some(id) => freeze_key(&opened, id, !choice.lift).await,
        };
        opened.finish().await;
        let subject = done?;
        let word = if choice.lift { "no longer frozen" } else { "frozen" };
        choice
            .format
            .print(&json!({"subject": subject, "frozen": !choice.lift}), &[format!("{subject} is {word}")])
    }
}

async fn freeze_organization(opened: &Opened, frozen: bool) -> Result<String> {
    let Opened { gateway, ctx, .. } = opened;
    let stored =
        gateway.store.organization(ctx.organization).await?.context("the organization does not exist")?;
    let subject = format!("organization {}", ctx.organization);
    if stored.frozen == frozen {
        return Ok(subject);
    }
    let organization = Organization { frozen, version: stored.version + 1, ..stored.into_value() };
    let action = if frozen { "organization.frozen" } else { "organization.thawed" };
    let changes = ChangeSet::new(AuditEvent::new(ctx, action, subject.clone(), json!({})))
        .write(Write::UpdateOrganization(gateway.services.sealer.seal(organization)));
    gateway.store.commit(changes).await?;
    Ok(subject)
}

async fn freeze_key(opened: &Opened, id: KeyId, frozen: bool) -> Result<String> {
    let Opened { gateway, ctx, .. } = opened;
    let stored =
        gateway.store.key(ctx.organization, id).await?.context("the organization has no such key")?;
    let subject = format!("key {id}");
    if stored.frozen == frozen {
        return Ok(subject);
    }
    let key = KeyRecord { frozen, version: stored.version + 1, ..stored.into_value() };
    let action = if frozen { "key.frozen" } else { "key.thawed" };
    let changes = ChangeSet::new(AuditEvent::new(ctx, action, subject.clone(), json!({})))
        .write(Write::UpdateKey(gateway.services.sealer.seal(key)));
    gateway.store.commit(changes).await?;
    Ok(subject)
}
