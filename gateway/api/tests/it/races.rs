//! Everything that may happen on the way from the decision to the signature.

use std::{collections::BTreeSet, future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures::future::join_all;
use gateway_api::ApiConfig;
use gateway_domain::{
    Address,
    chain::ChainId,
    credentials::revoke_api_key,
    evaluations::Verdict,
    ids::TransactionId,
    policy::{DenialReason, Mode, Power},
    ports::{Limits, TransactionFilter},
    transactions::{State, Transaction, advance},
};
use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, World, limits, transfer},
};

/// Longer than an evaluation counts.
const STALE: Duration = Duration::from_mins(16);

pub(crate) fn quick() -> Limits {
    Limits { unavailable_pause: Duration::from_millis(10), ..limits() }
}

pub(crate) fn id_of(transaction: &Value) -> TransactionId {
    transaction["id"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn approvals_of(transaction: &Value) -> String {
    format!("/transactions/{}/approvals", transaction["requestHash"].as_str().unwrap())
}

pub(crate) fn denied_for(transaction: &Transaction) -> Option<DenialReason> {
    match &transaction.state {
        State::Rejected { reason, .. } => Some(*reason),
        _ => None,
    }
}

async fn all_of(world: &World, owner: &Wallet) -> Vec<Transaction> {
    let store = &world.services.store;
    let owner = store.user_by_address(world.organization, owner.address()).await.unwrap().unwrap();
    let filter = TransactionFilter { limit: 1_000, ..TransactionFilter::default() };
    let found = store.transactions_of(world.organization, owner.id, &filter).await.unwrap();
    found.into_iter().map(gateway_domain::sealed::Sealed::into_value).collect()
}

/// A transaction that user and agent have approved, and that nobody has carried on yet.
async fn approved_by_people(world: &World) -> TransactionId {
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let pending = world.propose(escrow, FREE_WEI + 1).await;
    let vote = json!({"approved": true});
    world.post(approvals_of(&pending), &vote).signed(&wallet).send().await.expect(201);
    world.post(approvals_of(&pending), &vote).key(world, "agent").send().await.expect(201);
    let id = id_of(&pending);
    assert_eq!(world.stored(id).await.state, State::Approved);
    id
}

async fn revoke_agent(world: &World) {
    revoke_api_key(&world.ctx(), &world.services, world.key_ids["agent"]).await.unwrap();
}

async fn held(world: &World, escrow: Address) -> Vec<u64> {
    let chain = ChainId::eip155(CHAIN).unwrap();
    world.services.store.held_nonces(chain, escrow, 0).await.unwrap()
}

/// Nobody loses a nonce to a neighbour: with a single try each, all are signed in their own requests.
#[tokio::test(flavor = "multi_thread")]
async fn many_transactions_of_one_escrow_at_once_do_not_contend_for_nonces() {
    const AT_ONCE: u64 = 200;
    let limits = Limits { contest_attempts_max: 1, ..limits() };
    let config = ApiConfig { inline_signing_wait_ms: 60_000, ..ApiConfig::default() };
    let world = World::with_limits(config, limits).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let proposed = join_all((1..=AT_ONCE).map(|value| world.propose(escrow, value))).await;
    for transaction in proposed {
        assert!(transaction["executionTxHash"].is_string(), "{transaction}");
    }
    assert_eq!(held(&world, escrow).await, (0..AT_ONCE).collect::<Vec<_>>());
    assert_eq!(world.plugin.asked("orion"), AT_ONCE);
}

/// T13: a slow or lying node holds up nothing that was checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_revoked_while_the_node_takes_its_time_does_not_count() {
    let world = World::new().await;
    let id = approved_by_people(&world).await;
    world.node.gate.forget_permits(usize::MAX);
    let revocation = async {
        world.node.asked.acquire().await.unwrap().forget();
        revoke_agent(&world).await;
        world.node.gate.add_permits(1);
    };
    let (advanced, ()) = tokio::join!(advance(&world.services, world.organization, id), revocation);
    advanced.unwrap();
    assert_eq!(denied_for(&world.stored(id).await), Some(DenialReason::ApprovalLost));
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// T13: standing was read already; the permit is lost all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_revoked_between_decision_and_permit_does_not_count() {
    let world = World::new().await;
    let id = approved_by_people(&world).await;
    world.clock.advance(STALE);
    let held = world.plugin.hold(Verdict::Approve);
    let revocation = async {
        held.entered.await.unwrap();
        revoke_agent(&world).await;
        held.go_on.send(()).unwrap();
    };
    let (advanced, ()) = tokio::join!(advance(&world.services, world.organization, id), revocation);
    advanced.unwrap();
    assert_eq!(denied_for(&world.stored(id).await), Some(DenialReason::ApprovalLost));
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// Authority that the transaction does not rest on costs another decision and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_loss_of_authority_holds_up_nothing() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.node.gate.forget_permits(usize::MAX);
    let revocation = async {
        world.node.asked.acquire().await.unwrap().forget();
        revoke_agent(&world).await;
        world.node.gate.add_permits(10);
    };
    let (proposed, ()) = tokio::join!(world.propose(escrow, 1), revocation);
    assert!(proposed["executionTxHash"].is_string(), "{proposed}");
}

/// T13: what was approved and waits is judged by the policy of the day on which it is signed.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_queued_while_the_hsm_is_away_obey_a_rule_made_meanwhile() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    world.token.go_away(true);
    for value in 1..=10 {
        assert_eq!(world.propose(escrow, value).await["status"], "APPROVED");
    }
    world.plugin.say(Verdict::Reject, "nothing leaves today", 1_000_000);
    world.bind("deny", Mode::Enforce, Power::Gate).await;
    world.token.go_away(false);
    world.work_until(async || all_of(&world, &wallet).await.iter().all(|one| one.state.is_final())).await;
    let ended = all_of(&world, &wallet).await;
    assert_eq!(ended.len(), 10);
    assert!(ended.iter().all(|one| denied_for(one) == Some(DenialReason::Plugin)), "{ended:?}");
    assert!(world.token.signed.lock().unwrap().is_empty());
    assert!(held(&world, escrow).await.is_empty());
}

