//! Permits: the only values with which a wallet key can be used.

use std::time::Duration;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    chain::{PayloadCodec, PayloadInvalid},
    clock::Timestamp,
    ids::{AttemptId, KeyId, OrganizationId, PermitId, TransactionId},
    policy::decide::Approved,
    sealed::{RowVersion, Sealable},
    transactions::{Attempt, IntentMismatch, Transaction},
};

/// How long after the decision a digest may be signed at most.
pub const PERMIT_LIFETIME: Duration = Duration::from_mins(1);

/// The stored fact that a digest may be signed. Reading one back gives no authority: recovery decides again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRecord {
    pub id: PermitId,
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    pub attempt: AttemptId,
    pub key: KeyId,
    pub digest: B256,
    pub intent_hash: B256,
    pub policy_revision: u64,
    /// The standing of organization and owner before the decision read who may still speak; any later loss of
    /// authority makes the insert fail.
    pub standing_revision: u64,
    /// The version of the transaction at which the permit holds; any later move makes the insert fail.
    pub transaction_version: u64,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    /// Counts renewals and returns.
    pub version: u64,
}

/// Leave to sign one digest with one key. Made here and nowhere else; not clonable, not deserializable.
#[derive(Debug, Serialize)]
pub struct SigningPermit {
    record: PermitRecord,
}

#[derive(Debug, thiserror::Error)]
pub enum PermitMismatch {
    #[error(transparent)]
    Intent(#[from] IntentMismatch),
    #[error("the payload does not decode")]
    Payload(#[from] PayloadInvalid),
    #[error("the {0} of the attempt is not the transaction's")]
    Attempt(&'static str),
    #[error("the decision is about another intent")]
    Decision,
}

impl SigningPermit {
    pub fn organization(&self) -> OrganizationId {
        self.record.organization
    }

    pub fn transaction(&self) -> TransactionId {
        self.record.transaction
    }

    pub fn key(&self) -> KeyId {
        self.record.key
    }

    pub fn digest(&self) -> B256 {
        self.record.digest
    }

    pub fn expires_at(&self) -> Timestamp {
        self.record.expires_at
    }

    pub fn record(&self) -> &PermitRecord {
        &self.record
    }
}

/// Makes a permit for `attempt` after decoding its bytes and finding them inside the approved intent.
/// `transaction` is the version that will stand when the permit is stored. The permit must be stored before it
/// is used: [`crate::signing`] does both.
pub fn issue_permit(
    approved: &Approved,
    transaction: &Transaction,
    attempt: &Attempt,
    codec: &dyn PayloadCodec,
    id: PermitId,
    now: Timestamp,
) -> Result<SigningPermit, PermitMismatch> {
    let intent = &transaction.intent;
    if approved.intent_hash() != transaction.intent_hash || intent.hash() != transaction.intent_hash {
        return Err(PermitMismatch::Decision);
    }
    if attempt.transaction != transaction.id || attempt.organization != transaction.organization {
        return Err(PermitMismatch::Attempt("transaction"));
    }
    if attempt.key != intent.key {
        return Err(PermitMismatch::Attempt("key"));
    }
    let projection = codec.decode(&attempt.payload)?;
    intent.admits(&projection)?;
    if projection.nonce != attempt.nonce {
        return Err(PermitMismatch::Attempt("nonce"));
    }
    let encoded = codec.encode(intent, attempt.nonce, &attempt.pricing)?;
    if encoded.bytes != attempt.payload || encoded.digest != attempt.digest {
        return Err(PermitMismatch::Attempt("digest"));
    }
    Ok(SigningPermit {
        record: PermitRecord {
            id,
            organization: transaction.organization,
            transaction: transaction.id,
            attempt: attempt.id,
            key: attempt.key,
            digest: attempt.digest,
            intent_hash: transaction.intent_hash,
            policy_revision: approved.policy_revision(),
            standing_revision: approved.standing_revision(),
            transaction_version: transaction.version,
            issued_at: now,
            expires_at: now.plus(PERMIT_LIFETIME),
            version: 1,
        },
    })
}

impl PermitRecord {
    /// The same for `lifetime` from its issue, if it is for longer.
    #[must_use]
    pub(super) fn for_at_most(self, lifetime: Duration) -> Self {
        Self { expires_at: self.expires_at.min(self.issued_at.plus(lifetime)), ..self }
    }
}

impl SigningPermit {
    /// The same leave for at most `lifetime` from its issue. See [`crate::ports::Limits`].
    #[must_use]
    pub fn for_at_most(self, lifetime: Duration) -> Self {
        Self { record: self.record.for_at_most(lifetime) }
    }

    /// The row of this permit once it is given up unused: it was in force for no time, and the same digest may be
    /// permitted anew at once.
    pub(crate) fn given_back(self) -> PermitRecord {
        PermitRecord { expires_at: self.record.issued_at, version: self.record.version + 1, ..self.record }
    }

    /// The same leave for a digest whose earlier permit expired unused; `previous` is that permit's row.
    #[must_use]
    pub fn renewing(self, previous: &PermitRecord) -> Self {
        Self { record: PermitRecord { id: previous.id, version: previous.version + 1, ..self.record } }
    }
}

impl Sealable for PermitRecord {
    const TABLE: &'static str = "permits";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}
