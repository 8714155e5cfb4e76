//! A new revision turns out wrong: one approver has the one before it back at once, with what it remembers.

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use serde_json::Value;

use super::DEADLINE;
use super::staging::{ORION_SETTINGS, Staged};

const LIMITER_GRANTS: [&str; 3] = ["log", "settings", "state"];

impl Staged<'_> {
    fn roll_back(&self, person: usize, revision: &str) -> Result<Value> {
        let place = ["--reason", "it refuses payroll", "--organization", &self.organization, "--json"];
        self.operators.done(person, &[&["policy", "rollback", revision], &place[..]].concat())
    }
}

#[tokio::test]
async fn one_approver_has_the_revision_before_back_at_once_and_it_remembers() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    // Two transfers, then none: both settings are of one plugin, and count in one memory.
    let [two, none] =
        [staged.upload("limiter", "2", &LIMITER_GRANTS)?, staged.upload("limiter", "0", &LIMITER_GRANTS)?];
    staged.bound(&two, "enforce", &["--gate"])?;
    ensure!(!staged.is_refused().await?);
    staged.bound(&none, "enforce", &["--gate"])?;
    ensure!(staged.is_refused().await?);

    // The author proposes, and is told why it is no more than that.
    let proposed = staged.roll_back(0, "2")?;
    ensure!(proposed["atOnce"] == false && proposed["proposal"]["state"] == "open", "{proposed}");
    ensure!(proposed["obstacle"].as_str().context("obstacle")?.contains("only an approver"), "{proposed}");
    let back = staged.roll_back(1, "2")?;
    ensure!(back["atOnce"] == true && back["proposal"]["state"] == "carried_at_once", "{back}");
    ensure!(!staged.is_refused().await?, "the second of two");
    ensure!(staged.is_refused().await?, "the first one counts still");

    // To what differs in more, one approver does not go, and is told so.
    let place = ["--reason", "further", "--organization", &staged.organization];
    let further = [&["policy", "rollback", "1"], &place[..]].concat();
    staged.operators.refused(1, &further, "takes a proposal by an author")?;
    // What must not come back is revoked.
    let place = ["--organization", &staged.organization, "--json"];
    staged.operators.done(1, &[&["plugin", "revoke", "--yes", &none], &place[..]].concat())?;
    ensure!(staged.operators.done(2, &[&["policy", "show"], &place[..]].concat())?["revision"] == 4);
    ensure!(service.terminate(DEADLINE).await?.success());

    let log = String::from_utf8(deployment.run(&["audit", "export"])?.stdout)?;
    let entry = log.lines().find(|line| line.contains("policy.rolled_back")).context("not on record")?;
    ensure!(entry.contains(&staged.operators.ids[1]), "{entry}");
    Ok(())
}
