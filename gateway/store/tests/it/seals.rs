//! T2: whoever can write the database can change any one column of any sealed row; the row then no longer opens.
//! The cases are generated from the live schema, so a column that nobody thought of fails here.

use std::collections::BTreeSet;

use gateway_domain::{
    Address,
    audit::AuditEntry,
    ids::{
        CredentialId, KeyId, OrganizationId, PluginRevisionId, PrincipalId, ProposalId, RegistrationId,
        RelayId, SessionId, TransactionId, VaultId,
    },
    ports::{
        AuditReads, CredentialReads, DecisionReads, IdentityReads, KeyReads, OperatorReads, PluginStateReads,
        PolicyReads, RegistrationReads, SessionReads, TransactionReads, VaultReads, VendorReads,
        VerificationReads,
    },
    quorums::QuorumType,
    sealed::Sealed,
    vendors::VendorRole,
};
use gateway_store::Store;
use sqlx::Row;

use crate::{
    database::{Database, Intruder, instance, on_both_engines},
    world::World,
};

on_both_engines!(
    every_column_of_every_sealed_row_is_sealed,
    a_row_moved_to_another_tenant_does_not_open_there,
    tables_without_a_seal_are_the_known_ones,
    an_edited_lane_head_is_noticed,
);

/// Tables whose rows carry no seal, and why that is safe.
const UNSEALED: [(&str, &str); 17] = [
    // Compared with its SHA-256, which a sealed plugin revision names, at every load.
    ("components", "held by its digest"),
    // Compared with its SHA-256, which a sealed payload names, before it is used.
    ("ipfs_blocks", "held by its digest"),
    // A removed claim lets a message be opened again; its content repeats the request, and a stored payload holds the
    // session key once more.
    ("session_key_claims", "repeats meet unique constraints"),
    // A removed row lets a nonce be chosen twice, which the chain refuses; an added one skips a nonce.
    ("nonces", "availability only"),
    // What it stands for is sealed and read at every decision; the number only closes the moment after that.
    ("standings", "narrows a race"),
    ("user_standings", "narrows a race"),
    // A longer lease lets a gateway stand still for longer; policy, version and freeze flags are checked all the same.
    ("instances", "availability only"),
    ("privy_quorum_claims", "availability only: a row more or less is a quorum less or more"),
    // A job names an object; every fact is read, sealed, when it runs.
    ("outbox", "names work, carries no facts"),
    // A removed guard lets a signed request be repeated; what it changes is guarded by unique rows of its own.
    ("replay_guards", "repeats meet unique constraints"),
    // A removed row hides that a token was used twice, which is refused all the same; an added one ends a session.
    ("used_refresh_tokens", "ends sessions only"),
    ("api_key_uses", "shown to people, bears on nothing"),
    // A removed row gives a source its allowance anew; an added one makes it wait.
    ("rate_places", "bounds load only"),
    // Points at the object that the first use made, which is read sealed and compared by its hash.
    ("idempotency_keys", "repeats only"),
    // A lock; its number is never read.
    ("plugin_state_lineages", "carries nothing"),
    // Compared with the sealed entry it names at every read.
    ("audit_lanes", "follows its entry"),
    // Signed by an HSM key.
    ("audit_checkpoints", "signed"),
];

/// Other words of the same column, more dangerous than a broken one.
const WORSE: [(&str, &str, &str); 30] = [
    ("charters", "approvals_required", "0"),
    ("plugin_revocations", "revision", "'00000000-0000-0000-0000-000000000001'"),
    ("proposals", "change", "replace(change, 'null', '\"00000000-0000-0000-0000-000000000001\"')"),
    ("proposals", "approvals", "'[]'"),
    ("principals", "kind", "'service'"),
    ("users", "contract_chain", "NULL"),
    ("users", "contract_chain", "'eip155:137'"),
    ("api_keys", "label", "'arbiter'"),
    ("api_keys", "scopes", "'[\"admin\"]'"),
    ("sessions", "user_id", "'00000000-0000-0000-0000-000000000001'"),
    ("keys", "state", "'retired'"),
    ("keys", "purpose", "'relayer'"),
    ("keys", "kinds", "'[\"transaction\",\"typed-data\",\"digest\"]'"),
    ("keys", "vault", "NULL"),
    ("keys", "vault", "'00000000-0000-0000-0000-000000000001'"),
    ("policies", "bindings", "replace(bindings, 'enforce', 'shadow')"),
    ("policies", "floor", "replace(floor, '\"count\":2', '\"count\":1')"),
    ("plugin_revisions", "grants", "'[\"http\"]'"),
    ("plugin_revisions", "examined", "replace(examined, 'log', 'http')"),
    ("transactions", "execution_type", "'direct_user'"),
    ("transactions", "provider", "'none'"),
    ("transactions", "to_address", "NULL"),
    ("transactions", "vendor_account", "replace(vendor_account, '\"7\"', '\"8\"')"),
    (
        "fireblocks_integrations",
        "state_facts",
        "replace(state_facts, '\"vault_account\":\"0\"', '\"vault_account\":\"1\"')",
    ),
    ("privy_quorums", "is_static", "1"),
    ("votes", "role", "'\"arbiter\"'"),
    ("votes", "principal", "'00000000-0000-0000-0000-000000000001'"),
    ("plugin_state", "entry", "'{\"counter\":{\"signed\":{},\"held\":{}}}'"),
    ("evaluations", "purpose", "'decision'"),
    ("evaluations", "result", "replace(result, 'arbiter', 'user')"),
];

