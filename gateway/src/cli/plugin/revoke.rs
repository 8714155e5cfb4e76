//! `countersign plugin revoke`: ends a revision at once, from the gateway's own machine. It only denies, so it needs no
//! operator where there are some.

use anyhow::Result;
use clap::Args;
use gateway_domain::{actor::OpCtx, ids::PluginRevisionId, policy::revoke_plugin};
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
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the revision, as `plugin list` shows it.
    #[arg(value_name = "REVISION")]
    revision: PluginRevisionId,
    #[command(flatten)]
    format: Format,
}

impl Revoke {
    pub(super) async fn run(self) -> Result<Status> {
        self.format.print_answer(&self.place.order(Act::RevokePlugin(self.revision)).await?)
    }
}

pub(in crate::cli) async fn revoke(gateway: &Gateway, ctx: &OpCtx, id: PluginRevisionId) -> Result<Answer> {
    let revocation = revoke_plugin(ctx, &gateway.services, id).await?;
    Ok(Answer {
        value: json!({ "revision": revocation.revision, "revokedAtMicros": revocation.revoked_at }),
        lines: vec![format!("revision {id} is revoked: whatever binds it denies; nothing takes it back")],
    })
}
