//! Write access to the database alone yields no signature (T1 to T3), and leaves traces in the audit
//! log (T32).

use std::fs;

use alloy_primitives::U256;
use anyhow::Result;
use countersign_tests::client::{Credential, hex};
use countersign_tests::main_job::{FINAL_DEADLINE, text};
use countersign_tests::wait;
use serde_json::Value;

use crate::database::Snapshot;
use crate::stand::{CHAIN_ID, Stand, request_hash};

/// A transaction that lacks nothing but the user's vote, its gateway stopped.
struct Case {
    stand: Stand,
    request_hash: String,
    /// Seen before the attack, so that the vote depends on nothing that the attacker has changed.
    status: Value,
    snapshot: Snapshot,
}

/// Without the comparison of rows and log, which would hide whether each seal holds by itself.
const SEALS_ALONE: &str = "[database]\nsweep_before_permits = false\n";

impl Case {
    async fn new() -> Result<Case> {
        Case::with_configuration(SEALS_ALONE).await
    }

    async fn with_configuration(configuration: &str) -> Result<Case> {
        let stand = Stand::with_configuration(configuration).await?;
        let gateway = stand.installation.start().await?;
        let escrow = stand.user(&gateway).await?;
        let (_, proposed) = stand.pending(&gateway, escrow).await?;
        let request_hash = request_hash(&proposed).to_owned();
        stand.job(&gateway).approve_as_agent(&request_hash).await?.expect(201)?;
        let status = stand.job(&gateway).approval_status(&request_hash).await?;
        assert!(gateway.stop().await?.success());
        let snapshot = Snapshot::take(&stand.installation.data_dir())?;
        Ok(Case { stand, request_hash, status, snapshot })
    }

    /// Starts the gateway on what the attacker left, lets the user vote, and drains. True if anything
    /// was signed.
    async fn signs(&self, user_votes: bool) -> Result<bool> {
        let sent_before = self.stand.node.calls("eth_sendRawTransaction").len();
        // Refusing to start is a good answer, too.
        if let Ok(gateway) = self.stand.installation.start().await {
            if user_votes {
                let job = self.stand.job(&gateway);
                let approval = job.approval_of(&self.status, true)?;
                let signature = hex(&self.stand.wallet.sign_approval(CHAIN_ID, &approval)?);
                // So is any answer to the vote; what counts is what happened.
                let _ = job.send_signed_approval(&self.request_hash, &approval, &signature).await;
            }
            let _ = gateway.stop().await?;
        }
        let signed = self
            .snapshot
            .count("SELECT count(*) FROM attempts WHERE outcome IN ('signed', 'released')")
            .await?;
        Ok(signed > 0 || self.stand.node.calls("eth_sendRawTransaction").len() > sent_before)
    }
}

#[tokio::test]
async fn untouched_rows_lead_to_a_signature() -> Result<()> {
    let case = Case::new().await?;
    assert!(!case.signs(false).await?);
    assert!(case.signs(true).await?);
    Ok(())
}

/// T2, over the live schema: a column that nobody thought of fails here.
#[tokio::test]
async fn no_sealed_column_can_be_changed_on_the_way_to_a_signature() -> Result<()> {
    let case = Case::new().await?;
    let mut signed = Vec::new();
    for column in case.snapshot.sealed_columns().await? {
        case.snapshot.attack(&[&column.change()]).await?;
        if case.signs(true).await? {
            signed.push(format!("{}.{}", column.table, column.name));
        }
    }
    assert!(signed.is_empty(), "signed in spite of a change of {signed:#?}");
    Ok(())
}

#[tokio::test]
async fn rows_made_up_by_the_attacker_count_for_nothing() -> Result<()> {
    let case = Case::new().await?;
    let attacks: &[(&str, &[&str])] = &[
        ("the agent's vote once more, as the user's", &[
            "INSERT INTO votes SELECT 'x' || id, organization, transaction_id, intent_hash,
                 (SELECT owner FROM transactions), ordinal, 'user', ballot, evidence, confidence_ppm, analysis, created_at, seal
             FROM votes WHERE role = 'agent'",
        ]),
        ("a policy that demands nobody", &["UPDATE policies SET floor = replace(floor, 'user', 'agent')"]),
        ("no binding at all", &["UPDATE policies SET bindings = '[]'"]),
        ("an approved transaction", &["UPDATE transactions SET state = 'approved'"]),
        ("a permit for the taking", &[
            "INSERT INTO permits SELECT 'x', organization, id, 'x', key_id, intent_hash, intent_hash, 1, 1, version,
                 created_at, created_at * 2, 1, seal FROM transactions",
        ]),
    ];
    for (name, statements) in attacks {
        case.snapshot.attack(statements).await?;
        assert!(!case.signs(false).await?, "signed after {name}");
    }
    let node = case.stand.anvil.node();
    assert_eq!(node.balance(case.stand.wallet.address()).await?, U256::ZERO);
    Ok(())
}

/// Every row below was written by the gateway and has its seal. With seals alone the transfer is paid twice, so the
/// attack is real.
#[tokio::test]
async fn an_executed_transfer_that_is_put_back_is_not_paid_again() -> Result<()> {
    for (configuration, is_paid_again) in [(SEALS_ALONE, true), ("", false)] {
        let case = Case::with_configuration(configuration).await?;
        assert!(case.signs(true).await?);
        let after = Snapshot::take(&case.stand.installation.data_dir())?;
        let directory = tempfile::tempdir()?;
        let earlier = case.snapshot.copy_to(directory.path())?;
        after
            .attack_with(
                &earlier,
                &[
                    "DELETE FROM permits",
                    "DELETE FROM attempts",
                    "DELETE FROM votes WHERE id NOT IN (SELECT id FROM earlier.votes)",
                    "DELETE FROM transactions",
                    "INSERT INTO transactions SELECT * FROM earlier.transactions",
                ],
            )
            .await?;
        assert_eq!(case.signs(true).await?, is_paid_again, "with `{configuration}`");
    }
    Ok(())
}

