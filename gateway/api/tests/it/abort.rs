//! T18: an abort and a permit exclude each other.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use gateway_api::ApiConfig;
use gateway_domain::{
    Address, Error, OpCtx, U256,
    actor::Actor,
    chain::ChainId,
    credentials::authenticate_api_key,
    ids::TransactionId,
    policy::PERMIT_LIFETIME,
    ports::Limits,
    transactions::{
        CreateTransaction, ExecutionType, Progress, Provider, RequestIdentity, State, abort, advance,
        carry_on, create,
    },
    vendors::VendorRole,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    races::{approvals_of, id_of, quick},
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, World},
};

const RACES: usize = 10_000;
const AT_ONCE: usize = 100;

async fn aborted(world: &World, id: TransactionId) -> Result<State, Error> {
    abort(&world.ctx(), &world.services, id).await.map(|transaction| transaction.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_transaction_is_aborted_once_and_for_all() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let pending = world.propose(escrow, FREE_WEI + 1).await;
    for _ in 0..2 {
        assert_eq!(aborted(&world, id_of(&pending)).await.unwrap(), State::Aborted);
    }
    let vote =
        world.post(approvals_of(&pending), &json!({"approved": true})).key(&world, "agent").send().await;
    vote.expect(409);
    let path = format!("/transactions/users/{}", Wallet::new(1).address());
    let listed = world.get(path).key(&world, "admin").send().await.expect(200);
    assert_eq!(
        (&listed[0]["status"], &listed[0]["failureReason"]),
        (&json!("REJECTED"), &json!("aborted")),
        "{listed}"
    );
    let unknown = TransactionId::from_uuid(uuid::Uuid::new_v4());
    assert!(matches!(aborted(&world, unknown).await, Err(Error::NotFound("transaction"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_in_force_and_a_signature_are_too_late_for_an_abort() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let sent = id_of(&world.propose(escrow, 1).await);
    assert!(matches!(aborted(&world, sent).await, Err(Error::Conflict(_))));

    // Given back: the HSM was away.
    world.token.go_away(true);
    let waiting = id_of(&world.propose(escrow, 2).await);
    assert_eq!(aborted(&world, waiting).await.unwrap(), State::Aborted);

    let (under_way, signing) = held_up(&world, escrow, 3).await;
    assert!(matches!(aborted(&world, under_way).await, Err(Error::Conflict(_))));
    world.clock.advance(PERMIT_LIFETIME + Duration::from_secs(1));
    assert_eq!(aborted(&world, under_way).await.unwrap(), State::Aborted);
    world.token.gate.add_permits(10);
    signing.await.unwrap().unwrap();
    assert_eq!(world.stored(under_way).await.state, State::Aborted, "its signature was dropped");
    let held = world.services.store.held_nonces(ChainId::eip155(CHAIN).unwrap(), escrow, 0).await.unwrap();
    assert_eq!(held, [0], "what was aborted holds no nonce");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_holds_no_longer_than_configured() {
    let limits = Limits { permit_lifetime: Duration::from_secs(5), ..quick() };
    let world = World::with_limits(ApiConfig::default(), limits).await;
    world.clock.stop();
    let escrow = world.user(&Wallet::new(1)).await;
    let (waiting, _signing) = held_up(&world, escrow, 1).await;
    assert!(matches!(aborted(&world, waiting).await, Err(Error::Conflict(_))));
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(aborted(&world, waiting).await.unwrap(), State::Aborted);
}

/// Whoever holds it is done long before it ends, and then there are receipts to look for.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_a_permit_of_another_in_force_does_not_wait_until_it_ends() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let (waiting, signing) = held_up(&world, escrow, 1).await;
    let late = advance(&world.services, world.organization, waiting).await.unwrap();
    assert_eq!(late, Progress::Again(quick().poll_interval));
    world.token.gate.add_permits(10);
    signing.await.unwrap().unwrap();
    assert!(world.stored(waiting).await.state.attempt().is_some());
}

/// A transaction with a permit in force, its signature under way for as long as the token's gate is shut.
async fn held_up(world: &World, escrow: Address, value: u64) -> (TransactionId, Signing) {
    world.token.go_away(true);
    let id = id_of(&world.propose(escrow, value).await);
    (id, hold_up(world, id).await)
}

/// What becomes of a signature that is held up.
pub(crate) type Signing = JoinHandle<Result<Progress, Error>>;

/// Has the transaction, for which the token was away, permitted and not signed before the token's gate is opened.
pub(crate) async fn hold_up(world: &World, id: TransactionId) -> Signing {
    world.token.gate.forget_permits(usize::MAX);
    world.token.go_away(false);
    let (services, organization) = (world.services.clone(), world.organization);
    let signing = tokio::spawn(async move { advance(&services, organization, id).await });
    let is_permitted = async || {
        let permits = world.services.store.permits(world.organization, id).await.unwrap();
        permits[0].issued_at < permits[0].expires_at
    };
    while !is_permitted().await {
        tokio::task::yield_now().await;
    }
    signing
}

/// One transaction, approved; carried on and aborted at the same time. Whether the abort won.
async fn race(world: &World, ctx: &OpCtx, request: CreateTransaction, lead: usize) -> (TransactionId, bool) {
    let made = create(ctx, &world.services, request).await.unwrap();
    let id = made.transaction.id;
    let services = world.services.clone();
    let carried = tokio::spawn(async move {
        for _ in 0..lead {
            tokio::task::yield_now().await;
        }
        carry_on(&services, made).await
    });
    let aborted = match aborted(world, id).await {
        Ok(state) => {
            assert_eq!(state, State::Aborted);
            true
        }
        Err(Error::Conflict(_)) => false,
        Err(other) => panic!("{other:?}"),
    };
    carried.await.unwrap().unwrap();
    (id, aborted)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_aborts_race_permits_and_each_has_one_outcome() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let key = authenticate_api_key(&world.services, &world.keys["admin"], world.services.clock.now())
        .await
        .unwrap();
    let ctx = OpCtx { actor: Actor::from(&*key), ..world.ctx() };
    let owner =
        world.services.store.user_by_escrow_address(world.organization, escrow).await.unwrap().unwrap();
    let request = |value: usize| CreateTransaction {
        owner: owner.clone(),
        chain: ChainId::eip155(CHAIN).unwrap(),
        to: Some(Address::repeat_byte(0x42)),
        value: U256::from(value),
        data: Vec::new(),
        execution_type: ExecutionType::DirectUser,
        provider: Provider::Hsm,
        vendor_role: VendorRole::Execution,
        name: None,
        identity: RequestIdentity::default(),
        note: None,
        requirements: Vec::new(),
        minimum_confidence_ppm: 0,
        approval_ttl: Duration::from_hours(24),
    };
    let mut won = [0, 0];
    let mut signed = BTreeSet::new();
    for _ in 0..RACES / AT_ONCE {
        let races = (0..AT_ONCE).map(|number| {
            let ctx = OpCtx { now: world.services.clock.now(), ..ctx.clone() };
            let (world, request) = (&world, request(number + 1));
            async move { race(world, &ctx, request, number % 20).await }
        });
        for (id, abort_won) in join_all(races).await {
            won[usize::from(abort_won)] += 1;
            let state = world.stored(id).await.state;
            assert_eq!(state == State::Aborted, abort_won, "{state:?}");
            if !abort_won {
                signed.insert(id);
            }
        }
    }
    assert_eq!(won[0] + won[1], RACES);
    assert!(won[0] > 0 && won[1] > 0, "{won:?}");
    world.work_until(async || world.token.signed.lock().unwrap().len() >= signed.len()).await;
    let used = world.token.signed.lock().unwrap().clone();
    assert_eq!((used.len(), used.into_iter().collect::<BTreeSet<_>>()), (signed.len(), signed));
    let held = world.services.store.held_nonces(ChainId::eip155(CHAIN).unwrap(), escrow, 0).await.unwrap();
    let dense: Vec<u64> = (0..).take(won[0]).collect();
    assert_eq!(held, dense, "no gap before anything that is signed");
}
