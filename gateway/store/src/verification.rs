//! Verification services, encrypted payloads with their blocks, and what services report.

use async_trait::async_trait;
use gateway_domain::{
    B256, Result,
    changes::Contested,
    ids::{OrganizationId, TransactionId},
    openpgp::Fingerprint,
    payloads::{EncryptedPayload, PayloadRoom, SessionKeyClaim, Submission},
    ports::VerificationReads,
    sealed::Sealed,
    verification::{OrionMetadata, VerificationService},
};
use serde::Serialize;

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! service_columns {
    () => {
        "organization, id, name, inbox, public_key, fingerprint, description, active, built_in, version, created_at, \
         updated_at, seal, usable_until"
    };
}

macro_rules! payload_columns {
    () => {
        "transaction_id, organization, verification_service, service_key, message_digest, session_key_digest, cid, \
         root, user_signature, pinned, relay_id, submission, submission_facts, version, created_at, updated_at, seal"
    };
}

macro_rules! metadata_columns {
    () => {
        "transaction_id, organization, tee_proof, settlement, version, created_at, updated_at, seal"
    };
}

const SERVICES: &str =
    concat!("SELECT ", service_columns!(), " FROM verification_services WHERE organization = $1 ORDER BY id");
const SERVICE: &str =
    concat!("SELECT ", service_columns!(), " FROM verification_services WHERE organization = $1 AND id = $2");
const PAYLOAD: &str = concat!(
    "SELECT ",
    payload_columns!(),
    " FROM encrypted_payloads WHERE organization = $1 AND transaction_id = $2"
);
const METADATA: &str = concat!(
    "SELECT ",
    metadata_columns!(),
    " FROM orion_metadata WHERE organization = $1 AND transaction_id = $2"
);
const CLAIM: &str = "SELECT organization, initiator, request_hash, message_digest FROM session_key_claims \
     WHERE service_key = $1 AND session_key_digest = $2";
const BLOCK: &str = "SELECT bytes FROM ipfs_blocks WHERE root = $1";
const INSERT_BLOCK: &str =
    "INSERT INTO ipfs_blocks (root, bytes) VALUES ($1, $2) ON CONFLICT (root) DO NOTHING";

/// The trigger of the table holds the same.
const DELETE_BLOCK: &str = "DELETE FROM ipfs_blocks WHERE root = $1 AND NOT EXISTS (SELECT 1 FROM encrypted_payloads p \
     WHERE p.root = ipfs_blocks.root AND p.submission <> 'withheld')";

pub(crate) fn insert_service(service: &Sealed<VerificationService>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO verification_services (",
        service_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    Ok(Statement::new(sql)
        .shown(service.organization)
        .bind(service.id)
        .bind(service.name.as_str())
        .hex(service.inbox)
        .bind(service.public_key.as_str())
        .shown(service.fingerprint)
        .bind(service.description.clone())
        .bind(service.active)
        .bind(service.built_in.map(|key| key.to_string()))
        .unsigned("version", service.version)?
        .bind(service.created_at)
        .bind(service.updated_at)
        .shown(service.seal())
        .bind(service.usable_until))
}

/// Writes what may change: whether the service may be chosen.
pub(crate) fn update_service(service: &Sealed<VerificationService>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE verification_services SET active = $3, version = $4, updated_at = $5, seal = $6 \
         WHERE organization = $1 AND id = $2 AND version = $4 - 1",
    )
    .shown(service.organization)
    .bind(service.id)
    .bind(service.active)
    .unsigned("version", service.version)?
    .bind(service.updated_at)
    .shown(service.seal())
    .expecting(Expect::Change(Contested::Version)))
}

pub(crate) fn insert_payload(payload: &Sealed<EncryptedPayload>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO encrypted_payloads (",
        payload_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
    );
    Ok(Statement::new(sql)
        .shown(payload.transaction)
        .shown(payload.organization)
        .bind(payload.verification_service)
        .shown(payload.service_key)
        .bind(payload.message_digest)
        .bind(payload.session_key_digest)
        .bind(payload.cid.as_str())
        .bind(payload.root)
        .bind(hex::encode(&payload.user_signature))
        .bind(payload.pinned)
        .shown(payload.relay)
        .bind(payload.submission.name())
        .json(&payload.submission)
        .unsigned("version", payload.version)?
        .bind(payload.created_at)
        .bind(payload.updated_at)
        .shown(payload.seal()))
}

pub(crate) fn update_payload(payload: &Sealed<EncryptedPayload>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE encrypted_payloads SET pinned = $3, submission = $4, submission_facts = $5, version = $6, \
         updated_at = $7, seal = $8, relay_id = $9 WHERE transaction_id = $1 AND organization = $2 AND version = $6 - 1",
    )
    .shown(payload.transaction)
    .shown(payload.organization)
    .bind(payload.pinned)
    .bind(payload.submission.name())
    .json(&payload.submission)
    .unsigned("version", payload.version)?
    .bind(payload.updated_at)
    .shown(payload.seal())
    .shown(payload.relay)
    .expecting(Expect::Change(Contested::Version)))
}

/// `$3` organization, `$7` user, `$8` bytes, `$9` whether they enrolled themselves, `$11` since when messages count, `$12`,
/// `$13` and `$14` the user's messages, the organization's bytes and the share of them.
const CLAIM_SESSION_KEY: &str = "INSERT INTO session_key_claims (service_key, session_key_digest, organization, initiator, \
     request_hash, message_digest, user_id, bytes, self_registered, created_at) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
     WHERE (SELECT COUNT(*) FROM session_key_claims \
     WHERE organization = $3 AND user_id = $7 AND created_at > $11) < $12 \
     AND (SELECT COALESCE(SUM(bytes), 0) FROM session_key_claims \
     WHERE organization = $3 AND created_at > $11) + $8 <= $13 \
     AND ($9 = 0 OR (SELECT COALESCE(SUM(bytes), 0) FROM session_key_claims \
     WHERE organization = $3 AND self_registered = 1 AND created_at > $11) + $8 <= $14)";

