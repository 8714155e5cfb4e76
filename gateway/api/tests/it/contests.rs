//! Requests at once for the same thing: one of them does it, the others find it done, and nothing is done twice.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use axum::http::Method;
use futures::future::join_all;
use gateway_domain::keys::{KeyPurpose, KeyState};
use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{Reply, World},
};

fn certificate(recreate: bool) -> Value {
    json!({"commonName": "Gateway", "organization": "Example", "country": "US", "recreate": recreate})
}

pub(crate) async fn ask(world: &World, access: &str, recreate: bool) -> Reply {
    let path = "/fireblocks/generate-csr/execution";
    world.post(path, &certificate(recreate)).bearer(access).send().await
}

fn statuses(replies: &[Reply]) -> BTreeSet<u16> {
    replies.iter().map(|reply| reply.status.as_u16()).collect()
}

/// Keys of certificate requests: all, and those in use.
async fn keys(world: &World) -> (usize, usize) {
    let keys = world.services.store.key_list(world.organization).await.unwrap();
    let ours: Vec<_> = keys.iter().filter(|key| key.purpose == KeyPurpose::FireblocksRequest).collect();
    (ours.len(), ours.iter().filter(|key| key.state == KeyState::Active).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_first_requests_for_a_certificate_one_has_a_key_made() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let replies = join_all((0..20).map(|_| ask(&world, &access, false))).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!((made, statuses(&replies)), (1, BTreeSet::from([201, 409])));
    assert_eq!(keys(&world).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_made_anew_more_often_by_asking_at_once() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    ask(&world, &access, false).await.expect(201);
    let mut made = 0;
    for _ in 0..4 {
        let replies = join_all((0..10).map(|_| ask(&world, &access, true))).await;
        made += replies.iter().filter(|reply| reply.status == 201).count();
        let told = statuses(&replies);
        assert!(told.is_subset(&BTreeSet::from([201, 409, 429])), "{told:?}");
    }
    ask(&world, &access, true).await.expect(429);
    let (all, active) = keys(&world).await;
    assert!((1..=3).contains(&made) && all <= 4, "{made} made, {all} keys");
    assert_eq!(active, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_makes_no_key_leaves_nothing_that_is_shown_or_used() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    world.token.makes_nothing.store(true, Ordering::SeqCst);
    ask(&world, &access, false).await.expect(503);
    world.get("/fireblocks/integration/execution").bearer(&access).send().await.expect(404);
    let all = world.get("/fireblocks/integrations").bearer(&access).send().await.expect(200);
    assert_eq!(all, json!([]));
    world.token.makes_nothing.store(false, Ordering::SeqCst);
    let made = ask(&world, &access, false).await.expect(201);
    assert_eq!(made["status"], "csr_generated");
    assert_eq!(keys(&world).await, (2, 1), "the key that was not made is retired");

    // What works goes on working.
    world.token.makes_nothing.store(true, Ordering::SeqCst);
    ask(&world, &access, true).await.expect(503);
    assert_eq!(keys(&world).await, (3, 1), "the key that works is not the one that is retired");
    let kept = world.get("/fireblocks/csr/execution").bearer(&access).send().await.expect(200);
    assert_eq!(kept, made);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_to_quorums_are_set_and_forgotten_at_once_without_a_conflict() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let path = "/settings/privy-quorum/execution";
    let set = |name: u32| {
        let body = json!({"quorumId": format!("quorum-{name}")});
        world.call(Method::PUT, path).json(&body).bearer(&access).send()
    };
    let forget = || world.call(Method::DELETE, path).bearer(&access).send();
    for round in 0..5 {
        let replies = join_all((0..4).map(|number| set(round * 10 + number))).await;
        assert_eq!(statuses(&replies), BTreeSet::from([200]), "{replies:?}");
        let replies = join_all((0..3).map(|_| forget())).await;
        let forgotten = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!((forgotten, statuses(&replies)), (1, BTreeSet::from([200, 404])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_is_completed_once_at_a_time() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    ask(&world, &access, false).await.expect(201);
    let body = json!({
        "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox", "region": "US",
    });
    let complete = || world.post("/fireblocks/complete/execution", &body).bearer(&access).send();
    let replies = join_all((0..5).map(|_| complete())).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((done, statuses(&replies)), (1, BTreeSet::from([200, 429])));
    world.clock.advance(world.services.vendors.limits.validation_pause);
    complete().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_revoked_once_and_everybody_is_told_so() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let body = json!({"name": "program"});
    let made = world.post("/user-api-keys", &body).bearer(&access).send().await.expect(201);
    let path = format!("/user-api-keys/{}", made["id"].as_str().unwrap());
    let revoke = || world.call(Method::DELETE, path.clone()).bearer(&access).send();
    let replies = join_all((0..10).map(|_| revoke())).await;
    assert_eq!(statuses(&replies), BTreeSet::from([200]));
    let told: BTreeSet<String> = replies.iter().map(|reply| reply.text.clone()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}
