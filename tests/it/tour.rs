//! README's tour, its commands run as they are printed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::configuration::PATIENT;
use countersign_tests::environment::{free_loopback_address, root};
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use countersign_tests::wait;
use serde_json::Value;

/// Two RSA-4096 keys are made in SoftHSM on the way, each of which may take a minute on a busy machine.
const DEADLINE: Duration = Duration::from_mins(8);
/// Where everything that the commands print goes, for the gateway's own lines are many.
const PRINTED: &str = "printed.log";
const USER: &str = "0x3535353535353535353535353535353535353535";

/// The addresses and the folder that README names belong to whoever reads it; a test has its own.
struct Place {
    folder: tempfile::TempDir,
    public: SocketAddr,
    operator: SocketAddr,
    node: SocketAddr,
}

impl Place {
    fn new() -> Result<Place> {
        let folder = tempfile::Builder::new().prefix("countersign-tour-").tempdir()?;
        for name in ["deploy", "tests"] {
            symlink(root().join(name), folder.path().join(name))?;
        }
        let release = std::env::current_exe()?;
        let target = release.ancestors().nth(3).context("the tests' program lies in a build folder")?;
        symlink(target, folder.path().join("target"))?;
        let [public, operator, node] =
            [free_loopback_address()?, free_loopback_address()?, free_loopback_address()?];
        // As `dev` has it, but for the port.
        let chain =
            format!("[[chains]]\nid = \"eip155:31337\"\nrpc_urls = \"http://{node}\"\nconfirmations = 1\n");
        fs::write(folder.path().join("config.toml"), chain + PATIENT)?;
        Ok(Place { folder, public, operator, node })
    }

    fn data_dir(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// What is printed, at this place. Whatever keeps running ends with the shell.
    fn here(&self, printed: &str) -> String {
        let config = self.folder.path().join("config.toml");
        printed
            .replace("127.0.0.1:8080", &self.public.to_string())
            .replace("127.0.0.1:9090", &self.operator.to_string())
            .replace("127.0.0.1:8545", &self.node.to_string())
            .replace("/tmp/countersign", &self.data_dir())
            .replace("anvil --silent", &format!("anvil --silent --port {}", self.node.port()))
            .replace(
                "~/.cache/countersign/anvil/anvil",
                "setpriv --pdeathsig KILL ~/.cache/countersign/anvil/anvil",
            )
            .replace(
                "target/release/countersign dev",
                &format!(
                    "setpriv --pdeathsig KILL target/release/countersign dev --config {}",
                    config.display()
                ),
            )
    }

    /// One shell for all of it, as the reader has.
    fn script(&self, blocks: &[String]) -> String {
        let folder = self.folder.path().display();
        let ready = format!("until curl -s -o /dev/null http://{}/health; do sleep 0.2; done\n", self.public);
        let mut script = format!(
            "set -eo pipefail\ncd {folder}\nexec 3>&1 >{PRINTED} 2>&1\n\
             export CARGO_TARGET_DIR=$PWD/target/guests/authors GNUPGHOME={folder}/gnupg\nmkdir -m 700 gnupg\n",
        );
        for block in blocks {
            let starts = block.contains("countersign dev");
            let first = starts && !block.trim_end().ends_with('&');
            if starts && !first {
                // "Stop the gateway".
                script += "kill %1; wait %1 || :\n";
            }
            script += &self.here(block);
            if first {
                script.truncate(script.trim_end().len());
                script += " &\n";
            }
            if starts {
                script += &ready;
            }
        }
        script + "echo 'the tour is over' >&3\nwait\n"
    }
}

/// The shell blocks of README after the heading.
fn printed_after(heading: &str) -> Result<Vec<String>> {
    let page = fs::read_to_string(root().join("README.md"))?;
    let (_, tour) = page.split_once(heading).context("README has no such heading")?;
    let blocks = tour.split("```sh\n").skip(1);
    Ok(blocks.filter_map(|block| block.split_once("```").map(|(block, _)| block.to_owned())).collect())
}

#[track_caller]
fn shows(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "`{part}` is not in what the tour printed:\n{output}");
    }
}

async fn executed(place: &Place) -> Result<Value> {
    let bootstrap: Value =
        serde_json::from_slice(&fs::read(Path::new(&place.data_dir()).join("bootstrap.json"))?)?;
    let client = Client::new(&format!("http://{}", place.public));
    let key = text(&bootstrap, "adminApiKey")?;
    wait::until("the encrypted transaction to be executed", Duration::from_mins(1), async || {
        let path = format!("/transactions/users/{USER}");
        let list = client.get(&path, Credential::ApiKey(key)).await?.expect(200)?;
        let found = list.as_array().and_then(|list| list.first()).context("no transaction was made")?;
        ensure!(!matches!(text(found, "status")?, "FAILED" | "REJECTED"), "{found}");
        Ok((found["status"] == "EXECUTED").then(|| found.clone()))
    })
    .await
}

#[tokio::test]
async fn every_command_of_the_tour_works_as_printed() -> Result<()> {
    let place = Place::new()?;
    let blocks = printed_after("## A first curl")?;
    ensure!(blocks.len() >= 8, "only {} blocks of commands", blocks.len());
    let mut shell = Service::start("/bin/bash".as_ref(), ["-c", &place.script(&blocks)])?;
    let finished = shell.line_after("the tour is over", DEADLINE).await;
    let output = fs::read_to_string(place.folder.path().join(PRINTED))?;
    finished.with_context(|| output.clone())?;
    shows(
        &output,
        &[
            "\"status\":\"ok\"",
            "\"escrowAddress\"",
            "\"accessToken\"",
            "contract      countersign:policy@1.0",
            "2 passed, 0 failed",
            "us median",
            "signature hello.jws",
            "bound in policy revision",
            "hello: abstain in ",
            "BEGIN CERTIFICATE REQUEST",
            "verify OK",
            "\"registrationTxHash\"",
            "\"ipfsCid\"",
            "\"submissionTxHash\"",
        ],
    );
    let transaction = executed(&place).await.with_context(|| output)?;
    assert_eq!((&transaction["payloadType"], &transaction["value"]), (&"encrypted".into(), &Value::Null));
    Ok(())
}