/// A permit that was not used is given back, not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn signing_goes_on_as_soon_as_the_hsm_is_back() {
    let lasting = Limits { permit_lifetime: Duration::from_hours(1), ..quick() };
    let world = World::with_limits(ApiConfig::default(), lasting).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.token.go_away(true);
    let proposed = world.propose(escrow, 1).await;
    assert_eq!(proposed["status"], "APPROVED");
    let id = id_of(&proposed);
    advance(&world.services, world.organization, id).await.unwrap();
    world.token.go_away(false);
    advance(&world.services, world.organization, id).await.unwrap();
    assert!(world.stored(id).await.state.is_released());
    let permits = world.services.store.permits(world.organization, id).await.unwrap();
    // Issued, given back, renewed, given back, renewed.
    assert_eq!(permits.iter().map(|permit| permit.version).collect::<Vec<_>>(), [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_in_time_expires() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.token.go_away(true);
    let proposed = world.propose(escrow, 1).await;
    assert_eq!(proposed["status"], "APPROVED");
    let id = id_of(&proposed);
    world.clock.advance(Duration::from_hours(24));
    world.token.go_away(false);
    world.work_until(async || world.stored(id).await.state.is_final()).await;
    assert_eq!(denied_for(&world.stored(id).await), Some(DenialReason::Expired));
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// T18: whichever await point the client leaves at, its transaction either never was or is carried on, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_at_any_await_point_stops_nothing() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    // How many polls a request takes varies with the threads beside it, so the points are gone through more than once.
    let (mut left_early, mut answers, mut polls) = (0, 0, 0);
    for round in 1..=500 {
        let body = transfer(escrow, round);
        let request = world.post("/transactions", &body).key(&world, "admin").send();
        let answered = poll_so_often(request, polls).await;
        world.idle().await;
        let made = all_of(&world, &wallet).await;
        let unfinished: Vec<_> =
            made.iter().filter(|one| !matches!(one.state, State::Submitted { .. })).collect();
        assert!(unfinished.is_empty(), "left after {polls} polls: {unfinished:?}");
        let signed = world.token.signed.lock().unwrap().clone();
        assert_eq!(signed.len(), made.len(), "one signature each");
        assert_eq!(signed.iter().collect::<BTreeSet<_>>().len(), made.len());
        answers += usize::from(answered);
        left_early = made.len() - answers;
        if answers > 0 && left_early > 0 {
            break;
        }
        polls = if answered { 0 } else { polls + 1 };
    }
    assert!(answers > 0 && left_early > 0, "{answers} answers, {left_early} carried on without their client");
    assert_eq!(held(&world, escrow).await.len(), world.token.signed.lock().unwrap().len());
}

/// Polls the request, each time it is woken, at most so often; then drops it. True if it was answered by then.
async fn poll_so_often<T>(request: impl Future<Output = T>, polls: u64) -> bool {
    let mut request = pin!(request);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match request.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
