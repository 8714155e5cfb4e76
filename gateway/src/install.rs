//! Installing a plugin: a new immutable revision, bound by a new revision of the organization's policy.

use anyhow::{Context as _, Result, bail};
use gateway_domain::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    ids::BindingId,
    policy::{
        AdmittedPlugin, Binding, BindingScope, Floor, Mode, PluginRevision, Policy, PolicyHead, Power,
        Requirement, UploadPlugin, admit_plugin, require_scopes, upload_plugin, validate_policy,
    },
    ports::{OperatorReads as _, PolicyReads as _, UnitOfWork as _},
};
use serde_json::json;

use crate::wiring::Gateway;

/// A plugin to be attached to EVM transactions of an organization. Installing the same name again in the same mode
/// replaces it.
pub(crate) struct InstallPlugin {
    pub(crate) plugin: UploadPlugin,
    pub(crate) mode: Mode,
    pub(crate) power: Power,
    /// What it is asked about.
    pub(crate) scope: BindingScope,
    /// Replaces the people demanded by the policy's floor; absent leaves them as they are.
    pub(crate) floor: Option<Vec<Requirement>>,
}

/// What an installation made.
pub(crate) struct Installed {
    pub(crate) revision: PluginRevision,
    /// The policy that binds it; absent where operators decide what is bound.
    pub(crate) policy_revision: Option<u64>,
}

/// Checks the component and its settings in the sandbox, stores both, and moves the policy head. In a deployment with
/// operators an author must have signed for it, and the policy stays: they propose and approve what binds the revision.
pub(crate) async fn install_plugin(
    gateway: &Gateway,
    ctx: &OpCtx,
    install: InstallPlugin,
) -> Result<Installed> {
    let services = &gateway.services;
    gateway.store.require_rows_proven().await?;
    if gateway.store.charter().await?.is_some() {
        let AdmittedPlugin { revision, .. } = upload_plugin(ctx, services, install.plugin).await?;
        return Ok(Installed { revision, policy_revision: None });
    }
    let admitted = admit_plugin(ctx, services, install.plugin).await?;
    let revision = &admitted.revision;
    let present =
        gateway.store.policy(ctx.organization).await?.map(gateway_domain::sealed::Sealed::into_value);
    let bound: Vec<_> = present.iter().flat_map(|policy| &policy.bindings).collect();
    require_scopes(ctx, services, &[&install.scope], &bound).await?;
    let binding = Binding {
        id: BindingId::generate(ctx.now, services.entropy.as_ref()),
        revision: revision.id,
        plugin: revision.plugin.clone(),
        subject_digest: revision.subject_digest(),
        scope: install.scope,
        mode: install.mode,
        power: install.power,
    };
    let policy = next_policy(ctx, present, binding, install.floor);
    validate_policy(&policy)?;
    let policy_revision = policy.revision;
    let seal = &services.sealer;
    let head = PolicyHead { organization: ctx.organization, revision: policy_revision };
    let detail = json!({
        "plugin": revision.plugin, "componentDigest": revision.component_digest,
        "subjectDigest": revision.subject_digest(), "policyRevision": policy_revision,
    });
    let changes =
        ChangeSet::new(AuditEvent::new(ctx, "plugin.installed", format!("plugin {}", revision.id), detail))
            .writes_of(admitted.writes(services))
            .write(Write::InsertPolicy(seal.seal(policy)))
            .write(Write::MovePolicyHead(seal.seal(head)));
    gateway.store.commit(changes).await.context("storing the plugin and the policy")?;
    Ok(Installed { revision: admitted.revision, policy_revision: Some(policy_revision) })
}

/// Ends what a plugin is bound to, in one mode or in both, where nobody but this machine decides that: callers see to it
/// that there are no operators.
pub(crate) async fn unbind_plugin(
    gateway: &Gateway,
    ctx: &OpCtx,
    plugin: &str,
    mode: Option<Mode>,
) -> Result<u64> {
    let present =
        gateway.store.policy(ctx.organization).await?.map(gateway_domain::sealed::Sealed::into_value);
    let mut policy = next_revision(ctx, present);
    let before = policy.bindings.len();
    policy
        .bindings
        .retain(|binding| binding.plugin != plugin || mode.is_some_and(|mode| binding.mode != mode));
    if policy.bindings.len() == before {
        let as_mode = mode.map_or_else(String::new, |mode| format!(" to {}", mode.as_str()));
        bail!("the policy in force binds no plugin `{}`{as_mode}", plugin.escape_debug());
    }
    validate_policy(&policy)?;
    let revision = policy.revision;
    let seal = &gateway.services.sealer;
    let head = PolicyHead { organization: ctx.organization, revision };
    let detail = json!({ "plugin": plugin, "mode": mode, "policyRevision": revision });
    let subject = format!("policy {}/{revision}", ctx.organization);
    let changes = ChangeSet::new(AuditEvent::new(ctx, "plugin.unbound", subject, detail))
        .write(Write::InsertPolicy(seal.seal(policy)))
        .write(Write::MovePolicyHead(seal.seal(head)));
    gateway.store.commit(changes).await.context("storing the policy")?;
    Ok(revision)
}

/// The revision after `present`, the same so far.
fn next_revision(ctx: &OpCtx, present: Option<Policy>) -> Policy {
    let policy = present.unwrap_or_else(|| Policy {
        organization: ctx.organization,
        revision: 0,
        floor: Floor::open(),
        bindings: Vec::new(),
        proposal: None,
        created_at: ctx.now,
    });
    Policy { revision: policy.revision + 1, proposal: None, created_at: ctx.now, ..policy }
}

/// With `binding` in the place of its plugin's of the same mode, whose memory goes on. A shadow that is now enforced as it
/// is ends.
fn next_policy(
    ctx: &OpCtx,
    present: Option<Policy>,
    mut binding: Binding,
    people: Option<Vec<Requirement>>,
) -> Policy {
    let mut policy = next_revision(ctx, present);
    if let Some(people) = people {
        policy.floor.requirements = people;
    }
    let same = |one: &Binding| one.plugin == binding.plugin && one.mode == binding.mode;
    let is_promoted = |one: &Binding| {
        (one.mode, binding.mode) == (Mode::Shadow, Mode::Enforce)
            && (&one.plugin, one.subject_digest) == (&binding.plugin, binding.subject_digest)
    };
    let bindings = &policy.bindings;
    let earlier = bindings.iter().position(same).or_else(|| bindings.iter().position(is_promoted));
    let place = earlier.unwrap_or(bindings.len());
    let ends: Vec<_> =
        bindings.iter().filter(|one| same(one) || is_promoted(one)).map(|one| one.id).collect();
    let index = bindings[..place].iter().filter(|one| !ends.contains(&one.id)).count();
    if let Some(earlier) = earlier {
        binding.id = bindings[earlier].id;
    }
    policy.bindings.retain(|one| !ends.contains(&one.id));
    policy.bindings.insert(index, binding);
    policy
}

#[cfg(test)]
mod tests;
