//! Reports of how somebody else executed (T24): taken for provider `none` and from APPROVED, and nowhere else.

use std::time::Duration;

use axum::http::Method;
use gateway_domain::{
    evaluations::Verdict,
    ids::{AttemptId, VendorCallId},
    transactions::{CoreStatus, FailureReason, Intent, Phase, Provider, State, Transaction},
};
use serde_json::{Value, json};

use super::{
    for_every_provider,
    scene::{Scene, id, name, name_of},
};
use crate::{
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, INTERNAL_TOKEN, Reply, World, transfer},
};

async fn report(world: &World, request_hash: &str, body: &Value) -> Reply {
    let path = format!("/internal/orion-metadata/{request_hash}/settlement");
    let call = world.call(Method::PATCH, path).json(body);
    call.header("x-internal-token", INTERNAL_TOKEN).send().await
}

fn settled() -> Value {
    json!({"status": "settled", "settlementTxHash": name(5), "blockNumber": 9, "gasUsed": "21000"})
}

fn failed() -> Value {
    json!({"status": "failed", "failureReason": "out of gas"})
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_somebody_else_executes_and_everybody_approved_is_settled() {
    for_every_provider(async |scene: Scene| {
        for (state, transaction) in every_state(&scene).await {
            let request_hash = name_of(&transaction);
            let is_taken = scene.provider == Provider::None && state == "approved";
            for body in [json!({"status": "pending"}), failed(), settled()] {
                let reply = report(&scene.world, &request_hash, &body).await;
                let case = format!("{:?} {state} {body}: {}", scene.provider, reply.text);
                let has_moved = scene.stored(&request_hash).await.state != transaction.state;
                match (is_taken, body["status"].as_str()) {
                    (true, Some("pending")) => assert_eq!(reply.status.as_u16(), 200, "{case}"),
                    (true, Some("failed")) => {
                        assert_eq!(reply.status.as_u16(), 200, "{case}");
                        assert!(has_moved, "{case}");
                    }
                    // A change after the last word.
                    (true, _) => assert_eq!(reply.status.as_u16(), 409, "{case}"),
                    (false, _) => {
                        assert_eq!(reply.status.as_u16(), 409, "{case}");
                        assert!(!has_moved, "{case}: it moved");
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_another_chain_moves_nothing() {
    let scene = Scene::new(Provider::None).await;
    let made = scene.propose(1).await.expect(201);
    let request_hash = made["requestHash"].as_str().unwrap();
    let mut body = settled();
    body["chainId"] = json!(CHAIN + 1);
    let refused = report(&scene.world, request_hash, &body).await;
    refused.expect(400);
    assert_eq!(refused.message(), "chainId must be the transaction's");
    assert_eq!(scene.stored(request_hash).await.state, State::Approved);
    body["chainId"] = json!(CHAIN);
    report(&scene.world, request_hash, &body).await.expect(200);
}

/// One transaction in each state that the provider can be in.
async fn every_state(scene: &Scene) -> Vec<(&'static str, Transaction)> {
    let made = async |value: u64| {
        let made = scene.propose(value).await.expect(201);
        scene.stored(made["requestHash"].as_str().unwrap()).await
    };
    let mut found = vec![("pending", made(FREE_WEI + 1).await)];
    let overdue = made(FREE_WEI + 2).await;
    scene.world.clock.advance(Duration::from_hours(48));
    scene.advance(&overdue).await;
    found.push(("expired", scene.stored(&name_of(&overdue)).await));
    let (call, attempt) = (id(VendorCallId::from_uuid), id(AttemptId::from_uuid));
    let since = scene.world.services.clock.now();
    let status = gateway_domain::fireblocks::VendorStatus::Submitted;
    scene.freeze(scene.provider != Provider::None).await;
    for state in [
        State::Approved,
        State::Signed { attempt },
        State::Submitted { attempt, since, phase: Phase::Pushed },
        State::HandedOver { call, since, status },
        State::Failed { reason: FailureReason::Refused },
        State::Aborted,
    ] {
        let transaction = made(1).await;
        assert_eq!(transaction.state, State::Approved);
        found.push((state.name(), scene.moved(&transaction, state).await));
    }
    scene.freeze(false).await;
    scene.world.plugin.say(Verdict::Reject, "no", 1);
    found.push(("rejected", made(1).await));
    for (state, transaction) in &found {
        let expected = if *state == "expired" { "rejected" } else { state };
        assert_eq!(transaction.state.name(), expected);
    }
    found
}

/// The whole way of a user whose escrow is elsewhere, as POST /users makes them.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_an_escrow_elsewhere_has_transactions_judged_and_settled_by_report() {
    let world = World::new().await;
    let (wallet, escrow) = (Wallet::new(1), Wallet::new(2).address());
    let body = json!({"ethereumAddress": wallet.address(), "escrowAddress": escrow});
    world.post("/users", &body).key(&world, "admin").send().await.expect(201);
    let admin = async |body: Value| world.post("/transactions", &body).key(&world, "admin").send().await;
    for (report_body, status) in [(settled(), CoreStatus::Executed), (failed(), CoreStatus::Failed)] {
        let made = admin(transfer(escrow, FREE_WEI + 1)).await.expect(201);
        assert_eq!(
            (&made["status"], &made["escrowAddress"]),
            (&json!("PENDING"), &json!(escrow.to_string()))
        );
        let request_hash = made["requestHash"].as_str().unwrap().to_owned();
        report(&world, &request_hash, &report_body).await.expect(409);
        let approvals = format!("/transactions/{request_hash}/approvals");
        let yes = json!({"approved": true});
        world.post(approvals.clone(), &yes).signed(&wallet).send().await.expect(201);
        let voted = world.post(approvals, &yes).key(&world, "agent").send().await.expect(201);
        assert_eq!(voted["transactionStatus"], "APPROVED");
        world.idle().await;
        report(&world, &request_hash, &report_body).await.expect(200);
        report(&world, &request_hash, &report_body).await.expect(200);
        let path = format!("/transactions/users/{}?status={}", wallet.address(), status.as_str());
        let listed = world.get(path).key(&world, "agent").send().await.expect(200);
        assert_eq!(listed[0]["requestHash"], request_hash.as_str());
        assert_eq!(listed[0]["orionMetadata"]["settlement"]["status"], report_body["status"]);
    }
    world.plugin.say(Verdict::Reject, "no", 1);
    let refused = admin(transfer(escrow, 1)).await.expect(201);
    assert_eq!(refused["status"], "REJECTED");
}

/// Two users whose keys are elsewhere share no key; what one was denied is not counted against the other (T16).
#[tokio::test(flavor = "multi_thread")]
async fn denials_of_one_escrow_elsewhere_do_not_count_for_another() {
    let world = World::new().await;
    let escrows = [Wallet::new(2).address(), Wallet::new(4).address()];
    for (number, escrow) in escrows.into_iter().enumerate() {
        let wallet = Wallet::new(10 + u8::try_from(number).unwrap());
        let body = json!({"ethereumAddress": wallet.address(), "escrowAddress": escrow});
        world.post("/users", &body).key(&world, "admin").send().await.expect(201);
    }
    let ask = async |escrow, value| {
        world.post("/transactions", &transfer(escrow, value)).key(&world, "admin").send().await
    };
    world.plugin.say(Verdict::Reject, "no", 1);
    let tries = u64::from(world.services.limits.denied_tries_max);
    for value in 1..=tries {
        assert_eq!(ask(escrows[0], value).await.expect(201)["status"], "REJECTED");
    }
    ask(escrows[0], 1).await.expect(429);
    assert_eq!(ask(escrows[1], 1).await.expect(201)["status"], "REJECTED");
}

/// Nothing can be signed or handed over for an intent that names no key.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_a_key_has_no_provider_of_ours() {
    let scene = Scene::elsewhere().await;
    let made = scene.propose(1).await.expect(201);
    let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
    assert_eq!(transaction.intent.key, Intent::NO_KEY);
    assert_eq!(transaction.intent.from, scene.escrow);
    assert_eq!(transaction.state, State::Approved);
}
