//! Encrypted requests of execution types 1 and 2: who must agree, and which of the user's providers executes.

use gateway_domain::{
    credentials::{CreateApiKey, Label, create_api_key},
    transactions::{ExecutionType, Provider, State, Transaction},
    verification::VerificationService,
};
use serde_json::{Value, json};

use super::{
    for_every_provider,
    scene::{Scene, name_of},
};
use crate::{
    encrypted::{body, hash, plaintext},
    openpgp::{BUILT_IN, encrypt},
    world::{Reply, World},
};

/// A request for a transfer that no floor reaches.
fn request(scene: &Scene, service: &VerificationService, execution_type: u8, number: u8) -> Value {
    let mut content = plaintext(scene.escrow, hash(number));
    content["value"] = json!("1");
    let message = encrypt(&content.to_string(), BUILT_IN);
    let mut request = body(&scene.wallet, scene.escrow, hash(number), &message, service.id);
    request["executionType"] = json!(execution_type);
    request
}

/// Proposed by somebody whose consent nobody needs.
async fn send(scene: &Scene, request: &Value) -> Reply {
    scene.world.post("/transactions", request).key(&scene.world, "admin").send().await
}

async fn required(world: &World, made: &Value) -> Value {
    let path = format!("/transactions/{}/approval-status", made["requestHash"].as_str().unwrap());
    world.get(path).key(world, "agent").send().await.expect(200)["required"].clone()
}

/// The state that the transaction has after somebody's yes; `user` signs, the others come with their key.
async fn approve(scene: &Scene, made: &Value, role: &str) -> Value {
    let path = format!("/transactions/{}/approvals", made["requestHash"].as_str().unwrap());
    let call = scene.world.post(path, &json!({"approved": true}));
    let call = if role == "user" { call.signed(&scene.wallet) } else { call.key(&scene.world, role) };
    call.send().await.expect(201)["transactionStatus"].clone()
}

async fn carried_on(scene: &Scene, made: &Value) -> Transaction {
    scene.world.idle().await;
    let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
    for _ in 0..3 {
        scene.advance(&transaction).await;
    }
    scene.stored(&name_of(&transaction)).await
}