/// What a gateway would ask for to meet the edited row.
#[derive(Clone, Copy)]
struct Sought<'w> {
    world: &'w World,
    organization: OrganizationId,
    id: uuid::Uuid,
}

async fn every_column_of_every_sealed_row_is_sealed(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    let mut edits = 0;
    for (table, columns) in intruder.columns().await {
        if !columns.iter().any(|(column, _)| column == "seal") {
            continue;
        }
        let sought = sought(&table, &world);
        assert!(opens(&store, &table, sought).await, "`{table}` opens before it is edited");
        for (column, kind) in &columns {
            let mut effective = 0;
            for edit in edits_of(&table, column, kind) {
                effective += edit_and_restore(&mut intruder, &store, (&table, column, &edit), sought).await;
            }
            assert!(effective > 0, "no edit changed `{table}.{column}`");
            edits += effective;
        }
    }
    assert!(edits > 300, "only {edits} edits were possible");
}

/// Applies one edit, proves that the row does not open, puts the old value back, and proves that it opens again.
async fn edit_and_restore(
    intruder: &mut Intruder,
    store: &Store,
    (table, column, edit): (&str, &str, &str),
    sought: Sought<'_>,
) -> u32 {
    let row = row_of(table, &sought);
    intruder
        .execute(format!("CREATE TEMPORARY TABLE kept AS SELECT * FROM {table} WHERE {row}"))
        .await
        .unwrap();
    let before =
        intruder.number(format!("SELECT COUNT(*) FROM kept WHERE {edit} IS DISTINCT FROM {column}")).await;
    let done = intruder.execute(format!("UPDATE {table} SET {column} = {edit} WHERE {row}")).await;
    let changed = before == 1 && done.is_ok();
    if changed {
        assert!(!opens(store, table, sought).await, "`{table}.{column} = {edit}` still opens");
    }
    if done.is_ok() {
        let edited = intruder.number("SELECT COUNT(*) FROM kept").await;
        assert_eq!(edited, 1, "one row of `{table}` is edited");
        let mark = if column == "seal" {
            format!("seal = {}", quoted_after(intruder, edit).await)
        } else {
            "seal = (SELECT seal FROM kept)".to_owned()
        };
        let restore = format!("UPDATE {table} SET {column} = (SELECT {column} FROM kept) WHERE {mark}");
        assert_eq!(intruder.execute(restore).await.unwrap(), 1, "`{table}.{column}` is restored");
    }
    intruder.execute("DROP TABLE kept").await.unwrap();
    assert!(opens(store, table, sought).await, "`{table}` opens again");
    u32::from(changed)
}

async fn quoted_after(intruder: &mut Intruder, edit: &str) -> String {
    let text: String = intruder.rows(format!("SELECT {edit} FROM kept")).await[0].get(0);
    format!("'{text}'")
}

fn edits_of(table: &str, column: &str, kind: &str) -> Vec<String> {
    let mut edits = match kind {
        "INTEGER" | "bigint" => {
            vec![format!("COALESCE({column}, 0) + 1"), format!("COALESCE({column}, 0) - 1")]
        }
        "BLOB" => vec!["X'00'".to_owned(), "X''".to_owned()],
        "bytea" => vec!["'x'".to_owned(), "''".to_owned()],
        _ => vec![
            format!("COALESCE({column}, '') || '0'"),
            // The last digit of an id, an address or a hash becomes another.
            format!(
                "substr({column}, 1, length({column}) - 1) || \
                 CASE WHEN substr({column}, length({column})) = '0' THEN '1' ELSE '0' END"
            ),
            "''".to_owned(),
        ],
    };
    if column != "seal" {
        edits.push("NULL".to_owned());
    }
    edits.extend(
        WORSE.iter().filter(|(t, c, _)| *t == table && *c == column).map(|(_, _, edit)| (*edit).to_owned()),
    );
    edits
}

