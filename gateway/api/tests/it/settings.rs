//! What users choose, and what they may not.

use std::{sync::atomic::Ordering, time::Duration};

use axum::http::Method;
use futures::future::join_all;
use gateway_api::ApiConfig;
use gateway_domain::{
    U256,
    ids::TransactionId,
    keys::{KeyPurpose, KeyState},
    ports::Limits,
    transactions::{Progress, advance},
    vendors::VendorError,
};
use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, ORIGIN, Reply, World, limits},
};

impl World {
    async fn put(&self, access: &str, body: &Value) -> Reply {
        self.call(Method::PUT, "/settings").json(body).bearer(access).send().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_begin_with_the_defaults_and_change_by_name() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let before = world.get("/settings").bearer(&access).send().await.expect(200);
    let mut defaults = before.clone();
    defaults.as_object_mut().unwrap().remove("updatedAt").unwrap();
    assert_eq!(
        defaults,
        json!({
            "ethereumAddress": wallet.address().to_checksum(None), "executionType": 1, "chainId": CHAIN,
            "executionProvider": "hsm", "agentProvider": "hsm", "requireArbiter": false,
            "orionConfidenceThreshold": 0.8, "approvalTtlSeconds": 86_400, "privyQuorums": {},
        })
    );
    let update = json!({"executionType": 2, "requireArbiter": true, "orionConfidenceThreshold": 0.95});
    let after = world.put(&access, &update).await.expect(200);
    assert_eq!((&after["executionType"], &after["requireArbiter"]), (&json!(2), &json!(true)));
    assert_eq!(
        (&after["orionConfidenceThreshold"], &after["approvalTtlSeconds"]),
        (&json!(0.95), &json!(86_400))
    );
    let escrow = after["escrowAddress"].as_str().unwrap();
    let after = world.put(&access, &json!({"approvalTtlSeconds": 60})).await.expect(200);
    assert_eq!((&after["executionType"], &after["approvalTtlSeconds"]), (&json!(2), &json!(60)));
    assert_eq!(after["escrowAddress"].as_str(), Some(escrow), "the escrow key is made once");
    assert_eq!(world.get("/settings").bearer(&access).send().await.expect(200), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn choosing_the_same_again_writes_nothing() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let quorum = async |name: &str| {
        let body = json!({"quorumId": "quorum-one", "displayName": name});
        let path = "/settings/privy-quorum/execution";
        world.call(Method::PUT, path).json(&body).bearer(&access).send().await.expect(200)
    };
    let choice = json!({"executionType": 2, "approvalTtlSeconds": 60});
    let (named, chosen) = (quorum("one").await, world.put(&access, &choice).await.expect(200));
    let before = world.services.store.lane_heads().await.unwrap();
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(world.put(&access, &choice).await.expect(200), chosen);
    assert_eq!(world.put(&access, &json!({})).await.expect(200), chosen);
    assert_eq!(quorum("one").await, named);
    assert_eq!(world.services.store.lane_heads().await.unwrap(), before, "nothing is told to the audit log");

    let changed = world.put(&access, &json!({"approvalTtlSeconds": 61})).await.expect(200);
    assert_ne!(changed["updatedAt"], chosen["updatedAt"]);
    assert_ne!(quorum("another").await["updatedAt"], named["updatedAt"]);
}

/// T7: an execution type that the client chose does not take the arbiter away.
#[tokio::test(flavor = "multi_thread")]
async fn who_requires_an_arbiter_gets_one_for_direct_transactions_too() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let settings = world.put(&access, &json!({"requireArbiter": true})).await.expect(200);
    let escrow = settings["escrowAddress"].as_str().unwrap().parse().unwrap();
    let made = world.propose(escrow, 1).await;
    assert_eq!((&made["status"], &made["executionType"]), (&json!("PENDING"), &json!(0)));
    let path = format!("/transactions/{}/approvals", made["requestHash"].as_str().unwrap());
    let voted = world.post(path, &json!({"approved": true})).key(&world, "arbiter").send().await.expect(201);
    assert_eq!(voted["transactionStatus"], "APPROVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_rule_is_named() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    for (body, rule) in [
        (json!({"executionType": 3}), "executionType must be one of 0, 1, 2"),
        (json!({"executionType": null}), "executionType must be one of 0, 1, 2"),
        (json!({"chainId": 5}), "chainId must be one that is served here"),
        (
            json!({"executionProvider": "HSM"}),
            "executionProvider must be one of hsm, privy, fireblocks, none",
        ),
        (
            json!({"executionProvider": "fireblocks"}),
            "executionProvider fireblocks needs an active Fireblocks integration of that type",
        ),
        (json!({"agentProvider": "privy"}), "agentProvider privy needs a Privy quorum of that type"),
        (
            json!({"verificationServiceId": 1}),
            "verificationServiceId must name an active verification service",
        ),
        (json!({"verificationServiceId": 0}), "verificationServiceId must be a whole number between 1 and"),
        (
            json!({"orionConfidenceThreshold": 1.5}),
            "orionConfidenceThreshold must be a number between 0 and 1",
        ),
        (
            json!({"approvalTtlSeconds": 59}),
            "approvalTtlSeconds must be a whole number between 60 and 604800",
        ),
        (json!({"approvalTtlSeconds": 604_801}), "approvalTtlSeconds must be a whole number between 60 and"),
        (json!({"requireArbiter": "yes"}), "requireArbiter must be true or false"),
        (json!({"ethereumAddress": Wallet::new(2).address()}), "ethereumAddress is not a known field"),
    ] {
        let reply = world.put(&access, &body).await;
        reply.expect(400);
        assert!(reply.message().contains(rule), "{body}: {}", reply.message());
    }
    let settings = world.get("/settings").bearer(&access).send().await.expect(200);
    assert_eq!(settings.get("escrowAddress"), None, "a refused update makes no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escrow_address_is_ones_own_wallet_or_stays() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let taken = world.user(&Wallet::new(3)).await;
    let access = world.log_in(&wallet).await.access;
    let foreign =
        |address| json!({"escrowAddress": address, "executionProvider": "none", "agentProvider": "none"});
    world.put(&access, &foreign(taken)).await.expect(409);
    let reply = world.put(&access, &foreign(other.address())).await;
    reply.expect(400);
    assert!(
        reply.message().starts_with("escrowAddress must be the wallet that logged in"),
        "{}",
        reply.message()
    );
    let reply = world.put(&access, &json!({"escrowAddress": wallet.address()})).await;
    reply.expect(400);
    assert!(reply.message().contains("executionProvider must not be hsm"), "{}", reply.message());
    assert!(reply.message().contains("agentProvider must not be hsm"), "{}", reply.message());

    let moved = world.put(&access, &foreign(wallet.address())).await.expect(200);
    assert_eq!(moved["escrowAddress"], json!(wallet.address().to_checksum(None)));
    assert_eq!(moved["executionProvider"], json!("none"));
    world.put(&access, &json!({"executionProvider": "hsm"})).await.expect(400);
    world.put(&access, &foreign(wallet.address())).await.expect(200);

    // A key in the HSM is not left behind.
    let access = world.log_in(&other).await.access;
    let held = world.put(&access, &json!({})).await.expect(200);
    world.put(&access, &foreign(other.address())).await.expect(409);
    let same = json!({"escrowAddress": held["escrowAddress"]});
    assert_eq!(world.put(&access, &same).await.expect(200)["escrowAddress"], held["escrowAddress"]);
}

/// Whoever made an API key first has such an escrow, and would have no way to Fireblocks or Privy.
#[tokio::test(flavor = "multi_thread")]
async fn an_escrow_key_that_nothing_came_of_may_be_left() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let moved_to = |wallet: &Wallet| {
        let address = wallet.address();
        json!({"escrowAddress": address, "executionProvider": "none", "agentProvider": "none"})
    };
    let access = world.log_in(&wallet).await.access;
    world.put(&access, &json!({})).await.expect(200);
    world.put(&access, &moved_to(&wallet)).await.expect(409);
    *world.node.balance.lock().unwrap() = U256::ZERO;
    world.node.nonce.store(1, Ordering::SeqCst);
    world.put(&access, &moved_to(&wallet)).await.expect(409);
    world.node.nonce.store(0, Ordering::SeqCst);
    let moved = world.put(&access, &moved_to(&wallet)).await.expect(200);
    assert_eq!(moved["escrowAddress"], json!(wallet.address().to_checksum(None)));
    let keys = world.services.store.key_list(world.organization).await.unwrap();
    let wallet_keys = keys.iter().filter(|key| key.purpose == KeyPurpose::Wallet);
    assert_eq!(wallet_keys.map(|key| key.state).collect::<Vec<_>>(), [KeyState::Retired]);

    let access = world.log_in(&other).await.access;
    let held = world.put(&access, &json!({})).await.expect(200);
    let escrow = held["escrowAddress"].as_str().unwrap().parse().unwrap();
    world.propose(escrow, 1).await;
    world.put(&access, &moved_to(&other)).await.expect(409);
}

/// T4: nobody puts an escrow under their name that is not theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_escrow_address_signs_the_request_or_comes_with_an_admin_key() {
    let world = World::new().await;
    let (wallet, vault, stranger) = (Wallet::new(1), Wallet::new(5), Wallet::new(6));
    let foreign = |wallet: &Wallet| {
        let address = wallet.address();
        json!({"escrowAddress": address, "executionProvider": "none", "agentProvider": "none"})
    };
    let access = world.log_in(&wallet).await.access;
    let put = |access: &str, body: &Value| world.call(Method::PUT, "/settings").json(body).bearer(access);
    let to_vault = foreign(&vault);
    for (call, status) in [
        (put(&access, &to_vault), 400),
        (put(&access, &to_vault).signed(&stranger), 400),
        (put(&access, &to_vault).signed(&vault).key(&world, "admin"), 400),
        (put(&access, &to_vault).key(&world, "agent"), 401),
        (put(&access, &to_vault).header("x-api-key", "ck_admin_nobody"), 401),
        // Signed for another request.
        (put(&access, &foreign(&stranger)).signed(&vault).json_again(&to_vault), 401),
    ] {
        call.send().await.expect(status);
    }
    let timestamp = world.seconds();
    let bytes = serde_json::to_vec(&to_vault).unwrap();
    let signature = vault.sign_request([ORIGIN, "PUT", "/settings"], &bytes, Some(timestamp));
    let signed = || {
        let call = put(&access, &to_vault).signature(&vault, &signature);
        call.header("x-ethereum-timestamp", &timestamp.to_string()).send()
    };
    let moved = signed().await.expect(200);
    assert_eq!(moved["escrowAddress"], json!(vault.address().to_checksum(None)));
    put(&access, &foreign(&wallet)).send().await.expect(200);
    signed().await.expect(401);

