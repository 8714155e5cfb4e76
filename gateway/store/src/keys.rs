//! Records of HSM keys.

use async_trait::async_trait;
use gateway_domain::{
    Address, Result,
    changes::Contested,
    ids::{KeyId, OrganizationId},
    keys::{KeyRecord, PublicKey},
    ports::KeyReads,
    sealed::Sealed,
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, token_id, cka_id, algorithm, purpose, kinds, public_key, address, state, frozen, \
         version, created_at, seal"
    };
}

const KEY: &str = concat!("SELECT ", columns!(), " FROM keys WHERE organization = $1 AND id = $2");
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM keys WHERE organization = $1 ORDER BY created_at, id");
const WALLET_KEYS: &str = "SELECT COUNT(*) AS wallets FROM keys \
     WHERE organization = $1 AND purpose = 'wallet' AND state <> 'retired'";
const ADDRESS: &str = "SELECT 1 AS found FROM keys WHERE address = $1";

pub(crate) fn insert(key: &Sealed<KeyRecord>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO keys (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    Ok(Statement::new(sql)
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
        .bind(key.frozen)
        .unsigned("version", key.version)?
        .bind(key.created_at)
        .shown(key.seal()))
}

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
            frozen: row.flag("frozen")?,
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

    async fn key_list(&self, organization: OrganizationId) -> Result<Vec<Sealed<KeyRecord>>> {
        self.reads.list(Statement::new(LIST).shown(organization)).await
    }

    async fn wallet_key_count(&self, organization: OrganizationId) -> Result<u64> {
        let row = self.reads.row(Statement::new(WALLET_KEYS).shown(organization)).await?;
        Ok(row.map_or(Ok(0), |row| Fields::new("keys", &row).unsigned("wallets"))?)
    }

    async fn address_is_hsm_key(&self, address: Address) -> Result<bool> {
        Ok(self.reads.row(Statement::new(ADDRESS).hex(address)).await?.is_some())
    }
}
