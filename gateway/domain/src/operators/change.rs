//! What can be proposed, and what carrying it out writes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Charter, DEPLOYMENT, OperatorKey, OperatorRole, ProposalState, require_charter, require_role};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{OperatorWrite, Write},
    clock::Timestamp,
    credentials::{ApiKey, ApiKeyText, CreateApiKey, Label, api_key_with_owner},
    error::{Error, Result},
    ids::{BindingId, KeyId, OperatorId, PluginRevisionId, PrincipalId, ProposalId, VaultId},
    policy::{
        Binding, BindingScope, Examiner, Floor, Mode, Policy, PolicyHead, Power, require_scopes,
        validate_policy,
    },
    ports::Services,
    sealed::Sealed,
};

mod vaults;

use vaults::Freezable;

/// Everything by which more can be signed than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Change {
    /// The organization's next policy.
    Policy(PolicyChange),
    /// An earlier policy again, as a new revision.
    PolicyRollback {
        /// The revision to go back to.
        to: u64,
        /// What that was, for those who approve; set by the gateway.
        #[serde(default)]
        policy: Option<PolicyChange>,
    },
    /// Who the operators are, and how many must agree.
    Charter(CharterChange),
    /// Other operators in the place of all, whose keys were lost: begun and completed on the gateway's machine, never
    /// proposed.
    Recovery {
        charter: CharterChange,
        /// When it can be completed at the earliest.
        not_before: Timestamp,
    },
    /// The organization signs again, or one of its keys, or those of one of its vaults.
    Thaw {
        key: Option<KeyId>,
        vault: Option<VaultId>,
        /// The frozen row's version when it was proposed, so that approvals are for this freeze; set by the gateway.
        #[serde(default)]
        replaces: Option<u64>,
    },
    /// A new vault, empty at first.
    Vault { name: String },
    /// A key's place: a vault, or none. Who judges what it signs follows from it.
    KeyMove {
        key: KeyId,
        vault: Option<VaultId>,
        /// Where it lay when that was proposed, for those who approve; set by the gateway.
        #[serde(default)]
        from: Option<VaultId>,
        /// The key's version then; set by the gateway.
        #[serde(default)]
        replaces: Option<u64>,
    },
    /// An API key, which the proposer takes once the proposal is carried.
    ApiKey(NewApiKey),
}

/// The policy that replaces revision `replaces`; 0 if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    pub replaces: u64,
    pub floor: Floor,
    /// Asked all at once; the first of them that denies says why.
    pub bindings: Vec<ProposedBinding>,
}

/// A plugin's place in the policy. A plugin that was bound before keeps its binding, and with it what it remembers. One
/// revision of a plugin can be enforced while another is its shadow, which has a binding of its own and reads that one's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedBinding {
    pub revision: PluginRevisionId,
    /// The revision's plugin, for those who approve; set by the gateway.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The binding whose place and memory it takes; absent if it begins without any. Set by the gateway.
    #[serde(default)]
    pub continues: Option<BindingId>,
    /// Of the revision's component, settings and grants: what is approved is this plugin and no other.
    pub subject_digest: B256,
    pub scope: BindingScope,
    pub mode: Mode,
    pub power: Power,
}

/// The charter's next revision, in what differs from the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterChange {
    #[serde(default)]
    pub enrolled: Vec<NewOperator>,
    /// Those whose power ends; their keys are never enrolled again.
    #[serde(default)]
    pub revoked: BTreeSet<OperatorId>,
    /// Roles in place of those that the operators have.
    #[serde(default)]
    pub roles: BTreeMap<OperatorId, BTreeSet<OperatorRole>>,
    pub approvals_required: u32,
    /// The charter's revision when it was proposed; set by the gateway.
    #[serde(default)]
    pub replaces: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOperator {
    pub name: String,
    pub public_key: OperatorKey,
    pub roles: BTreeSet<OperatorRole>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApiKey {
    pub label: Label,
    pub name: String,
    /// The owner; absent makes a service principal of the same name.
    pub principal: Option<PrincipalId>,
    pub expires_at: Option<Timestamp>,
    pub verification_service: Option<u32>,
}

/// What carrying a change out writes.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) events: Vec<AuditEvent>,
    pub(super) writes: Vec<Write>,
}

