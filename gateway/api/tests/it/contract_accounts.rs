//! Wallets that are contracts (ERC-1271, T9): off by default, for enrolled users alone, and only as far as their nodes
//! agree.

use std::{sync::Arc, time::Duration};

use gateway_api::Rate;
use gateway_domain::{
    Address, Error, OpCtx,
    actor::{Actor, SessionActor},
    chain::ChainId,
    credentials::{CreateOwnApiKey, create_own_api_key},
    identity::{
        ContractAccountLimits, ContractAccounts, enrol_contract_account, require_escrow,
        withdraw_contract_account,
    },
    ports::{Chain, Services},
    sessions::{open_session, refresh_session},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    sign_in::{Tokens, without_login_rate},
    signatures::SignedVote,
    wallet::{Wallet, hex},
    world::{CHAIN, FREE_WEI, ORIGIN, Reply, World},
};

const LIMITS: ContractAccountLimits = ContractAccountLimits {
    agreement: 2,
    call_gas_max: 1_000_000,
    answer_timeout: Duration::from_secs(25),
    block_age_max: Duration::from_hours(1),
    signature_bytes_max: 4096,
    questions_max: 16,
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
    let text = Wallet::request_text([ORIGIN, "POST", path], &bytes, Some(world.seconds()));
    let signature = contract.sign(&text, more);
    let call = world.post(path, body).header("x-ethereum-address", &contract.address.to_string());
    let call = call.header("x-ethereum-signature", &hex(&signature));
    call.header("x-ethereum-timestamp", &world.seconds().to_string()).send().await
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
async fn whoever_becomes_a_contract_or_a_key_again_loses_sessions_and_votes() {
    let world = taking(LIMITS).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let session = world.log_in(&wallet).await;
    let proposed = world.propose(escrow, FREE_WEI + 1).await;
    let path = format!("/transactions/{}/approvals", proposed["requestHash"].as_str().unwrap());
    let yes = json!({"approved": true});
    world.post(path.clone(), &yes).signed(&wallet).send().await.expect(201);
    world.node.own_contract(Some(Wallet::new(9).address()));
    enrol_contract_account(&world.ctx(), &world.services, wallet.address(), chain()).await.unwrap();
    world.get("/auth/me").bearer(&session.access).send().await.expect(401);
    let last = world.post(path, &yes).key(&world, "agent").send().await.expect(201);
    assert_eq!(last["transactionStatus"], "PENDING", "the key's vote no longer counts");
}

/// With the switch, in its commit, end the sessions and keys that were proven in the old way.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_a_contract_to_another_chain_and_back_ends_sessions_and_keys() {
    let accounts = Some(Arc::new(ContractAccounts::new(LIMITS)));
    let second = ChainId::eip155(1).unwrap();
    let world = World::changed(|services| {
        let mut chains = (*services.chains).clone();
        chains.insert(second, Chain { id: second, ..chains[&chain()].clone() });
        Services { contract_accounts: accounts, chains: Arc::new(chains), ..services }
    })
    .await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    world.node.own_contract(Some(wallet.address()));
    for (number, switch) in [Some(chain()), Some(second), Some(chain()), None].into_iter().enumerate() {
        let session = world.log_in_on(&wallet, switch_before(number)).await;
        let key = world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&session.access).send().await;
        let key = key.expect(201)["key"].as_str().unwrap().to_owned();
        let proposed = world.propose(escrow, FREE_WEI + 1).await;
        let path = format!("/transactions/{}/approvals", proposed["requestHash"].as_str().unwrap());
        let yes = json!({"approved": true});
        let vote = || world.post(path.clone(), &yes).header("x-api-key", &key).send();
        vote().await.expect(201);
        match switch {
            Some(to) => enrol_contract_account(&world.ctx(), &world.services, wallet.address(), to).await,
            None => withdraw_contract_account(&world.ctx(), &world.services, wallet.address()).await,
        }
        .unwrap();
        world.get("/auth/me").bearer(&session.access).send().await.expect(401);
        let refreshed = world.post("/auth/refresh", &json!({"refreshToken": session.refresh})).send().await;
        refreshed.expect(401);
        vote().await.expect(401);
        let last = world.post(path.clone(), &yes).key(&world, "agent").send().await.expect(201);
        assert_eq!(last["transactionStatus"], "PENDING", "the key's vote no longer counts");
    }
}

