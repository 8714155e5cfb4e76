//! Signatures in bodies, over an OpenPGP key and over a request hash: proven as logins are.

use std::sync::Arc;

use gateway_api::Rate;
use gateway_domain::{
    identity::{ContractAccounts, enrol_contract_account, require_escrow},
    ports::Services,
};
use serde_json::{Value, json};

use super::{Contract, LIMITS, chain, taking, verify};
use crate::{
    encrypted::{body, hash},
    openpgp::{OUTSIDE, encrypt},
    sign_in::{Tokens, without_login_rate},
    wallet::{Wallet, hex},
    world::{Reply, World},
};

const KEY: &str = OUTSIDE;
const AWAY: &str = "the chain of the contract account is unavailable";

async fn session(world: &World, contract: &Contract) -> String {
    let message = contract.message(world).await;
    Tokens::of(&verify(world, &message, &contract.sign(&message, 0)).await.expect(200)).access
}

async fn register(world: &World, access: &str, signature: &[u8]) -> Reply {
    let body = json!({"pgpPublicKey": KEY, "signature": hex(signature)});
    world.post("/user-api-keys/register", &body).bearer(access).send().await
}

async fn send(world: &World, request: &Value, signature: &[u8]) -> Reply {
    let mut request = request.clone();
    request["userSignature"] = json!(hex(signature));
    world.post("/transactions", &request).key(world, "admin").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_signs_for_its_openpgp_key_and_what_nodes_do_not_agree_on_is_not_believed() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let access = session(&world, &contract).await;
    let signature = contract.sign(KEY, 900);
    let stranger = register(&world, &access, &Wallet::new(3).sign_text(KEY)).await;
    stranger.expect(400);
    assert_eq!(stranger.message(), "signature must be the user's personal_sign of pgpPublicKey");
    register(&world, &access, &contract.sign(KEY, 4096 - 64)).await.expect(400);
    world.node.own_contract(None);
    let away = register(&world, &access, &signature).await;
    away.expect(503);
    assert_eq!(away.message(), AWAY);

    world.node.own_contract(Some(contract.owner.address()));
    let made = register(&world, &access, &signature).await.expect(201);
    assert_eq!(made["ethereumAddress"], contract.address.to_string());
    let store = &world.services.store;
    let user = store.user_by_address(world.organization, contract.address).await.unwrap().unwrap().id;
    let kept = store.current_registration(world.organization, user).await.unwrap().unwrap();
    assert_eq!((kept.account, &kept.signature), (contract.address, &signature));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_signs_for_an_encrypted_payload() {
    let world = taking(LIMITS).await;
    let contract = Contract::enrolled(&world).await;
    let service = world.outside_service().await;
    let user = world.services.store.user_by_address(world.organization, contract.address).await.unwrap();
    let user = require_escrow(&world.ctx(), &world.services, user.unwrap().id).await.unwrap();
    let mut request = body(&Wallet::new(1), user.escrow.unwrap().address(), hash(7), "", service.id);
    request["encryptedPayload"] = json!(encrypt("{}", OUTSIDE));
    request["ethereumAddress"] = json!(contract.address);
    let digest = gateway_chains::evm::signature::personal_message_hash(hash(7).as_slice());
    let signature = [contract.owner.sign(digest).as_slice(), &[0x5a; 200]].concat();
    let stranger = send(&world, &request, &Wallet::new(3).sign(digest)).await;
    stranger.expect(400);
    assert_eq!(stranger.message(), "userSignature must be the user's personal_sign of requestHash");
    world.node.own_contract(None);
    let away = send(&world, &request, &signature).await;
    away.expect(503);
    assert_eq!(away.message(), AWAY);

    world.node.own_contract(Some(contract.owner.address()));
    let made = send(&world, &request, &signature).await.expect(201);
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let kept = world.services.store.encrypted_payload(world.organization, id).await.unwrap().unwrap();
    assert_eq!(kept.user_signature, signature);
}

/// As EIP-7702 makes it: there is a key for the address, and it is not the owner's any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_bare_key_of_a_contract_account_signs_for_nothing() {
    let world = taking(LIMITS).await;
    let plain = Wallet::new(1);
    let escrow = world.user(&plain).await;
    let service = world.outside_service().await;
    let contract = Contract { address: plain.address(), owner: Wallet::new(9) };
    world.node.own_contract(Some(contract.owner.address()));
    enrol_contract_account(&world.ctx(), &world.services, plain.address(), chain()).await.unwrap();
    let access = session(&world, &contract).await;
    register(&world, &access, &plain.sign_text(KEY)).await.expect(400);
    register(&world, &access, &contract.sign(KEY, 0)).await.expect(201);
    let request = body(&plain, escrow, hash(7), &encrypt("{}", OUTSIDE), service.id);
    let digest = gateway_chains::evm::signature::personal_message_hash(hash(7).as_slice());
    send(&world, &request, &plain.sign(digest)).await.expect(400);
    send(&world, &request, &contract.owner.sign(digest)).await.expect(201);
}

/// No longer signature is taken of a key, and no contract is asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_wallet_signs_with_its_key_alone() {
    let world = taking(LIMITS).await;
    let plain = Wallet::new(1);
    world.user(&plain).await;
    world.node.own_contract(Some(plain.address()));
    let access = world.log_in(&plain).await.access;
    let signature = plain.sign_text(KEY);
    register(&world, &access, &[signature.as_slice(), &[0]].concat()).await.expect(400);
    register(&world, &access, &signature).await.expect(201);
    assert_eq!(world.node.contract_questions(), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_bodies_cause_are_charged_to_their_source() {
    let mut config = without_login_rate();
    config.rates.failures = Rate { burst: 2, period_ms: 3_600_000 };
    let accounts = Some(Arc::new(ContractAccounts::new(LIMITS)));
    let world =
        World::changed_with(config, |services| Services { contract_accounts: accounts, ..services }).await;
    let contract = Contract::enrolled(&world).await;
    let access = session(&world, &contract).await;
    register(&world, &access, &Wallet::new(3).sign_text(KEY)).await.expect(400);
    world.node.own_contract(None);
    register(&world, &access, &contract.sign(KEY, 0)).await.expect(503);
    register(&world, &access, &contract.sign(KEY, 0)).await.expect(429);
    let before = world.node.contract_questions();
    register(&world, &access, &contract.sign(KEY, 0)).await.expect(429);
    assert_eq!(world.node.contract_questions(), before, "no node is asked any more");
}
