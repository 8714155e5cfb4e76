//! T17: what plugins remember holds against requests that come at once.

use std::time::Duration;

use futures::future::join_all;
use gateway_api::{ApiConfig, Rate, RateConfig};
use gateway_domain::{
    Address,
    approvals::Role,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_binding_remembers_nothing_and_shares_nothing() {
    let (world, escrow) = world(wide()).await;
    world.plugin.limit(10);
    world.bind("shadow", Mode::Shadow, Power::Authority(Role::Orion)).await;
    let store = &world.services.store;
    let policy = store.policy(world.organization).await.unwrap().unwrap();
    let lineage = |mode| policy.bindings.iter().find(|binding| binding.mode == mode).unwrap().id;
    let (enforced, shadow) = (lineage(Mode::Enforce), lineage(Mode::Shadow));

    let made = stored(&world, &world.propose(escrow, 1).await).await;
    advance(&world.services, world.organization, made.id).await.unwrap();
    assert_eq!(store.evaluations(world.organization, made.id).await.unwrap().len(), 2);
    assert_eq!(store.plugin_state_rows(world.organization, enforced).await.unwrap(), 1);
    assert_eq!(store.plugin_state_rows(world.organization, shadow).await.unwrap(), 0);
}
