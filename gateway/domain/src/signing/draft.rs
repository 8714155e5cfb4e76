//! What would be signed: the node's quote, a nonce, and the bytes made of them.

use futures::future::try_join;

use crate::{
    U256,
    actor::OpCtx,
    chain::{AccountState, NodeError, NodeRejection, Pricing},
    error::{Error, Result},
    ids::AttemptId,
    policy::PermitRecord,
    ports::{Chain, Services},
    sealed::Sealed,
    signing::nonce::{self, Holder, Reservation, Turn},
    transactions::{Attempt, AttemptOutcome, FailureReason, Provider, Transaction},
};

/// What the node says an attempt would cost, and the nonce of the attempt to outbid.
pub(super) struct Quote {
    account: AccountState,
    pricing: Pricing,
    replaced_nonce: Option<u64>,
}

/// Why no attempt can be made now, or ever.
pub(super) enum Setback {
    Wait,
    Hopeless(FailureReason),
}

/// An attempt and what it rests on.
pub(super) struct Drafted<'a> {
    pub(super) attempt: Attempt,
    /// Absent where the attempt is stored already.
    pub(super) is_new: bool,
    /// The permit row for the same digest, left by a process that died before it signed.
    pub(super) earlier: Option<&'a Sealed<PermitRecord>>,
    /// The nonce, chosen and not stored yet; replacements have theirs.
    pub(super) lease: Option<(Turn<'a>, Reservation<'a>)>,
}

impl<'a> Drafted<'a> {
    /// An attempt that was stored before.
    pub(super) fn again(attempt: &Attempt, permits: &'a [Sealed<PermitRecord>]) -> Self {
        let same =
            |permit: &&Sealed<PermitRecord>| permit.digest == attempt.digest && permit.key == attempt.key;
        let earlier = permits.iter().find(same);
        Self { attempt: attempt.clone(), is_new: false, earlier, lease: None }
    }
}

/// Asks the node about account and market.
pub(super) async fn quote(
    services: &Services,
    transaction: &Transaction,
    replaces: Option<&Attempt>,
) -> Result<Result<Quote, Setback>> {
    let intent = &transaction.intent;
    let chain = services.require_chain(intent.chain)?;
    let account = chain.node.account(intent.from);
    let pricing = chain.node.price(intent, replaces.map(|attempt| &attempt.pricing));
    let (account, pricing) = match try_join(account, pricing).await {
        Ok(answers) => answers,
        Err(error) => return Ok(Err(setback(&error))),
    };
    if replaces.is_none() && account.balance < worst_case(intent.value, &pricing) {
        return Ok(Err(Setback::Hopeless(FailureReason::InsufficientFunds)));
    }
    Ok(Ok(Quote { account, pricing, replaced_nonce: replaces.map(|attempt| attempt.nonce) }))
}

/// Chooses the nonce and encodes.
pub(super) async fn draft<'a>(
    ctx: &OpCtx,
    services: &'a Services,
    chain: &Chain,
    transaction: &Transaction,
    quote: &Quote,
) -> Result<Result<Drafted<'a>, Setback>> {
    let intent = &transaction.intent;
    let (nonce, lease) = if let Some(nonce) = quote.replaced_nonce {
        (nonce, None)
    } else {
        let turn = services.nonces.turn(intent.from).await;
        let holder = match transaction.provider {
            Provider::Privy => Holder::Vendor,
            Provider::Hsm | Provider::Fireblocks | Provider::None => Holder::Token,
        };
        let counted = (quote.account.nonce, holder);
        let free = nonce::next(services, (chain.id, intent.from), counted).await?;
        let Some(reservation) = free else {
            tracing::error!(
                address = %intent.from, nonce = quote.account.nonce, "the node counts what we never signed"
            );
            metrics::counter!("countersign_nonce_contradictions_total").increment(1);
            return Ok(Err(Setback::Wait));
        };
        (reservation.nonce, Some((turn, reservation)))
    };
    let payload = chain.codec.encode(intent, nonce, &quote.pricing).map_err(Error::inconsistency)?;
    let projection = chain.codec.decode(&payload.bytes).map_err(Error::inconsistency)?;
    if intent.admits(&projection).is_err() {
        // The market, or a lying node, asks for more than was approved.
        return Ok(Err(Setback::Hopeless(FailureReason::CeilingExceeded)));
    }
    let attempt = Attempt {
        id: AttemptId::generate(ctx.now, services.entropy.as_ref()),
        organization: transaction.organization,
        transaction: transaction.id,
        key: intent.key,
        chain: chain.id,
        address: intent.from,
        nonce,
        pricing: quote.pricing,
        payload: payload.bytes,
        digest: payload.digest,
        outcome: AttemptOutcome::Prepared,
        version: 1,
        created_at: ctx.now,
    };
    Ok(Ok(Drafted { attempt, is_new: true, earlier: None, lease }))
}

fn worst_case(value: U256, pricing: &Pricing) -> U256 {
    let fees = U256::from(pricing.gas_limit).saturating_mul(U256::from(pricing.fee.max_per_gas()));
    value.saturating_add(fees)
}

fn setback(error: &NodeError) -> Setback {
    match error {
        NodeError::Unavailable(_) | NodeError::WrongChain => Setback::Wait,
        NodeError::Rejected(NodeRejection::InsufficientFunds) => {
            Setback::Hopeless(FailureReason::InsufficientFunds)
        }
        NodeError::Rejected(NodeRejection::FeeTooLow | NodeRejection::GasTooLow) => {
            Setback::Hopeless(FailureReason::CeilingExceeded)
        }
        NodeError::Rejected(
            NodeRejection::NonceTooLow
            | NodeRejection::ReplacementUnderpriced
            | NodeRejection::WrongChain
            | NodeRejection::Reverted
            | NodeRejection::Other,
        ) => Setback::Hopeless(FailureReason::Refused),
    }
}
