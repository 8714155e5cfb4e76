//! Vaults: a binding to one is about the keys that lie in it at that moment, and one person stops them all.

use std::{collections::BTreeSet, time::Duration};

use gateway_api::ApiConfig;
use gateway_domain::{
    Address, Error, OpCtx, U256,
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, Write},
    evaluations::Verdict,
    ids::{KeyId, OrganizationId, TransactionId, VaultId},
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, generate_key, retire_key},
    policy::{DenialReason, Mode, Power},
    ports::Limits,
    transactions::{DryRunRequest, ExecutionType, State, advance, dry_run},
    vaults::{create_vault, move_key, set_vault_frozen},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contests::ask,
    races::{approvals_of, denied_for, id_of, quick},
    wallet::Wallet,
    world::{CHAIN, FREE_WEI, World, found_organization, limits, transfer},
};

impl World {
    pub(crate) async fn vault(&self, name: &str) -> VaultId {
        create_vault(&self.ctx(), &self.services, name.to_owned()).await.unwrap().id
    }

    pub(crate) async fn lay(&self, escrow: Address, vault: Option<VaultId>) {
        let key = self.key_of(escrow).await;
        assert_eq!(move_key(&self.ctx(), &self.services, key, vault).await.unwrap().vault, vault);
    }

    /// A binding of the name that is about this vault alone.
    async fn bind_to(&self, vault: VaultId, name: &str, power: Power) {
        self.bind(name, Mode::Enforce, power).await;
        self.rescope(name, |scope| scope.vaults = [vault].into()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_a_vault_is_asked_about_its_keys_and_no_others() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let (inside, outside) = (world.user(&Wallet::new(1)).await, world.user(&Wallet::new(2)).await);
    let (vault, other) = (world.vault("treasury").await, world.vault("payroll").await);
    world.bind_to(vault, "gate", Power::Gate).await;
    world.lay(inside, Some(vault)).await;
    assert!(world.propose(outside, 1).await["executionTxHash"].is_string());
    assert_eq!(world.plugin.asked("gate"), 0);
    assert!(world.propose(inside, 1).await["executionTxHash"].is_string());
    assert_eq!(world.plugin.asked("gate"), 1);
    world.lay(inside, Some(other)).await;
    assert!(world.propose(inside, 1).await["executionTxHash"].is_string());
    assert_eq!(world.plugin.asked("gate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_a_vault_approves_nothing_outside() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let (inside, outside) = (world.user(&Wallet::new(1)).await, world.user(&Wallet::new(2)).await);
    let vault = world.vault("treasury").await;
    world.lay(inside, Some(vault)).await;
    world.rescope("orion", |scope| scope.vaults = [vault].into()).await;
    assert!(world.propose(inside, 1).await["executionTxHash"].is_string());
    assert_eq!(world.propose(outside, 1).await["status"], "REJECTED", "nobody may approve it");
    world.lay(inside, None).await;
    assert_eq!(world.propose(inside, 1).await["status"], "REJECTED");
}

/// Approved by everybody who was asked, and not carried on yet.
async fn approved(world: &World, wallet: &Wallet, escrow: Address) -> TransactionId {
    let pending = world.propose(escrow, FREE_WEI + 1).await;
    let vote = json!({"approved": true});
    world.post(approvals_of(&pending), &vote).signed(wallet).send().await.expect(201);
    world.post(approvals_of(&pending), &vote).key(world, "agent").send().await.expect(201);
    let id = id_of(&pending);
    assert_eq!(world.stored(id).await.state, State::Approved);
    id
}

/// The key is moved after the decision was made for the permit, and before the permit is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_moved_before_the_permit_is_judged_where_it_lies_then() {
    for signs_elsewhere in [false, true] {
        let world = World::with_limits(ApiConfig::default(), quick()).await;
        let wallet = Wallet::new(1);
        let escrow = world.user(&wallet).await;
        let vault = world.vault("guarded").await;
        world.bind_to(vault, "gate", Power::Gate).await;
        if !signs_elsewhere {
            world.plugin.silence_with("gate", "trap");
        }
        let id = approved(&world, &wallet, escrow).await;
        assert_eq!(world.plugin.asked("gate"), 0);
        world.clock.advance(Duration::from_mins(16));
        let held = world.plugin.hold(Verdict::Approve);
        let moving = async {
            held.entered.await.unwrap();
            world.lay(escrow, Some(vault)).await;
            held.go_on.send(()).unwrap();
        };
        let (advanced, ()) = tokio::join!(advance(&world.services, world.organization, id), moving);
        advanced.unwrap();
        assert_eq!(world.plugin.asked("gate"), 1, "decided again, by who judges now");
        let signed = world.token.signed.lock().unwrap().len();
        let denied = denied_for(&world.stored(id).await);
        let expected = if signs_elsewhere { (1, None) } else { (0, Some(DenialReason::PluginFailure)) };
        assert_eq!((signed, denied), expected);
    }
}

/// Its only authority covers the vault that it leaves while the node takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_leaves_its_vault_before_the_permit_leaves_what_approved_there() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let vault = world.vault("treasury").await;
    world.lay(escrow, Some(vault)).await;
    world.rescope("orion", |scope| scope.vaults = [vault].into()).await;
    let id = approved(&world, &wallet, escrow).await;
    world.node.gate.forget_permits(usize::MAX);
    let moving = async {
        world.node.asked.acquire().await.unwrap().forget();
        world.lay(escrow, None).await;
        world.node.gate.add_permits(10);
    };
    let (advanced, ()) = tokio::join!(advance(&world.services, world.organization, id), moving);
    advanced.unwrap();
    assert_eq!(denied_for(&world.stored(id).await), Some(DenialReason::KindNotPermitted));
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// Also between decision and permit: what was decided before the freeze is not signed, and waits for the lift.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_frozen_vault_is_signed_until_it_is_lifted() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let (escrow, outside) = (world.user(&wallet).await, world.user(&other).await);
    let vault = world.vault("treasury").await;
    world.lay(escrow, Some(vault)).await;
    let id = approved(&world, &wallet, escrow).await;
    world.clock.advance(Duration::from_mins(16));
    let held = world.plugin.hold(Verdict::Approve);
    let freeze = async {
        held.entered.await.unwrap();
        set_vault_frozen(&world.ctx(), &world.services, vault, true).await.unwrap();
        held.go_on.send(()).unwrap();
    };
    let (advanced, ()) = tokio::join!(advance(&world.services, world.organization, id), freeze);
    advanced.unwrap();
    assert_eq!(world.stored(id).await.state, State::Approved);
    assert!(world.token.signed.lock().unwrap().is_empty());
    assert!(world.propose(outside, 1).await["executionTxHash"].is_string(), "it lies elsewhere");
    // Who froze the vault meant this key.
    let key = world.key_of(escrow).await;
    let refused = move_key(&world.ctx(), &world.services, key, None).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict(rule) if rule.contains("frozen")), "{refused:?}");
    set_vault_frozen(&world.ctx(), &world.services, vault, false).await.unwrap();
    advance(&world.services, world.organization, id).await.unwrap();
    assert_eq!(world.token.signed.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lift_that_loses_against_a_freeze_of_the_vault_is_not_tried_again() {
    let world = World::new().await;
    let (ctx, services) = (world.ctx(), &world.services);
    let vault = world.vault("treasury").await;
    set_vault_frozen(&ctx, services, vault, true).await.unwrap();
    for _ in 0..20 {
        let (frozen, lifted) = tokio::join!(
            set_vault_frozen(&ctx, services, vault, true),
            set_vault_frozen(&ctx, services, vault, false),
        );
        frozen.unwrap();
        let stored = services.store.vault(world.organization, vault).await.unwrap().unwrap();
        match lifted {
            Err(Error::Conflict(_)) => assert!(stored.frozen),
            lifted => drop(lifted.unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_plain_and_taken_once_in_each_organization() {
    let world = World::new().await;
    let (ctx, services) = (world.ctx(), &world.services);
    for name in ["", " padded", "two\nlines", "hid\u{200b}den", &"x".repeat(65)] {
        let refused = create_vault(&ctx, services, name.to_owned()).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(rules) if rules[0].starts_with("name ")), "{refused:?}");
    }
    let ours = world.vault("treasury").await;
    let taken = create_vault(&ctx, services, "treasury".to_owned()).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict(_)), "{taken:?}");
    let organization = OrganizationId::from_uuid(Uuid::new_v4());
    found_organization(services, organization).await;
    let elsewhere = OpCtx { organization, ..ctx.clone() };
    let theirs = create_vault(&elsewhere, services, "treasury".to_owned()).await.unwrap().id;
    assert_ne!(ours, theirs);
    let escrow = world.user(&Wallet::new(1)).await;
    let key = world.key_of(escrow).await;
    let foreign = move_key(&ctx, services, key, Some(theirs)).await.unwrap_err();
    assert!(matches!(&foreign, Error::Invalid(rules) if rules[0].starts_with("vault `")), "{foreign:?}");
    let foreign = move_key(&elsewhere, services, key, Some(theirs)).await.unwrap_err();
    assert!(matches!(foreign, Error::NotFound("key")), "{foreign:?}");
    let foreign = set_vault_frozen(&elsewhere, services, ours, true).await.unwrap_err();
    assert!(matches!(foreign, Error::NotFound("vault")), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vaults_of_an_organization_are_bounded() {
    let world = World::with_limits(ApiConfig::default(), Limits { vaults_max: 2, ..limits() }).await;
    world.vault("one").await;
    world.vault("two").await;
    let refused = create_vault(&world.ctx(), &world.services, "three".to_owned()).await.unwrap_err();
    assert!(matches!(refused, Error::Exhausted { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_that_sign_transactions_lie_in_vaults_and_only_while_they_are_active() {
    let world = World::new().await;
    let (ctx, services) = (world.ctx(), &world.services);
    let vault = world.vault("treasury").await;
    let wanted = |purpose, vault| GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose,
        kinds: BTreeSet::new(),
        vault,
    };
    let made = generate_key(&ctx, services, wanted(KeyPurpose::PrivyAuthorization, Some(vault)), None).await;
    assert_eq!(made.unwrap().vault, Some(vault));
    let refused = generate_key(&ctx, services, wanted(KeyPurpose::Relayer, Some(vault)), None).await;
    let refused = refused.unwrap_err();
    assert!(matches!(&refused, Error::Invalid(rules) if rules[0].contains("`relayer`")), "{refused:?}");
    let nowhere = VaultId::from_uuid(Uuid::new_v4());
    let refused = generate_key(&ctx, services, wanted(KeyPurpose::PrivyAuthorization, Some(nowhere)), None);
    let refused = refused.await.unwrap_err();
    assert!(matches!(&refused, Error::Invalid(rules) if rules[0].starts_with("vault `")), "{refused:?}");
    let unknown = move_key(&ctx, services, KeyId::from_uuid(Uuid::new_v4()), None).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound("key")), "{unknown:?}");
    let escrow = world.user(&Wallet::new(1)).await;
    let key = world.key_of(escrow).await;
    retire_key(&ctx, services, key).await.unwrap();
    let retired = move_key(&ctx, services, key, Some(vault)).await.unwrap_err();
    assert!(matches!(retired, Error::Conflict(_)), "{retired:?}");
}

/// What is tried out, and what is heard beside decisions, follows the same scope.
#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_and_shadows_are_about_where_the_key_lies() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let vault = world.vault("treasury").await;
    world.bind("shade", Mode::Shadow, Power::Gate).await;
    world.rescope("shade", |scope| scope.vaults = [vault].into()).await;
    world.bind_to(vault, "gate", Power::Gate).await;
    let asked = || DryRunRequest {
        escrow,
        chain: ChainId::eip155(CHAIN).unwrap(),
        to: Address::repeat_byte(7),
        value: U256::from(1),
        data: Vec::new(),
        execution_type: ExecutionType::least(),
        note: None,
    };
    let heard = async || {
        let run = dry_run(&world.ctx(), &world.services, asked()).await.unwrap();
        run.opinions().map(|opinion| opinion.binding.plugin.clone()).collect::<Vec<_>>()
    };
    assert_eq!(heard().await, ["orion"]);
    let outside = world.propose(escrow, 1).await;
    advance(&world.services, world.organization, id_of(&outside)).await.unwrap();
    world.idle().await;
    assert_eq!(world.plugin.asked("shade"), 0);
    world.lay(escrow, Some(vault)).await;
    assert_eq!(heard().await, ["orion", "shade", "gate"]);
    let inside = world.propose(escrow, 1).await;
    advance(&world.services, world.organization, id_of(&inside)).await.unwrap();
    world.idle().await;
    assert_eq!(world.plugin.asked("shade"), 2, "by the dry run, and beside the decision");
}

/// T2: whoever writes the database puts a key nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_row_names_another_vault_signs_nothing() {
    let world = World::with_limits(ApiConfig::default(), quick()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let vault = world.vault("guarded").await;
    let key = world.key_of(escrow).await;
    let stored = world.services.store.key(world.organization, key).await.unwrap().unwrap().into_value();
    // The seal is of another row than the one that is stored: this write leaves the vault as it is.
    let edited = KeyRecord { vault: Some(vault), version: stored.version + 1, ..stored };
    let event = AuditEvent::new(&world.ctx(), "test.edited", "key".to_owned(), json!({}));
    let write = Write::UpdateKey(world.services.sealer.seal(edited));
    world.services.store.commit(ChangeSet::new(event).write(write)).await.unwrap();
    let answer = world.post("/transactions", &transfer(escrow, 1)).key(&world, "admin").send();
    assert_eq!(answer.await.status, 500);
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// Otherwise its owner would leave the vault, and whoever judges or froze it, by asking for another key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_anew_lies_where_the_one_lay_whose_place_it_takes() {
    let world = World::new().await;
    let (ctx, services) = (world.ctx(), &world.services);
    let vault = world.vault("treasury").await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    ask(&world, &access, false).await.expect(201);
    let active = async || {
        let keys = services.store.key_list(world.organization).await.unwrap();
        let mut ours = keys.iter().filter(|key| key.purpose == KeyPurpose::FireblocksRequest);
        ours.find(|key| key.state == KeyState::Active).unwrap().clone().into_value()
    };
    let first = active().await;
    move_key(&ctx, services, first.id, Some(vault)).await.unwrap();
    set_vault_frozen(&ctx, services, vault, true).await.unwrap();
    ask(&world, &access, true).await.expect(201);
    let second = active().await;
    assert_eq!((second.vault, second.id == first.id), (Some(vault), false));
}
