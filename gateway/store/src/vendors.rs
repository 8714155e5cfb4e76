//! Requests to vendors, written before they are sent, and the reads of everything that concerns vendors.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_domain::{
    B256, Result, Timestamp,
    changes::Contested,
    fireblocks::Integration,
    ids::{IntegrationId, OrganizationId, PrincipalId, QuorumId, TransactionId},
    ports::VendorReads,
    quorums::{PrivyQuorum, QuorumType},
    sealed::Sealed,
    vendors::{CallOutcome, VendorCall, VendorRole},
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    integrations, quorums,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, transaction_id, key_id, method, uri, body, digest, external_id, outcome, \
         outcome_facts, version, created_at, seal, refused_since"
    };
}

const OF_TRANSACTION: &str =
    concat!("SELECT ", columns!(), " FROM vendor_calls WHERE organization = $1 AND transaction_id = $2");

pub(crate) fn insert_call(call: &Sealed<VendorCall>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO vendor_calls (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    );
    Ok(Statement::new(sql)
        .shown(call.id)
        .shown(call.organization)
        .shown(call.transaction)
        .shown(call.key)
        .bind(call.method.as_str())
        .bind(call.uri.as_str())
        .bind(call.body.as_slice())
        .bind(call.digest)
        .bind(call.external_id.as_str())
        .bind(call.outcome.name())
        .json(&call.outcome)
        .unsigned("version", call.version)?
        .bind(call.created_at)
        .shown(call.seal())
        .bind(call.refused_since))
}

pub(crate) fn update_call(call: &Sealed<VendorCall>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE vendor_calls SET outcome = $3, outcome_facts = $4, version = $5, seal = $6, refused_since = $7 \
         WHERE id = $1 AND organization = $2 AND version = $5 - 1",
    )
    .shown(call.id)
    .shown(call.organization)
    .bind(call.outcome.name())
    .json(&call.outcome)
    .unsigned("version", call.version)?
    .shown(call.seal())
    .bind(call.refused_since)
    .expecting(Expect::Change(Contested::Version)))
}

impl Stored for VendorCall {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let outcome: CallOutcome = row.json("outcome_facts")?;
        row.agree("outcome", row.text("outcome")? == outcome.name())?;
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            transaction: row.parsed("transaction_id")?,
            key: row.parsed("key_id")?,
            method: row.text("method")?,
            uri: row.text("uri")?,
            body: row.bytes("body")?,
            digest: row.parsed("digest")?,
            external_id: row.text("external_id")?,
            outcome,
            refused_since: row.optional_time("refused_since")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl VendorReads for Store {
    async fn integration(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        role: VendorRole,
    ) -> Result<Option<Sealed<Integration>>> {
        integrations::of_role(&self.reads, organization, owner, role).await
    }

    async fn integrations(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
    ) -> Result<Vec<Sealed<Integration>>> {
        integrations::of_owner(&self.reads, organization, owner).await
    }

    async fn claimed_integration(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        role: VendorRole,
    ) -> Result<Option<Sealed<Integration>>> {
        integrations::claimed(&self.reads, organization, owner, role).await
    }

    async fn quorum_claim(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        request: B256,
        since: Timestamp,
    ) -> Result<Option<(QuorumId, bool)>> {
        quorums::claim_of(&self.reads, (organization, owner), request, since).await
    }

    async fn integrations_sealed_before(
        &self,
        epoch: u32,
        after: Option<IntegrationId>,
        limit: u32,
    ) -> Result<Vec<Sealed<Integration>>> {
        integrations::sealed_before(&self.reads, epoch, after, limit).await
    }

    async fn sealed_counts(&self) -> Result<BTreeMap<u32, u64>> {
        integrations::sealed_counts(&self.reads).await
    }

    async fn quorum(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        kind: QuorumType,
    ) -> Result<Option<Sealed<PrivyQuorum>>> {
        quorums::of_kind(&self.reads, organization, owner, kind).await
    }

    async fn vendor_calls(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<VendorCall>>> {
        self.reads.list(Statement::new(OF_TRANSACTION).shown(organization).shown(transaction)).await
    }
}
