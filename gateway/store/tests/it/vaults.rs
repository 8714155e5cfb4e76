//! Vaults, and what a key's place in one means to permits.

use std::sync::Arc;

use gateway_domain::{
    changes::{CommitError, Contested, VaultWrite, Write},
    ids::VaultId,
    keys::KeyRecord,
    ports::{DecisionReads, KeyReads, VaultReads},
    vaults::Vault,
};
use tokio::task::JoinSet;

use crate::{
    database::{Database, on_both_engines},
    world::{World, contested, id, now, sample_vault},
};

on_both_engines!(
    a_vault_reads_back_as_it_was_written,
    names_differ_within_an_organization_and_not_between_them,
    vaults_at_once_do_not_pass_their_bound_together,
    a_move_changes_the_vault_and_nothing_else_does,
    a_move_or_a_freeze_that_went_before_costs_the_permit,
    no_permit_while_the_keys_vault_is_frozen,
    a_move_loses_against_a_freeze_of_what_it_leaves,
);

fn insert(world: &World, vault: &Vault, vaults_max: u32) -> Write {
    Write::Vaults(VaultWrite::Insert(world.seal(vault), vaults_max))
}

fn another(world: &World, name: &str) -> Vault {
    Vault { name: name.into(), ..sample_vault(world.organization.id, now()) }
}

fn moved(world: &World, vault: Option<VaultId>) -> Write {
    let key = KeyRecord { vault, version: 2, ..world.key.clone() };
    Write::Vaults(VaultWrite::MoveKey(world.seal(&key)))
}

fn frozen(world: &World) -> Write {
    let vault = Vault { frozen: true, version: 2, ..world.vault.clone() };
    Write::Vaults(VaultWrite::Update(world.seal(&vault)))
}

async fn a_vault_reads_back_as_it_was_written(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let organization = world.organization.id;
    let second = another(&world, "Überweisungen \u{1F511}");
    world.commit(&store, [insert(&world, &second, 100)]).await.unwrap();
    assert_eq!(*store.vault(organization, second.id).await.unwrap().unwrap(), second);
    assert_eq!(*store.vault_by_name(organization, &second.name).await.unwrap().unwrap(), second);
    assert_eq!(store.vault_count(organization).await.unwrap(), 2);
    let newest = store.vault_list(organization, None, 10).await.unwrap();
    assert_eq!(newest.len(), 2);
    let page = store.vault_list(organization, Some(newest[0].id), 10).await.unwrap();
    assert_eq!(page, newest[1..]);
    world.commit(&store, [frozen(&world)]).await.unwrap();
    let read = store.vault(organization, world.vault.id).await.unwrap().unwrap();
    assert_eq!((read.frozen, read.version), (true, 2));
}

async fn names_differ_within_an_organization_and_not_between_them(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let namesake = another(&world, &world.vault.name);
    let refused = world.commit(&store, [insert(&world, &namesake, 100)]).await;
    assert_eq!(contested(refused), Contested::VaultName);
    // Its vault has the same name.
    let other = World::founded(&store).await;
    assert_eq!(other.vault.name, world.vault.name);
    let found = store.vault_by_name(other.organization.id, "treasury").await.unwrap().unwrap();
    assert_eq!(found.id, other.vault.id);
}

async fn vaults_at_once_do_not_pass_their_bound_together(database: &Database) {
    let first = Arc::new(database.store().await);
    // Two gateways at one database, where the engine allows it.
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let mut writers = JoinSet::new();
    for writer in 0..30 {
        let (store, world) = (gateways[writer % 2].clone(), world.clone());
        writers.spawn(async move {
            let vault = another(&world, &format!("vault {writer}"));
            world.commit(&store, [insert(&world, &vault, 8)]).await
        });
    }
    let outcomes = writers.join_all().await;
    let refused =
        |outcome: &Result<(), CommitError>| matches!(outcome, Err(CommitError::Conflict(Contested::Quota)));
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || refused(outcome)), "{outcomes:?}");
    assert_eq!(gateways[1].vault_count(world.organization.id).await.unwrap(), 8, "with the founder's");
}

