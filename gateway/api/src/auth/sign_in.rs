//! Logins with Ethereum (ERC-4361): every check of contract/core.md section 1.1, in its order.

use std::time::Duration;

use gateway_chains::evm::siwe::SignIn;
use gateway_domain::{Address, Error, OpCtx, Timestamp, ports::Services, sessions::use_nonce};
use time::OffsetDateTime;

use super::personal::{key_signed, prove_personal};
use crate::{config::SiweConfig, failure::Failure, layers::Source};

/// Who has proven a login.
pub(crate) struct SignedIn {
    pub(crate) address: Address,
    /// The user's when it was proven, 0 where there is no user yet.
    pub(crate) wallet_epoch: u64,
}

/// The address that proves to log in with `message`. Whatever is wrong with a well-formed one is one and the same
/// failure.
pub(crate) async fn authenticate_sign_in(
    ctx: &OpCtx,
    services: &Services,
    config: &SiweConfig,
    message: &str,
    signature: &[u8],
) -> Result<SignedIn, Failure> {
    let sign_in = SignIn::parse(message).map_err(|error| Failure::invalid(format!("message: {error}")))?;
    let origin = config.origin.as_deref().unwrap_or(&services.origin);
    if !(is_for(&sign_in, origin) && takes_chain(services, config, sign_in.chain_id)) {
        return Err(Error::Unauthenticated.into());
    }
    // Used up whatever the rest of the message says.
    use_nonce(ctx, services, &sign_in.nonce, sign_in.address).await?;
    if !(is_recent(&sign_in, config, ctx.now) && holds_at(&sign_in, ctx.now)) {
        return Err(Error::Unauthenticated.into());
    }
    let wallet_epoch = prove(ctx, services, &sign_in, (message, signature)).await?;
    Ok(SignedIn { address: sign_in.address, wallet_epoch })
}

/// By the address's key; for a user whose wallet is a contract by that contract, on the chain it is enrolled on, which
/// must be the message's. Tells the user's epoch.
async fn prove(
    ctx: &OpCtx,
    services: &Services,
    sign_in: &SignIn,
    (message, signature): (&str, &[u8]),
) -> Result<u64, Failure> {
    let user = services.store.user_by_address(ctx.organization, sign_in.address).await?;
    let Some(user) = user else {
        let signed = key_signed(sign_in.address, message.as_bytes(), signature);
        return if signed { Ok(0) } else { Err(Error::Unauthenticated.into()) };
    };
    if user.contract_chain.is_some_and(|chain| chain.number() != sign_in.chain_id) {
        return Err(Error::Unauthenticated.into());
    }
    prove_personal(services, (&user, Source(ctx.source)), message.as_bytes(), signature).await?;
    Ok(user.wallet_epoch)
}

/// Whether messages with this `Chain ID` are taken.
pub(crate) fn takes_chain(services: &Services, config: &SiweConfig, chain_id: u64) -> bool {
    match config.chain_ids.as_slice() {
        [] => services.chains.keys().any(|chain| chain.number() == chain_id),
        listed => listed.contains(&chain_id),
    }
}

/// Domain and scheme are those of the page that people log in on, and the URI lies on it.
fn is_for(sign_in: &SignIn, origin: &str) -> bool {
    let Some((scheme, domain)) = origin.split_once("://") else { return false };
    let within = sign_in.uri.strip_prefix(origin).is_some_and(|rest| {
        // Anything else would go on with the host or port.
        rest.is_empty() || rest.starts_with(['/', '?', '#'])
    });
    sign_in.domain == domain && sign_in.scheme.as_deref().is_none_or(|given| given == scheme) && within
}

fn is_recent(sign_in: &SignIn, config: &SiweConfig, now: Timestamp) -> bool {
    let issued_at = timestamp(sign_in.issued_at);
    issued_at.plus(Duration::from_secs(config.issued_age_max_seconds)) >= now
        && issued_at <= now.plus(Duration::from_secs(config.issued_ahead_max_seconds))
}

fn holds_at(sign_in: &SignIn, now: Timestamp) -> bool {
    sign_in.expiration_time.is_none_or(|expiry| now < timestamp(expiry))
        && sign_in.not_before.is_none_or(|start| timestamp(start) <= now)
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    let micros = time.unix_timestamp_nanos() / 1_000;
    Timestamp::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
