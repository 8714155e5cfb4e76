//! Policies, their heads, the plugin revisions they name, and what was revoked of these.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gateway_domain::{
    B256, Error, Result,
    changes::Contested,
    ids::{OrganizationId, PluginRevisionId},
    policy::{PluginRevision, PluginRevocation, Policy, PolicyHead, RevisionSignature},
    ports::PolicyReads,
    sealed::Sealed,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Reader, Stored},
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! revision_columns {
    () => {
        "id, organization, plugin, component_digest, settings, grants, examined, signature, uploaded_by, created_at, \
         seal"
    };
}

macro_rules! policy_columns {
    () => {
        "organization, revision, floor, bindings, proposal, created_at, seal"
    };
}

/// Head and policy in one statement, so that a move between two reads cannot mix them.
const POLICY: &str = "SELECT h.organization AS head_organization, h.revision AS head_revision, h.seal AS head_seal, \
     p.organization, p.revision, p.floor, p.bindings, p.proposal, p.created_at, p.seal \
     FROM policy_heads h LEFT JOIN policies p ON p.organization = h.organization AND p.revision = h.revision \
     WHERE h.organization = $1";
const REVISION: &str =
    concat!("SELECT ", revision_columns!(), " FROM plugin_revisions WHERE organization = $1 AND id = $2");
