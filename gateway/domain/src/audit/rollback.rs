//! Going on from an audit log that lacks what was signed and handed on: what is given up, and who agreed to it (T32).

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::Checkpoint;
use crate::{
    clock::Timestamp,
    ids::OperatorId,
    jws,
    operators::{Charter, OperatorRole},
};

#[cfg(test)]
mod tests;

const TYPE: &str = "countersign-rollback+jwt";

/// A checkpoint by its number and hash, written `NUMBER:HASH`; number 0 stands before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEnd {
    pub number: u64,
    pub hash: B256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checkpoint is written `NUMBER:HASH`, as `countersign audit accept-rollback` shows it")]
pub struct LogEndMalformed;

/// For how long an agreement can be used: whoever finds it later and brings the same database back has none.
const AGREED_WITHIN: Duration = Duration::from_hours(7 * 24);
/// By so much an approver's clock may be ahead.
const CLOCKS_DIFFER_BY_SECONDS: i64 = 300;

/// What an approver signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackClaims {
    /// Hex SHA-256 of the key that signs checkpoints: of which log it is.
    pub audit_key: String,
    /// The last checkpoint that was handed on, and is given up with what the database lacks of it.
    pub lost: LogEnd,
    /// The checkpoint in the database from which the log goes on.
    pub kept: LogEnd,
    /// Seconds since 1970.
    pub iat: i64,
}

/// An approver's agreement: a JWS in compact form with [`RollbackClaims`], made away from the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RollbackApproval(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an approval in compact form, as `countersign audit approve-rollback` makes it")]
pub struct RollbackApprovalMalformed;

/// Why a deployment with operators does not go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollbackRefusal {
    #[error("operator `{0}` agreed to something else")]
    ForOther(OperatorId),
    #[error("operator `{0}` is no approver of the charter")]
    NoApprover(OperatorId),
    #[error("the signature does not fit the key of operator `{0}`")]
    Forged(OperatorId),
    #[error("operator `{0}` agreed more than seven days ago, or by a clock that is wrong")]
    Stale(OperatorId),
    #[error("{required} approvers of the charter must agree, and {given} have")]
    TooFew { required: u32, given: usize },
}

impl LogEnd {
    /// Before the first checkpoint.
    pub const START: Self = Self { number: 0, hash: B256::ZERO };

    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self { number: checkpoint.number, hash: checkpoint.hash() }
    }
}

/// What the approver's key signs; the signature, in base64url, follows after a full stop.
pub fn rollback_signing_input(signer: OperatorId, claims: &RollbackClaims) -> String {
    jws::signing_input(TYPE, signer, claims)
}

impl RollbackApproval {
    pub fn parse(text: &str) -> Result<Self, RollbackApprovalMalformed> {
        let approval = Self(text.trim().to_owned());
        approval.read().map_err(|jws::Malformed| RollbackApprovalMalformed)?;
        Ok(approval)
    }

    fn read(&self) -> Result<(OperatorId, RollbackClaims), jws::Malformed> {
        jws::read(&self.0, TYPE)
    }
}

/// The approvers who agreed, if they are as many as the charter asks for and nobody signed for anything else.
pub fn require_agreement(
    charter: &Charter,
    audit_key: &str,
    (lost, kept): (LogEnd, LogEnd),
    approvals: &[RollbackApproval],
    now: Timestamp,
) -> Result<BTreeSet<OperatorId>, RollbackRefusal> {
    let mut agreed = BTreeSet::new();
    for approval in approvals {
        let (signer, claims) = approval.read().expect("it was read when it was parsed");
        if claims.audit_key != audit_key || claims.lost != lost || claims.kept != kept {
            return Err(RollbackRefusal::ForOther(signer));
        }
        let approver = charter.operator(signer).filter(|operator| operator.has(OperatorRole::Approver));
        let approver = approver.ok_or(RollbackRefusal::NoApprover(signer))?;
        if !jws::fits(&approval.0, &approver.public_key) {
            return Err(RollbackRefusal::Forged(signer));
        }
        let (age, bound) =
            (now.unix_seconds().saturating_sub(claims.iat), AGREED_WITHIN.as_secs().cast_signed());
        if !(-CLOCKS_DIFFER_BY_SECONDS..=bound).contains(&age) {
            return Err(RollbackRefusal::Stale(signer));
        }
        agreed.insert(signer);
    }
    let required = charter.approvals_required;
    if agreed.len() < required as usize {
        return Err(RollbackRefusal::TooFew { required, given: agreed.len() });
    }
    Ok(agreed)
}

impl fmt::Display for LogEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for LogEnd {
    type Err = LogEndMalformed;

    fn from_str(text: &str) -> Result<Self, LogEndMalformed> {
        let (number, hash) = text.split_once(':').ok_or(LogEndMalformed)?;
        let number = number.parse().map_err(|_| LogEndMalformed)?;
        Ok(Self { number, hash: hash.parse().map_err(|_| LogEndMalformed)? })
    }
}
