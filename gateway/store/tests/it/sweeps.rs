//! Whoever can write the database can put an older row back, seal and all, or take a row away. The audit log knows.

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    changes::{CommitError, Contested, OperatorWrite, VaultWrite, Write},
    credentials::ApiKey,
    fireblocks::Integration,
    identity::{Organization, Principal, User},
    keys::KeyRecord,
    operators::{Charter, Proposal},
    payloads::EncryptedPayload,
    plugin_state::{PluginState, StateChange, StateUse},
    policy::{Policy, PolicyHead},
    ports::{AuditReads, IdentityReads, PolicyReads, TransactionReads},
    quorums::PrivyQuorum,
    registrations::Registration,
    registry::Relay,
    sessions::Session,
    settings::Settings,
    transactions::{AttemptOutcome, State},
    vaults::Vault,
    vendors::CallOutcome,
    verification::{OrionMetadata, VerificationService},
};
use gateway_store::{Integrity, Store, StoreConfig};
use tokio::sync::Notify;

use crate::{
    database::{Database, Intruder, instance, on_both_engines, sealer},
    world::{World, contested, now},
};

on_both_engines!(
    rows_as_they_were_written_are_proven,
    a_row_that_is_gone_is_missed_in_every_table,
    an_older_row_is_noticed_in_every_table_that_has_versions,
    an_older_row_is_refused_at_once_by_who_saw_the_newer,
    nothing_is_permitted_over_rows_that_are_not_as_written,
    nothing_is_permitted_before_the_rows_are_proven,
    tallies_that_do_not_fit_their_entry_are_noticed,
    several_gateways_count_together,
    a_lane_that_went_back_with_its_rows_is_noticed,
    rows_that_cannot_be_compared_are_not_proven,
);

async fn findings(store: &Store) -> Vec<String> {
    store.sweep().await.unwrap().findings
}

/// A second version of every row that has versions.
fn second_versions(world: &World) -> Vec<(&'static str, Vec<Write>)> {
    let policy = Policy { revision: 2, ..world.policy.clone() };
    let head = PolicyHead { organization: world.organization.id, revision: 2 };
    let state = PluginState { version: 2, ..world.state.clone() };
    let change = StateChange {
        name: state.name.clone(),
        before: Some(world.seal(&world.state)),
        after: Some(world.seal(&state)),
    };
    let state = StateUse { changed: vec![change], ..world.insertion(&world.state) };
    let called = world.call.with_outcome(CallOutcome::Accepted { vendor_id: "theirs".into() });
    let moved = world.transaction.moved_to(State::Aborted, now());
    let released = world.attempt.clone().with_outcome(AttemptOutcome::Released);
    vec![
        ("users", vec![Write::UpdateUser(world.seal(&User { version: 2, ..world.user.clone() }))]),
        (
            "settings",
            vec![Write::UpdateSettings(world.seal(&Settings { version: 2, ..world.settings.clone() }))],
        ),
        (
            "sessions",
            vec![Write::UpdateSession(world.seal(&Session { version: 2, ..world.session.clone() }))],
        ),
        ("api_keys", vec![Write::UpdateApiKey(world.seal(&ApiKey { version: 2, ..world.api_key.clone() }))]),
        (
            "keys",
            vec![Write::UpdateKey(world.seal(&KeyRecord { version: 2, frozen: true, ..world.key.clone() }))],
        ),
        (
            "vaults",
            vec![Write::Vaults(VaultWrite::Update(world.seal(&Vault {
                version: 2,
                frozen: true,
                ..world.vault.clone()
            })))],
        ),
        (
            "fireblocks_integrations",
            vec![Write::UpdateIntegration(
                world.seal(&Integration { version: 2, ..world.integration.clone() }),
            )],
        ),
        ("vendor_calls", vec![Write::UpdateVendorCall(world.seal(&called))]),
        (
            "privy_quorums",
            vec![Write::UpdateQuorum(world.seal(&PrivyQuorum { version: 2, ..world.quorum.clone() }))],
        ),
        ("attempts", vec![Write::UpdateAttempt(world.seal(&released))]),
        ("transactions", vec![Write::UpdateTransaction(world.seal(&moved))]),
        ("plugin_state", vec![Write::UseState(state)]),
        (
            "policy_heads",
            vec![Write::InsertPolicy(world.seal(&policy)), Write::MovePolicyHead(world.seal(&head))],
        ),
        (
            "principals",
            vec![Write::UpdatePrincipal(world.seal(&Principal { version: 2, ..world.principal.clone() }))],
        ),
        (
            "organizations",
            vec![Write::UpdateOrganization(world.seal(&Organization {
                version: 2,
                frozen: true,
                ..world.organization.clone()
            }))],
        ),
    ]
}

