//! T17: what plugins remember holds against requests that come at once.

use std::time::Duration;

use futures::future::join_all;
use gateway_api::{ApiConfig, Rate, RateConfig};
use gateway_domain::{
    Address,
    approvals::Role,
    evaluations::{EvaluationResult, Purpose, Verdict},
    ids::TransactionId,
    policy::{Mode, Power},
    ports::{Limits, StateLimits},
    transactions::{State, Transaction, advance},
};
use serde_json::json;

use crate::{
    wallet::Wallet,
    world::{FREE_WEI, World, limits},
};

const DEADLINE: Duration = Duration::from_mins(1);

async fn world(state: StateLimits) -> (World, Address) {
    let plenty = Rate { burst: 10_000, period_ms: 1 };
    let rates = RateConfig { credential: plenty, source: plenty, ..RateConfig::default() };
    let config = ApiConfig { rates, ..ApiConfig::default() };
    let world = World::with_limits(config, Limits { state, denied_tries_max: 1_000, ..limits() }).await;
    let escrow = world.user(&Wallet::new(1)).await;
    (world, escrow)
}

fn wide() -> StateLimits {
    limits().state
}

async fn stored(world: &World, proposed: &serde_json::Value) -> Transaction {
    let hash = proposed["requestHash"].as_str().unwrap().parse().unwrap();
    let found = world.services.store.transaction_by_request_hash(world.organization, hash).await.unwrap();
    found.unwrap().into_value()
}

/// Carries the transaction on until it is signed or over.
async fn settle(world: &World, id: TransactionId) -> State {
    loop {
        advance(&world.services, world.organization, id).await.unwrap();
        let found = world.services.store.transaction(world.organization, id).await.unwrap().unwrap();
        if found.state.attempt().is_some() || found.state.is_final() {
            return found.state.clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_requests_at_once_exactly_the_limit_is_signed() {
    let (world, escrow) = world(wide()).await;
    world.plugin.limit(10);
    let proposed = join_all((1..=64).map(|value| world.propose(escrow, value))).await;
    let signing = async {
        let mut signed = 0;
        for proposal in &proposed {
            let state = settle(&world, stored(&world, proposal).await.id).await;
            signed += usize::from(state.attempt().is_some());
        }
        signed
    };
    assert_eq!(tokio::time::timeout(DEADLINE, signing).await.unwrap(), 10);
    assert_eq!(stored(&world, &world.propose(escrow, 65).await).await.state.name(), "rejected");
    world.clock.advance(Duration::from_secs(3_700));
    let later = world.propose(escrow, 66).await;
    assert!(settle(&world, stored(&world, &later).await.id).await.attempt().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_released_when_its_transaction_ends_unsigned() {
    let (world, escrow) = world(wide()).await;
    world.plugin.limit(1);
    let waiting = world.propose(escrow, FREE_WEI + 1).await;
    assert_eq!(stored(&world, &waiting).await.state.name(), "pending");
    assert_eq!(stored(&world, &world.propose(escrow, 2).await).await.state.name(), "rejected");

    let path = format!("/transactions/{}/approvals", waiting["requestHash"].as_str().unwrap());
    let no = json!({"approved": false});
    world.post(path, &no).key(&world, "agent").send().await.expect(201);
    assert_eq!(stored(&world, &waiting).await.state.name(), "rejected");
    let freed = world.propose(escrow, 3).await;
    assert!(settle(&world, stored(&world, &freed).await.id).await.attempt().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_beyond_a_bound_of_state_fails_and_denies() {
    let (world, escrow) = world(StateLimits { reservations_max: 1, ..wide() }).await;
    world.plugin.limit(100);
    world.propose(escrow, FREE_WEI + 1).await;
    let refused = stored(&world, &world.propose(escrow, 2).await).await;
    let State::Rejected { detail, .. } = &refused.state else { panic!("{:?}", refused.state) };
    assert_eq!(detail, "plugin `orion` failed: state_quota");
}

/// Has the transaction's shadow heard, as one that approves so many transactions an hour; whether it approves.
async fn shadow_approves(world: &World, id: TransactionId, limit: u64) -> bool {
    world.plugin.limit(limit);
    advance(&world.services, world.organization, id).await.unwrap();
    let heard = world.services.store.evaluations(world.organization, id).await.unwrap();
    let mut shadows = heard.iter().filter(|evaluation| evaluation.purpose == Purpose::Shadow);
    let (Some(shadow), None) = (shadows.next(), shadows.next()) else { panic!("{heard:?}") };
    let EvaluationResult::Verdict(outcome) = &shadow.result else { panic!("{shadow:?}") };
    outcome.verdict == Verdict::Approve
}

/// Rows of state that the binding of this mode has.
async fn rows(world: &World, mode: Mode) -> u64 {
    let store = &world.services.store;
    let policy = store.policy(world.organization).await.unwrap().unwrap();
    let lineage = policy.bindings.iter().find(|binding| binding.mode == mode).unwrap().id;
    store.plugin_state_rows(world.organization, lineage).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_reads_what_the_enforced_one_remembers_and_writes_nothing() {
    let (world, escrow) = world(wide()).await;
    world.bind("orion", Mode::Shadow, Power::Authority(Role::Orion)).await;
    // Signed by the time the shadow is heard, or waiting for people: what was reserved for the transaction itself does
    // not count, and it is judged all the same.
    let cases = [(1, 1, true), (2, 1, false), (3, 3, true), (4, 3, false), (FREE_WEI + 1, 5, true)];
    for (value, limit, approves) in cases {
        world.plugin.limit(10);
        let made = stored(&world, &world.propose(escrow, value).await).await;
        assert_eq!(made.state.attempt().is_some(), value <= FREE_WEI, "{:?}", made.state);
        assert_eq!(shadow_approves(&world, made.id, limit).await, approves, "{value} wei, {limit} an hour");
    }
    assert_eq!((rows(&world, Mode::Enforce).await, rows(&world, Mode::Shadow).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_of_nothing_that_is_enforced_starts_from_nothing_each_time() {
    let (world, escrow) = world(wide()).await;
    world.bind("shadow", Mode::Shadow, Power::Authority(Role::Orion)).await;
    for value in 1..=3 {
        world.plugin.limit(10);
        let made = stored(&world, &world.propose(escrow, value).await).await;
        assert!(shadow_approves(&world, made.id, 1).await);
    }
    assert_eq!((rows(&world, Mode::Enforce).await, rows(&world, Mode::Shadow).await), (1, 0));
}
