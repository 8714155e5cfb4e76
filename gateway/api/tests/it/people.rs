//! Who is counted: people, not their keys (T12), and what waits for them holds nothing (T5).

use gateway_domain::{
    OpCtx,
    approvals::{EvidenceLevel, Role},
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, Write},
    credentials::{CreateApiKey, Label, create_api_key},
    ids::PrincipalId,
    policy::{Applies, Policy, PolicyHead, Requirement},
    ports::UnitOfWork,
};
use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, World},
};

/// A policy that demands this many agents of everything.
async fn demand_agents(world: &World, count: u32) {
    let store = &world.services.store;
    let present = store.policy(world.organization).await.unwrap().unwrap().into_value();
    let agents =
        Requirement { role: Role::Agent, count, evidence: EvidenceLevel::Bearer, applies: Applies::Always };
    let mut policy = Policy { revision: present.revision + 1, ..present };
    policy.floor.requirements = vec![agents];
    let head = PolicyHead { organization: world.organization, revision: policy.revision };
    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    let seal = &world.services.sealer;
    let changes = ChangeSet::new(AuditEvent::new(&ctx, "test.policy", "policy".to_owned(), json!({})))
        .write(Write::InsertPolicy(seal.seal(policy)))
        .write(Write::MovePolicyHead(seal.seal(head)));
    let store: &dyn UnitOfWork = store.as_ref();
    store.commit(changes).await.unwrap();
}

async fn owner_of(world: &World, key: &str) -> PrincipalId {
    let ids = [world.key_ids[key]];
    world.services.store.api_keys(world.organization, &ids).await.unwrap()[0].principal
}

/// An agent's key; without an owner, of somebody new.
async fn agent_key(world: &World, principal: Option<PrincipalId>) -> String {
    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    let request = CreateApiKey {
        label: Label::Agent,
        name: "another agent".to_owned(),
        principal,
        expires_at: None,
        dev_only: false,
        verification_service: None,
    };
    let (_, text) = create_api_key(&ctx, &world.services, request).await.unwrap();
    text.reveal().to_string()
}

async fn vote(world: &World, hash: &str, key: &str) -> u16 {
    let path = format!("/transactions/{hash}/approvals");
    let call = world.post(path, &json!({"approved": true})).header("x-api-key", key);
    call.send().await.status.as_u16()
}

async fn status(world: &World, hash: &str) -> Value {
    let path = format!("/transactions/{hash}/approval-status");
    world.get(path).key(world, "admin").send().await.expect(200)["status"].clone()
}

#[tokio::test]
async fn two_keys_of_one_owner_fill_one_place() {
    let world = World::new().await;
    demand_agents(&world, 2).await;
    let owner = owner_of(&world, "agent").await;
    let (second_key, somebody_else) = (agent_key(&world, Some(owner)).await, agent_key(&world, None).await);
    let escrow = world.user(&Wallet::new(1)).await;
    let proposed = world.propose(escrow, 1).await;
    let hash = proposed["requestHash"].as_str().unwrap();
    assert_eq!(vote(&world, hash, &world.keys["agent"]).await, 201);
    // The same person saying the same again is answered as the first time, and counted once.
    assert_eq!(vote(&world, hash, &second_key).await, 201);
    assert_eq!(status(&world, hash).await, "PENDING");
    assert_eq!(vote(&world, hash, &somebody_else).await, 201);
    assert_ne!(status(&world, hash).await, "PENDING");
}

#[tokio::test]
async fn whoever_creates_does_not_approve_with_another_key() {
    let world = World::new().await;
    demand_agents(&world, 1).await;
    let creator = owner_of(&world, "admin").await;
    let own_agent = agent_key(&world, Some(creator)).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let proposed = world.propose(escrow, 1).await;
    let hash = proposed["requestHash"].as_str().unwrap();
    vote(&world, hash, &own_agent).await;
    assert_eq!(status(&world, hash).await, "PENDING");
    assert_eq!(vote(&world, hash, &world.keys["agent"]).await, 201);
    assert_ne!(status(&world, hash).await, "PENDING");
}

#[tokio::test]
async fn a_thousand_pending_transactions_hold_no_nonce() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    for _ in 0..1_000 {
        assert_eq!(world.propose(escrow, FREE_WEI + 1).await["status"], "PENDING");
    }
    let chain = ChainId::eip155(CHAIN).unwrap();
    let held = async || world.services.store.held_nonces(chain, escrow, 0).await.unwrap();
    assert!(held().await.is_empty());
    assert_ne!(world.propose(escrow, 1).await["status"], "PENDING");
    assert_eq!(held().await, [0]);
}
