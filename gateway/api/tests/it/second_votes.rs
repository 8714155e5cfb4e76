//! A vote that no longer counts does not silence whoever gave it, and an approval can be taken back.

use std::time::Duration;

use axum::http::Method;
use gateway_api::ApiConfig;
use gateway_domain::{identity::set_organization_frozen, transactions::advance};
use serde_json::{Value, json};

use crate::{
    abort::hold_up,
    races::{approvals_of, id_of, quick},
    signatures::SignedVote,
    wallet::Wallet,
    world::{ORIGIN, Reply, World},
};

async fn status(world: &World, proposed: &Value) -> Value {
    let path = format!("/transactions/{}/approval-status", proposed["requestHash"].as_str().unwrap());
    world.get(path).key(world, "admin").send().await.expect(200)
}

/// The owner's vote, itself signed, which counts for ten minutes.
async fn signed_vote(world: &World, wallet: &Wallet, proposed: &Value, approved: bool) -> Reply {
    let expires = world.seconds() + 600;
    let status = status(world, proposed).await;
    let vote = SignedVote { origin: ORIGIN.to_owned(), status, approved, expires };
    let signature = vote.sign(wallet);
    let call = world.post(approvals_of(proposed), &json!({"approved": approved}));
    call.signature(wallet, &signature).header("x-ethereum-expires", &expires.to_string()).send().await
}

async fn by_agent(world: &World, proposed: &Value, approved: bool) -> Reply {
    world.post(approvals_of(proposed), &json!({"approved": approved})).key(world, "agent").send().await
}

/// A key of the user, its id, and what it may be revoked with.
async fn user_key(world: &World, wallet: &Wallet) -> (String, String, String) {
    let access = world.log_in(wallet).await.access;
    let made = world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send().await.expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("key"), text("id"), access)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_approval_is_followed_by_another() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let proposed = world.propose(escrow, 5_000).await;
    let first = signed_vote(&world, &wallet, &proposed, true).await.expect(201);
    assert_eq!(signed_vote(&world, &wallet, &proposed, true).await.expect(201)["id"], first["id"]);
    assert_eq!(status(&world, &proposed).await["user"], true);
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(status(&world, &proposed).await["user"], false, "what has expired is not shown as given");
    assert_eq!(by_agent(&world, &proposed, true).await.expect(201)["transactionStatus"], "PENDING");
    let second = signed_vote(&world, &wallet, &proposed, true).await.expect(201);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["transactionStatus"], "APPROVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vote_of_a_revoked_key_is_followed_by_the_owners() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (key, id, access) = user_key(&world, &wallet).await;
    let proposed = world.propose(escrow, 5_000).await;
    let by_key = world.post(approvals_of(&proposed), &json!({"approved": true})).header("x-api-key", &key);
    by_key.send().await.expect(201);
    let path = format!("/user-api-keys/{id}");
    world.call(Method::DELETE, path).bearer(&access).send().await.expect(200);
    by_agent(&world, &proposed, true).await.expect(201);
    assert_eq!(status(&world, &proposed).await["status"], "PENDING");
    let own = signed_vote(&world, &wallet, &proposed, true).await.expect(201);
    assert_eq!(own["transactionStatus"], "APPROVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_rejects_what_a_stolen_key_approved() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (key, ..) = user_key(&world, &wallet).await;
    let proposed = world.propose(escrow, 5_000).await;
    let by_thief = |approved| {
        let call = world.post(approvals_of(&proposed), &json!({"approved": approved}));
        call.header("x-api-key", &key).send()
    };
    by_thief(true).await.expect(201);
    let rejected = signed_vote(&world, &wallet, &proposed, false).await.expect(201);
    assert_eq!(rejected["transactionStatus"], "REJECTED");
    by_thief(true).await.expect(409);
    by_agent(&world, &proposed, true).await.expect(409);
    assert_eq!(status(&world, &proposed).await["rejectedBy"], json!(["user"]));
}

/// Until a permit exists, the owner says no.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_and_not_permitted_is_still_rejected() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let freeze = async |frozen| set_organization_frozen(&world.ctx(), &world.services, frozen).await.unwrap();
    let approved = async || {
        let proposed = world.propose(escrow, 5_000).await;
        signed_vote(&world, &wallet, &proposed, true).await.expect(201);
        assert_eq!(by_agent(&world, &proposed, true).await.expect(201)["transactionStatus"], "APPROVED");
        let _ = advance(&world.services, world.organization, id_of(&proposed)).await.unwrap();
        proposed
    };
    freeze(true).await;
    let proposed = approved().await;
    let arbiter = world.post(approvals_of(&proposed), &json!({"approved": false})).key(&world, "arbiter");
    arbiter.send().await.expect(409);
    // The contract's word on an actor who says the opposite; what is new is that a wallet outvotes a stolen key.
    by_agent(&world, &proposed, false).await.expect(409);
    let no = signed_vote(&world, &wallet, &proposed, false).await.expect(201);
    assert_eq!(no["transactionStatus"], "REJECTED");
    freeze(false).await;
    let _ = advance(&world.services, world.organization, id_of(&proposed)).await.unwrap();
    assert_eq!(status(&world, &proposed).await["status"], "REJECTED");
    world.token.go_away(true);
    let permitted = approved().await;
    let signing = hold_up(&world, id_of(&permitted)).await;
    let late = signed_vote(&world, &wallet, &permitted, false).await;
    late.expect(409);
    assert_eq!(late.message(), "the transaction is being signed: a permit for it is in force");
    assert!(world.token.signed.lock().unwrap().is_empty());
    world.token.gate.add_permits(1);
    signing.await.unwrap().unwrap();
    assert_eq!(*world.token.signed.lock().unwrap(), [id_of(&permitted)]);

    // A permit that was given back stands in nobody's way.
    world.token.go_away(true);
    world.token.gate.add_permits(10);
    let permitted = approved().await;
    let heard = signed_vote(&world, &wallet, &permitted, false).await.expect(201);
    assert_eq!(heard["transactionStatus"], "REJECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn lapsed_approvals_are_so_many_and_a_rejection_still_ends_it() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let proposed = world.propose(escrow, 5_000).await;
    for _ in 0..world.services.limits.votes_per_principal_max {
        signed_vote(&world, &wallet, &proposed, true).await.expect(201);
        world.clock.advance(Duration::from_secs(601));
    }
    let surplus = signed_vote(&world, &wallet, &proposed, true).await;
    surplus.expect(409);
    assert_eq!(surplus.message(), "so many votes may be given on one transaction and no more");
    let rejected = signed_vote(&world, &wallet, &proposed, false).await.expect(201);
    assert_eq!(rejected["transactionStatus"], "REJECTED");
}
