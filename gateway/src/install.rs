//! Installing a plugin: a new immutable revision, bound by a new revision of the organization's policy.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use gateway_domain::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    ids::{BindingId, VaultId},
    policy::{
        AdmittedPlugin, Binding, BindingScope, Floor, Mode, PluginRevision, Policy, PolicyHead, Power,
        Requirement, UploadPlugin, admit_plugin, upload_plugin, validate_policy,
    },
    ports::{OperatorReads as _, PolicyReads as _, UnitOfWork as _},
    transactions::Kind,
};
use serde_json::json;

use crate::wiring::Gateway;

/// A plugin to be attached to EVM transactions of an organization. Installing the same name again replaces it.
pub(crate) struct InstallPlugin {
    pub(crate) plugin: UploadPlugin,
    pub(crate) power: Power,
    /// Of the organization: it is asked about what their keys sign; without any, about everything.
    pub(crate) vaults: BTreeSet<VaultId>,
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
    let fresh = BindingId::generate(ctx.now, services.entropy.as_ref());
    let attached = (install.power, install.vaults);
    let policy = next_policy(ctx, present, revision, attached, install.floor, fresh);
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

fn next_policy(
    ctx: &OpCtx,
    present: Option<Policy>,
    revision: &PluginRevision,
    (power, vaults): (Power, BTreeSet<VaultId>),
    people: Option<Vec<Requirement>>,
    id: BindingId,
) -> Policy {
    let mut policy = present.unwrap_or_else(|| Policy {
        organization: ctx.organization,
        revision: 0,
        floor: Floor::open(),
        bindings: Vec::new(),
        proposal: None,
        created_at: ctx.now,
    });
    policy.revision += 1;
    policy.proposal = None;
    policy.created_at = ctx.now;
    if let Some(people) = people {
        policy.floor.requirements = people;
    }
    let same = |binding: &Binding| binding.plugin == revision.plugin && binding.mode == Mode::Enforce;
    let earlier = policy.bindings.iter().position(same);
    let binding = Binding {
        id: earlier.map_or(id, |index| policy.bindings[index].id),
        revision: revision.id,
        plugin: revision.plugin.clone(),
        subject_digest: revision.subject_digest(),
        scope: BindingScope {
            kinds: BTreeSet::from([Kind::Transaction]),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults,
        },
        mode: Mode::Enforce,
        power,
    };
    match earlier {
        Some(index) => policy.bindings[index] = binding,
        None => policy.bindings.push(binding),
    }
    policy
}