impl Change {
    /// What the change would write now on the strength of `proposal`, or why it cannot be made.
    pub(super) async fn prepare(
        &self,
        ctx: &OpCtx,
        services: &Services,
        charter: &Sealed<Charter>,
        proposal: Option<ProposalId>,
    ) -> Result<Carried> {
        let concerns_deployment = matches!(self, Self::Charter(_) | Self::Recovery { .. });
        if concerns_deployment != (ctx.organization == DEPLOYMENT) {
            return Err(Error::invalid("organization must be given, but for a change of the charter"));
        }
        match self {
            Self::Policy(change) => change.prepare(ctx, services, proposal, &[]).await,
            Self::PolicyRollback { to, policy } => {
                let earlier = earlier_policy(ctx, services, *to).await?;
                let policy =
                    policy.as_ref().ok_or_else(|| Error::inconsistency("a rollback without its policy"))?;
                policy.prepare(ctx, services, proposal, &earlier.bindings).await
            }
            Self::Charter(change) => {
                require_unchanged(change.replaces, charter.revision)?;
                let next = charter.next(ctx, services, change)?;
                let events = vec![next.event(ctx, "charter.changed")];
                Ok(Carried {
                    events,
                    writes: vec![Write::Operators(OperatorWrite::UpdateCharter(services.sealer.seal(next)))],
                })
            }
            Self::Recovery { .. } => Err(Error::Conflict(
                "a recovery is begun and completed on the gateway's machine, not proposed",
            )),
            Self::Thaw { key, vault, replaces } => {
                Freezable::of(*key, *vault)?.thawing(ctx, services, *replaces).await
            }
            Self::Vault { name } => vaults::made(ctx, services, name).await,
            Self::KeyMove { key, vault, replaces, .. } => {
                vaults::moved(ctx, services, (*key, *vault), *replaces).await
            }
            Self::ApiKey(new) => {
                // Made for nothing but its faults: the secret is made when it is taken.
                api_key_with_owner(ctx, services, new.request()).await?;
                Ok(Carried::default())
            }
        }
    }
}

impl Change {
    /// The policy revision that it replaces, where it is a rollback that was tied to one.
    pub(super) fn replaced_policy(&self) -> Option<u64> {
        match self {
            Self::PolicyRollback { policy, .. } => policy.as_ref().map(|policy| policy.replaces),
            _ => None,
        }
    }

    /// The same change, tied to what it changes as that is now.
    pub(super) async fn tied(self, ctx: &OpCtx, services: &Services, charter: &Charter) -> Result<Self> {
        Ok(match self {
            Self::Charter(change) => {
                Self::Charter(CharterChange { replaces: Some(charter.revision), ..change })
            }
            Self::Thaw { key, vault, .. } => {
                let replaces = Freezable::of(key, vault)?.version(ctx, services).await?;
                Self::Thaw { key, vault, replaces }
            }
            Self::KeyMove { key, vault, .. } => {
                let stored =
                    services.store.key(ctx.organization, key).await?.ok_or(Error::NotFound("key"))?;
                Self::KeyMove { key, vault, from: stored.vault, replaces: Some(stored.version) }
            }
            Self::PolicyRollback { to, .. } => {
                let replaces =
                    services.store.policy(ctx.organization).await?.map_or(0, |policy| policy.revision);
                let earlier = earlier_policy(ctx, services, to).await?;
                if to >= replaces {
                    return Err(Error::invalid("to must be an earlier revision than the one in force"));
                }
                let policy = PolicyChange::again(&earlier, replaces);
                Self::PolicyRollback {
                    to,
                    policy: Some(policy.named(ctx, services, &earlier.bindings).await?),
                }
            }
            Self::Policy(change) => Self::Policy(change.named(ctx, services, &[]).await?),
            Self::Vault { .. } | Self::ApiKey(_) | Self::Recovery { .. } => self,
        })
    }
}

/// `replaces` is absent only before the proposal is stored.
fn require_unchanged(replaces: Option<u64>, version: u64) -> Result<()> {
    if replaces.is_none_or(|replaces| replaces == version) {
        return Ok(());
    }
    Err(Error::Conflict("what it changes has moved on since; propose the change again"))
}

