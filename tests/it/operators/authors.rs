//! From nothing to a plugin that judges under a charter, by the very lines of the new project's own README.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use countersign_tests::configuration::PATIENT_TO_COMPILE;
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::gateway::Installation;
use countersign_tests::main_job::text;
use countersign_tests::process::ending;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::staging::{ORION_SETTINGS, Staged};
use super::{DEADLINE, PEOPLE};

const NAME: &str = "spend-limit";
const AUTHOR: usize = 0;
const APPROVERS: [usize; 2] = [1, 2];

/// Somebody who follows a README.
struct Reader<'d> {
    staged: &'d Staged<'d>,
    project: PathBuf,
    /// What its placeholders stand for, as far as commands have said.
    said: BTreeMap<&'static str, String>,
}

impl Reader<'_> {
    /// Runs each line that the README gives, and takes what the next ones need from what was printed.
    fn follow(&mut self) -> Result<()> {
        let readme = fs::read_to_string(self.project.join("README.md"))?;
        for line in lines(&readme) {
            let who: &[usize] = if line.contains("operator approve") { &APPROVERS } else { &[AUTHOR] };
            for person in who {
                let printed = self.run(*person, &line)?;
                self.learn(&line, &printed);
            }
        }
        Ok(())
    }

    fn run(&self, person: usize, line: &str) -> Result<String> {
        let replaced = |line: String, (name, text): (&&str, &String)| line.replace(*name, text);
        let line = self.said.iter().fold(line.to_owned(), replaced);
        let deployment = self.staged.operators.deployment;
        let binary = environment::gateway_binary()?;
        let programs = binary.parent().context("no folder of programs")?.display();
        // Dependencies are built once, beside those of the guests.
        let built = binary.with_file_name("../guests/authors");
        let mut child = ending("sh")
            .args(["-c", &format!("PATH={programs}:$PATH; {line}")])
            .current_dir(&self.project)
            .env("CARGO_TARGET_DIR", built)
            .env("COUNTERSIGN_OPERATOR_URL", deployment.operator_url())
            .env("COUNTERSIGN_OPERATOR_ID", &self.staged.operators.ids[person])
            .env("COUNTERSIGN_OPERATOR_KEY", deployment.path(&format!("{}.key", PEOPLE[person].0)))
            .env("COUNTERSIGN_ORGANIZATION", &self.staged.organization)
            .env("COUNTERSIGN_ORIGIN", deployment.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // The answer to whatever a command asks back; most ask nothing.
        let _ = child.stdin.take().context("no standard input")?.write_all(b"y\n");
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn learn(&mut self, line: &str, printed: &str) {
        let word_after = |start: &str| {
            let rest = printed.lines().find_map(|line| line.strip_prefix(start));
            rest.map(|rest| rest.trim().to_owned())
        };
        let learned = [
            ("plugin build", "COMPONENT", printed.split_whitespace().next().map(ToOwned::to_owned)),
            ("plugin check", "GRANTS", word_after("capabilities ").map(|it| it.replace("none", ""))),
            ("plugin upload", "REVISION", word_after("revision ")),
            ("operator bind", "PROPOSAL", word_after("proposal ")),
        ];
        for (command, name, found) in learned {
            if line.contains(command)
                && let Some(found) = found
            {
                self.said.insert(name, found);
            }
        }
    }

    /// What the gateway has recorded of the plugin's word about a transfer.
    async fn heard(&self, transfer: &Value) -> Result<Value> {
        let id = self.staged.transaction_of(transfer).await?;
        let recorded = self.staged.operators.deployment.run(&["plugin", "record", &id, "--plugin", NAME])?;
        ensure!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
        Ok(serde_json::from_slice(&recorded.stdout)?)
    }
}

/// The commands of a README: what stands in fences without a language, without the remarks behind it. The compilers are
/// those that `deploy/setup` has fetched.
fn lines(readme: &str) -> Vec<String> {
    let fenced = readme.split("\n```").enumerate().filter(|(index, _)| index % 2 == 1);
    let plain = fenced.filter_map(|(_, block)| block.strip_prefix('\n'));
    let commands = plain.flat_map(str::lines).filter(|line| !line.contains("once: the compiler"));
    commands.map(|line| line.split("    ").next().unwrap_or(line).trim().to_owned()).collect()
}

/// Follows the README of a new project, in a deployment with operators and in a `dev` of its own, and has it heard.
async fn ten_minutes(language: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let mut new = ending(environment::gateway_binary()?);
    let made = new.args(["plugin", "new", NAME, "--lang", language]).current_dir(folder.path()).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut deployment = Deployment::new()?;
    deployment.server += PATIENT_TO_COMPILE;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let development = Installation::new(PATIENT_TO_COMPILE)?;
    let gateway = development.start().await?;

    let data_dir = development.data_dir().to_str().context("path")?.to_owned();
    let said = BTreeMap::from([("DIR", data_dir)]);
    let mut reader = Reader { staged: &staged, project: folder.path().join(NAME), said };
    reader.follow()?;

    let transfer = staged.transfer().await?;
    ensure!(transfer["status"] != "REJECTED", "{transfer}");
    let recorded = reader.heard(&transfer).await?;
    let case = &recorded["cases"][0];
    ensure!(
        case["expect"]["verdict"] == "abstain" && case["expect"]["reason_code"] == "no_opinion",
        "{recorded}"
    );
    // What a gateway recorded is a case for the project.
    fs::write(reader.project.join("cases/recorded.json"), recorded.to_string())?;
    ensure!(reader.run(AUTHOR, "countersign plugin test COMPONENT")?.ends_with("3 passed, 0 failed\n"));
    assert_bound(&development, &staged, &reader.said["REVISION"])?;
    assert_examined(&reader)?;
    assert_fault_is_told(&reader, language)?;
    ensure!(gateway.stop().await?.success() && service.terminate(DEADLINE).await?.success());
    Ok(())
}

/// Enforced under the charter as that revision, and installed where there is none.
fn assert_bound(development: &Installation, staged: &Staged<'_>, revision: &str) -> Result<()> {
    let place = ["--organization", &staged.organization, "--json"];
    let shown = staged.operators.done(3, &[&["plugin", "inspect", revision], &place[..]].concat())?;
    ensure!(shown["bindings"][0]["mode"] == "enforce", "{shown}");
    ensure!(shown["signedBy"] == staged.operators.ids[AUTHOR], "{shown}");
    let data_dir = development.data_dir();
    let listed = ["plugin", "list", "--data-dir", data_dir.to_str().context("path")?, "--json"];
    let listed: Value = serde_json::from_slice(&development.command(&listed)?.stdout)?;
    let installed = listed["plugins"].as_array().context("plugins")?;
    let installed = installed.iter().find(|plugin| plugin["plugin"] == NAME).context("not installed")?;
    ensure!(installed["mode"] == "enforce" && installed["power"] == "gate", "{listed}");
    Ok(())
}

/// The same for programs.
fn assert_examined(reader: &Reader<'_>) -> Result<()> {
    let checked: Value =
        serde_json::from_str(&reader.run(AUTHOR, "countersign plugin check COMPONENT --json")?)?;
    ensure!(checked["name"] == NAME && checked["faults"] == json!([]), "{checked}");
    let component = fs::read(reader.project.join(&reader.said["COMPONENT"]))?;
    ensure!(text(&checked, "digest")? == hex::encode(Sha256::digest(component)), "{checked}");
    Ok(())
}

/// What a rule throws is told by its text, where a language would say no more than that the plugin was aborted.
fn assert_fault_is_told(reader: &Reader<'_>, language: &str) -> Result<()> {
    let (file, rule) = match language {
        "js" => ("src/judge.js", "export function judge() { throw new Error('the limit is odd'); }\n"),
        "python" => {
            ("src/rules.py", "def judge(_verified, _claimed):\n    raise ValueError(\"the limit is odd\")\n")
        }
        _ => return Ok(()),
    };
    fs::write(reader.project.join(file), rule)?;
    reader.run(AUTHOR, "countersign plugin build")?;
    let tested = reader.run(AUTHOR, "countersign plugin test COMPONENT; test $? = 5")?;
    ensure!(tested.contains("Error: the limit is odd"), "{tested}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_in_rust_has_a_signed_plugin_that_judges() -> Result<()> {
    ten_minutes("rust").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_in_javascript_has_a_signed_plugin_that_judges() -> Result<()> {
    ten_minutes("js").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_in_python_has_a_signed_plugin_that_judges() -> Result<()> {
    ten_minutes("python").await
}
