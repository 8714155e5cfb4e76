//! Fireblocks integrations.

use std::collections::BTreeMap;

use gateway_domain::{
    Result,
    changes::Contested,
    fireblocks::{Integration, IntegrationState},
    ids::{IntegrationId, OrganizationId, PrincipalId},
    quota::Quota,
    sealed::Sealed,
    vendors::VendorRole,
};
use sqlx::{Connection as _, any::AnyRow};

use crate::{
    config::StoreConfig,
    connections::Opening,
    dialect::{Access, Engine, EngineSql},
    error::{Malformed, StoreError, TooLarge},
    fields::Fields,
    reader::{Reader, Stored},
    statement::{Expect, Statement},
};

macro_rules! columns {
    () => {
        "id, organization, owner, role, key_id, csr, csr_created_at, state, state_facts, recreated_at, version, \
         created_at, updated_at, seal, self_registered, api_key_epoch"
    };
}

const OF_ROLE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM fireblocks_integrations WHERE organization = $1 AND owner = $2 AND role = $3 AND state <> 'requested'"
);
const CLAIMED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM fireblocks_integrations WHERE organization = $1 AND owner = $2 AND role = $3"
);
const OF_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM fireblocks_integrations WHERE organization = $1 AND owner = $2 AND state <> 'requested' \
     ORDER BY role DESC"
);
const SEALED_BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM fireblocks_integrations WHERE api_key_epoch < $1 AND id > $2 ORDER BY id LIMIT $3"
);
const SEALED_COUNTS: &str = "SELECT api_key_epoch, COUNT(*) AS integrations FROM fireblocks_integrations \
                             WHERE api_key_epoch IS NOT NULL GROUP BY api_key_epoch";
/// `$2` organization, `$15` whether the user enrolled themselves, `$17` and `$18` the quota and that share of it.
const INSERT: &str = concat!(
    "INSERT INTO fireblocks_integrations (",
    columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 \
     WHERE (SELECT COUNT(*) FROM fireblocks_integrations WHERE organization = $2) < $17 \
     AND ($15 = 0 OR (SELECT COUNT(*) FROM fireblocks_integrations WHERE organization = $2 AND self_registered = 1) < $18)"
);

pub(crate) fn insert(
    integration: &Sealed<Integration>,
    quota: Quota,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("fireblocks-integrations", integration.organization);
    let insert = Statement::new(INSERT)
        .shown(integration.id)
        .shown(integration.organization)
        .shown(integration.owner)
        .word(&integration.role)
        .shown(integration.key)
        .bind(integration.csr.as_str())
        .bind(integration.csr_created_at)
        .bind(integration.state.name())
        .json(&integration.state)
        .json(&integration.recreated_at)
        .unsigned("version", integration.version)?
        .bind(integration.created_at)
        .bind(integration.updated_at)
        .shown(integration.seal())
        .bind(integration.self_registered)
        .bind(api_key_epoch(integration))
        .bind(quota.max)
        .bind(quota.self_registered_max)
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

pub(crate) fn update(integration: &Sealed<Integration>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE fireblocks_integrations SET key_id = $3, csr = $4, csr_created_at = $5, state = $6, \
         state_facts = $7, recreated_at = $8, version = $9, updated_at = $10, seal = $11, api_key_epoch = $12 \
         WHERE id = $1 AND organization = $2 AND version = $9 - 1",
    )
    .shown(integration.id)
    .shown(integration.organization)
    .shown(integration.key)
    .bind(integration.csr.as_str())
    .bind(integration.csr_created_at)
    .bind(integration.state.name())
    .json(&integration.state)
    .json(&integration.recreated_at)
    .unsigned("version", integration.version)?
    .bind(integration.updated_at)
    .shown(integration.seal())
    .bind(api_key_epoch(integration))
    .expecting(Expect::Change(Contested::Version)))
}

pub(crate) async fn of_role(
    reads: &Reader,
    organization: OrganizationId,
    owner: PrincipalId,
    role: VendorRole,
) -> Result<Option<Sealed<Integration>>> {
    reads.optional(Statement::new(OF_ROLE).shown(organization).shown(owner).word(&role)).await
}

/// Also one whose key is being made.
pub(crate) async fn claimed(
    reads: &Reader,
    organization: OrganizationId,
    owner: PrincipalId,
    role: VendorRole,
) -> Result<Option<Sealed<Integration>>> {
    reads.optional(Statement::new(CLAIMED).shown(organization).shown(owner).word(&role)).await
}

/// At most one per role; execution first.
pub(crate) async fn of_owner(
    reads: &Reader,
    organization: OrganizationId,
    owner: PrincipalId,
) -> Result<Vec<Sealed<Integration>>> {
    reads.list(Statement::new(OF_OWNER).shown(organization).shown(owner)).await
}

/// Of every organization, by id.
pub(crate) async fn sealed_before(
    reads: &Reader,
    epoch: u32,
    after: Option<IntegrationId>,
    limit: u32,
) -> Result<Vec<Sealed<Integration>>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    reads.list(Statement::new(SEALED_BEFORE).bind(epoch).bind(after).bind(limit)).await
}

/// How many are sealed under each rotation, counted at one moment.
pub(crate) async fn sealed_counts(reads: &Reader) -> Result<BTreeMap<u32, u64>> {
    Ok(counted(&reads.rows(Statement::new(SEALED_COUNTS)).await?)?)
}

/// The same of a database that nobody has opened, by the rotation of the key that seals secrets. Changes nothing.
pub async fn sealed_secrets(config: &StoreConfig) -> Result<BTreeMap<u32, u64>, StoreError> {
    let opening = Opening::new(Engine::of(&config.url)?, config, Access::Read, "rw");
    let mut connection = opening.open().await.map_err(StoreError::Connect)?;
    let rows = Statement::new(SEALED_COUNTS).query().fetch_all(&mut connection).await;
    connection.close().await.map_err(StoreError::Query)?;
    Ok(counted(&rows.map_err(StoreError::Query)?)?)
}

fn counted(rows: &[AnyRow]) -> Result<BTreeMap<u32, u64>, Malformed> {
    let count = |row| {
        let fields = Fields::new("fireblocks_integrations", row);
        Ok((fields.unsigned("api_key_epoch")?, fields.unsigned("integrations")?))
    };
    rows.iter().map(count).collect()
}

fn api_key_epoch(integration: &Integration) -> Option<u32> {
    integration.state.access().map(|access| access.api_key.epoch)
}

impl Stored for Integration {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let state: IntegrationState = row.json("state_facts")?;
        row.agree("state", row.text("state")? == state.name())?;
        let epoch = state.access().map(|access| access.api_key.epoch);
        row.agree("api_key_epoch", row.optional_unsigned("api_key_epoch")? == epoch)?;
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            owner: row.parsed("owner")?,
            role: row.word("role")?,
            key: row.parsed("key_id")?,
            csr: row.text("csr")?,
            csr_created_at: row.time("csr_created_at")?,
            state,
            recreated_at: row.json("recreated_at")?,
            self_registered: row.flag("self_registered")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}
