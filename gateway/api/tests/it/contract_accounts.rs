//! Wallets that are contracts (ERC-1271, T9): off by default, for enrolled users alone, and only as far as their nodes
//! agree.

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    Address, Error,
    chain::ChainId,
    identity::{
        ContractAccountLimits, ContractAccounts, enrol_contract_account, require_escrow,
        withdraw_contract_account,
    },
    ports::Services,
};
use serde_json::{Value, json};

use crate::{
    sign_in::Tokens,
    signatures::SignedVote,
    wallet::{Wallet, hex},
    world::{CHAIN, FREE_WEI, ORIGIN, Reply, World},
};

mod bodies;
mod questions;
mod switches;

const LIMITS: ContractAccountLimits = ContractAccountLimits {
    agreement: 2,
    call_gas_max: 1_000_000,
    answer_timeout: Duration::from_secs(25),
    block_age_max: Duration::from_hours(1),
    signature_bytes_max: 4096,
    questions_max: 16,
    questions_per_organization_max: 8,
    questions_per_account_max: 4,
    questions_per_source_max: 2,
};

/// A wallet whose owner's key is not the address's.
struct Contract {
    address: Address,
    owner: Wallet,
}

async fn taking(limits: ContractAccountLimits) -> World {
    let accounts = Some(Arc::new(ContractAccounts::new(limits)));
    World::changed(|services| Services { contract_accounts: accounts, ..services }).await
}

fn chain() -> ChainId {
    ChainId::eip155(CHAIN).unwrap()
}

impl Contract {
    /// Its owner's 65 bytes, and more.
    fn sign(&self, text: &str, more: usize) -> Vec<u8> {
        [self.owner.sign_text(text).as_slice(), &vec![0x5a; more]].concat()
    }

    async fn enrolled(world: &World) -> Self {
        let contract = Self { address: Address::repeat_byte(0xcc), owner: Wallet::new(9) };
        world.node.own_contract(Some(contract.owner.address()));
        enrol_contract_account(&world.ctx(), &world.services, contract.address, chain()).await.unwrap();
        contract
    }

    async fn message(&self, world: &World) -> String {
        let template = world.sign_in(&self.owner, &world.nonce().await);
        template.replace(&self.owner.address().to_checksum(None), &self.address.to_checksum(None))
    }
}

async fn verify(world: &World, message: &str, signature: &[u8]) -> Reply {
    let body = json!({"message": message, "signature": hex(signature)});
    world.post("/auth/siwe/verify", &body).send().await
}

/// A request of form 1 by the contract.
async fn signed(world: &World, contract: &Contract, path: &str, body: &Value, more: usize) -> Reply {
    let bytes = serde_json::to_vec(body).unwrap();
    let timestamp = world.seconds();
    let text = Wallet::request_text([ORIGIN, "POST", path], &bytes, Some(timestamp));
    let signature = contract.sign(&text, more);
    let call = world.post(path, body).header("x-ethereum-address", &contract.address.to_string());
    let call = call.header("x-ethereum-signature", &hex(&signature));
    call.header("x-ethereum-timestamp", &timestamp.to_string()).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolled_contract_logs_in_and_votes_with_requests_and_nobody_counts_that_as_signed() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let message = contract.message(&world).await;
    let tokens = Tokens::of(&verify(&world, &message, &contract.sign(&message, 900)).await.expect(200));
    assert_eq!(tokens.user["ethereumAddress"], contract.address.to_string());
    let settings = world.call(axum::http::Method::PUT, "/settings").json(&json!({}));
    let settings = settings.bearer(&tokens.access).send().await.expect(200);
    let escrow = settings["escrowAddress"].as_str().unwrap().parse().unwrap();

    let proposed = world.propose(escrow, FREE_WEI + 1).await;
    let path = format!("/transactions/{}/approvals", proposed["requestHash"].as_str().unwrap());
    let vote = signed(&world, &contract, &path, &json!({"approved": true}), 200).await.expect(201);
    assert_eq!(vote["ethereumAddress"], contract.address.to_string());
    assert_eq!(vote["signature"].as_str().unwrap().len(), 2 + 2 * 265);
    let stored = world.services.store.transaction(world.organization, id(&proposed)).await.unwrap().unwrap();
    let votes = world.services.store.votes(world.organization, stored.id).await.unwrap();
    assert_eq!(votes[0].evidence.level(), gateway_domain::approvals::EvidenceLevel::Request);
    let last = world.post(path, &json!({"approved": true})).key(&world, "agent").send().await.expect(201);
    assert_eq!(last["transactionStatus"], "APPROVED", "{last}");
}

