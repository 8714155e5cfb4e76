//! Permits for vendors: the only values with which a value-moving request can be authenticated.

use std::time::Duration;

use alloy_primitives::B256;
use serde::Serialize;

use crate::{
    clock::Timestamp,
    fireblocks::{CREATE_URI, TransferInvalid, compose_transfer, external_id},
    ids::{AttemptId, PermitId},
    policy::{Approved, PERMIT_LIFETIME, PermitRecord},
    transactions::Transaction,
    vendors::VendorCall,
};

/// Leave to send one request: this method, this URI, these bytes. Made here and nowhere else; not clonable, not
/// deserializable.
#[derive(Debug, Serialize)]
pub struct VendorPermit {
    record: PermitRecord,
    call: VendorCall,
}

#[derive(Debug, thiserror::Error)]
pub enum VendorPermitMismatch {
    #[error("the decision is about another intent")]
    Decision,
    #[error("the {0} of the call is not the transaction's")]
    Call(&'static str),
    #[error(transparent)]
    Transfer(#[from] TransferInvalid),
}

impl VendorPermit {
    pub fn record(&self) -> &PermitRecord {
        &self.record
    }

    /// Method of the request.
    pub fn method(&self) -> &str {
        &self.call.method
    }

    /// Path and query of the request.
    pub fn uri(&self) -> &str {
        &self.call.uri
    }

    /// The request's exact body.
    pub fn body(&self) -> &[u8] {
        &self.call.body
    }

    /// See [`VendorCall::idempotency_key`].
    pub fn idempotency_key(&self) -> String {
        self.call.idempotency_key()
    }

    pub fn digest(&self) -> B256 {
        self.record.digest
    }

    pub fn expires_at(&self) -> Timestamp {
        self.record.expires_at
    }

    /// The same leave for at most `lifetime` from its issue. See [`crate::ports::Limits`].
    #[must_use]
    pub fn for_at_most(self, lifetime: Duration) -> Self {
        Self { record: self.record.for_at_most(lifetime), ..self }
    }

    /// The same leave for a request whose earlier permit expired; `previous` is that permit's row.
    #[must_use]
    pub fn renewing(self, previous: &PermitRecord) -> Self {
        let record = PermitRecord { id: previous.id, version: previous.version + 1, ..self.record };
        Self { record, ..self }
    }
}

/// Makes a permit for `call` after composing the request anew from the approved intent and finding the very same
/// bytes. `transaction` is the version that will stand when the permit is stored.
pub fn issue_vendor_permit(
    approved: &Approved,
    transaction: &Transaction,
    call: VendorCall,
    id: PermitId,
    now: Timestamp,
) -> Result<VendorPermit, VendorPermitMismatch> {
    let intent = &transaction.intent;
    if approved.intent_hash() != transaction.intent_hash || intent.hash() != transaction.intent_hash {
        return Err(VendorPermitMismatch::Decision);
    }
    let refuse = |what| Err(VendorPermitMismatch::Call(what));
    if call.transaction != transaction.id || call.organization != transaction.organization {
        return refuse("transaction");
    }
    if call.key != intent.key {
        return refuse("key");
    }
    if call.method != "POST" || call.uri != CREATE_URI {
        return refuse("address");
    }
    if call.body != compose_transfer(transaction)?
        || call.external_id != external_id(transaction.request_hash)
    {
        return refuse("body");
    }
    if call.digest != VendorCall::digest_of(&call.method, &call.uri, &call.body) {
        return refuse("digest");
    }
    let record = PermitRecord {
        id,
        organization: transaction.organization,
        transaction: transaction.id,
        attempt: AttemptId::from_uuid(call.id.uuid()),
        key: call.key,
        digest: call.digest,
        intent_hash: transaction.intent_hash,
        policy_revision: approved.policy_revision(),
        standing_revision: approved.standing_revision(),
        transaction_version: transaction.version,
        issued_at: now,
        expires_at: now.plus(PERMIT_LIFETIME),
        version: 1,
    };
    Ok(VendorPermit { record, call })
}
