use crate::{
    database::{Database, on_both_engines},
    world::World,
};

on_both_engines!(what_was_judged_or_recorded_cannot_be_changed_or_removed);

const APPEND_ONLY: [&str; 9] = [
    "audit_entries",
    "evaluations",
    "votes",
    "policies",
    "plugin_revisions",
    "plugin_revocations",
    "components",
    "ipfs_blocks",
    "session_key_claims",
];

/// Columns that may change, by table; all others are written once.
const MUTABLE: [(&str, &[&str]); 11] = [
    ("privy_quorum_claims", &["may_exist"]),
    ("charters", &["id", "revision", "operators", "approvals_required", "updated_at", "seal"]),
    ("proposals", &["approvals", "state", "state_facts", "version", "seal"]),
    ("relays", &["outcome", "outcome_facts", "version", "seal"]),
    ("encrypted_payloads", &["pinned", "submission", "submission_facts", "version", "updated_at", "seal"]),
    ("transactions", &["note", "state", "state_facts", "version", "updated_at", "seal"]),
    ("attempts", &["outcome", "outcome_facts", "version", "seal"]),
    ("vendor_calls", &["outcome", "outcome_facts", "refused_since", "version", "seal"]),
    (
        "permits",
        &[
            "attempt_id",
            "policy_revision",
            "standing_revision",
            "transaction_version",
            "issued_at",
            "expires_at",
            "version",
            "seal",
        ],
    ),
    ("keys", &["kinds", "public_key", "address", "state", "frozen", "vault", "version", "seal"]),
    ("vaults", &["frozen", "version", "seal"]),
];

async fn what_was_judged_or_recorded_cannot_be_changed_or_removed(database: &Database) {
    let store = database.store().await;
    World::decided(&store).await;
    let mut intruder = database.intruder().await;
    let tables = intruder.columns().await;
    let changed = |kind: &str, column: &str| match kind {
        "INTEGER" | "bigint" => format!("{column} + 1"),
        "BLOB" => "X'00'".to_owned(),
        "bytea" => "'x'".to_owned(),
        _ => format!("COALESCE({column}, '') || 'x'"),
    };
    let append_only = APPEND_ONLY.map(|table| (table, &[] as &[&str]));
    for (table, mutable) in append_only.into_iter().chain(MUTABLE) {
        let mut edits = vec![format!("DELETE FROM {table}")];
        for (column, kind) in tables[table].iter().filter(|(column, _)| !mutable.contains(&column.as_str())) {
            edits.push(format!("UPDATE {table} SET {column} = {}", changed(kind, column)));
        }
        for edit in edits {
            let refusal = intruder.execute(edit.clone()).await.expect_err(&edit).to_string();
            let by_trigger =
                ["append-only", "written once", "keeps its rows"].iter().any(|text| refusal.contains(text));
            assert!(by_trigger, "`{edit}` was refused for another reason: {refusal}");
        }
    }
}