/// A vote is worth as much as what proved it: a contract that is enrolled again has to vote again, and the old vote
/// stands in the way of nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_does_not_outlive_the_enrolment_under_which_it_was_given() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let message = contract.message(&world).await;
    let tokens = Tokens::of(&verify(&world, &message, &contract.sign(&message, 900)).await.expect(200));
    let settings = world.call(axum::http::Method::PUT, "/settings").json(&json!({}));
    let settings = settings.bearer(&tokens.access).send().await.expect(200);
    let proposed =
        world.propose(settings["escrowAddress"].as_str().unwrap().parse().unwrap(), FREE_WEI + 1).await;
    let path = format!("/transactions/{}/approvals", proposed["requestHash"].as_str().unwrap());
    signed(&world, &contract, &path, &json!({"approved": true}), 200).await.expect(201);
    let (ctx, services) = (world.ctx(), &world.services);
    withdraw_contract_account(&ctx, services, contract.address).await.unwrap();
    enrol_contract_account(&ctx, services, contract.address, chain()).await.unwrap();
    let last = world.post(path, &json!({"approved": true})).key(&world, "agent").send().await.expect(201);
    assert_eq!(last["transactionStatus"], "PENDING", "{last}");
}

fn id(transaction: &Value) -> gateway_domain::ids::TransactionId {
    transaction["id"].as_str().unwrap().parse().unwrap()
}

/// Form 3 is evidence of level `signed`, which a node's word never is.
#[tokio::test(flavor = "multi_thread")]
async fn the_form_that_signs_the_vote_itself_is_not_taken_from_a_contract() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let user = world.services.store.user_by_address(world.organization, contract.address).await.unwrap();
    let user = user.unwrap().id;
    let user = require_escrow(&world.ctx(), &world.services, user).await.unwrap();
    let proposed = world.propose(user.escrow.unwrap().address(), FREE_WEI + 1).await;
    let path = format!("/transactions/{}", proposed["requestHash"].as_str().unwrap());
    let status = world.get(format!("{path}/approval-status")).key(&world, "admin").send().await.expect(200);
    let expires = world.seconds() + 600;
    let vote = SignedVote { origin: ORIGIN.to_owned(), status, approved: true, expires };
    let signature = vote.sign(&contract.owner);
    let path = format!("{path}/approvals");
    let call = world.post(path, &json!({"approved": true}));
    let call = call.header("x-ethereum-address", &contract.address.to_string());
    let call = call.header("x-ethereum-signature", &hex(&signature));
    call.header("x-ethereum-expires", &expires.to_string()).send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_no_contract_is_asked_and_none_is_enrolled() {
    let world = World::new().await;
    let owner = Wallet::new(9);
    world.node.own_contract(Some(owner.address()));
    let refused =
        enrol_contract_account(&world.ctx(), &world.services, Address::repeat_byte(0xcc), chain()).await;
    assert!(matches!(refused, Err(Error::Unconfigured(_))), "{refused:?}");
    let contract = Contract { address: Address::repeat_byte(0xcc), owner };
    let message = contract.message(&world).await;
    let longer = verify(&world, &message, &contract.sign(&message, 1)).await;
    longer.expect(400);
    assert_eq!(longer.message(), "signature must be 65 bytes");
    verify(&world, &message, &contract.sign(&message, 0)).await.expect(401);
    signed(&world, &contract, "/users", &json!({"ethereumAddress": contract.address}), 1).await.expect(400);
    signed(&world, &contract, "/users", &json!({"ethereumAddress": contract.address}), 0).await.expect(401);
}