fn sought<'w>(table: &str, world: &'w World) -> Sought<'w> {
    let id = match table {
        "charters" => uuid::Uuid::nil(),
        "proposals" => world.proposal.id.uuid(),
        "organizations" => world.organization.id.uuid(),
        "principals" | "users" | "settings" | "fireblocks_integrations" | "privy_quorums" => {
            world.principal.id.uuid()
        }
        "api_keys" => world.api_key.id.uuid(),
        "sessions" => world.session.id.uuid(),
        "keys" => world.key.id.uuid(),
        "vaults" => world.vault.id.uuid(),
        "plugin_revisions" | "plugin_revocations" => world.revision.id.uuid(),
        "transactions" | "votes" | "evaluations" | "attempts" | "permits" | "vendor_calls"
        | "encrypted_payloads" | "orion_metadata" => world.transaction.id.uuid(),
        "registrations" => world.registration.id.uuid(),
        "relays" => world.relay.id.uuid(),
        "policies" | "policy_heads" | "audit_entries" | "plugin_state" | "verification_services" => {
            uuid::Uuid::nil()
        }
        unknown => panic!("nobody classified the sealed table `{unknown}`"),
    };
    Sought { world, organization: world.organization.id, id }
}

fn row_of(table: &str, sought: &Sought<'_>) -> String {
    match table {
        "audit_entries" => format!("lane = '{}' AND sequence = 1", instance(1)),
        "charters" => format!("id = '{}'", sought.id),
        "organizations" => format!("id = '{}'", sought.organization),
        _ => format!("organization = '{}'", sought.organization),
    }
}

async fn policy_opens(store: &Store, table: &str, sought: Sought<'_>) -> bool {
    let (organization, id, world) = (sought.organization, sought.id, sought.world);
    match table {
        "plugin_revisions" => {
            found(store.plugin_revision(organization, PluginRevisionId::from_uuid(id)).await)
                && listed(store.plugin_revision_list(organization, None, 10).await)
        }
        "plugin_revocations" => listed(store.plugin_revocations(organization).await),
        "policies" => {
            found(store.policy(organization).await)
                && found(store.policy_revision(organization, world.policy.revision).await)
                && listed(store.policy_list(organization, None, 10).await)
        }
        _ => found(store.policy(organization).await),
    }
}

async fn vault_opens(store: &Store, sought: Sought<'_>) -> bool {
    let (organization, id, world) = (sought.organization, sought.id, sought.world);
    found(store.vault(organization, VaultId::from_uuid(id)).await)
        && found(store.vault_by_name(organization, &world.vault.name).await)
        && listed(store.vault_list(organization, None, 10).await)
}

