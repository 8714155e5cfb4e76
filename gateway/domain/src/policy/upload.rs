//! Storing a plugin revision. Who sends it and who signed for it is checked before its bytes are parsed (threat T29).

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::B256;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Examined, Examiner, PluginRevision, RevisionSignature};
use crate::{
    actor::{Actor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, OperatorWrite, Write},
    error::{Error, Result},
    ids::PluginRevisionId,
    operators::{Charter, OperatorRole, require_role},
    ports::{Candidate, Services},
    text::is_plain_in_line,
};

/// A plugin to be stored.
#[derive(Clone, Debug)]
pub struct UploadPlugin {
    /// The name it is bound under: 1 to 64 printable characters.
    pub plugin: String,
    pub component: Vec<u8>,
    /// JSON that the component's `validate-settings` accepts.
    pub settings: String,
    pub grants: BTreeSet<String>,
    /// Needed in a deployment with operators, and in no other.
    pub signature: Option<RevisionSignature>,
}

/// A revision that may be stored: signed for as the deployment demands, and examined in the sandbox.
#[derive(Debug)]
pub struct AdmittedPlugin {
    pub revision: PluginRevision,
    component: Vec<u8>,
    /// Of the charter that knows the signer.
    charter_revision: Option<u64>,
    revisions_max: u32,
}

const NAME_CHARACTERS_MAX: usize = 64;

/// Stores a revision, which binds nothing. Needs the role author, or a command on the gateway's machine.
pub async fn upload_plugin(ctx: &OpCtx, services: &Services, upload: UploadPlugin) -> Result<AdmittedPlugin> {
    let admitted = admit_plugin(ctx, services, upload).await?;
    let revision = &admitted.revision;
    let detail = json!({
        "plugin": revision.plugin, "componentDigest": revision.component_digest,
        "subjectDigest": revision.subject_digest(), "signature": revision.signature,
    });
    let event = AuditEvent::new(ctx, "plugin.stored", format!("plugin {}", revision.id), detail);
    match services.store.commit(ChangeSet::new(event).writes_of(admitted.writes(services))).await {
        Ok(()) => Ok(admitted),
        Err(CommitError::Conflict(Contested::Quota)) => Err(too_many()),
        Err(error) => Err(error.into()),
    }
}

/// Checks the sender, the name and the signature, and only then has the component compiled and asked about its settings.
pub async fn admit_plugin(ctx: &OpCtx, services: &Services, upload: UploadPlugin) -> Result<AdmittedPlugin> {
    let is_local = ctx.actor == Actor::LocalOperator;
    let uploaded_by = if is_local { None } else { Some(require_role(ctx, OperatorRole::Author)?.operator) };
    let length = upload.plugin.chars().count();
    if !(1..=NAME_CHARACTERS_MAX).contains(&length) || !upload.plugin.chars().all(is_plain_in_line) {
        return Err(Error::invalid(format!(
            "plugin must have 1 to {NAME_CHARACTERS_MAX} printable characters"
        )));
    }
    services.store.organization(ctx.organization).await?.ok_or(Error::NotFound("organization"))?;
    let mut revision = PluginRevision {
        id: PluginRevisionId::generate(ctx.now, services.entropy.as_ref()),
        organization: ctx.organization,
        plugin: upload.plugin,
        component_digest: B256::new(Sha256::digest(&upload.component).into()),
        settings: upload.settings,
        grants: upload.grants,
        examined: Examined::default(),
        signature: upload.signature,
        uploaded_by,
        created_at: ctx.now,
    };
    let charter = services.store.charter().await?;
    check_signature(services, &revision, charter.as_deref())?;
    let revisions_max = services.limits.plugin_revisions_max;
    // Compiling costs more than looking; the insert decides.
    if services.store.live_plugin_revision_count(ctx.organization).await? >= u64::from(revisions_max) {
        return Err(too_many());
    }
    require_unrevoked(services, &revision).await?;
    let candidate = Candidate {
        organization: revision.organization,
        component_digest: revision.component_digest,
        settings: &revision.settings,
        grants: &revision.grants,
    };
    revision.examined = services.evaluator.examine(&candidate, upload.component.as_slice().into()).await?;
    let charter_revision = charter.map(|charter| charter.revision);
    Ok(AdmittedPlugin { revision, component: upload.component, charter_revision, revisions_max })
}

/// An author's signature stays good; what was revoked must not come back by sending it again.
async fn require_unrevoked(services: &Services, revision: &PluginRevision) -> Result<()> {
    let subject = revision.subject_digest();
    let examiner = Examiner::new(services, revision.organization).await?;
    let revoked = examiner.revoked_subjects(&BTreeSet::from([subject])).await?;
    revoked.get(&subject).map_or(Ok(()), |same| {
        Err(Error::invalid(format!(
            "component: the same component, settings and grants were revoked as revision {same}, and nothing takes that \
             back: sign and upload something that differs in one of them"
        )))
    })
}

fn too_many() -> Error {
    Error::Exhausted {
        what: "the organization has as many plugin revisions as it may have; revoke some",
        retry_after: Duration::from_mins(1),
    }
}

fn check_signature(services: &Services, revision: &PluginRevision, charter: Option<&Charter>) -> Result<()> {
    if charter.is_none() && revision.signature.is_some() {
        return Err(Error::invalid("signature is for a deployment with operators, which this is not"));
    }
    revision
        .check_signature(charter, &services.proven_signatures)
        .map_err(|fault| Error::invalid(format!("signature: the plugin is refused: {fault}")))?;
    let signed = revision.signature.as_ref().map(RevisionSignature::read).transpose();
    let signed = signed.map_err(|malformed| Error::invalid(format!("signature {malformed}")))?;
    let origin = services.origin_of(revision.organization);
    if let Some(signed) = signed.filter(|signed| signed.claims.origin != origin) {
        let named = signed.claims.origin.escape_debug();
        return Err(Error::invalid(format!(
            "signature: it is not for `{origin}`, by which clients know this, but for the origin `{named}`"
        )));
    }
    Ok(())
}

impl AdmittedPlugin {
    /// What stores it, as long as the charter is the one that was asked about the signer.
    pub fn writes(&self, services: &Services) -> Vec<Write> {
        let revision = services.sealer.seal(self.revision.clone());
        let stored = Write::InsertPluginRevision(revision, self.component.clone(), self.revisions_max);
        let charter =
            self.charter_revision.map(|revision| Write::Operators(OperatorWrite::RequireCharter(revision)));
        charter.into_iter().chain([stored]).collect()
    }
}
