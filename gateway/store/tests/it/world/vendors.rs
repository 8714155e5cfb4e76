//! A user's vendors.

use gateway_domain::{
    Timestamp,
    fireblocks::{Access, Environment, Integration, IntegrationState, Region},
    identity::User,
    ids::{IntegrationId, QuorumId, VendorCallId},
    keys::KeyRecord,
    quorums::{PrivyQuorum, QuorumClaim, QuorumType},
    secrets::SealedSecret,
    transactions::Transaction,
    vendors::{CallOutcome, VendorCall, VendorRole},
};

use super::{hash, id};

pub(super) fn sample_integration(user: &User, key: &KeyRecord, at: Timestamp) -> Integration {
    Integration {
        id: id(IntegrationId::from_uuid),
        organization: user.organization,
        owner: user.id,
        role: VendorRole::Agent,
        key: key.id,
        csr: "-----BEGIN CERTIFICATE REQUEST-----\n".into(),
        csr_created_at: at,
        state: IntegrationState::Invalid(Access {
            api_key: SealedSecret { epoch: 1, bytes: vec![1, 2, 3] },
            api_key_version: 2,
            api_key_last4: "5555".into(),
            vault_account: "0".into(),
            environment: Environment::Sandbox,
            region: Region::Us,
            completed_at: at,
            asked_at: Some(at),
            validated_at: Some(at),
            validation_error: Some("refused".into()),
            refused_since: Some(at),
        }),
        recreated_at: vec![at],
        self_registered: true,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(super) fn sample_call(transaction: &Transaction, at: Timestamp) -> VendorCall {
    VendorCall {
        id: id(VendorCallId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        key: transaction.intent.key,
        method: "POST".into(),
        uri: "/v1/transactions".into(),
        body: b"{}".to_vec(),
        digest: hash(),
        external_id: "0xab".into(),
        outcome: CallOutcome::Accepted { vendor_id: "one".into() },
        refused_since: Some(at),
        version: 1,
        created_at: at,
    }
}

pub(crate) fn sample_quorum_claim(user: &User, at: Timestamp) -> QuorumClaim {
    QuorumClaim {
        id: id(QuorumId::from_uuid),
        organization: user.organization,
        user: user.id,
        self_registered: user.self_registered,
        for_arbiter: false,
        request: hash(),
        created_at: at,
    }
}

pub(super) fn sample_quorum(user: &User, at: Timestamp) -> PrivyQuorum {
    PrivyQuorum {
        id: id(QuorumId::from_uuid),
        organization: user.organization,
        owner: user.id,
        kind: QuorumType::Execution,
        quorum_id: "quorum".into(),
        display_name: "mine".into(),
        public_key_pem: Some("-----BEGIN PUBLIC KEY-----\n".into()),
        authorization_threshold: 1,
        is_static: false,
        message: Some("hello".into()),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}
