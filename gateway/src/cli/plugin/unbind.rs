//! `countersign plugin unbind`: takes a plugin out of the policy, where there are no operators who decide that.

use anyhow::Result;
use clap::Args;
use gateway_domain::{actor::OpCtx, policy::Mode};
use serde_json::json;

use super::ModeArgument;
use crate::{
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
    },
    install::unbind_plugin,
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Unbind {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name of the plugin.
    #[arg(value_name = "NAME")]
    plugin: String,
    /// Only where it is bound like this; without it, both its enforced revision and its shadow.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    format: Format,
}

impl Unbind {
    pub(super) async fn run(self) -> Result<Status> {
        let act = Act::UnbindPlugin { plugin: self.plugin, mode: self.mode.map(Mode::from) };
        self.format.print_answer(&self.place.order(act).await?)
    }
}

pub(in crate::cli) async fn unbind(
    gateway: &Gateway,
    ctx: &OpCtx,
    plugin: &str,
    mode: Option<Mode>,
) -> Result<Answer> {
    let number = unbind_plugin(gateway, ctx, plugin, mode).await?;
    let line =
        format!("unbound in policy revision {number}; a running gateway uses it from its next decision on");
    Ok(Answer { value: json!({ "plugin": plugin, "policyRevision": number }), lines: vec![line] })
}
