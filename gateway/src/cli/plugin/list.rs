//! `countersign plugin list`: the organization's revisions, and where they are bound.

use anyhow::Result;
use clap::Args;
use gateway_domain::{
    actor::OpCtx,
    policy::{Mode, Power},
    ports::PolicyReads as _,
};
use serde_json::json;

use crate::{
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
    },
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    format: Format,
    /// How many at most, newest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

impl List {
    pub(super) async fn run(self) -> Result<Status> {
        self.format.print_answer(&self.place.order(Act::ListPlugins { limit: self.limit }).await?)
    }
}

pub(in crate::cli) async fn list(gateway: &Gateway, ctx: &OpCtx, limit: u32) -> Result<Answer> {
    let revisions = gateway.store.plugin_revision_list(ctx.organization, None, limit).await?;
    let revocations = gateway.store.plugin_revocations(ctx.organization).await?;
    let policy = gateway.store.policy(ctx.organization).await?;
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for revision in &revisions {
        let bindings = policy.iter().flat_map(|policy| &policy.bindings);
        let binding = bindings.into_iter().find(|binding| binding.revision == revision.id);
        let is_revoked = revocations.iter().any(|revocation| revocation.revision == revision.id);
        values.push(json!({
            "id": revision.id, "plugin": revision.plugin, "componentDigest": revision.component_digest,
            "grants": revision.grants, "createdAtMicros": revision.created_at,
            "isRevoked": is_revoked, "mode": binding.map(|binding| binding.mode), "power": binding.map(|binding| &binding.power),
        }));
        let bound = match binding.map(|binding| (binding.mode, &binding.power)) {
            None => "not bound".to_owned(),
            Some((mode, power)) => format!("{}, {}", word(mode), described(power)),
        };
        let bound = if is_revoked { format!("REVOKED ({bound})") } else { bound };
        lines.push(format!("{}  {:<20} {bound}", revision.id, plugin_host::plain(&revision.plugin, 100)));
    }
    let revision = policy.as_ref().map(|policy| policy.revision);
    Ok(Answer { value: json!({ "policyRevision": revision, "plugins": values }), lines })
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforced",
        Mode::Shadow => "shadow",
    }
}

fn described(power: &Power) -> String {
    match power {
        Power::Gate => "gate".to_owned(),
        Power::Authority(role) => format!("authority for `{role}`"),
    }
}
