//! What ends when a wallet becomes a contract, a contract on another chain, or a plain wallet again.

use std::sync::Arc;

use gateway_domain::{
    Error, OpCtx,
    actor::{Actor, SessionActor},
    chain::ChainId,
    credentials::{CreateOwnApiKey, create_own_api_key},
    identity::{ContractAccounts, enrol_contract_account, withdraw_contract_account},
    ports::{Chain, Services},
    sessions::{open_session, refresh_session},
};
use serde_json::json;

use super::{Contract, LIMITS, chain, taking};
use crate::{
    wallet::{Wallet, hex},
    world::{CHAIN, FREE_WEI, World},
};

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
    let sessions = services.store.live_sessions(world.organization, pair.user.id, ctx.now, 10).await.unwrap();
    // The other was opened in the same instant, before the wallet's last switch.
    let session = sessions.iter().find(|session| session.wallet_epoch == pair.user.wallet_epoch).unwrap().id;
    let (principal, address) = (pair.user.id, contract.address);
    let actor = SessionActor { principal, session, address, expires_at: ctx.now, self_registered: false };
    let by_session = OpCtx { actor: Actor::Session(actor), ..ctx.clone() };
    let request = CreateOwnApiKey { name: "bot".to_owned(), expires_at: None };
    create_own_api_key(&by_session, services, principal, request.clone()).await.unwrap();
    withdraw().await;
    let refused = create_own_api_key(&by_session, services, principal, request).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "no key for a session that ended");
    let active = services.store.active_user_api_keys(world.organization, principal, ctx.now).await.unwrap();
    assert!(active.is_empty());
}
