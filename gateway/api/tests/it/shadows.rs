//! Shadow bindings: recorded, and in nobody's way.

use gateway_api::ApiConfig;
use gateway_domain::{
    approvals::Role,
    evaluations::{EvaluationResult, Purpose, Verdict},
    ids::TransactionId,
    policy::{Mode, Power},
};
use serde_json::Value;

use crate::{
    races::{id_of, quick},
    wallet::Wallet,
    world::{FREE_WEI, World},
};

async fn shadow_words(world: &World, id: TransactionId) -> Vec<EvaluationResult> {
    let all = world.services.store.evaluations(world.organization, id).await.unwrap();
    let shadows = all.iter().filter(|evaluation| evaluation.purpose == Purpose::Shadow);
    shadows.map(|evaluation| evaluation.result.clone()).collect()
}

/// Proposes one that is signed, one that waits for people and one that is denied.
async fn propose_each(world: &World) -> [Value; 3] {
    let escrow = world.user(&Wallet::new(1)).await;
    let (sent, pending) = (world.propose(escrow, 1).await, world.propose(escrow, FREE_WEI + 1).await);
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    let denied = world.propose(escrow, 1).await;
    assert!(sent["executionTxHash"].is_string(), "{sent}");
    assert_eq!((&pending["status"], &denied["status"]), (&"PENDING".into(), &"REJECTED".into()));
    [sent, pending, denied]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_fails_fails_nothing_else_and_is_recorded() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    world.bind("shadow", Mode::Shadow, Power::Authority(Role::Orion)).await;
    world.plugin.silence("shadow");
    for transaction in propose_each(&world).await {
        let id = id_of(&transaction);
        world.work_until(async || !shadow_words(&world, id).await.is_empty()).await;
        let words = shadow_words(&world, id).await;
        assert!(
            matches!(&words[..], [EvaluationResult::Failure { code, .. }] if code == "not_asked"),
            "{words:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_are_asked_after_the_decision_and_once() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    world.bind("shadow", Mode::Shadow, Power::Authority(Role::Orion)).await;
    let proposed = propose_each(&world).await;
    assert_eq!(world.plugin.asked("shadow"), 0, "nobody waited for it");
    for transaction in &proposed {
        let id = id_of(transaction);
        world.work_until(async || !shadow_words(&world, id).await.is_empty()).await;
        assert!(matches!(&shadow_words(&world, id).await[..], [EvaluationResult::Verdict(_)]));
    }
    let pending = id_of(&proposed[1]);
    gateway_domain::transactions::advance(&world.services, world.organization, pending).await.unwrap();
    assert_eq!(world.plugin.asked("shadow"), 3);
}