async fn earlier_policy(ctx: &OpCtx, services: &Services, revision: u64) -> Result<Sealed<Policy>> {
    let found = services.store.policy_revision(ctx.organization, revision).await?;
    found.ok_or(Error::NotFound("policy"))
}

impl PolicyChange {
    /// What `earlier` was, in place of revision `replaces`.
    fn again(earlier: &Policy, replaces: u64) -> Self {
        let bindings = earlier.bindings.iter().map(|binding| ProposedBinding {
            revision: binding.revision,
            plugin: None,
            continues: None,
            subject_digest: binding.subject_digest,
            scope: binding.scope.clone(),
            mode: binding.mode,
            power: binding.power.clone(),
        });
        Self { replaces, floor: earlier.floor.clone(), bindings: bindings.collect() }
    }

    /// The same, saying which plugins it binds and what each of them continues.
    async fn named(mut self, ctx: &OpCtx, services: &Services, earlier: &[Binding]) -> Result<Self> {
        let present = services.store.policy(ctx.organization).await?;
        let known = known(present.as_deref(), earlier);
        for proposed in &mut self.bindings {
            let revision = services.store.plugin_revision(ctx.organization, proposed.revision).await?;
            // What does not exist is refused where the change is prepared.
            let Some(revision) = revision else { continue };
            let plugin = revision.into_value().plugin;
            if proposed.plugin.as_ref().is_some_and(|given| *given != plugin) {
                return Err(Error::invalid("bindings.plugin is not that of the plugin revision"));
            }
            proposed.plugin = Some(plugin);
        }
        let wanted = self.bindings.iter().map(|one| (one.plugin.as_deref().unwrap_or_default(), one.mode));
        let continued = continued(&known, &wanted.collect::<Vec<_>>());
        for (proposed, continues) in self.bindings.iter_mut().zip(continued) {
            proposed.continues = continues;
        }
        Ok(self)
    }

    /// `earlier` bindings come back as they were, if their plugin is bound no more.
    async fn prepare(
        &self,
        ctx: &OpCtx,
        services: &Services,
        proposal: Option<ProposalId>,
        earlier: &[Binding],
    ) -> Result<Carried> {
        services.store.organization(ctx.organization).await?.ok_or(Error::NotFound("organization"))?;
        let present = services.store.policy(ctx.organization).await?;
        let found = present.as_ref().map_or(0, |policy| policy.revision);
        if found != self.replaces {
            return Err(Error::Conflict("the policy has moved on since; propose the change again"));
        }
        let known = known(present.as_deref(), earlier);
        let scopes: Vec<_> = self.bindings.iter().map(|binding| &binding.scope).collect();
        require_scopes(ctx, services, &scopes, &known).await?;
        let examiner = Examiner::new(services, ctx.organization).await?;
        let subjects = self.bindings.iter().map(|binding| binding.subject_digest).collect();
        let revoked = examiner.revoked_subjects(&subjects).await?;
        let mut revisions = Vec::with_capacity(self.bindings.len());
        for proposed in &self.bindings {
            let revision = services.store.plugin_revision(ctx.organization, proposed.revision).await?;
            let revision = revision.ok_or(Error::NotFound("plugin revision"))?;
            if revision.subject_digest() != proposed.subject_digest {
                return Err(Error::invalid("bindings.subject_digest is not that of the plugin revision"));
            }
            let refused = |cause: String| {
                let (id, plugin) = (revision.id, revision.plugin.escape_debug());
                Error::invalid(format!("bindings: revision {id} of plugin `{plugin}` may not judge: {cause}"))
            };
            if let Some(same) = revoked.get(&proposed.subject_digest) {
                let which = if *same == revision.id { String::new() } else { format!(" as revision {same}") };
                return Err(refused(format!(
                    "it was revoked{which}; bind one that differs in component, settings or grants"
                )));
            }
            examiner.examine(&revision).map_err(|fault| refused(fault.to_string()))?;
            revisions.push((revision.into_value(), proposed));
        }
        let wanted: Vec<_> =
            revisions.iter().map(|(revision, proposed)| (revision.plugin.as_str(), proposed.mode)).collect();
        let continued = continued(&known, &wanted);
        let bindings = revisions.iter().zip(continued).map(|((revision, proposed), continues)| Binding {
            id: continues.unwrap_or_else(|| BindingId::generate(ctx.now, services.entropy.as_ref())),
            revision: revision.id,
            plugin: revision.plugin.clone(),
            subject_digest: proposed.subject_digest,
            scope: proposed.scope.clone(),
            mode: proposed.mode,
            power: proposed.power.clone(),
        });
        let bindings = bindings.collect();
        let policy = Policy {
            organization: ctx.organization,
            revision: self.replaces + 1,
            floor: self.floor.clone(),
            bindings,
            proposal,
            created_at: ctx.now,
        };
        validate_policy(&policy)?;
        let head = PolicyHead { organization: ctx.organization, revision: policy.revision };
        let subject = format!("policy {}/{}", ctx.organization, policy.revision);
        let event = AuditEvent::new(ctx, "policy.activated", subject, json!(policy));
        let seal = &services.sealer;
        let writes = vec![Write::InsertPolicy(seal.seal(policy)), Write::MovePolicyHead(seal.seal(head))];
        Ok(Carried { events: vec![event], writes })
    }
}

