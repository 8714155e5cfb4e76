//! Plugin revisions: one author stores them, one operator ends them, and nothing here binds any.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gateway_domain::{
    Error,
    ids::{OrganizationId, PluginRevisionId},
    policy::{self, Examined, PluginRevision, PluginRevocation, Policy, RevisionSignature, UploadPlugin},
    ports::Evaluator,
    sealed::Sealed,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, description};
use crate::{
    answer::{Answered, created, ok},
    extract::{Fields, Json, Wire, scalar},
    failure::Failure,
    presentation::{prose, time},
};

const PAGE_MAX: u32 = 50;
const GRANTS_MAX: usize = 64;

#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UploadDto {
    /// The name it is bound under.
    #[schema(min_length = 1, max_length = 64)]
    plugin: String,
    #[schema(value_type = String, format = "byte")]
    component: Vec<u8>,
    /// JSON that the component accepts, as text: it is signed for as it stands.
    settings: String,
    /// Such as `state`, `http:UPSTREAM` or `chain:METHOD`.
    #[schema(max_items = 64)]
    grants: BTreeSet<String>,
    /// An author's, as `countersign plugin sign` makes it: a JWS in compact form, ES256, with `typ`
    /// countersign-plugin+jwt, `kid` the author's id, and the claims `origin`, `organization`, `plugin`, `subject` (the
    /// subject digest) and `iat`.
    #[schema(value_type = String)]
    signature: RevisionSignature,
}

impl Wire for UploadDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let plugin = fields.required("plugin", scalar::plain_text(1, 64));
        let component = fields.required("component", base64);
        let settings = fields.required("settings", |json| scalar::text(json).map(str::to_owned));
        let grants = fields.required("grants", grants);
        let signature = fields.required("signature", |json| {
            RevisionSignature::parse(scalar::text(json)?).map_err(|malformed| malformed.to_string())
        });
        Some(Self {
            plugin: plugin?,
            component: component?,
            settings: settings?,
            grants: grants?,
            signature: signature?,
        })
    }
}

