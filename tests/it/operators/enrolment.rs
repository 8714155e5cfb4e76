//! Operators come and go by commands: who was enrolled by a quorum acts, and who was put out does not.

use std::fs;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::main_job::text;
use serde_json::Value;

use super::staging::Staged;
use super::{DEADLINE, Operators};

impl Operators<'_> {
    /// Proposed by Ann, approved by these two.
    fn rechartered(&self, arguments: &[&str], approvers: [usize; 2]) -> Result<()> {
        let propose =
            [&["charter", "propose", "--reason", "people come and go", "--json"], arguments].concat();
        let proposal = self.done(0, &propose)?;
        let id = text(&proposal, "id")?;
        ensure!(self.done(approvers[0], &["approve", "--yes", id])?["state"] == "open");
        ensure!(self.done(approvers[1], &["approve", "--yes", id])?["state"] == "carried");
        Ok(())
    }

    /// A key that somebody made alone, and the argument that would enrol it.
    fn newcomer(&self, name: &str, roles: &str) -> Result<(String, String)> {
        let key = self.deployment.path(&format!("{name}.key"));
        let keygen = ["operator", "keygen", "--json", "--out", key.to_str().context("path")?];
        let made: Value = serde_json::from_slice(&Deployment::alone(&keygen)?.stdout)?;
        let public = self.deployment.path(&format!("{name}.pem"));
        fs::write(&public, text(&made, "publicKey")?)?;
        let enrol = format!("{name}={roles}={}", public.to_str().context("path")?);
        Ok((enrol, text(&made, "fingerprint")?.to_owned()))
    }

    fn id_of(&self, name: &str) -> Result<String> {
        let charter = self.done(3, &["charter", "show"])?;
        let people = charter["operators"].as_array().context("operators")?;
        let found = people.iter().find(|one| one["name"] == name).context("no such operator")?;
        Ok(text(found, "id")?.to_owned())
    }
}

#[tokio::test]
async fn who_a_quorum_enrols_acts_and_who_it_puts_out_does_not() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let operators = &staged.operators;
    let (enrol, fingerprint) = operators.newcomer("fay", "author+approver")?;
    let propose = ["charter", "propose", "--reason", "Fay joins", "--enrol", &enrol];
    operators.refused(1, &propose, "author is required")?;
    operators.refused(0, &["charter", "propose", "--reason", "nothing"], "nothing is to change")?;
    // People compare what the newcomer's own machine showed.
    let told = operators.run(0, &propose)?;
    let told = String::from_utf8(told.stdout)?;
    ensure!(told.contains(&format!("enrols fay with the key of fingerprint {fingerprint}")), "{told}");
    let id = told.lines().find_map(|line| line.strip_prefix("proposal ")).context("no proposal")?;
    let approved = operators.run(1, &["approve", "--yes", id])?;
    ensure!(String::from_utf8(approved.stderr)?.contains(&fingerprint), "an approver sees it, too");
    ensure!(operators.done(2, &["approve", "--yes", id])?["state"] == "carried");

    // Fay acts: she proposes what others approve. Bob is replaced and Cy becomes an author as well, in one change.
    let fay = operators.id_of("fay")?;
    let as_fay = |arguments: &[&str]| {
        let key = deployment.path("fay.key");
        let identity = ["--url", &operators.url, "--operator", &fay, "--key"];
        let key = [key.to_str().unwrap()];
        Deployment::alone(&[&["operator"], arguments, &identity, &key].concat())
    };
    let (gil, _) = operators.newcomer("gil", "approver")?;
    let (bob, cy) = (&operators.ids[1], &operators.ids[2]);
    let roles = format!("{cy}=author+approver");
    let change = [
        "charter",
        "propose",
        "--enrol",
        &gil,
        "--revoke",
        bob,
        "--roles",
        &roles,
        "--reason",
        "Gil for Bob",
    ];
    let proposed = as_fay(&[&change[..], &["--json"]].concat())?;
    ensure!(proposed.status.success(), "{}", String::from_utf8_lossy(&proposed.stderr));
    let proposed: Value = serde_json::from_slice(&proposed.stdout)?;
    let id = text(&proposed, "id")?;
    ensure!(!as_fay(&["approve", "--yes", id])?.status.success(), "not her own");
    ensure!(operators.done(1, &["approve", "--yes", id])?["state"] == "open");
    ensure!(operators.done(4, &["approve", "--yes", id])?["state"] == "carried");
    operators.refused(1, &["charter", "show"], "401")?;
    let charter = operators.done(2, &["charter", "show"])?;
    ensure!(charter["operators"].as_array().is_some_and(|people| people.len() == 7), "{charter}");

    // Three must agree from now on; who was put out is neither counted nor enrolled again.
    operators.rechartered(&["--approvals-required", "3"], [2, 4])?;
    let known = format!("bob=approver={}", deployment.path("bob.pem").display());
    operators.refused(0, &["charter", "propose", "--reason", "again", "--enrol", &known], "never again")?;
    operators.refused(
        0,
        &["charter", "propose", "--reason", "again", "--revoke", bob],
        "who is no operator",
    )?;
    let five = ["charter", "propose", "--reason", "too many", "--approvals-required", "5"];
    operators.refused(0, &five, "5 approvers beside")?;
    // One ends a power at once.
    operators.done(2, &["revoke", &fay])?;
    ensure!(!as_fay(&["charter", "show"])?.status.success());
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