/// [`second_versions`] of what is put on record on chain.
fn second_versions_on_record(world: &World) -> Vec<(&'static str, Vec<Write>)> {
    let registration = Registration { version: 2, ..world.registration.clone() };
    let relay = Relay { version: 2, ..world.relay.clone() };
    let service = VerificationService { version: 2, active: false, ..world.service.clone() };
    let payload = EncryptedPayload { version: 2, ..world.payload.clone() };
    let metadata = OrionMetadata { version: 2, ..world.metadata.clone() };
    let charter = Charter { revision: 2, ..world.charter.clone() };
    let proposal = Proposal { version: 2, ..world.proposal.clone() };
    vec![
        ("charters", vec![Write::Operators(OperatorWrite::UpdateCharter(world.seal(&charter)))]),
        ("proposals", vec![Write::Operators(OperatorWrite::UpdateProposal(world.seal(&proposal)))]),
        ("registrations", vec![Write::UpdateRegistration(world.seal(&registration))]),
        ("relays", vec![Write::UpdateRelay(world.seal(&relay))]),
        ("verification_services", vec![Write::UpdateVerificationService(world.seal(&service))]),
        ("encrypted_payloads", vec![Write::UpdateEncryptedPayload(world.seal(&payload))]),
        ("orion_metadata", vec![Write::UpdateOrionMetadata(world.seal(&metadata))]),
    ]
}

async fn rows_as_they_were_written_are_proven(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    for (_, writes) in second_versions(&world) {
        world.commit(&store, writes).await.unwrap();
    }
    // A group in which one unit loses counts the others only.
    let lost = Write::UpdateUser(world.seal(&User { version: 2, ..world.user.clone() }));
    let won = Write::UpdateUser(world.seal(&User { version: 3, ..world.user.clone() }));
    let mut intruder = database.intruder().await;
    intruder.block_writes().await;
    let tries = [vec![lost], vec![won]].map(|writes| world.commit(&store, writes));
    let (outcomes, ()) = tokio::join!(futures::future::join_all(tries), intruder.release());
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);

    let session = world.seal(&Session { version: 2, ..world.session.clone() });
    world.commit(&store, [Write::RemoveSession(session)]).await.unwrap();
    let gone = StateChange {
        name: world.state.name.clone(),
        before: Some(world.seal(&PluginState { version: 2, ..world.state.clone() })),
        after: None,
    };
    let gone = StateUse { changed: vec![gone], ..world.insertion(&world.state) };
    world.commit(&store, [Write::UseState(gone)]).await.unwrap();
    world.commit(&store, [Write::UseState(world.insertion(&world.state))]).await.unwrap();

    let sweep = store.sweep().await.unwrap();
    assert_eq!(sweep.findings, Vec::<String>::new());
    assert!(sweep.rows >= 16, "{} rows", sweep.rows);
    assert_eq!(store.integrity(), Integrity::Proven);
}

async fn a_row_that_is_gone_is_missed_in_every_table(database: &Database) {
    let store = database.store().await;
    World::decided(&store).await;
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    let tables = intruder.columns().await;
    let sealed = tables.iter().filter(|(_, columns)| columns.iter().any(|(column, _)| column == "seal"));
    let sealed: Vec<&String> =
        sealed.map(|(table, _)| table).filter(|table| *table != "audit_entries").collect();
    assert!(sealed.len() >= 16, "{sealed:?}");
    for table in sealed {
        keep(&mut intruder, table).await;
        intruder.execute(format!("DELETE FROM {table}")).await.unwrap();
        let findings = findings(&store).await;
        assert!(findings.len() == 1 && findings[0].starts_with(&format!("`{table}`: ")), "{findings:?}");
        assert!(matches!(store.integrity(), Integrity::Broken(_)));
        put_back(&mut intruder, table).await;
        assert_eq!(store.sweep().await.unwrap().findings, Vec::<String>::new(), "`{table}` is whole again");
    }
}