async fn a_move_changes_the_vault_and_nothing_else_does(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let organization = world.organization.id;
    let second = another(&world, "payroll");
    world.commit(&store, [insert(&world, &second, 100), moved(&world, Some(second.id))]).await.unwrap();
    let read = store.key(organization, world.key.id).await.unwrap().unwrap();
    assert_eq!(*read, KeyRecord { vault: Some(second.id), version: 2, ..world.key.clone() });
    let other = World::founded(&store).await;
    assert!(store.vault_keys(other.organization.id, second.id, None, 10).await.unwrap().is_empty());
    assert!(store.vault_keys(organization, world.vault.id, None, 10).await.unwrap().is_empty());
    let listed = store.vault_keys(organization, second.id, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [world.key.id]);
    assert!(store.vault_keys(organization, second.id, Some(world.key.id), 10).await.unwrap().is_empty());
    let out = KeyRecord { vault: None, version: 3, ..world.key.clone() };
    let stale = Write::Vaults(VaultWrite::MoveKey(world.seal(&KeyRecord { version: 2, ..out.clone() })));
    assert_eq!(contested(world.commit(&store, [stale]).await), Contested::Version);
    let leave = Write::Vaults(VaultWrite::MoveKey(world.seal(&out)));
    world.commit(&store, [leave]).await.unwrap();
    assert_eq!(*store.key(organization, world.key.id).await.unwrap().unwrap(), out);
    assert!(store.vault_keys(organization, second.id, None, 10).await.unwrap().is_empty());
    // What moves a key by another write breaks its seal instead.
    let smuggled = KeyRecord { vault: Some(second.id), version: 4, ..out.clone() };
    world.commit(&store, [Write::UpdateKey(world.seal(&smuggled))]).await.unwrap();
    store.key(organization, world.key.id).await.unwrap_err();
}

/// Between decision and permit: the standing tells, even if the row is as it was again.
async fn a_move_or_a_freeze_that_went_before_costs_the_permit(database: &Database) {
    let moves: [fn(&World) -> Vec<Write>; 2] = [
        |world| vec![moved(world, None)],
        |world| {
            let thawed = Vault { version: 3, ..world.vault.clone() };
            vec![frozen(world), Write::Vaults(VaultWrite::Update(world.seal(&thawed)))]
        },
    ];
    for change in moves {
        let store = database.store().await;
        let world = World::founded(&store).await;
        world.commit(&store, [Write::InsertAttempt(world.seal(&world.attempt))]).await.unwrap();
        world.commit(&store, change(&world)).await.unwrap();
        let permit = Write::InsertPermit(world.seal(&world.permit));
        assert_eq!(contested(world.commit(&store, [permit]).await), Contested::Permit);
        let mut decided_since = world.permit.clone();
        decided_since.standing_revision += 1;
        world.commit(&store, [Write::InsertPermit(world.seal(&decided_since))]).await.unwrap();
    }
}

async fn no_permit_while_the_keys_vault_is_frozen(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    world.commit(&store, [Write::InsertAttempt(world.seal(&world.attempt))]).await.unwrap();
    world.commit(&store, [frozen(&world)]).await.unwrap();
    let mut permit = world.permit.clone();
    permit.standing_revision += 1;
    let insert = || Write::InsertPermit(world.seal(&permit));
    assert_eq!(contested(world.commit(&store, [insert()]).await), Contested::Permit);
    assert!(store.permits(world.organization.id, world.transaction.id).await.unwrap().is_empty());
    // A vault that somebody took out of the database holds nothing up and lets nothing through.
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    intruder.execute("DELETE FROM vaults").await.unwrap();
    assert_eq!(contested(world.commit(&store, [insert()]).await), Contested::Permit);
}

async fn a_move_loses_against_a_freeze_of_what_it_leaves(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let require = |version| {
        let (organization, vault) = (world.organization.id, world.vault.id);
        Write::Vaults(VaultWrite::Require { organization, vault, version })
    };
    world.commit(&store, [frozen(&world)]).await.unwrap();
    let lost = world.commit(&store, [require(1), moved(&world, None)]).await;
    assert_eq!(contested(lost), Contested::Version);
    assert_eq!(store.key(world.organization.id, world.key.id).await.unwrap().unwrap().version, 1);
    let elsewhere = Write::Vaults(VaultWrite::Require {
        organization: world.organization.id,
        vault: id(VaultId::from_uuid),
        version: 1,
    });
    assert_eq!(contested(world.commit(&store, [elsewhere]).await), Contested::Version);
    world.commit(&store, [require(2), moved(&world, None)]).await.unwrap();
}
