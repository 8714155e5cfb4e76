//! A charter, and a proposal that one operator has approved.

use std::collections::BTreeSet;

use gateway_domain::{
    Timestamp,
    ids::{OperatorId, OrganizationId, ProposalId},
    operators::{Approval, Change, Charter, Operator, OperatorRole, Proposal, ProposalState},
};

use super::id;

/// The generator of P-256.
const POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a\
                     7c0f9e162bce33576b315ececbb6406837bf51f5";

pub(super) fn sample_charter(at: Timestamp) -> Charter {
    let ann = Operator {
        id: id(OperatorId::from_uuid),
        name: "Ann".into(),
        public_key: POINT.to_owned().try_into().unwrap(),
        roles: BTreeSet::from([OperatorRole::Author, OperatorRole::Approver]),
        enrolled_at: at,
        revoked_at: None,
    };
    Charter { revision: 1, operators: vec![ann], approvals_required: 2, updated_at: at }
}

pub(super) fn sample_proposal(organization: OrganizationId, at: Timestamp) -> Proposal {
    let proposer = id(OperatorId::from_uuid);
    Proposal {
        id: id(ProposalId::from_uuid),
        organization,
        proposer,
        change: Change::Thaw { vault: None, key: None, replaces: Some(1) },
        reason: "the incident is over".into(),
        approvals: vec![Approval { operator: proposer, at, evidence: "a.b.c".into() }],
        state: ProposalState::Open,
        version: 1,
        created_at: at,
        expires_at: Timestamp::from_unix_micros(at.unix_micros() + 1_000_000_000),
    }
}