/// The chain that the wallet is asked on before the switch of that number.
fn switch_before(number: usize) -> u64 {
    if number == 2 { 1 } else { CHAIN }
}

/// A login, or a key, that was under way when the wallet was switched is worth nothing afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_switch_is_worth_nothing_after_it() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let (ctx, services) = (world.ctx(), &world.services);
    let user_now = async || {
        let found = services.store.user_by_address(world.organization, contract.address).await.unwrap();
        found.unwrap().into_value()
    };
    let withdraw = async || withdraw_contract_account(&ctx, services, contract.address).await.unwrap();

    // While the nodes are asked.
    let message = contract.message(&world).await;
    world.node.contract_gate.forget_permits(usize::MAX);
    let before = world.node.contract_questions();
    let body = json!({"message": message, "signature": hex(&contract.sign(&message, 0))});
    let login = tokio::spawn(world.post("/auth/siwe/verify", &body).send());
    while world.node.contract_questions() == before {
        tokio::task::yield_now().await;
    }
    withdraw().await;
    world.node.contract_gate.add_permits(100);
    login.await.unwrap().expect(401);

    // Between the proof and the session: whoever was enrolled anew on the very same chain is not who logged in.
    enrol_contract_account(&ctx, services, contract.address, chain()).await.unwrap();
    let proven = user_now().await;
    withdraw().await;
    enrol_contract_account(&ctx, services, contract.address, chain()).await.unwrap();
    let pair = open_session(&ctx, services, proven).await.unwrap();
    world.get("/auth/me").bearer(&pair.access_token).send().await.expect(401);
    assert!(matches!(
        refresh_session(&ctx, services, &pair.refresh_token).await,
        Err(Error::Unauthenticated)
    ));

    // Between the session's check and the key.
    let pair = open_session(&ctx, services, user_now().await).await.unwrap();
    let session = services.store.live_sessions(world.organization, pair.user.id, ctx.now, 10).await.unwrap();
    let session = session.last().unwrap().id;
    let (principal, address) = (pair.user.id, contract.address);
    let actor = SessionActor { principal, session, address, expires_at: ctx.now };
    let by_session = OpCtx { actor: Actor::Session(actor), ..ctx.clone() };
    let request = CreateOwnApiKey { name: "bot".to_owned(), expires_at: None };
    create_own_api_key(&by_session, services, principal, request.clone()).await.unwrap();
    withdraw().await;
    let refused = create_own_api_key(&by_session, services, principal, request).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "no key for a session that ended");
    let active = services.store.active_user_api_keys(world.organization, principal, ctx.now).await.unwrap();
    assert!(active.is_empty());
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
async fn nodes_that_take_too_long_prove_nothing() {
    let world = taking(ContractAccountLimits { answer_timeout: Duration::from_millis(50), ..LIMITS }).await;
    let contract = Contract::enrolled(&world).await;
    world.node.contract_gate.forget_permits(usize::MAX);
    let message = contract.message(&world).await;
    verify(&world, &message, &contract.sign(&message, 0)).await.expect(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_questions_are_under_way_at_once_and_no_more() {
    let world = taking(ContractAccountLimits { questions_max: 1, ..LIMITS }).await;
    let contract = Contract::enrolled(&world).await;
    let before = world.node.contract_questions();
    world.node.contract_gate.forget_permits(usize::MAX);
    let messages = [contract.message(&world).await, contract.message(&world).await];
    let body = |message: &str| json!({"message": message, "signature": hex(&contract.sign(message, 0))});
    let first = tokio::spawn(world.post("/auth/siwe/verify", &body(&messages[0])).send());
    while world.node.contract_questions() == before {
        tokio::task::yield_now().await;
    }
    world.post("/auth/siwe/verify", &body(&messages[1])).send().await.expect(503);
    world.node.contract_gate.add_permits(1);
    first.await.unwrap().expect(200);
}

/// Somebody who asks about a contract of others leaves places for its owner, and for other contracts.
#[tokio::test(flavor = "multi_thread")]
async fn one_stranger_holds_neither_all_places_of_an_account_nor_all_there_are() {
    let limits = ContractAccountLimits {
        questions_max: 3,
        questions_per_account_max: 2,
        questions_per_source_max: 1,
        ..LIMITS
    };
    let world = taking(limits).await;
    let contract = Contract::enrolled(&world).await;
    let other = Contract { address: Address::repeat_byte(0xcd), owner: Wallet::new(9) };
    enrol_contract_account(&world.ctx(), &world.services, other.address, chain()).await.unwrap();
    let login = async |contract: &Contract| {
        let message = contract.message(&world).await;
        json!({"message": message, "signature": hex(&contract.sign(&message, 0))})
    };
    let send =
        |login: &Value, peer: u8| world.post("/auth/siwe/verify", login).peer([203, 0, 113, peer]).send();
    world.node.contract_gate.forget_permits(usize::MAX);
    let mut requests = JoinSet::new();
    let mut hold = async |contract: &Contract, peer: u8| {
        let before = world.node.contract_questions();
        requests.spawn(send(&login(contract).await, peer));
        while world.node.contract_questions() == before {
            tokio::task::yield_now().await;
        }
    };
    let refused = async |contract: &Contract, peer: u8| {
        let before = world.node.contract_questions();
        let reply = send(&login(contract).await, peer).await;
        reply.expect(503);
        assert_eq!(reply.message(), "room for another question to contract accounts is unavailable");
        assert_eq!(world.node.contract_questions(), before, "no node was asked");
    };
    hold(&contract, 1).await;
    refused(&contract, 1).await;
    refused(&other, 1).await;
    hold(&contract, 2).await;
    refused(&contract, 3).await;
    hold(&other, 3).await;
    refused(&other, 4).await;
    world.node.contract_gate.add_permits(3);
    for reply in requests.join_all().await {
        reply.expect(200);
    }
    world.node.contract_gate.add_permits(1);
    send(&login(&other).await, 1).await.expect(200);
}

/// Whatever nodes are asked in vain costs the source as much as a signature that does not fit.
#[tokio::test(flavor = "multi_thread")]
async fn questions_without_an_answer_are_charged_to_their_source() {
    let mut config = without_login_rate();
    config.rates.failures = Rate { burst: 3, period_ms: 3_600_000 };
    let limits = ContractAccountLimits { answer_timeout: Duration::from_millis(50), ..LIMITS };
    let accounts = Some(Arc::new(ContractAccounts::new(limits)));
    let world =
        World::changed_with(config, |services| Services { contract_accounts: accounts, ..services }).await;
    let contract = Contract::enrolled(&world).await;
    let path = format!("/users/{}", contract.address);
    let ask = async |peer: [u8; 4]| {
        let text = Wallet::request_text([ORIGIN, "GET", &path], b"", Some(world.seconds()));
        let call = world.get(path.clone()).header("x-ethereum-address", &contract.address.to_string());
        let call = call.header("x-ethereum-signature", &hex(&contract.sign(&text, 0)));
        let call = call.header("x-ethereum-timestamp", &world.seconds().to_string());
        call.peer(peer).send().await.status.as_u16()
    };
    let log_in = async |peer: [u8; 4]| {
        let message = contract.message(&world).await;
        let body = json!({"message": message, "signature": hex(&contract.sign(&message, 0))});
        world.post("/auth/siwe/verify", &body).peer(peer).send().await.status.as_u16()
    };
    let (stranger, owner) = ([203, 0, 113, 1], [203, 0, 113, 2]);
    // Nodes that disagree, and nodes that never answer.
    world.node.own_contract(None);
    assert_eq!((ask(stranger).await, log_in(stranger).await), (503, 503));
    world.node.own_contract(Some(contract.owner.address()));
    world.node.contract_gate.forget_permits(usize::MAX);
    assert_eq!((ask(stranger).await, ask(stranger).await), (503, 429));
    world.node.contract_gate.add_permits(10);
    let before = world.node.contract_questions();
    assert_eq!((ask(stranger).await, log_in(stranger).await), (429, 429));
    assert_eq!(world.node.contract_questions(), before, "no node is asked any more");
    assert_eq!((ask(owner).await, log_in(owner).await), (200, 200));
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