#[derive(Debug)]
pub(super) struct ListQuery {
    before: Option<PluginRevisionId>,
    limit: Option<u32>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.optional("before", scalar::uuid);
        let limit = fields.optional("limit", scalar::count(1, PAGE_MAX));
        Some(Self { before, limit })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginsResponse {
    plugins: Vec<PluginResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginResponse {
    /// Of this revision.
    #[schema(format = "uuid")]
    id: String,
    plugin: String,
    /// SHA-256 of the component.
    component_digest: String,
    /// SHA-256 over component digest, settings and grants: what a binding names and an author signs for.
    subject_digest: String,
    /// JSON.
    settings: String,
    /// Capabilities granted.
    grants: Vec<String>,
    /// Id of the author who signed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid", nullable = false)]
    signed_by: Option<String>,
    /// In compact form, to be checked with the author's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    signature: Option<String>,
    /// Id of the operator who sent it; absent if a command on the gateway's machine stored it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid", nullable = false)]
    uploaded_by: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    /// Where the policy in force binds it.
    #[schema(schema_with = description::bindings)]
    bindings: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked: Option<RevocationResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevocationResponse {
    /// Absent if a command on the gateway's machine did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid", nullable = false)]
    by: Option<String>,
    #[schema(format = "date-time")]
    at: String,
    /// The signed request, to be checked with the operator's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    evidence: Option<String>,
}

/// A revision, and what its component turned out to be when it was stored: looking runs nothing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExaminedPluginResponse {
    #[serde(flatten)]
    revision: PluginResponse,
    /// Names of the interfaces that the component imports, with their versions.
    imports: Vec<String>,
    /// Capabilities that these are. Nothing else is imported: it would have been refused.
    wanted_capabilities: Vec<String>,
    /// Version of the contract that it was built against.
    contract: String,
    /// Of the component.
    bytes: u64,
    /// Grants that this gateway, as it is configured now, has nothing for: calls that need one of them are refused.
    grant_faults: Vec<String>,
}

fn base64(json: &Json) -> Result<Vec<u8>, String> {
    STANDARD.decode(scalar::text(json)?).map_err(|_| "must be base64 with padding".to_owned())
}

fn grants(json: &Json) -> Result<BTreeSet<String>, String> {
    let Json::List(items) = json else { return Err(format!("must be an array, not {}", json.kind())) };
    if items.len() > GRANTS_MAX {
        return Err(format!("must have at most {GRANTS_MAX} entries"));
    }
    let text = scalar::plain_text(1, 256);
    let grants: BTreeSet<String> = items.iter().map(&text).collect::<Result<_, _>>()?;
    if grants.len() == items.len() { Ok(grants) } else { Err("must not name anything twice".to_owned()) }
}

/// Stores a revision that an author has signed for; it binds nothing. Needs the role author. Role and signature are checked
/// before the component is parsed.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/plugins",
    operation_id = "upload_plugin",
    tag = "Plugins",
    params(("organization" = String, Path, format = "uuid")),
    request_body = UploadDto,
    responses((status = 201, body = ExaminedPluginResponse))
)]
pub(super) async fn upload_plugin(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ExaminedPluginResponse> {
    let UploadDto { plugin, component, settings, grants, signature } = call.body()?;
    let upload = UploadPlugin { plugin, component, settings, grants, signature: Some(signature) };
    let ctx = call.within(call.id("organization")?);
    let stored = policy::upload_plugin(&ctx, &desk.services, upload).await?;
    let shown = PluginResponse::of(&stored.revision, &[], None);
    Ok(created(ExaminedPluginResponse::of(shown, &stored.revision, desk.services.evaluator.as_ref())))
}

/// Stored revisions, newest first: what a binding may name.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/plugins",
    operation_id = "list_plugins",
    tag = "Plugins",
    params(
        ("organization" = String, Path, format = "uuid"),
        ("before" = Option<String>, Query, format = "uuid", description = "The last id of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Default 25.")
    ),
    responses((status = 200, body = PluginsResponse))
)]
pub(super) async fn list_plugins(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<PluginsResponse> {
    let ListQuery { before, limit } = call.query()?;
    let organization = call.id("organization")?;
    let store = &desk.services.store;
    let revisions = store.plugin_revision_list(organization, before, limit.unwrap_or(PAGE_MAX / 2)).await?;
    let revocations = store.plugin_revocations(organization).await?;
    let policy = store.policy(organization).await?;
    let shown =
        revisions.iter().map(|revision| PluginResponse::of(revision, &revocations, policy.as_deref()));
    Ok(ok(PluginsResponse { plugins: shown.collect() }))
}

/// One revision: what it is, what it wants and gets, who signed for it, and where it is bound.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/plugins/{id}",
    operation_id = "get_plugin",
    tag = "Plugins",
    params(("organization" = String, Path, format = "uuid"), ("id" = String, Path, format = "uuid")),
    responses((status = 200, body = ExaminedPluginResponse))
)]
pub(super) async fn get_plugin(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ExaminedPluginResponse> {
    let organization: OrganizationId = call.id("organization")?;
    let store = &desk.services.store;
    let revision = store.plugin_revision(organization, call.id("id")?).await?;
    let revision = revision.ok_or(Error::NotFound("plugin revision"))?;
    let revocations = store.plugin_revocations(organization).await?;
    let policy = store.policy(organization).await?;
    let shown = PluginResponse::of(&revision, &revocations, policy.as_deref());
    Ok(ok(ExaminedPluginResponse::of(shown, &revision, desk.services.evaluator.as_ref())))
}

/// Ends a revision at once: from now on whatever binds it denies. Nothing takes it back. Needs the role author or approver.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/plugins/{id}/revoke",
    operation_id = "revoke_plugin",
    tag = "Plugins",
    params(("organization" = String, Path, format = "uuid"), ("id" = String, Path, format = "uuid")),
    responses((status = 200, body = RevocationResponse))
)]
pub(super) async fn revoke_plugin(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Result<crate::answer::Answer<RevocationResponse>, Failure> {
    let ctx = call.within(call.id("organization")?);
    let revocation = policy::revoke_plugin(&ctx, &desk.services, call.id("id")?).await?;
    Ok(ok(RevocationResponse::of(&revocation)))
}

impl PluginResponse {
    fn of(
        revision: &PluginRevision,
        revocations: &[Sealed<PluginRevocation>],
        policy: Option<&Policy>,
    ) -> Self {
        let bindings = policy.into_iter().flat_map(|policy| &policy.bindings);
        let bindings: Vec<_> = bindings.filter(|binding| binding.revision == revision.id).collect();
        let signed = revision.signature.as_ref().and_then(|signature| signature.read().ok());
        let revocation = revocations.iter().find(|revocation| revocation.revision == revision.id);
        Self {
            id: revision.id.to_string(),
            plugin: prose(&revision.plugin),
            component_digest: revision.component_digest.to_string(),
            subject_digest: revision.subject_digest().to_string(),
            settings: revision.settings.clone(),
            grants: revision.grants.iter().cloned().collect(),
            signed_by: signed.map(|signed| signed.signer.to_string()),
            signature: revision.signature.as_ref().map(ToString::to_string),
            uploaded_by: revision.uploaded_by.map(|operator| operator.to_string()),
            created_at: time(revision.created_at),
            bindings: serde_json::to_value(bindings).unwrap_or_default(),
            revoked: revocation.map(|revocation| RevocationResponse::of(revocation)),
        }
    }
}

impl RevocationResponse {
    fn of(revocation: &PluginRevocation) -> Self {
        Self {
            by: revocation.revoked_by.map(|operator| operator.to_string()),
            at: time(revocation.revoked_at),
            evidence: revocation.evidence.clone(),
        }
    }
}

impl ExaminedPluginResponse {
    fn of(shown: PluginResponse, revision: &PluginRevision, evaluator: &dyn Evaluator) -> Self {
        let Examined { imports, wanted, contract, bytes } = revision.examined.clone();
        Self {
            grant_faults: evaluator.grant_faults(revision.organization, &revision.grants),
            revision: shown,
            imports,
            wanted_capabilities: wanted,
            contract,
            bytes,
        }
    }
}
