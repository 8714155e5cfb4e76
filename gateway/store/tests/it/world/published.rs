//! What a tenant has published: a registered key, a verification service, an encrypted payload, and reports on it.

use gateway_domain::{
    B256, Timestamp,
    identity::User,
    ids::{KeyId, PrincipalId, RegistrationId, RelayId},
    keys::KeyRecord,
    openpgp::Fingerprint,
    payloads::{EncryptedPayload, PayloadQuota, PayloadRoom, SessionKeyClaim, Submission},
    quota::{Quota, UserQuota},
    registrations::{Registration, RegistrationState},
    registry::{RegistryCall, Relay, RelayOutcome, RelayQuota},
    transactions::Transaction,
    verification::{OrionMetadata, Settlement, SettlementStatus, TeeKind, TeeProof, VerificationService},
};

use super::{address, hash, id, now, sample_attempt};

pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprint(address().into_array())
}

pub(crate) fn sample_relay(transaction: &Transaction, key: &KeyRecord, at: Timestamp) -> Relay {
    let attempt = sample_attempt(transaction, 3, at);
    Relay {
        id: id(RelayId::from_uuid),
        organization: transaction.organization,
        key: key.id,
        user: transaction.owner,
        chain: attempt.chain,
        address: address(),
        registry: address(),
        call: RegistryCall::Submit {
            request_hash: transaction.request_hash,
            cid_digest: hash(),
            verification_service: 7,
        },
        nonce: attempt.nonce,
        pricing: attempt.pricing,
        payload: attempt.payload,
        digest: hash(),
        outcome: RelayOutcome::Prepared,
        outbid: Vec::new(),
        bid_at: at,
        version: 1,
        created_at: at,
    }
}

pub(crate) fn sample_registration(user: &User, relay: RelayId, at: Timestamp) -> Registration {
    Registration {
        id: id(RegistrationId::from_uuid),
        organization: user.organization,
        user: user.id,
        account: user.ethereum_address,
        fingerprint: fingerprint(),
        public_key: "-----BEGIN PGP PUBLIC KEY BLOCK-----".into(),
        signature: vec![5; 65],
        possession: Some("-----BEGIN PGP SIGNATURE-----".into()),
        taken_over_at: None,
        current: true,
        relay,
        state: RegistrationState::Registered { hash: hash(), block: 9, at },
        self_registered: true,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn sample_service(user: &User, at: Timestamp) -> VerificationService {
    VerificationService {
        organization: user.organization,
        id: 7,
        name: "Orion".into(),
        inbox: address(),
        public_key: "-----BEGIN PGP PUBLIC KEY BLOCK-----".into(),
        fingerprint: fingerprint(),
        description: Some("ours".into()),
        usable_until: Some(at),
        active: true,
        built_in: Some(id(KeyId::from_uuid)),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn sample_payload(
    transaction: &Transaction,
    service: &VerificationService,
    relay: RelayId,
    at: Timestamp,
) -> EncryptedPayload {
    EncryptedPayload {
        transaction: transaction.id,
        organization: transaction.organization,
        verification_service: service.id,
        service_key: service.fingerprint,
        message_digest: hash(),
        session_key_digest: hash(),
        cid: "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".into(),
        root: block_root(),
        user_signature: vec![6; 65],
        pinned: false,
        relay,
        submission: Submission::Submitted { hash: hash(), block: 4 },
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn sample_claim(payload: &EncryptedPayload, initiator: PrincipalId) -> SessionKeyClaim {
    SessionKeyClaim {
        service_key: payload.service_key,
        session_key_digest: payload.session_key_digest,
        organization: payload.organization,
        initiator,
        request_hash: hash(),
        message_digest: payload.message_digest,
    }
}

pub(crate) const PLENTY_OF_PAYLOADS: PayloadQuota =
    PayloadQuota { per_user_max: 1_000, bytes_max: 1 << 30, self_registered_bytes_max: 1 << 30 };

/// Room for a message of 5,000 bytes.
pub(crate) fn sample_room(user: &User, quota: PayloadQuota) -> PayloadRoom {
    PayloadRoom::new(quota, user, &"m".repeat(5_000), now())
}

/// Calls of one user, with plenty of room for their organization.
pub(crate) fn relay_quota(per_user_max: u32, since: Timestamp) -> RelayQuota {
    let organization = Quota { max: 1_000, self_registered_max: 1_000 };
    RelayQuota { calls: UserQuota { organization, per_user_max }, self_registered: true, since }
}

/// Blocks are shared by whoever holds the same content.
pub(crate) fn block_root() -> B256 {
    B256::repeat_byte(0xcd)
}

pub(crate) fn sample_metadata(transaction: &Transaction, at: Timestamp) -> OrionMetadata {
    OrionMetadata {
        transaction: transaction.id,
        organization: transaction.organization,
        tee_proof: Some(TeeProof {
            proof: "AAAA".into(),
            kind: Some(TeeKind::SevSnp),
            measurement: Some("0x00".into()),
            report_data: None,
            signed_at: Some(at),
            received_at: at,
        }),
        settlement: Some(Settlement {
            status: SettlementStatus::Pending,
            hash: Some(hash()),
            chain_id: Some(1),
            block: Some(2),
            gas_used: Some("21000".into()),
            failure_reason: None,
            settled_at: None,
        }),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}
