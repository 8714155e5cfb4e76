//! Which of a policy's plugin revisions may judge now.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use super::{Binding, PluginRevision, RevisionFault, revoke::identical};
use crate::{
    error::{Error, Result},
    ids::{OrganizationId, PluginRevisionId},
    operators::Charter,
    ports::Services,
    sealed::Sealed,
};

/// Who may have signed, and what was revoked, as of one moment.
pub(crate) struct Examiner<'s> {
    services: &'s Services,
    organization: OrganizationId,
    charter: Option<Sealed<Charter>>,
    revoked: BTreeSet<PluginRevisionId>,
}

/// Examines what each binding names. Failures are counted.
pub(crate) async fn fitness(
    services: &Services,
    organization: OrganizationId,
    bindings: impl Iterator<Item = &Binding>,
) -> Result<BTreeMap<PluginRevisionId, Result<(), RevisionFault>>> {
    let examiner = Examiner::new(services, organization).await?;
    let mut found = BTreeMap::new();
    for binding in bindings {
        let revision = examiner.revision(binding).await?;
        let fit = examiner.examine(&revision);
        if let Err(fault) = fit {
            metrics::counter!(
                "countersign_plugin_revisions_unfit_total",
                "plugin" => revision.plugin.clone(), "cause" => fault.as_str()
            )
            .increment(1);
        }
        found.insert(revision.id, fit);
    }
    Ok(found)
}

impl<'s> Examiner<'s> {
    pub(crate) async fn new(services: &'s Services, organization: OrganizationId) -> Result<Self> {
        let charter = services.store.charter().await?;
        let revocations = services.store.plugin_revocations(organization).await?;
        let revoked = revocations.iter().map(|revocation| revocation.revision).collect();
        Ok(Self { services, organization, charter, revoked })
    }

    pub(crate) fn examine(&self, revision: &PluginRevision) -> Result<(), RevisionFault> {
        if self.revoked.contains(&revision.id) {
            return Err(RevisionFault::Revoked);
        }
        revision.check_signature(self.charter.as_deref(), &self.services.proven_signatures)
    }

    /// Of `subjects` those that were revoked, in whatever revision, each with one that was.
    pub(crate) async fn revoked_subjects(
        &self,
        subjects: &BTreeSet<B256>,
    ) -> Result<BTreeMap<B256, PluginRevisionId>> {
        if self.revoked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let same = identical(self.services, self.organization, subjects).await?;
        let revoked = same.iter().filter(|revision| self.revoked.contains(&revision.id));
        Ok(revoked.map(|revision| (revision.subject_digest(), revision.id)).collect())
    }

    /// The revision that the binding names.
    async fn revision(&self, binding: &Binding) -> Result<Sealed<PluginRevision>> {
        let revision = self.services.store.plugin_revision(self.organization, binding.revision).await?;
        revision.filter(|revision| revision.subject_digest() == binding.subject_digest).ok_or_else(|| {
            Error::inconsistency(format!("binding {} names no such plugin revision", binding.id))
        })
    }
}