    let other = world.log_in(&Wallet::new(2)).await.access;
    put(&other, &foreign(&wallet)).key(&world, "admin").send().await.expect(409);
    let moved = put(&other, &to_vault).key(&world, "admin").send().await.expect(200);
    assert_eq!(moved["escrowAddress"], json!(vault.address().to_checksum(None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_by_their_user_and_by_server_keys() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let access = world.log_in(&wallet).await.access;
    world.log_in(&other).await;
    let path = |wallet: &Wallet| format!("/settings/by-ethereum/{}", wallet.address());
    let own = world.get(path(&wallet)).bearer(&access).send().await.expect(200);
    assert_eq!(world.get(path(&wallet)).key(&world, "agent").send().await.expect(200), own);
    world.get(path(&other)).bearer(&access).send().await.expect(403);
    // Nobody learns whether somebody else is a user.
    world.get(path(&Wallet::new(9))).bearer(&access).send().await.expect(403);
    world.get(path(&Wallet::new(9))).key(&world, "agent").send().await.expect(404);
    world.get(path(&wallet)).key(&world, "orion").send().await.expect(403);
    world.get("/settings/by-ethereum/0x12").key(&world, "agent").send().await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_first_updates_at_once_agree_on_one_escrow_key() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let body = json!({"approvalTtlSeconds": 600});
    let replies = futures::join!(world.put(&access, &body), world.put(&access, &body));
    let (one, two) = (replies.0.expect(200), replies.1.expect(200));
    assert_eq!(one["escrowAddress"], two["escrowAddress"]);
    let keys = world.services.store.key_list(world.organization).await.unwrap();
    let active = keys.iter().filter(|key| key.state == KeyState::Active);
    assert_eq!(active.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_against_others_too_often_is_told_so() {
    let limits = Limits { contest_attempts_max: 1, ..limits() };
    let world = World::with_limits(ApiConfig::default(), limits).await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    world.put(&access, &json!({"approvalTtlSeconds": 60})).await.expect(200);
    let change = async |seconds: u32| world.put(&access, &json!({"approvalTtlSeconds": seconds})).await;
    let replies = join_all((100..150).map(change)).await;
    let (changed, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(!changed.is_empty() && !refused.is_empty(), "{} of 50 changed", changed.len());
    for reply in refused {
        reply.expect(503);
        assert!(reply.headers.contains_key("retry-after"));
    }
}

/// What a user's settings may name is what can be used.
#[tokio::test(flavor = "multi_thread")]
async fn settings_name_a_vendor_only_while_it_can_be_used() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let choose = async |name: &str, provider: &str| {
        world.call(Method::PUT, "/settings").json(&json!({name: provider})).bearer(&access).send().await
    };
    let call = async |method: Method, path: &str, body: Value| {
        world.call(method, path).json(&body).bearer(&access).send().await
    };
    let refused = choose("executionProvider", "fireblocks").await;
    refused.expect(400);
    assert!(refused.message().contains("unless escrowAddress is no key of this gateway"));
    let own = json!({
        "escrowAddress": Wallet::new(1).address(), "executionProvider": "none", "agentProvider": "none",
    });
    call(Method::PUT, "/settings", own).await.expect(200);
    choose("executionProvider", "fireblocks").await.expect(400);
    let subject = json!({"commonName": "My Organization", "organization": "My Org", "country": "US"});
    call(Method::POST, "/fireblocks/generate-csr/execution", subject).await.expect(201);
    choose("executionProvider", "fireblocks").await.expect(400);
    let access_data = json!({
        "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox", "region": "US",
    });
    call(Method::POST, "/fireblocks/complete/execution", access_data).await.expect(200);
    choose("agentProvider", "fireblocks").await.expect(400);
    let chosen = choose("executionProvider", "fireblocks").await.expect(200);
    assert_eq!(chosen["executionProvider"], "fireblocks");

    choose("agentProvider", "privy").await.expect(400);
    let quorum = json!({"type": "agent", "navaAgent": true});
    let quorum = call(Method::POST, "/settings/register-privy-quorum", quorum).await.expect(201);
    choose("executionProvider", "privy").await.expect(400);
    let refused = choose("agentProvider", "privy").await;
    refused.expect(400);
    assert!(refused.message().contains("needs a user who has a privyUserId"), "{}", refused.message());
    let linked = json!({
        "displayName": "Arbiter Quorum", "ethereumAddress": Wallet::new(1).address(), "privyUserId": "did:privy:one",
    });
    world.post("/privy-quorum", &linked).key(&world, "agent").send().await.expect(201);
    let chosen = choose("agentProvider", "privy").await.expect(200);
    assert_eq!(chosen["privyQuorums"]["agent"], quorum);
    world.vendors.fireblocks.refuse(401);
    let checked =
        world.call(Method::POST, "/fireblocks/validate/execution").bearer(&access).send().await.expect(200);
    assert_eq!(checked["valid"], false);
    choose("executionProvider", "fireblocks").await.expect(400);
}

/// How long people may take is what was chosen when they were asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_approves_ends_expired_when_the_chosen_time_is_over() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let access = world.log_in(&wallet).await.access;
    world.put(&access, &json!({"approvalTtlSeconds": 3600})).await.expect(200);
    let (forgotten, late) =
        (world.propose(escrow, FREE_WEI + 1).await, world.propose(escrow, FREE_WEI + 2).await);
    world.put(&access, &json!({"approvalTtlSeconds": 7200})).await.expect(200);
    let patient = world.propose(escrow, FREE_WEI + 3).await;
    world.idle().await;
    let worked = async |made: &Value| {
        let id = TransactionId::from_uuid(made["id"].as_str().unwrap().parse().unwrap());
        advance(&world.services, world.organization, id).await.unwrap()
    };
    let told = async |made: &Value| {
        let path = format!("/transactions/users/{}", wallet.address());
        let listed = world.get(path).key(&world, "agent").send().await.expect(200);
        let mut listed = listed.as_array().unwrap().iter();
        let found = listed.find(|found| found["id"] == made["id"]).unwrap();
        (found["status"].clone(), found["failureReason"].clone())
    };
    let (pending, expired) =
        ((json!("PENDING"), Value::Null), (json!("REJECTED"), json!("expired: nobody decided in time")));

    world.clock.advance(Duration::from_mins(50));
    let due = worked(&forgotten).await;
    assert!(matches!(due, Progress::Again(due) if due <= Duration::from_mins(10)), "{due:?}");
    assert_eq!(told(&forgotten).await, pending);
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(worked(&forgotten).await, Progress::Done);
    assert_eq!(told(&forgotten).await, expired);
    let vote = async |made: &Value| {
        let path = format!("/transactions/{}/approvals", made["requestHash"].as_str().unwrap());
        world.post(path, &json!({"approved": true})).key(&world, "agent").send().await
    };
    vote(&forgotten).await.expect(409);
    // The vote comes before the worker does.
    vote(&late).await;
    worked(&late).await;
    assert_eq!(told(&late).await, expired);

    assert!(matches!(worked(&patient).await, Progress::Again(_)));
    assert_eq!(told(&patient).await, pending);
    world.clock.advance(Duration::from_hours(1));
    worked(&patient).await;
    assert_eq!(told(&patient).await, expired);
}

/// Silence is no validation.
#[tokio::test(flavor = "multi_thread")]
async fn an_integration_was_validated_when_fireblocks_answered() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let call = async |method: Method, path: &str, body: Value| {
        world.call(method, path).json(&body).bearer(&access).send().await
    };
    let subject = json!({"commonName": "My Organization", "organization": "My Org", "country": "US"});
    call(Method::POST, "/fireblocks/generate-csr/execution", subject).await.expect(201);
    let access_data = json!({
        "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox", "region": "US",
    });
    call(Method::POST, "/fireblocks/complete/execution", access_data).await.expect(200);
    let validate = || world.call(Method::POST, "/fireblocks/validate/execution").bearer(&access).send();
    let told = async || {
        let told = world.get("/fireblocks/integrations").bearer(&access).send().await.expect(200);
        told[0]["lastValidatedAt"].clone()
    };
    world.vendors.fireblocks.is_silent.store(true, Ordering::SeqCst);
    assert_eq!(validate().await.expect(200)["valid"], false);
    assert_eq!(told().await, Value::Null);
    validate().await.expect(429);
    world.vendors.fireblocks.is_silent.store(false, Ordering::SeqCst);
    world.clock.advance(world.services.vendors.limits.validation_pause);
    assert_eq!(validate().await.expect(200)["valid"], true);
    assert!(told().await.is_string());
}

/// Nobody enrolled a wallet that logged in by itself; the server key that makes the quorum says whose it is at Privy.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_logged_in_gets_its_privy_account_with_the_arbiters_quorum_and_keeps_it() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    world.log_in(&wallet).await;
    let quorum = async |user: &str| {
        let body = json!({
            "displayName": "Arbiter Quorum", "ethereumAddress": wallet.address(), "privyUserId": user,
        });
        world.post("/privy-quorum", &body).key(&world, "agent").send().await
    };
    // What Privy does not know is not kept.
    let fails = &world.vendors.privy.fails;
    *fails.lock().unwrap() = Some(|| VendorError::Refused { http_status: 400, code: None });
    quorum("did:privy:oen").await.expect(502);
    *fails.lock().unwrap() = None;
    quorum("did:privy:one").await.expect(201);
    let path = format!("/users/{}", wallet.address());
    let user = world.get(path).key(&world, "admin").send().await.expect(200);
    assert_eq!(user["privyUserId"], json!("did:privy:one"));
    let refused = quorum("did:privy:two").await;
    refused.expect(400);
    assert_eq!(refused.message(), "privyUserId must be the user's, who has another");
    quorum("did:privy:one").await.expect(201);
}