/// Of the revisions of an organization, those that nobody has revoked.
macro_rules! live_revisions {
    ($what:literal, $which:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM plugin_revisions live WHERE ",
            $which,
            " AND NOT EXISTS (SELECT 1 FROM plugin_revocations ended WHERE ended.revision = live.id)"
        )
    };
}
const LIVE_REVISIONS: &str = live_revisions!("COUNT(*) AS stored", "live.organization = $1");
const LIVE_COMPONENTS: &str = live_revisions!("DISTINCT live.component_digest AS component_digest", "TRUE");
const INSERT_REVISION: &str = concat!(
    "INSERT INTO plugin_revisions (",
    revision_columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 WHERE (",
    live_revisions!("COUNT(*)", "live.organization = $2"),
    ") < $12"
);
const NEWEST_REVISIONS: &str = concat!(
    "SELECT ",
    revision_columns!(),
    " FROM plugin_revisions WHERE organization = $1 ORDER BY id DESC LIMIT $2"
);
const REVISIONS_BEFORE: &str = concat!(
    "SELECT ",
    revision_columns!(),
    " FROM plugin_revisions WHERE organization = $1 AND id < $3 ORDER BY id DESC LIMIT $2"
);
const REVOCATIONS: &str = "SELECT revision, organization, revoked_by, evidence, revoked_at, seal \
     FROM plugin_revocations WHERE organization = $1";
const POLICY_REVISION: &str =
    concat!("SELECT ", policy_columns!(), " FROM policies WHERE organization = $1 AND revision = $2");
const POLICIES_BEFORE: &str = concat!(
    "SELECT ",
    policy_columns!(),
    " FROM policies WHERE organization = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3"
);

pub(crate) fn insert(policy: &Sealed<Policy>) -> Result<Statement, TooLarge> {
    let sql = concat!("INSERT INTO policies (", policy_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");
    Ok(Statement::new(sql)
        .shown(policy.organization)
        .unsigned("revision", policy.revision)?
        .json(&policy.floor)
        .json(&policy.bindings)
        .bind(policy.proposal.map(|proposal| proposal.to_string()))
        .bind(policy.created_at)
        .shown(policy.seal()))
}

pub(crate) fn move_head(head: &Sealed<PolicyHead>) -> Result<Statement, TooLarge> {
    let sql = if head.revision == 1 {
        "INSERT INTO policy_heads (organization, revision, seal) VALUES ($1, $2, $3)"
    } else {
        "UPDATE policy_heads SET revision = $2, seal = $3 WHERE organization = $1 AND revision = $2 - 1"
    };
    Ok(Statement::new(sql)
        .shown(head.organization)
        .unsigned("revision", head.revision)?
        .shown(head.seal())
        .expecting(Expect::Change(Contested::Version)))
}

/// The component first, for those revisions that share it find it there. Counts and inserts in one statement; on
/// PostgreSQL the first one makes the organization's other uploads wait, for a statement there judges by what was committed
/// when it began.
pub(crate) fn insert_revision(
    revision: &Sealed<PluginRevision>,
    component: &[u8],
    revisions_max: u32,
    sql: &EngineSql,
) -> Vec<Statement> {
    let lock = sql.lock_quota("plugin-revisions", revision.organization);
    let component = Statement::new(
        "INSERT INTO components (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(revision.component_digest)
    .bind(component);
    let row = Statement::new(INSERT_REVISION)
        .shown(revision.id)
        .shown(revision.organization)
        .bind(revision.plugin.as_str())
        .bind(revision.component_digest)
        .bind(revision.settings.as_str())
        .json(&revision.grants)
        .json(&revision.examined)
        .bind(revision.signature.as_ref().map(|signature| signature.as_str().to_owned()))
        .bind(revision.uploaded_by.map(|operator| operator.to_string()))
        .bind(revision.created_at)
        .shown(revision.seal())
        .bind(revisions_max)
        .expecting(Expect::Change(Contested::Quota));
    lock.into_iter().chain([component, row]).collect()
}

pub(crate) fn insert_revocation(revocation: &Sealed<PluginRevocation>) -> Statement {
    Statement::new(
        "INSERT INTO plugin_revocations (revision, organization, revoked_by, evidence, revoked_at, seal) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .shown(revocation.revision)
    .shown(revocation.organization)
    .bind(revocation.revoked_by.map(|operator| operator.to_string()))
    .bind(revocation.evidence.clone())
    .bind(revocation.revoked_at)
    .shown(revocation.seal())
}

impl Stored for PolicyHead {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self { organization: row.parsed("organization")?, revision: row.unsigned("revision")? })
    }
}

impl Stored for Policy {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            organization: row.parsed("organization")?,
            revision: row.unsigned("revision")?,
            floor: row.json("floor")?,
            bindings: row.json("bindings")?,
            proposal: row.optional_parsed("proposal")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Stored for PluginRevision {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            plugin: row.text("plugin")?,
            component_digest: row.parsed("component_digest")?,
            settings: row.text("settings")?,
            grants: row.json("grants")?,
            examined: row.json("examined")?,
            signature: row.optional_text("signature")?.map(RevisionSignature::from_stored),
            uploaded_by: row.optional_parsed("uploaded_by")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Stored for PluginRevocation {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            revision: row.parsed("revision")?,
            organization: row.parsed("organization")?,
            revoked_by: row.optional_parsed("revoked_by")?,
            evidence: row.optional_text("evidence")?,
            revoked_at: row.time("revoked_at")?,
        })
    }
}

#[async_trait]
impl PolicyReads for Store {
    async fn policy(&self, organization: OrganizationId) -> Result<Option<Sealed<Policy>>> {
        let statement = Statement::new(POLICY).shown(organization);
        self.reads.recalled(&statement.key(), policy_at_head(&self.reads, statement)).await
    }

    async fn plugin_revision(
        &self,
        organization: OrganizationId,
        id: PluginRevisionId,
    ) -> Result<Option<Sealed<PluginRevision>>> {
        self.reads.known_optional(Statement::new(REVISION).shown(organization).shown(id)).await
    }

    async fn plugin_revision_list(
        &self,
        organization: OrganizationId,
        before: Option<PluginRevisionId>,
        limit: u32,
    ) -> Result<Vec<Sealed<PluginRevision>>> {
        let statement = match before {
            None => Statement::new(NEWEST_REVISIONS).shown(organization).bind(limit),
            Some(before) => Statement::new(REVISIONS_BEFORE).shown(organization).bind(limit).shown(before),
        };
        self.reads.list(statement).await
    }

    async fn live_plugin_revision_count(&self, organization: OrganizationId) -> Result<u64> {
        let row = self.reads.row(Statement::new(LIVE_REVISIONS).shown(organization)).await?;
        let count = row.map(|row| Fields::new("plugin_revisions", &row).unsigned("stored")).transpose()?;
        Ok(count.unwrap_or(0))
    }

    async fn live_components(&self) -> Result<BTreeSet<B256>> {
        let rows = self.reads.rows(Statement::bare(LIVE_COMPONENTS)).await?;
        let digests = rows.iter().map(|row| Fields::new("plugin_revisions", row).parsed("component_digest"));
        Ok(digests.collect::<Result<_, _>>()?)
    }

    async fn plugin_revocations(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Sealed<PluginRevocation>>> {
        self.reads.known_list(Statement::new(REVOCATIONS).shown(organization)).await
    }

    async fn policy_revision(
        &self,
        organization: OrganizationId,
        revision: u64,
    ) -> Result<Option<Sealed<Policy>>> {
        // A number that no row can have has no row.
        let Ok(revision) = i64::try_from(revision) else { return Ok(None) };
        self.reads.optional(Statement::new(POLICY_REVISION).shown(organization).bind(revision)).await
    }

    async fn policy_list(
        &self,
        organization: OrganizationId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Sealed<Policy>>> {
        let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        self.reads.list(Statement::new(POLICIES_BEFORE).shown(organization).bind(before).bind(limit)).await
    }

    async fn component(&self, digest: B256) -> Result<Option<Vec<u8>>> {
        let statement = Statement::new("SELECT bytes FROM components WHERE digest = $1").bind(digest);
        let row = self.reads.row(statement).await?;
        Ok(row.map(|row| Fields::new("components", &row).bytes("bytes")).transpose()?)
    }
}

/// The policy and the head that names it, both seals checked.
async fn policy_at_head(reads: &Reader, statement: Statement) -> Result<Option<Sealed<Policy>>> {
    let began = reads.seen.moment();
    let Some(row) = reads.row(statement).await? else {
        return Ok(None);
    };
    let fields = Fields::new("policy_heads", &row);
    let head = PolicyHead {
        organization: fields.parsed("head_organization")?,
        revision: fields.unsigned("head_revision")?,
    };
    let head = reads.newest(reads.sealer.open(head, fields.parsed("head_seal")?)?, began)?;
    let policy: Sealed<Policy> = reads.open(&row, began)?;
    if policy.revision != head.revision || policy.organization != head.organization {
        return Err(Error::inconsistency("the policy is not the one its head names"));
    }
    Ok(Some(policy))
}
