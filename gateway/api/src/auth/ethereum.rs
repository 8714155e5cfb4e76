//! Ethereum signatures over a request (forms 1 and 2) and over an approval (form 3), contract/core.md section 1.3.

use std::{net::IpAddr, time::Duration};

use gateway_chains::evm::{
    eip712::{Approval, Request, approval_signing_hash, request_signing_hash},
    message::{request_text, untimed_request_text},
    signature::{Signature, personal_message_hash},
};
use gateway_domain::{
    Address, B256, Error, Timestamp,
    actor::{WalletActor, WalletEvidence},
    approvals::EvidenceLevel,
    chain::ChainId,
    identity::{User, prove_contract_signature},
    ids::{OrganizationId, PrincipalId},
    ports::Services,
    sealed::Sealed,
    transactions::Transaction,
};

use crate::{
    auth::{SignatureHeaders, SignedAt},
    config::EthSignatureConfig,
    failure::Failure,
};

/// Where, when and from where something is to be proven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) organization: OrganizationId,
    pub(crate) now: Timestamp,
    /// What rates and shares are counted by.
    pub(crate) source: IpAddr,
}

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
    place: Place,
    headers: &SignatureHeaders,
    facts: &RequestFacts<'_>,
) -> Result<WalletActor, Failure> {
    let Place { organization, now, .. } = place;
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
    let signer = Signer::of(services, place, headers).await?;
    let signed_hash = signed_hash(services, &request, timestamp.is_some(), &signer).await?;
    let replay_until = timestamp.map_or(now, from_seconds).plus(Duration::from_secs(config.window_seconds));
    let evidence = WalletEvidence {
        level: EvidenceLevel::Request,
        contract_chain: signer.contract_chain(),
        wallet_epoch: signer.wallet_epoch(),
        signature: signer.signature_bytes(),
        signed_hash,
        replay_until: replay_until.max(now),
    };
    wallet(services, organization, headers.address, evidence).await
}

/// Proves form 3.
pub(crate) async fn authenticate_approval(
    services: &Services,
    place: Place,
    headers: &SignatureHeaders,
    approval: &SignedApproval<'_>,
) -> Result<WalletActor, Failure> {
    let Place { organization, now, .. } = place;
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
    let signer = Signer::of(services, place, headers).await?;
    // A node's word about a contract is not a signature that can be verified again (T9).
    if signer.contract_chain().is_some() || !signer.signed(services, digest).await? {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    let evidence = WalletEvidence {
        level: EvidenceLevel::Signed,
        contract_chain: None,
        wallet_epoch: 0,
        signature: signer.signature_bytes(),
        signed_hash: digest,
        replay_until: expires_at,
    };
    wallet(services, organization, headers.address, evidence).await
}

/// Who signs, and with what: a key, or for users enrolled so the contract that their wallet is. Never either of both.
enum Signer {
    Key { address: Address, signature: Signature },
    Contract { user: Box<Sealed<User>>, chain: ChainId, signature: Vec<u8>, source: IpAddr },
}

impl Signer {
    async fn of(services: &Services, place: Place, headers: &SignatureHeaders) -> Result<Self, Failure> {
        let (Place { organization, source, .. }, address) = (place, headers.address);
        let found = match services.contract_accounts {
            Some(_) => services.store.user_by_address(organization, address).await?,
            None => None,
        };
        match found.and_then(|user| Some((user.contract_chain?, user))) {
            Some((chain, user)) => Ok(Self::Contract {
                user: Box::new(user),
                chain,
                signature: headers.signature.0.clone(),
                source,
            }),
            None => Ok(Self::Key { address, signature: headers.signature.by_key()? }),
        }
    }

    async fn signed(&self, services: &Services, digest: B256) -> Result<bool, Failure> {
        match self {
            Self::Key { address, signature } => Ok(signature.recover(digest) == Ok(*address)),
            Self::Contract { user, signature, source, .. } => {
                match prove_contract_signature(services, (user, *source), digest, signature).await {
                    Ok(()) => Ok(true),
                    Err(Error::Unauthenticated) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    fn contract_chain(&self) -> Option<ChainId> {
        match self {
            Self::Key { .. } => None,
            Self::Contract { chain, .. } => Some(*chain),
        }
    }

    /// Under which the contract was asked; that of a key is told by the row it is found in.
    fn wallet_epoch(&self) -> u64 {
        match self {
            Self::Key { .. } => 0,
            Self::Contract { user, .. } => user.wallet_epoch,
        }
    }

    /// The domain's form: a key's v is 0 or 1.
    fn signature_bytes(&self) -> Vec<u8> {
        match self {
            Self::Key { signature, .. } => {
                let mut bytes = signature.to_bytes();
                bytes[64] -= 27;
                bytes.to_vec()
            }
            Self::Contract { signature, .. } => signature.clone(),
        }
    }
}

/// The hash of the canonical text that was signed: form 1 if it fits, else form 2. An untimed request has form 1 only.
async fn signed_hash(
    services: &Services,
    request: &Request<'_>,
    timed: bool,
    signer: &Signer,
) -> Result<B256, Failure> {
    let text = if timed { request_text(request) } else { untimed_request_text(request) };
    let text = text.map_err(|error| Failure::Malformed(error.to_string()))?;
    let personal = personal_message_hash(text.as_bytes());
    if signer.signed(services, personal).await? {
        return Ok(personal);
    }
    let typed = request_signing_hash(request, services.domain_chain);
    if timed && signer.signed(services, typed).await? {
        return Ok(typed);
    }
    Err(Failure::Domain(Error::Unauthenticated))
}

async fn wallet(
    services: &Services,
    organization: OrganizationId,
    address: Address,
    evidence: WalletEvidence,
) -> Result<WalletActor, Failure> {
    let enrolled = enrolled(services, organization, address, &evidence).await?;
    let (principal, wallet_epoch) = enrolled.unzip();
    let evidence = WalletEvidence { wallet_epoch: wallet_epoch.unwrap_or(0), ..evidence };
    Ok(WalletActor { address, principal, evidence })
}

/// The user of this address, if there is one, and what epoch its wallet is in. One that was deactivated is not heard at
/// all, nor one whose wallet is a contract through a key, or the other way round, or another contract by now.
async fn enrolled(
    services: &Services,
    organization: OrganizationId,
    address: Address,
    evidence: &WalletEvidence,
) -> Result<Option<(PrincipalId, u64)>, Failure> {
    let Some(user) = services.store.user_by_address(organization, address).await? else { return Ok(None) };
    let is_another = evidence.contract_chain.is_some() && evidence.wallet_epoch != user.wallet_epoch;
    if user.contract_chain != evidence.contract_chain || is_another {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    let principals = services.store.principals(organization, &[user.id]).await?;
    match principals.first() {
        Some(principal) if principal.active => Ok(Some((user.id, user.wallet_epoch))),
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

fn from_seconds(seconds: u64) -> Timestamp {
    Timestamp::from_unix_micros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}