/// Whose wallet is no contract has no other way than its key; whose wallet is one has no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_no_fallback_for_a_key_nor_a_key_for_a_contract() {
    let world = taking(LIMITS).await;
    let plain = Wallet::new(1);
    world.user(&plain).await;
    // The node would say yes for anybody.
    let other = Wallet::new(9);
    world.node.own_contract(Some(other.address()));
    let message = world.sign_in(&plain, &world.nonce().await);
    verify(&world, &message, &other.sign_text(&message)).await.expect(401);
    let message = world.sign_in(&plain, &world.nonce().await);
    verify(&world, &message, &[other.sign_text(&message).as_slice(), &[0; 40]].concat()).await.expect(401);
    let body = json!({"ethereumAddress": plain.address()});
    let stand_in = Contract { address: plain.address(), owner: Wallet::new(9) };
    signed(&world, &stand_in, "/users", &body, 0).await.expect(401);
    signed(&world, &stand_in, "/users", &body, 40).await.expect(400);
    assert_eq!(world.node.contract_questions(), 0, "nobody was asked");

    // From now on the address is a contract (as EIP-7702 makes it), whose owner is somebody else.
    enrol_contract_account(&world.ctx(), &world.services, plain.address(), chain()).await.unwrap();
    let message = world.sign_in(&plain, &world.nonce().await);
    verify(&world, &message, &plain.sign_text(&message)).await.expect(401);
    let path = format!("/users/{}", plain.address());
    world.get(path.clone()).signed(&plain).send().await.expect(401);
    let message = world.sign_in(&plain, &world.nonce().await);
    verify(&world, &message, &other.sign_text(&message)).await.expect(200);

    withdraw_contract_account(&world.ctx(), &world.services, plain.address()).await.unwrap();
    world.get(path).signed(&plain).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_another_chain_than_the_enrolled_one_is_refused() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let mut config = gateway_api::ApiConfig::default();
    config.siwe.chain_ids = vec![1, CHAIN];
    let accounts = world.services.contract_accounts.clone();
    let elsewhere =
        World::changed_with(config, |services| Services { contract_accounts: accounts, ..services }).await;
    let there = Contract::enrolled(&elsewhere).await;
    let message = there.message(&elsewhere).await.replace(&format!("Chain ID: {CHAIN}"), "Chain ID: 1");
    verify(&elsewhere, &message, &there.sign(&message, 0)).await.expect(401);
    assert_eq!(there.address, contract.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_do_not_agree_prove_nothing_and_the_client_is_told_to_try_again() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    world.node.own_contract(None);
    let message = contract.message(&world).await;
    let reply = verify(&world, &message, &contract.sign(&message, 0)).await;
    reply.expect(503);
    assert_eq!(reply.message(), "the chain of the contract account is unavailable");
    let path = format!("/users/{}", contract.address);
    signed(&world, &contract, &path, &json!({}), 0).await.expect(405);
    signed(&world, &contract, "/users", &json!({"ethereumAddress": contract.address}), 0).await.expect(503);
    let other = Address::repeat_byte(0xcd);
    let refused = enrol_contract_account(&world.ctx(), &world.services, other, chain()).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "who cannot be asked is not enrolled");
    // Somebody else's signature is a plain refusal.
    world.node.own_contract(Some(Wallet::new(3).address()));
    let message = contract.message(&world).await;
    verify(&world, &message, &contract.sign(&message, 0)).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contracts_signature_has_a_greatest_length() {
    let world = taking(ContractAccountLimits { signature_bytes_max: 100, ..LIMITS }).await;
    let contract = Contract::enrolled(&world).await;
    let body = json!({"ethereumAddress": contract.address});
    for (more, status) in [(35, 200), (36, 400)] {
        let message = contract.message(&world).await;
        verify(&world, &message, &contract.sign(&message, more)).await.expect(status);
        // The address is taken, which only somebody who is believed is told.
        let taken = if status == 200 { 409 } else { 400 };
        signed(&world, &contract, "/users", &body, more).await.expect(taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_this_gateway_and_who_takes_any_signature_are_not_enrolled() {
    let world = taking(LIMITS).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.node.own_contract(Some(Wallet::new(9).address()));
    let refused = enrol_contract_account(&world.ctx(), &world.services, escrow, chain()).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    world.node.always_say_yes();
    let anybody = Address::repeat_byte(0xcd);
    let refused = enrol_contract_account(&world.ctx(), &world.services, anybody, chain()).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    let found = world.services.store.user_by_address(world.organization, anybody).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_accounts_are_listed_in_pages() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let second = Address::repeat_byte(0xcd);
    enrol_contract_account(&world.ctx(), &world.services, second, chain()).await.unwrap();
    world.user(&Wallet::new(1)).await;
    let store = &world.services.store;
    let first = store.contract_accounts(world.organization, None, 1).await.unwrap();
    assert_eq!(first[0].ethereum_address, contract.address);
    let rest = store.contract_accounts(world.organization, Some(first[0].id), 10).await.unwrap();
    assert_eq!(rest.iter().map(|user| user.ethereum_address).collect::<Vec<_>>(), [second]);
}