async fn an_older_row_is_noticed_in_every_table_that_has_versions(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    let versioned = versioned_tables(&mut intruder).await;
    let every = || second_versions_on_record(&world).into_iter().chain(second_versions(&world));
    let mut covered: Vec<_> = every().map(|(table, _)| table).collect();
    // A permit is renewed only once it has expired.
    covered.push("permits");
    covered.sort_unstable();
    assert_eq!(versioned, covered);
    for (table, writes) in every() {
        keep(&mut intruder, table).await;
        world.commit(&store, writes).await.unwrap();
        intruder.execute(format!("CREATE TEMPORARY TABLE newer AS SELECT * FROM {table}")).await.unwrap();
        put_back(&mut intruder, table).await;
        let findings = findings(&store).await;
        let expected = "is version 1, but 2 was written";
        assert!(findings.len() == 1 && findings[0].contains(expected), "`{table}`: {findings:?}");
        intruder.execute(format!("DELETE FROM {table}")).await.unwrap();
        intruder.execute(format!("INSERT INTO {table} SELECT * FROM newer")).await.unwrap();
        intruder.execute("DROP TABLE newer").await.unwrap();
        assert_eq!(store.sweep().await.unwrap().findings, Vec::<String>::new(), "`{table}` is whole again");
    }
}

async fn an_older_row_is_refused_at_once_by_who_saw_the_newer(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    let (organization, transaction) = (world.organization.id, world.transaction.id);
    let older = ["transactions", "organizations", "policy_heads"];
    for table in older {
        keep(&mut intruder, table).await;
        let (_, writes) = second_versions(&world).into_iter().find(|(name, _)| *name == table).unwrap();
        world.commit(&store, writes).await.unwrap();
        put_back(&mut intruder, table).await;
    }
    let errors = [
        store.transaction(organization, transaction).await.unwrap_err(),
        store.organization(organization).await.unwrap_err(),
        store.policy(organization).await.unwrap_err(),
    ];
    for (error, table) in errors.iter().zip(older) {
        let cause = error.internal_cause().unwrap().to_string();
        assert!(cause.contains(table) && cause.contains("went back from version 2 to 1"), "{cause}");
    }
    // A gateway that starts now has seen nothing; its first sweep tells it.
    let fresh = database.store_as(instance(2)).await;
    fresh.transaction(organization, transaction).await.unwrap();
    assert!(!findings(&fresh).await.is_empty());
}

async fn nothing_is_permitted_over_rows_that_are_not_as_written(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    // What the store's own look saw before the attack would be told after it.
    while store.integrity() != Integrity::Proven {
        tokio::task::yield_now().await;
    }
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    keep(&mut intruder, "api_keys").await;
    intruder.execute("DELETE FROM api_keys").await.unwrap();
    findings(&store).await;
    let refused = world.commit(&store, world.decision()).await.unwrap_err();
    let CommitError::Refused(cause) = refused else { panic!("{refused:?}") };
    assert!(cause.to_string().contains("`api_keys`: "), "{cause}");
    let settings = Settings { version: 2, ..world.settings.clone() };
    world.commit(&store, [Write::UpdateSettings(world.seal(&settings))]).await.unwrap();

    put_back(&mut intruder, "api_keys").await;
    assert_eq!(findings(&store).await, Vec::<String>::new());
    world.commit(&store, world.decision()).await.unwrap();
}

async fn nothing_is_permitted_before_the_rows_are_proven(database: &Database) {
    let unswept = |sweep_before_permits| StoreConfig {
        sweep_timeout: Duration::ZERO,
        commit_wait_max: Duration::from_secs(2),
        sweep_before_permits,
        ..database.config()
    };
    let open = |config| Store::open(config, sealer(), instance(1), Arc::new(Notify::new()));
    let store = open(unswept(true)).await.unwrap();
    let world = World::founded(&store).await;
    let refused = world.commit(&store, world.decision()).await.unwrap_err();
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    assert_eq!(store.integrity(), Integrity::Unproven);
    store.close().await;
    drop(store);
    let store = open(unswept(false)).await.unwrap();
    let refused = world.commit(&store, world.decision()).await.unwrap_err();
    assert!(matches!(refused, CommitError::Unavailable(_)), "nobody has looked at the log: {refused:?}");
    store.set_log_fault(None);
    world.commit(&store, world.decision()).await.unwrap();
}

