//! Organizations, principals, users and their settings.

use async_trait::async_trait;
use gateway_domain::{
    Address, Result,
    changes::{Contested, ReplayGuard, UserCondition},
    credentials::Label,
    identity::{Escrow, Organization, Principal, User},
    ids::{OrganizationId, PrincipalId},
    ports::IdentityReads,
    sealed::Sealed,
    settings::Settings,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    guards,
    reader::{Stored, placeholders},
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! user_columns {
    () => {
        "id, organization, ethereum_address, contract_chain, escrow_key, escrow_address, privy_user_id, display_name, \
         email, version, created_at, updated_at, seal, wallet_epoch, self_registered"
    };
}

macro_rules! settings_columns {
    () => {
        "user_id, organization, execution_type, chain_id, execution_provider, agent_provider, \
         verification_service, require_arbiter, orion_confidence_threshold_ppm, approval_ttl_seconds, version, \
         updated_at, seal"
    };
}

const ORGANIZATION: &str =
    "SELECT id, name, frozen, version, created_at, seal FROM organizations WHERE id = $1";
const USER: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE organization = $1 AND id = $2");
const USER_BY_ADDRESS: &str =
    concat!("SELECT ", user_columns!(), " FROM users WHERE organization = $1 AND ethereum_address = $2");
const USER_BY_ESCROW_ADDRESS: &str =
    concat!("SELECT ", user_columns!(), " FROM users WHERE organization = $1 AND escrow_address = $2");
const CONTRACT_ACCOUNTS: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users WHERE organization = $1 AND contract_chain IS NOT NULL AND id > $2 ORDER BY id LIMIT $3"
);
const SETTINGS: &str =
    concat!("SELECT ", settings_columns!(), " FROM settings WHERE organization = $1 AND user_id = $2");
const PRINCIPALS: &str = concat!(
    "SELECT id, organization, kind, name, active, version, created_at, seal FROM principals \
     WHERE organization = $1 AND id IN ",
    placeholders!()
);

const REQUIRE_VERSION: &str =
    "UPDATE users SET version = version WHERE organization = $1 AND id = $2 AND version = $3";
const REQUIRE_NO_API_KEY: &str = "UPDATE users SET version = version WHERE organization = $1 AND id = $2 \
     AND NOT EXISTS (SELECT 1 FROM api_keys WHERE organization = $1 AND principal = $2 AND label = $3 \
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4))";

pub(crate) fn insert_organization(organization: &Sealed<Organization>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "INSERT INTO organizations (id, name, frozen, version, created_at, seal) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .shown(organization.id)
    .bind(organization.name.as_str())
    .bind(organization.frozen)
    .unsigned("version", organization.version)?
    .bind(organization.created_at)
    .shown(organization.seal()))
}

pub(crate) fn update_organization(organization: &Sealed<Organization>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE organizations SET name = $2, frozen = $3, version = $4, seal = $5 WHERE id = $1 AND version = $4 - 1",
    )
    .shown(organization.id)
    .bind(organization.name.as_str())
    .bind(organization.frozen)
    .unsigned("version", organization.version)?
    .shown(organization.seal())
    .expecting(Expect::Change(Contested::Version)))
}

pub(crate) fn insert_principal(principal: &Sealed<Principal>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "INSERT INTO principals (id, organization, kind, name, active, version, created_at, seal) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .shown(principal.id)
    .shown(principal.organization)
    .word(&principal.kind)
    .bind(principal.name.as_str())
    .bind(principal.active)
    .unsigned("version", principal.version)?
    .bind(principal.created_at)
    .shown(principal.seal()))
}

pub(crate) fn update_principal(principal: &Sealed<Principal>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE principals SET name = $3, active = $4, version = $5, seal = $6 \
         WHERE id = $1 AND organization = $2 AND version = $5 - 1",
    )
    .shown(principal.id)
    .shown(principal.organization)
    .bind(principal.name.as_str())
    .bind(principal.active)
    .unsigned("version", principal.version)?
    .shown(principal.seal())
    .expecting(Expect::Change(Contested::Version)))
}

pub(crate) fn insert_user(user: &Sealed<User>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO users (",
        user_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    );
    Ok(user_values(Statement::new(sql), user)?.bind(user.self_registered))
}

pub(crate) fn update_user(user: &Sealed<User>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE users SET ethereum_address = $3, contract_chain = $4, escrow_key = $5, escrow_address = $6, \
         privy_user_id = $7, display_name = $8, email = $9, version = $10, created_at = $11, updated_at = $12, \
         seal = $13, wallet_epoch = $14 WHERE id = $1 AND organization = $2 AND version = $10 - 1";
    Ok(user_values(Statement::new(sql), user)?.expecting(Expect::Change(Contested::Version)))
}

/// Whoever changes the user, or rests on them, waits until the change set is decided.
pub(crate) fn require(
    (organization, id): (OrganizationId, PrincipalId),
    condition: UserCondition,
    sql: &EngineSql,
) -> Result<Statement, TooLarge> {
    let of_user = |sql| Statement::new(sql).shown(organization).shown(id);
    let statement = match condition {
        UserCondition::Version(version) => of_user(REQUIRE_VERSION).unsigned("version", version)?,
        UserCondition::NoActiveApiKey(now) => of_user(REQUIRE_NO_API_KEY).word(&Label::User).bind(now),
        UserCondition::Authority { policy_revision, standing_revision } => {
            Statement::prepared(sql.require_authority.clone())
                .shown(organization)
                .shown(id)
                .unsigned("policy_revision", policy_revision)?
                .unsigned("standing_revision", standing_revision)?
        }
    };
    Ok(statement.expecting(Expect::Change(Contested::Version)))
}

