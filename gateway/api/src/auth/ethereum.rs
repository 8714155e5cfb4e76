//! Ethereum signatures over a request (forms 1 and 2) and over an approval (form 3), contract/core.md section 1.3.

use std::time::Duration;

use gateway_chains::evm::{
    eip712::{Approval, Request, approval_signing_hash, request_signing_hash},
    message::{request_text, untimed_request_text},
    signature::personal_message_hash,
};
use gateway_domain::{
    Address, B256, Error, Timestamp,
    actor::{WalletActor, WalletEvidence},
    approvals::EvidenceLevel,
    ids::{OrganizationId, PrincipalId},
    ports::Services,
    transactions::Transaction,
};

use crate::{
    auth::{SignatureHeaders, SignedAt},
    config::EthSignatureConfig,
    failure::Failure,
};

/// The parts of a request that a signature covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts<'a> {
    pub(crate) method: &'a str,
    /// Path with query, as sent.
    pub(crate) path: &'a str,
    pub(crate) body_hash: B256,
}

/// The approval that form 3 signs, apart from what the deployment adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedApproval<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) approved: bool,
    /// Seconds since the epoch.
    pub(crate) expires: u64,
}

/// Proves forms 1 and 2.
pub(crate) async fn authenticate_request(
    services: &Services,
    config: &EthSignatureConfig,
    (organization, now): (OrganizationId, Timestamp),
    headers: &SignatureHeaders,
    facts: &RequestFacts<'_>,
) -> Result<WalletActor, Failure> {
    let timestamp = match headers.signed_at {
        SignedAt::Timestamp(seconds) => {
            within_window(seconds, now, config.window_seconds)?;
            Some(seconds)
        }
        SignedAt::Untimed if config.allow_untimed => None,
        SignedAt::Untimed => {
            return Err(Failure::Malformed("header x-ethereum-timestamp is required".to_owned()));
        }
        SignedAt::Expires(_) => {
            return Err(Failure::Malformed("header x-ethereum-expires is for approvals only".to_owned()));
        }
    };
    let request = Request {
        origin: services.origin_of(organization),
        method: facts.method,
        path: facts.path,
        body_hash: facts.body_hash,
        timestamp: timestamp.unwrap_or(0),
    };
    let signed_hash = signed_hash(&request, timestamp.is_some(), services.domain_chain, headers)?;
    let replay_until = timestamp.map_or(now, from_seconds).plus(Duration::from_secs(config.window_seconds));
    let evidence = WalletEvidence {
        level: EvidenceLevel::Request,
        signature: signature_bytes(headers),
        signed_hash,
        replay_until: replay_until.max(now),
    };
    wallet(services, organization, headers.address, evidence).await
}

/// Proves form 3.
pub(crate) async fn authenticate_approval(
    services: &Services,
    (organization, now): (OrganizationId, Timestamp),
    headers: &SignatureHeaders,
    approval: &SignedApproval<'_>,
) -> Result<WalletActor, Failure> {
    let SignedApproval { transaction, approved, expires } = *approval;
    let expires_at = from_seconds(expires);
    if expires_at <= now {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    let digest = approval_signing_hash(
        &Approval {
            origin: services.origin_of(transaction.organization),
            organization: &transaction.organization.to_string(),
            transaction_id: &transaction.id.to_string(),
            request_hash: transaction.request_hash,
            intent_hash: transaction.intent_hash,
            approved,
            expires,
        },
        services.domain_chain,
    );
    if headers.signature.recover(digest) != Ok(headers.address) {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    let evidence = WalletEvidence {
        level: EvidenceLevel::Signed,
        signature: signature_bytes(headers),
        signed_hash: digest,
        replay_until: expires_at,
    };
    wallet(services, organization, headers.address, evidence).await
}

/// The hash of the canonical text that this address signed: form 1 if it fits, else form 2. An untimed request
/// has form 1 only.
fn signed_hash(
    request: &Request<'_>,
    timed: bool,
    domain_chain: u64,
    headers: &SignatureHeaders,
) -> Result<B256, Failure> {
    let text = if timed { request_text(request) } else { untimed_request_text(request) };
    let text = text.map_err(|error| Failure::Malformed(error.to_string()))?;
    let fits = |digest: &B256| headers.signature.recover(*digest) == Ok(headers.address);
    let personal = personal_message_hash(text.as_bytes());
    if fits(&personal) {
        return Ok(personal);
    }
    let typed = Some(request_signing_hash(request, domain_chain)).filter(|_| timed);
    typed.filter(fits).ok_or(Failure::Domain(Error::Unauthenticated))
}

async fn wallet(
    services: &Services,
    organization: OrganizationId,
    address: Address,
    evidence: WalletEvidence,
) -> Result<WalletActor, Failure> {
    let principal = enrolled(services, organization, address).await?;
    Ok(WalletActor { address, principal, evidence })
}

/// The user of this address, if there is one. One that was deactivated is not heard at all.
async fn enrolled(
    services: &Services,
    organization: OrganizationId,
    address: Address,
) -> Result<Option<PrincipalId>, Failure> {
    let Some(user) = services.store.user_by_address(organization, address).await? else { return Ok(None) };
    let principals = services.store.principals(organization, &[user.id]).await?;
    match principals.first() {
        Some(principal) if principal.active => Ok(Some(user.id)),
        Some(_) | None => Err(Failure::Domain(Error::Unauthenticated)),
    }
}

fn within_window(seconds: u64, now: Timestamp, window_seconds: u64) -> Result<(), Failure> {
    let now_seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    if seconds.abs_diff(now_seconds) > window_seconds {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    Ok(())
}

/// The domain's form: v is 0 or 1.
fn signature_bytes(headers: &SignatureHeaders) -> Vec<u8> {
    let mut bytes = headers.signature.to_bytes();
    bytes[64] -= 27;
    bytes.to_vec()
}

fn from_seconds(seconds: u64) -> Timestamp {
    Timestamp::from_unix_micros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}