async fn tallies_that_do_not_fit_their_entry_are_noticed(database: &Database) {
    let store = database.store().await;
    World::decided(&store).await;
    let mut intruder = database.intruder().await;
    intruder.execute("UPDATE audit_lanes SET tallies = '{}'").await.unwrap();
    store.lane_heads().await.unwrap_err();
    let findings = findings(&store).await;
    assert!(findings[0].contains("is not its last entry"), "{findings:?}");
}

async fn several_gateways_count_together(database: &Database) {
    let one = database.store().await;
    let other = database.store_as(instance(2)).await;
    let world = World::decided(&one).await;
    for (index, (_, writes)) in second_versions(&world).into_iter().enumerate() {
        world.commit(if index % 2 == 0 { &one } else { &other }, writes).await.unwrap();
    }
    let stale = Write::UpdateUser(world.seal(&User { version: 2, ..world.user.clone() }));
    assert_eq!(contested(world.commit(&other, [stale]).await), Contested::Version);
    assert_eq!(findings(&one).await, Vec::<String>::new());
    assert_eq!(findings(&other).await, Vec::<String>::new());
}

/// Sealed tables whose rows are written more than once.
async fn versioned_tables(intruder: &mut Intruder) -> Vec<String> {
    let tables = intruder.columns().await.into_iter();
    let has = |columns: &[(String, String)], name| columns.iter().any(|(column, _)| column == name);
    let versioned = tables.filter(|(table, columns)| {
        has(columns, "seal")
            && (has(columns, "version") || ["charters", "policy_heads"].contains(&table.as_str()))
    });
    versioned.map(|(table, _)| table).collect()
}

async fn a_lane_that_went_back_with_its_rows_is_noticed(database: &Database) {
    let (one, watcher) = (database.store().await, database.store_as(instance(2)).await);
    let world = World::founded(&one).await;
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    keep(&mut intruder, "settings").await;
    intruder.execute("CREATE TEMPORARY TABLE heads AS SELECT * FROM audit_lanes").await.unwrap();
    let settings = Settings { version: 2, ..world.settings.clone() };
    world.commit(&one, [Write::UpdateSettings(world.seal(&settings))]).await.unwrap();
    one.close().await;
    assert_eq!(findings(&watcher).await, Vec::<String>::new());

    put_back(&mut intruder, "settings").await;
    intruder.execute("DELETE FROM audit_lanes").await.unwrap();
    intruder.execute("INSERT INTO audit_lanes SELECT * FROM heads").await.unwrap();
    let beyond = findings(&watcher).await;
    assert!(beyond[0].contains("has entries beyond its head"), "{beyond:?}");
    let entry = format!("DELETE FROM audit_entries WHERE lane = '{}' AND sequence > 1", instance(1));
    intruder.execute(entry).await.unwrap();
    let back = findings(&watcher).await;
    assert!(back[0].contains("went back from entry 2 to 1"), "{back:?}");
}

async fn rows_that_cannot_be_compared_are_not_proven(database: &Database) {
    let store = database.store().await;
    World::decided(&store).await;
    assert_eq!(findings(&store).await, Vec::<String>::new());
    let mut intruder = database.intruder().await;
    let odd = if database.is_postgres { "ALTER TABLE votes ADD COLUMN odd uuid" } else { "DROP TABLE votes" };
    intruder.disarm().await;
    intruder.execute(odd).await.unwrap();
    let _ = store.sweep().await;
    assert_ne!(store.integrity(), Integrity::Proven);
}

async fn keep(intruder: &mut Intruder, table: &str) {
    intruder.execute(format!("CREATE TEMPORARY TABLE kept AS SELECT * FROM {table}")).await.unwrap();
}

async fn put_back(intruder: &mut Intruder, table: &str) {
    intruder.execute(format!("DELETE FROM {table}")).await.unwrap();
    intruder.execute(format!("INSERT INTO {table} SELECT * FROM kept")).await.unwrap();
    intruder.execute("DROP TABLE kept").await.unwrap();
}
