//! The beginning of a deployment: its charter, its first organization and that one's first key, or nothing of them.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    credentials::{ApiKeyText, CreateApiKey, Label, api_key_with_owner},
    error::{Error, Result},
    identity::Organization,
    ids::OrganizationId,
    operators::{Charter, NewOperator, charter_founding},
    ports::Services,
};

/// What a deployment begins with.
#[derive(Clone, Debug)]
pub struct Found {
    /// Name of the first organization: 1 to 100 characters.
    pub organization: String,
    pub charter: Option<FoundCharter>,
}

/// The genesis of the charter.
#[derive(Clone, Debug)]
pub struct FoundCharter {
    pub operators: Vec<NewOperator>,
    pub approvals_required: u32,
}

/// What was founded.
pub struct Founded {
    pub organization: OrganizationId,
    pub admin_key: ApiKeyText,
    pub charter: Option<Charter>,
}

/// Founds it in one commit, so that a crash leaves no organization without the charter that governs it.
pub async fn found_deployment(ctx: &OpCtx, services: &Services, found: Found) -> Result<Founded> {
    if !(1..=100).contains(&found.organization.chars().count()) {
        return Err(Error::invalid("organization must have 1 to 100 characters"));
    }
    let founding = found
        .charter
        .map(|charter| charter_founding(ctx, services, charter.operators, charter.approvals_required));
    let (charter, first) = founding.transpose()?.unzip();
    let id = OrganizationId::generate(ctx.now, services.entropy.as_ref());
    let ctx = OpCtx { organization: id, ..ctx.clone() };
    let request = CreateApiKey {
        label: Label::Admin,
        name: "first admin".to_owned(),
        principal: None,
        expires_at: None,
        dev_only: false,
        verification_service: None,
    };
    let (key, _, admin_key) = api_key_with_owner(&ctx, services, request).await?;
    let (subject, detail) = (format!("organization {id}"), json!({ "name": found.organization }));
    let organization =
        Organization { id, name: found.organization, frozen: false, version: 1, created_at: ctx.now };
    let created = ChangeSet::new(AuditEvent::new(&ctx, "organization.created", subject, detail))
        .write(Write::InsertOrganization(services.sealer.seal(organization)));
    let changes = first.into_iter().chain([created, key]).reduce(ChangeSet::and);
    let changes = changes.expect("an organization is founded in any case");
    services.store.commit(changes).await?;
    Ok(Founded { organization: id, admin_key, charter })
}