async fn opens(store: &Store, table: &str, sought: Sought<'_>) -> bool {
    let (organization, id, world) = (sought.organization, sought.id, sought.world);
    let transaction = TransactionId::from_uuid(id);
    match table {
        "charters" => found(store.charter().await),
        "proposals" => {
            found(store.proposal(ProposalId::from_uuid(id)).await) && listed(store.proposals(None, 10).await)
        }
        "organizations" => found(store.organization(OrganizationId::from_uuid(id)).await),
        "principals" => listed(store.principals(organization, &[PrincipalId::from_uuid(id)]).await),
        "users" => {
            let address: Address = world.user.ethereum_address;
            found(store.user(organization, PrincipalId::from_uuid(id)).await)
                && found(store.user_by_address(organization, address).await)
        }
        "settings" => found(store.settings(organization, PrincipalId::from_uuid(id)).await),
        "api_keys" => {
            listed(store.api_keys(organization, &[CredentialId::from_uuid(id)]).await)
                && found(store.api_key_by_public_id(&world.api_key.public_id).await)
        }
        "sessions" => {
            found(store.session(organization, SessionId::from_uuid(id)).await)
                && found(store.session_by_refresh_token(organization, &[world.session.refresh_hash]).await)
        }
        "keys" => found(store.key(organization, KeyId::from_uuid(id)).await),
        "vaults" => vault_opens(store, sought).await,
        "plugin_revisions" | "plugin_revocations" | "policies" | "policy_heads" => {
            policy_opens(store, table, sought).await
        }
        "transactions" => found(store.transaction(organization, transaction).await),
        "votes" => listed(store.votes(organization, transaction).await),
        "evaluations" => listed(store.evaluations(organization, transaction).await),
        "attempts" => listed(store.attempts(organization, transaction).await),
        "permits" => listed(store.permits(organization, transaction).await),
        "plugin_state" => {
            let state = &world.state;
            found(store.plugin_state(organization, state.lineage, &state.name).await)
        }
        "vendor_calls" => listed(store.vendor_calls(organization, transaction).await),
        "fireblocks_integrations" => {
            let owner = PrincipalId::from_uuid(id);
            found(store.integration(organization, owner, VendorRole::Agent).await)
                && listed(store.integrations(organization, owner).await)
        }
        "privy_quorums" => {
            let owner = PrincipalId::from_uuid(id);
            found(store.quorum(organization, owner, QuorumType::Execution).await)
        }
        "registrations" => {
            found(store.registration(organization, RegistrationId::from_uuid(id)).await)
                && found(store.current_registration(organization, world.user.id).await)
                && found(
                    store.registration_by_fingerprint(organization, world.registration.fingerprint).await,
                )
        }
        "relays" => found(store.relay(organization, RelayId::from_uuid(id)).await),
        "verification_services" => {
            listed(store.verification_services(organization).await)
                && found(store.verification_service(organization, world.service.id).await)
        }
        "encrypted_payloads" => found(store.encrypted_payload(organization, transaction).await),
        "orion_metadata" => found(store.orion_metadata(organization, transaction).await),
        "audit_entries" => {
            let entries: Result<Vec<Sealed<AuditEntry>>, _> = store.lane_entries(instance(1), 0, 1).await;
            entries.is_ok_and(|entries| entries.first().is_some_and(|entry| entry.sequence == 1))
        }
        unknown => panic!("nobody classified the sealed table `{unknown}`"),
    }
}

fn found<T>(read: gateway_domain::Result<Option<T>>) -> bool {
    read.is_ok_and(|value| value.is_some())
}

fn listed<T>(read: gateway_domain::Result<Vec<T>>) -> bool {
    read.is_ok_and(|values| !values.is_empty())
}

async fn a_row_moved_to_another_tenant_does_not_open_there(database: &Database) {
    let store = database.store().await;
    let (world, other) = (World::decided(&store).await, World::new());
    let organization = gateway_domain::changes::Write::InsertOrganization(other.seal(&other.organization));
    other.commit(&store, [organization]).await.unwrap();
    let mut intruder = database.intruder().await;
    intruder.disarm().await;
    let target = other.organization.id;
    for (table, columns) in intruder.columns().await {
        let names: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
        if !names.contains(&"seal") || !names.contains(&"organization") || table == "audit_entries" {
            continue;
        }
        let here = sought(&table, &world);
        let there = Sought { organization: target, ..here };
        let moved = format!("UPDATE {table} SET organization = '{target}' WHERE {}", row_of(&table, &here));
        assert_eq!(intruder.execute(moved).await.unwrap(), 1);
        assert!(!opens(&store, &table, here).await, "`{table}` still opens where it was");
        assert!(!opens(&store, &table, there).await, "`{table}` opens for another tenant");
    }
}

async fn tables_without_a_seal_are_the_known_ones(database: &Database) {
    let store = database.store().await;
    let tables = database.intruder().await.columns().await;
    let sealed = |columns: &[(String, String)]| columns.iter().any(|(column, _)| column == "seal");
    let unsealed: BTreeSet<&str> =
        tables.iter().filter(|(_, columns)| !sealed(columns)).map(|(table, _)| table.as_str()).collect();
    assert_eq!(unsealed, UNSEALED.iter().map(|(table, _)| *table).collect());
    store.close().await;
}

async fn an_edited_lane_head_is_noticed(database: &Database) {
    let store = database.store().await;
    World::decided(&store).await;
    assert_eq!(store.lane_heads().await.unwrap()[&instance(1)].sequence, 2);
    let mut intruder = database.intruder().await;
    for edit in ["sequence = sequence + 1", "sequence = sequence - 2", "hash = replace(hash, '0x', '0xff')"] {
        intruder.execute(format!("UPDATE audit_lanes SET {edit}")).await.unwrap();
        store.lane_heads().await.unwrap_err();
    }
}