/// Audit lanes with entries that the last checkpoint does not reach.
const UNSIGNED_LANES: &str = "SELECT count(*) FROM audit_lanes WHERE sequence IS NOT \
    (SELECT json_extract(heads, '$.\"' || lane || '\".sequence') FROM audit_checkpoints ORDER BY number DESC LIMIT 1)";

/// While the gateway runs: nothing is signed on a log that went back behind what was handed on.
#[tokio::test]
async fn a_log_that_went_back_under_a_running_gateway_stops_signatures_until_it_is_whole() -> Result<()> {
    let stand = Stand::with_configuration("[audit]\ncheckpoint_interval_ms = 100\n").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let request_hash = request_hash(&proposed);
    stand.job(&gateway).approve_as_agent(request_hash).await?.expect(201)?;
    let (database, operator) = (Snapshot::take(&stand.installation.data_dir())?, gateway.operator());
    // While one is being signed, it would be stored behind those that are taken out, and end the log where it should.
    wait::until("a checkpoint of everything", FINAL_DEADLINE, async || {
        let checkpoints = database.count("SELECT count(*) FROM audit_checkpoints").await?;
        Ok((checkpoints > 0 && database.count(UNSIGNED_LANES).await? == 0).then_some(()))
    })
    .await?;
    let directory = tempfile::tempdir()?;
    let kept = directory.path().join("kept.db");
    let last = database.count("SELECT max(number) FROM audit_checkpoints").await?;
    wait::until("it to be handed on", FINAL_DEADLINE, async || {
        let Ok(anchor) = fs::read(stand.installation.data_dir().join("audit-anchor.json")) else {
            return Ok(None);
        };
        let anchor: Value = serde_json::from_slice(&anchor)?;
        Ok((anchor["checkpoint"]["number"] == last).then_some(()))
    })
    .await?;
    database.take_checkpoints(&kept).await?;
    let cause = wait::until("what is missing to be told", FINAL_DEADLINE, async || {
        let told = operator.get("/readyz", Credential::Nobody).await?.json()?;
        Ok(Some(text(&told["parts"], "audit")?.to_owned()).filter(|audit| audit != "ok"))
    })
    .await?;
    assert!(cause.contains("was rolled back: the database ends at checkpoint 0"), "{cause}");

    stand.job(&gateway).approve_as_user(request_hash).await?.expect(201)?;
    // Every claim of the outbox raises the number.
    let tries = "SELECT max(fencing) FROM outbox";
    let before = database.count(tries).await?;
    wait::until("the outbox to have tried in vain", FINAL_DEADLINE, async || {
        Ok((database.count(tries).await? > before + 2).then_some(()))
    })
    .await?;
    assert_eq!(database.count("SELECT count(*) FROM permits").await?, 0, "{}", gateway.output());
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());

    database.put_checkpoints_back(&kept).await?;
    wait::until("it to be ready again", FINAL_DEADLINE, async || {
        Ok((operator.get("/readyz", Credential::Nobody).await?.status == 200).then_some(()))
    })
    .await?;
    let ended = stand.job(&gateway).final_transaction(request_hash).await?;
    assert_eq!(ended["status"], "EXECUTED", "{ended}");
    stand.finish(gateway).await
}

#[tokio::test]
async fn the_audit_log_names_what_was_done_to_it() -> Result<()> {
    let case = Case::new().await?;
    let installation = &case.stand.installation;
    assert_eq!(installation.verify_audit()?["verified"], true);
    let last = "(SELECT max(sequence) FROM audit_entries)";
    let attacks = [
        ("changed", vec!["UPDATE audit_entries SET detail = '{}' WHERE sequence = 2".to_owned()]),
        ("re-dated", vec!["UPDATE audit_entries SET at = at + 1 WHERE sequence = 2".to_owned()]),
        ("removed", vec!["DELETE FROM audit_entries WHERE sequence = 2".to_owned()]),
        ("cut off", vec![
            format!("DELETE FROM audit_entries WHERE sequence = {last}"),
            "UPDATE audit_lanes SET sequence = sequence - 1".to_owned(),
        ]),
        ("inserted", vec![format!(
            "INSERT INTO audit_entries SELECT lane, sequence + 1, previous, organization, at, actor, request_id,
                 action, subject, detail, tallies, seal FROM audit_entries WHERE sequence = {last}"
        )]),
        ("reordered", vec![
            "UPDATE audit_entries SET sequence = -1 WHERE sequence = 1".to_owned(),
            "UPDATE audit_entries SET sequence = 1 WHERE sequence = 2".to_owned(),
            "UPDATE audit_entries SET sequence = 2 WHERE sequence = -1".to_owned(),
        ]),
    ];
    for (name, statements) in attacks {
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        case.snapshot.attack(&statements).await?;
        assert!(installation.verify_audit().is_err(), "an entry was {name}, and the log verifies");
    }
    case.snapshot.restore()?;
    assert_eq!(installation.verify_audit()?["verified"], true);
    Ok(())
}
