//! A plugin that nobody could ask has said nothing: the client is told to come back, and nothing is kept.

use axum::http::StatusCode;
use gateway_api::ApiConfig;
use gateway_domain::{
    evaluations::Verdict,
    policy::{Mode, Power},
    ports::TransactionFilter,
};

use crate::{
    wallet::Wallet,
    world::{World, limits, transfer},
};

impl World {
    async fn transactions(&self, escrow: gateway_domain::Address) -> usize {
        let store = &self.services.store;
        let owner = store.user_by_escrow_address(self.organization, escrow).await.unwrap().unwrap();
        let filter = TransactionFilter { limit: 100, ..TransactionFilter::default() };
        store.transactions_of(self.organization, owner.id, &filter).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_plugin_cannot_be_asked_is_told_to_come_back_and_leaves_nothing() {
    for code in ["breaker_open", "queue_full", "shutting_down", "host_error", "cache_unavailable"] {
        let world = World::with_limits(ApiConfig::default(), limits()).await;
        let escrow = world.user(&Wallet::new(1)).await;
        world.bind("gate", Mode::Enforce, Power::Gate).await;
        world.plugin.silence_with("gate", code);
        let lanes = world.services.store.lane_heads().await.unwrap();
        let body = transfer(escrow, 1);
        let sent = |key: &'static str| {
            world.post("/transactions", &body).key(&world, "admin").header("idempotency-key", key)
        };
        for _ in 0..2 {
            let answer = sent("again").send().await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{code}");
            assert_eq!(answer.headers["retry-after"], "1", "{code}");
        }
        assert_eq!(world.transactions(escrow).await, 0, "{code}");
        assert_eq!(world.services.store.lane_heads().await.unwrap(), lanes, "{code}: nothing was written");
        assert_eq!(world.plugin.asked("gate"), 2, "each try asks again");

        world.plugin.speak("gate");
        let answer = sent("again").send().await.expect(201);
        assert!(answer["executionTxHash"].is_string(), "{code}: {answer}");
        assert_eq!(world.transactions(escrow).await, 1);
    }
}

/// Neither a kind word nor an unkind one of the others is kept: they are asked again with it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_rests_on_what_the_others_said_meanwhile() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.bind("gate", Mode::Enforce, Power::Gate).await;
    world.plugin.silence_with("gate", "breaker_open");
    world.plugin.say(Verdict::Approve, "yes", 1_000_000);
    let body = transfer(escrow, 1);
    let propose = || world.post("/transactions", &body).key(&world, "admin").send();
    assert_eq!(propose().await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.plugin.speak("gate");
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    let answer = propose().await.expect(201);
    assert_eq!(answer["status"], "REJECTED", "{answer}");
    assert_eq!(world.plugin.asked("orion"), 2);
}
