//! How many questions about contracts there may be, for how long, and who pays for them.

use std::{sync::Arc, time::Duration};

use gateway_api::Rate;
use gateway_domain::{
    Address,
    identity::{ContractAccountLimits, ContractAccounts, enrol_contract_account},
    ports::Services,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Contract, LIMITS, chain, taking, verify};
use crate::{
    sign_in::without_login_rate,
    wallet::{Wallet, hex},
    world::{ORIGIN, World},
};

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
        let timestamp = world.seconds();
        let text = Wallet::request_text([ORIGIN, "GET", &path], b"", Some(timestamp));
        let call = world.get(path.clone()).header("x-ethereum-address", &contract.address.to_string());
        let call = call.header("x-ethereum-signature", &hex(&contract.sign(&text, 0)));
        let call = call.header("x-ethereum-timestamp", &timestamp.to_string());
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