/// Where an approved transaction of the provider is after a while, and how often a vendor was asked to act.
#[track_caller]
fn assert_executed(provider: Provider, state: &State, released: (bool, usize)) {
    match provider {
        Provider::Hsm | Provider::Privy => assert!(matches!(state, State::Submitted { .. }), "{state:?}"),
        Provider::Fireblocks => assert!(matches!(state, State::HandedOver { .. }), "{state:?}"),
        Provider::None => assert_eq!(*state, State::Approved),
    }
    let expected = match provider {
        Provider::Hsm => (true, 0),
        Provider::Fireblocks | Provider::Privy => (true, 1),
        Provider::None => (false, 0),
    };
    assert_eq!(released, expected, "{provider:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_executes_needs_the_user_and_goes_to_their_provider() {
    for_every_provider(async |scene: Scene| {
        let service = scene.world.built_in_service().await;
        let made = send(&scene, &request(&scene, &service, 1, 7)).await.expect(201);
        assert_eq!((&made["status"], &made["executionType"]), (&json!("PENDING"), &json!(1)));
        assert_eq!(required(&scene.world, &made).await, json!(["user", "orion"]));
        // Nobody else's yes takes the user's place.
        for other in ["agent", "arbiter"] {
            assert_eq!(approve(&scene, &made, other).await, "PENDING", "{:?} {other}", scene.provider);
        }
        let waiting = carried_on(&scene, &made).await;
        assert_eq!(scene.released(&waiting).await, (false, 0), "{:?}", scene.provider);
        assert_eq!(approve(&scene, &made, "user").await, "APPROVED");
        let done = carried_on(&scene, &made).await;
        assert_eq!((done.execution_type, done.provider), (ExecutionType::UserExecuted, scene.provider));
        assert_executed(scene.provider, &done.state, scene.released(&done).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_executes_needs_the_agent_and_goes_to_the_agents_provider() {
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy, Provider::None] {
        let scene = Scene::of_agent(provider).await;
        let service = scene.world.built_in_service().await;
        let made = send(&scene, &request(&scene, &service, 2, 7)).await.expect(201);
        assert_eq!(required(&scene.world, &made).await, json!(["agent", "orion"]));
        assert_eq!(approve(&scene, &made, "user").await, "PENDING", "{provider:?}");
        let waiting = carried_on(&scene, &made).await;
        assert_eq!(scene.released(&waiting).await, (false, 0), "{provider:?}");
        assert_eq!(approve(&scene, &made, "agent").await, "APPROVED");
        let done = carried_on(&scene, &made).await;
        assert_eq!((done.execution_type, done.provider), (ExecutionType::AgentExecuted, provider));
        assert_executed(provider, &done.state, scene.released(&done).await);

        // What the user executes is not the agent's provider's.
        let made = send(&scene, &request(&scene, &service, 1, 8)).await.expect(201);
        assert_eq!(approve(&scene, &made, "user").await, "APPROVED");
        let own = carried_on(&scene, &made).await;
        assert_eq!((own.provider, own.state), (Provider::None, State::Approved), "{provider:?}");
    }
}

/// T12: for execution type 2 as well whoever proposed does not count.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_consent_to_what_it_proposed_itself() {
    let scene = Scene::of_agent(Provider::Hsm).await;
    let service = scene.world.built_in_service().await;
    let propose = |number| {
        let request = request(&scene, &service, 2, number);
        scene.world.post("/transactions", &request).key(&scene.world, "agent").send()
    };
    // Nobody is left who could consent: that is told at once.
    let hopeless = propose(7).await.expect(201);
    assert_eq!(hopeless["status"], "REJECTED");
    let reason = hopeless["failureReason"].as_str().unwrap();
    assert!(reason.starts_with("requirement_unreachable: "), "{reason}");

    another_agent(&scene.world).await;
    let made = propose(8).await.expect(201);
    assert_eq!(approve(&scene, &made, "agent").await, "PENDING");
    let waiting = carried_on(&scene, &made).await;
    assert_eq!(scene.released(&waiting).await, (false, 0));
}

async fn another_agent(world: &World) {
    let request = CreateApiKey {
        label: Label::Agent,
        name: "another agent".to_owned(),
        principal: None,
        expires_at: None,
        dev_only: false,
        verification_service: None,
    };
    create_api_key(&world.ctx(), &world.services, request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_no_ends_what_the_agent_would_execute() {
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy] {
        let scene = Scene::of_agent(provider).await;
        let service = scene.world.built_in_service().await;
        let made = send(&scene, &request(&scene, &service, 2, 7)).await.expect(201);
        let path = format!("/transactions/{}/approvals", made["requestHash"].as_str().unwrap());
        let no = scene.world.post(path, &json!({"approved": false})).key(&scene.world, "agent");
        assert_eq!(no.send().await.expect(201)["transactionStatus"], "REJECTED");
        let ended = carried_on(&scene, &made).await;
        assert_eq!(scene.released(&ended).await, (false, 0), "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arbiter_that_the_user_requires_or_a_weak_verdict_demands_comes_on_top() {
    for (choice, execution_type, roles) in [
        (json!({"requireArbiter": true}), 1, ["user", "arbiter", "orion"]),
        (json!({"requireArbiter": true}), 2, ["agent", "arbiter", "orion"]),
        // The plugin is sure to 0.95.
        (json!({"orionConfidenceThreshold": 0.96}), 1, ["user", "arbiter", "orion"]),
    ] {
        let scene = Scene::new(Provider::Fireblocks).await;
        let access = scene.world.log_in(&scene.wallet).await.access;
        let chosen = scene.world.call(axum::http::Method::PUT, "/settings").json(&choice);
        chosen.bearer(&access).send().await.expect(200);
        let service = scene.world.built_in_service().await;
        let made = send(&scene, &request(&scene, &service, execution_type, 7)).await.expect(201);
        assert_eq!(required(&scene.world, &made).await, json!(roles), "{choice} {execution_type}");
        assert_eq!(approve(&scene, &made, roles[0]).await, "PENDING");
        assert_eq!(approve(&scene, &made, "arbiter").await, "APPROVED");
        let done = carried_on(&scene, &made).await;
        assert_executed(done.provider, &done.state, scene.released(&done).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_does_not_name_is_what_the_settings_say() {
    let scene = Scene::of_agent(Provider::Hsm).await;
    let (built_in, outside) = (scene.world.built_in_service().await, scene.world.outside_service().await);
    let access = scene.world.log_in(&scene.wallet).await.access;
    let choose = async |choice: Value| {
        let call = scene.world.call(axum::http::Method::PUT, "/settings").json(&choice);
        call.bearer(&access).send().await.expect(200);
    };
    let unnamed = |number: u8| {
        let mut request = request(&scene, &built_in, 2, number);
        for field in ["executionType", "verificationServiceId"] {
            request.as_object_mut().unwrap().remove(field).unwrap();
        }
        request
    };
    let nameless = send(&scene, &unnamed(7)).await;
    nameless.expect(400);
    assert!(nameless.message().contains("verificationServiceId is required"), "{}", nameless.message());

    choose(json!({"executionType": 2, "verificationServiceId": built_in.id})).await;
    let made = send(&scene, &unnamed(7)).await.expect(201);
    let stored = scene.stored(made["requestHash"].as_str().unwrap()).await;
    assert_eq!((&made["executionType"], stored.verification_service), (&json!(2), Some(built_in.id)));
    assert_eq!(stored.provider, Provider::Hsm);

    // A request that names them is not overruled.
    let mut named = unnamed(8);
    named["executionType"] = json!(1);
    let made = send(&scene, &named).await.expect(201);
    assert_eq!(made["executionType"], 1);

    choose(json!({"verificationServiceId": outside.id})).await;
    let misaddressed = send(&scene, &unnamed(9)).await;
    misaddressed.expect(400);
    assert!(misaddressed.message().contains("verification service's key"), "{}", misaddressed.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_key_proposes_for_its_owner_and_names_nobody() {
    let scene = Scene::new(Provider::Privy).await;
    let service = scene.world.built_in_service().await;
    let access = scene.world.log_in(&scene.wallet).await.access;
    let key = scene.world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send().await;
    let key = key.expect(201)["key"].as_str().unwrap().to_owned();
    let propose = async |request: &Value| {
        scene.world.post("/transactions", request).header("x-api-key", &key).send().await
    };
    let named = request(&scene, &service, 1, 7);
    let refused = propose(&named).await;
    refused.expect(400);
    assert_eq!(refused.message(), "ethereumAddress may only be given with a server key");

    let mut own = named;
    own.as_object_mut().unwrap().remove("ethereumAddress").unwrap();
    let missing = send(&scene, &own).await;
    missing.expect(400);
    assert_eq!(missing.message(), "ethereumAddress is required with a server key");

    // The escrow of somebody else is not the owner's.
    let other = scene.world.user(&crate::wallet::Wallet::new(2)).await;
    let mut foreign = own.clone();
    foreign["escrowAddress"] = json!(other);
    assert_eq!(
        propose(&foreign).await.expect(400)["message"],
        json!(["escrowAddress must belong to the user"])
    );

    let made = propose(&own).await.expect(201);
    assert_eq!(made["ethereumAddress"], scene.wallet.address().to_checksum(None));
    assert_eq!(made["status"], "PENDING");
    let stored = scene.stored(made["requestHash"].as_str().unwrap()).await;
    assert_eq!((stored.owner, stored.initiator), (scene.owner, scene.owner));
    // What a program of theirs proposed, its owner consents to.
    assert_eq!(approve(&scene, &made, "user").await, "APPROVED");
}