fn user_values(statement: Statement, user: &Sealed<User>) -> Result<Statement, TooLarge> {
    let escrow_key = match user.escrow {
        Some(Escrow::Hsm { key, .. }) => Some(key.to_string()),
        Some(Escrow::Foreign { .. }) | None => None,
    };
    statement
        .shown(user.id)
        .shown(user.organization)
        .hex(user.ethereum_address)
        .bind(user.contract_chain.map(|chain| chain.to_string()))
        .bind(escrow_key)
        .bind(user.escrow.map(|escrow| escrow.address()))
        .bind(user.privy_user_id.clone())
        .bind(user.display_name.clone())
        .bind(user.email.clone())
        .unsigned("version", user.version)?
        .bind(user.created_at)
        .bind(user.updated_at)
        .shown(user.seal())
        .unsigned("wallet_epoch", user.wallet_epoch)
}

pub(crate) fn insert_settings(settings: &Sealed<Settings>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO settings (",
        settings_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    settings_values(Statement::new(sql), settings)
}

pub(crate) fn update_settings(settings: &Sealed<Settings>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE settings SET execution_type = $3, chain_id = $4, execution_provider = $5, \
         agent_provider = $6, verification_service = $7, require_arbiter = $8, \
         orion_confidence_threshold_ppm = $9, approval_ttl_seconds = $10, version = $11, updated_at = $12, \
         seal = $13 WHERE user_id = $1 AND organization = $2 AND version = $11 - 1";
    Ok(settings_values(Statement::new(sql), settings)?.expecting(Expect::Change(Contested::Version)))
}

fn settings_values(statement: Statement, settings: &Sealed<Settings>) -> Result<Statement, TooLarge> {
    let service = settings.verification_service.map(i64::try_from).transpose();
    Ok(statement
        .shown(settings.user)
        .shown(settings.organization)
        .word(&settings.execution_type)
        .unsigned("chain_id", settings.chain_id)?
        .word(&settings.execution_provider)
        .word(&settings.agent_provider)
        .bind(service.map_err(|_| TooLarge { column: "verification_service" })?)
        .bind(settings.require_arbiter)
        .bind(settings.orion_confidence_threshold_ppm)
        .bind(settings.approval_ttl_seconds)
        .unsigned("version", settings.version)?
        .bind(settings.updated_at)
        .shown(settings.seal()))
}

impl Stored for Organization {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.text("name")?,
            frozen: row.flag("frozen")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Stored for Principal {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            kind: row.word("kind")?,
            name: row.text("name")?,
            active: row.flag("active")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Stored for User {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let escrow = match (row.optional_parsed("escrow_key")?, row.optional_parsed("escrow_address")?) {
            (Some(key), Some(address)) => Some(Escrow::Hsm { key, address }),
            (None, Some(address)) => Some(Escrow::Foreign { address }),
            (None, None) => None,
            (Some(_), None) => return Err(row.malformed("escrow_address", "an escrow key has an address")),
        };
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            ethereum_address: row.parsed("ethereum_address")?,
            contract_chain: row.optional_parsed("contract_chain")?,
            wallet_epoch: row.unsigned("wallet_epoch")?,
            escrow,
            privy_user_id: row.optional_text("privy_user_id")?,
            display_name: row.optional_text("display_name")?,
            email: row.optional_text("email")?,
            self_registered: row.flag("self_registered")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Stored for Settings {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            user: row.parsed("user_id")?,
            organization: row.parsed("organization")?,
            execution_type: row.word("execution_type")?,
            chain_id: row.unsigned("chain_id")?,
            execution_provider: row.word("execution_provider")?,
            agent_provider: row.word("agent_provider")?,
            verification_service: row.optional_unsigned("verification_service")?,
            require_arbiter: row.flag("require_arbiter")?,
            orion_confidence_threshold_ppm: row.unsigned("orion_confidence_threshold_ppm")?,
            approval_ttl_seconds: row.unsigned("approval_ttl_seconds")?,
            version: row.unsigned("version")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

#[async_trait]
impl IdentityReads for Store {
    async fn organization(&self, id: OrganizationId) -> Result<Option<Sealed<Organization>>> {
        self.reads.known_optional(Statement::new(ORGANIZATION).shown(id)).await
    }

    async fn user(&self, organization: OrganizationId, id: PrincipalId) -> Result<Option<Sealed<User>>> {
        self.reads.known_optional(Statement::new(USER).shown(organization).shown(id)).await
    }

    async fn user_by_address(
        &self,
        organization: OrganizationId,
        address: Address,
    ) -> Result<Option<Sealed<User>>> {
        self.reads.known_optional(Statement::new(USER_BY_ADDRESS).shown(organization).hex(address)).await
    }

    async fn user_by_escrow_address(
        &self,
        organization: OrganizationId,
        address: Address,
    ) -> Result<Option<Sealed<User>>> {
        self.reads
            .known_optional(Statement::new(USER_BY_ESCROW_ADDRESS).shown(organization).hex(address))
            .await
    }

    async fn contract_accounts(
        &self,
        organization: OrganizationId,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<Sealed<User>>> {
        // No id is smaller than the empty text.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let statement = Statement::new(CONTRACT_ACCOUNTS).shown(organization).bind(after).bind(limit);
        self.reads.list(statement).await
    }

    async fn was_replayed(&self, guard: &ReplayGuard) -> Result<bool> {
        guards::was_replayed(&self.reads, guard).await
    }

    async fn settings(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Option<Sealed<Settings>>> {
        self.reads.known_optional(Statement::new(SETTINGS).shown(organization).shown(user)).await
    }

    async fn principals(
        &self,
        organization: OrganizationId,
        ids: &[PrincipalId],
    ) -> Result<Vec<Sealed<Principal>>> {
        self.reads.list_by_ids(PRINCIPALS, organization, ids).await
    }
}