pub(crate) fn claim_session_key(
    claim: &SessionKeyClaim,
    room: &PayloadRoom,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("payloads", claim.organization);
    let insert = Statement::new(CLAIM_SESSION_KEY)
        .shown(claim.service_key)
        .bind(claim.session_key_digest)
        .shown(claim.organization)
        .shown(claim.initiator)
        .bind(claim.request_hash)
        .bind(claim.message_digest)
        .shown(room.user)
        .unsigned("bytes", room.bytes)?
        .bind(room.self_registered)
        .bind(room.received_at)
        .bind(room.since)
        .bind(room.quota.per_user_max)
        .unsigned("bytes_max", room.quota.bytes_max)?
        .unsigned("self_registered_bytes_max", room.quota.self_registered_bytes_max)?
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

pub(crate) fn delete_block(root: B256) -> Statement {
    Statement::new(DELETE_BLOCK).bind(root)
}

pub(crate) fn insert_block(root: B256, block: &[u8]) -> Statement {
    Statement::new(INSERT_BLOCK).bind(root).bind(block)
}

pub(crate) fn insert_metadata(metadata: &Sealed<OrionMetadata>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO orion_metadata (",
        metadata_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    metadata_values(Statement::new(sql), metadata)
}

pub(crate) fn update_metadata(metadata: &Sealed<OrionMetadata>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE orion_metadata SET tee_proof = $3, settlement = $4, version = $5, created_at = $6, \
         updated_at = $7, seal = $8 WHERE transaction_id = $1 AND organization = $2 AND version = $5 - 1";
    Ok(metadata_values(Statement::new(sql), metadata)?.expecting(Expect::Change(Contested::Version)))
}

fn metadata_values(statement: Statement, metadata: &Sealed<OrionMetadata>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(metadata.transaction)
        .shown(metadata.organization)
        .bind(metadata.tee_proof.as_ref().map(json))
        .bind(metadata.settlement.as_ref().map(json))
        .unsigned("version", metadata.version)?
        .bind(metadata.created_at)
        .bind(metadata.updated_at)
        .shown(metadata.seal()))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("stored values have string keys only")
}

impl Stored for VerificationService {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            organization: row.parsed("organization")?,
            id: row.unsigned("id")?,
            name: row.text("name")?,
            inbox: row.parsed("inbox")?,
            public_key: row.text("public_key")?,
            fingerprint: row.parsed("fingerprint")?,
            description: row.optional_text("description")?,
            usable_until: row.optional_time("usable_until")?,
            active: row.flag("active")?,
            built_in: row.optional_parsed("built_in")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Stored for EncryptedPayload {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let submission: Submission = row.json("submission_facts")?;
        row.agree("submission", row.text("submission")? == submission.name())?;
        let signature = hex::decode(row.text("user_signature")?);
        Ok(Self {
            transaction: row.parsed("transaction_id")?,
            organization: row.parsed("organization")?,
            verification_service: row.unsigned("verification_service")?,
            service_key: row.parsed("service_key")?,
            message_digest: row.parsed("message_digest")?,
            session_key_digest: row.parsed("session_key_digest")?,
            cid: row.text("cid")?,
            root: row.parsed("root")?,
            user_signature: signature.map_err(|cause| row.malformed("user_signature", cause))?,
            pinned: row.flag("pinned")?,
            relay: row.parsed("relay_id")?,
            submission,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Stored for OrionMetadata {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            transaction: row.parsed("transaction_id")?,
            organization: row.parsed("organization")?,
            tee_proof: row.optional_json("tee_proof")?,
            settlement: row.optional_json("settlement")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

#[async_trait]
impl VerificationReads for Store {
    async fn verification_services(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Sealed<VerificationService>>> {
        self.reads.known_list(Statement::new(SERVICES).shown(organization)).await
    }

    async fn verification_service(
        &self,
        organization: OrganizationId,
        id: u32,
    ) -> Result<Option<Sealed<VerificationService>>> {
        self.reads.known_optional(Statement::new(SERVICE).shown(organization).bind(id)).await
    }

    async fn encrypted_payload(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Option<Sealed<EncryptedPayload>>> {
        self.reads.optional(Statement::new(PAYLOAD).shown(organization).shown(transaction)).await
    }

    async fn session_key_claim(
        &self,
        service_key: Fingerprint,
        digest: B256,
    ) -> Result<Option<SessionKeyClaim>> {
        let row = self.reads.row(Statement::new(CLAIM).shown(service_key).bind(digest)).await?;
        let Some(row) = row else { return Ok(None) };
        let row = Fields::new("session_key_claims", &row);
        Ok(Some(SessionKeyClaim {
            service_key,
            session_key_digest: digest,
            organization: row.parsed("organization")?,
            initiator: row.parsed("initiator")?,
            request_hash: row.parsed("request_hash")?,
            message_digest: row.parsed("message_digest")?,
        }))
    }

    async fn ipfs_block(&self, root: B256) -> Result<Option<Vec<u8>>> {
        let row = self.reads.row(Statement::new(BLOCK).bind(root)).await?;
        Ok(row.map(|row| Fields::new("ipfs_blocks", &row).bytes("bytes")).transpose()?)
    }

    async fn orion_metadata(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Option<Sealed<OrionMetadata>>> {
        self.reads.optional(Statement::new(METADATA).shown(organization).shown(transaction)).await
    }
}