/// The bindings that can be continued: those in force first.
fn known<'a>(present: Option<&'a Policy>, earlier: &'a [Binding]) -> Vec<&'a Binding> {
    present.iter().flat_map(|policy| &policy.bindings).chain(earlier).collect()
}

/// The binding that each of `wanted`, a plugin in a mode, continues: the plugin's in the same mode, or its other one where
/// that does not go on itself. The first of `known` come first.
fn continued(known: &[&Binding], wanted: &[(&str, Mode)]) -> Vec<Option<BindingId>> {
    let mut taken = BTreeSet::new();
    let mut found = vec![None; wanted.len()];
    for is_same_mode in [true, false] {
        for ((plugin, mode), found) in wanted.iter().zip(&mut found) {
            let fits = |binding: &&&Binding| {
                binding.plugin == *plugin
                    && (binding.mode == *mode || !is_same_mode)
                    && !taken.contains(&binding.id)
            };
            if found.is_none() {
                *found = known.iter().find(fits).map(|binding| binding.id);
                taken.extend(*found);
            }
        }
    }
    found
}

impl NewApiKey {
    fn request(&self) -> CreateApiKey {
        CreateApiKey {
            label: self.label,
            name: self.name.clone(),
            principal: self.principal,
            expires_at: self.expires_at,
            dev_only: false,
            verification_service: self.verification_service,
        }
    }
}

/// Makes the key that a carried proposal allows, once, for its proposer, before the proposal expires.
pub async fn claim_api_key(ctx: &OpCtx, services: &Services, id: ProposalId) -> Result<(ApiKey, ApiKeyText)> {
    let proposer = require_role(ctx, OperatorRole::Author)?.operator;
    let proposal = services.store.proposal(id).await?.ok_or(Error::NotFound("proposal"))?;
    if proposal.proposer != proposer {
        return Err(Error::Forbidden("only who proposed the key may take it"));
    }
    let Change::ApiKey(new) = &proposal.change else {
        return Err(Error::Conflict("the proposal is not for an API key"));
    };
    let charter = require_charter(services).await?;
    if !charter.operator(proposer).is_some_and(|operator| operator.has(OperatorRole::Author)) {
        return Err(Error::Unauthenticated);
    }
    let is_carried = matches!(proposal.state, ProposalState::Carried { .. });
    if !is_carried || proposal.expires_at <= ctx.now {
        return Err(Error::Conflict("the proposal was not carried, was used already, or has expired"));
    }
    let ctx = OpCtx { organization: proposal.organization, ..ctx.clone() };
    let (changes, key, text) = api_key_with_owner(&ctx, services, new.request()).await?;
    let used = proposal.moved_to(ProposalState::Used { at: ctx.now, credential: key.id });
    let changes = changes
        .event(used.event(&ctx, "proposal.used"))
        .write(Write::Operators(OperatorWrite::RequireCharter(charter.revision)))
        .write(Write::Operators(OperatorWrite::UpdateProposal(services.sealer.seal(used))));
    services.store.commit(changes).await?;
    Ok((key, text))
}
