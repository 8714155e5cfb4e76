//! Records of HSM keys.

use async_trait::async_trait;
use gateway_domain::{
    Address, Result, Timestamp,
    changes::Contested,
    ids::{KeyId, OrganizationId, VaultId},
    keys::{KeyPurpose, KeyRecord, PublicKey, WalletKeys},
    ports::KeyReads,
    quota::Quota,
    sealed::Sealed,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, token_id, cka_id, algorithm, purpose, kinds, public_key, address, state, \
         self_registered, frozen, version, created_at, seal, vault"
    };
}

const KEY: &str = concat!("SELECT ", columns!(), " FROM keys WHERE organization = $1 AND id = $2");
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM keys WHERE organization = $1 ORDER BY created_at, id");
const OF_VAULT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE organization = $1 AND vault = $2 ORDER BY id DESC LIMIT $3"
);
const OF_VAULT_BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE organization = $1 AND vault = $2 AND id < $4 ORDER BY id DESC LIMIT $3"
);
const OF_PURPOSE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE organization = $1 AND purpose = $2 AND state = 'active' ORDER BY created_at DESC, id DESC LIMIT 1"
);
const WALLET_KEYS: &str = "SELECT COUNT(*) AS wallets, CAST(COALESCE(SUM(self_registered), 0) AS BIGINT) AS self_registered FROM keys \
     WHERE organization = $1 AND purpose = 'wallet' AND state <> 'retired'";
const UNFINISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE state = 'generating' AND created_at < $1 ORDER BY created_at LIMIT $2"
);
const INSERT: &str = concat!(
    "INSERT INTO keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
);
/// `$2` organization, `$11` whether the key is self-registered, `$17` and `$18` the quota and that share of it.
const INSERT_WALLET: &str = concat!(
    "INSERT INTO keys (",
    columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 \
     WHERE (SELECT COUNT(*) FROM keys WHERE organization = $2 AND purpose = 'wallet' AND state <> 'retired') < $17 \
     AND ($11 = 0 OR (SELECT COUNT(*) FROM keys WHERE organization = $2 AND self_registered = 1 \
     AND purpose = 'wallet' AND state <> 'retired') < $18)"
);
const ADDRESS: &str = "SELECT 1 AS found FROM keys WHERE address = $1";

pub(crate) fn insert(key: &Sealed<KeyRecord>) -> Result<Statement, TooLarge> {
    values(Statement::new(INSERT), key)
}

/// Counts and inserts in one statement. On PostgreSQL the statement before it makes the organization's other
/// enrolments wait, for a statement there judges by what was committed when it began.
pub(crate) fn insert_wallet(
    key: &Sealed<KeyRecord>,
    quota: Quota,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("wallet-keys", key.organization);
    let insert = values(Statement::new(INSERT_WALLET), key)?
        .bind(quota.max)
        .bind(quota.self_registered_max)
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

fn values(statement: Statement, key: &Sealed<KeyRecord>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(key.id)
        .shown(key.organization)
        .bind(key.token_id.as_str())
        .bind(hex::encode(key.cka_id))
        .word(&key.algorithm)
        .word(&key.purpose)
        .json(&key.kinds)
        .bind(public_key_text(key))
        .bind(key.address)
        .word(&key.state)
        .bind(key.self_registered)
        .bind(key.frozen)
        .unsigned("version", key.version)?
        .bind(key.created_at)
        .shown(key.seal())
        .bind(key.vault.map(|vault| vault.to_string())))
}

/// All but the vault: see [`crate::vaults`].
pub(crate) fn update(key: &Sealed<KeyRecord>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE keys SET kinds = $3, public_key = $4, address = $5, state = $6, frozen = $7, version = $8, seal = $9 \
         WHERE id = $1 AND organization = $2 AND version = $8 - 1",
    )
    .shown(key.id)
    .shown(key.organization)
    .json(&key.kinds)
    .bind(public_key_text(key))
    .bind(key.address)
    .word(&key.state)
    .bind(key.frozen)
    .unsigned("version", key.version)?
    .shown(key.seal())
    .expecting(Expect::Change(Contested::Version)))
}

fn public_key_text(key: &KeyRecord) -> Option<String> {
    key.public_key.as_ref().map(|key| hex::encode(&key.0))
}

impl Stored for KeyRecord {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let mut cka_id = [0; 16];
        hex::decode_to_slice(row.text("cka_id")?, &mut cka_id)
            .map_err(|cause| row.malformed("cka_id", cause))?;
        let public_key = row.optional_text("public_key")?.map(hex::decode).transpose();
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            token_id: row.text("token_id")?,
            cka_id,
            algorithm: row.word("algorithm")?,
            purpose: row.word("purpose")?,
            kinds: row.json("kinds")?,
            public_key: public_key.map_err(|cause| row.malformed("public_key", cause))?.map(PublicKey),
            address: row.optional_parsed("address")?,
            state: row.word("state")?,
            self_registered: row.flag("self_registered")?,
            frozen: row.flag("frozen")?,
            vault: row.optional_parsed("vault")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl KeyReads for Store {
    async fn key(&self, organization: OrganizationId, id: KeyId) -> Result<Option<Sealed<KeyRecord>>> {
        self.reads.known_optional(Statement::new(KEY).shown(organization).shown(id)).await
    }

    async fn purpose_key(
        &self,
        organization: OrganizationId,
        purpose: KeyPurpose,
    ) -> Result<Option<Sealed<KeyRecord>>> {
        self.reads.known_optional(Statement::new(OF_PURPOSE).shown(organization).word(&purpose)).await
    }

    async fn key_list(&self, organization: OrganizationId) -> Result<Vec<Sealed<KeyRecord>>> {
        self.reads.list(Statement::new(LIST).shown(organization)).await
    }

    async fn vault_keys(
        &self,
        organization: OrganizationId,
        vault: VaultId,
        before: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<Sealed<KeyRecord>>> {
        let sql = if before.is_some() { OF_VAULT_BEFORE } else { OF_VAULT };
        let statement = Statement::new(sql).shown(organization).shown(vault).bind(limit);
        let statement = before.into_iter().fold(statement, Statement::shown);
        self.reads.list(statement).await
    }

    async fn wallet_keys(&self, organization: OrganizationId) -> Result<WalletKeys> {
        let Some(row) = self.reads.row(Statement::new(WALLET_KEYS).shown(organization)).await? else {
            return Ok(WalletKeys::default());
        };
        let row = Fields::new("keys", &row);
        Ok(WalletKeys { count: row.unsigned("wallets")?, self_registered: row.unsigned("self_registered")? })
    }

    async fn unfinished_keys(&self, before: Timestamp, limit: u32) -> Result<Vec<Sealed<KeyRecord>>> {
        self.reads.list(Statement::new(UNFINISHED).bind(before).bind(limit)).await
    }

    async fn address_is_hsm_key(&self, address: Address) -> Result<bool> {
        Ok(self.reads.row(Statement::new(ADDRESS).hex(address)).await?.is_some())
    }
}
