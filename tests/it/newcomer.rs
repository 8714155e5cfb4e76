//! What somebody who runs the gateway for the first time gets wrong: every error names its cause and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::environment;
use countersign_tests::gateway::Installation;
use countersign_tests::process::Service;
use countersign_tests::wait;
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(1);
const SOFTHSM: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/// A deployment that `init` is to prepare: configuration and SoftHSM, and nothing else yet.
pub(crate) struct Deployment {
    folder: TempDir,
    module: String,
    pin: &'static str,
    /// Lines for the configuration's `[core]` and `[server]` sections.
    core: String,
    server: String,
    operator: String,
}

impl Deployment {
    pub(crate) fn new() -> Result<Deployment> {
        let folder = tempfile::Builder::new().prefix("countersign-").tempdir()?;
        fs::create_dir(folder.path().join("tokens"))?;
        let tokens = folder.path().join("tokens");
        fs::write(
            folder.path().join("softhsm2.conf"),
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()),
        )?;
        let module = SOFTHSM.iter().find(|path| Path::new(path).exists()).context("softhsm2 is installed")?;
        let operator = environment::free_loopback_address()?.to_string();
        let server = format!(
            "listen = \"{}\"\noperator_listen = \"{operator}\"\n",
            environment::free_loopback_address()?,
        );
        Ok(Deployment {
            folder,
            module: (*module).to_owned(),
            pin: "correct horse",
            core: String::new(),
            server,
            operator,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> Result<PathBuf> {
        let path = self.path("config.toml");
        let text = format!(
            "[core]\ndata_dir = \"{}\"\n{}\n[server]\n{}\n[database]\nurl = \"sqlite://{}\"\n\
             [hsm]\nmodule = \"{}\"\ntoken_label = \"acme\"\npin = \"{}\"\n\
             [[chains]]\nid = \"eip155:31337\"\nrpc_urls = \"http://127.0.0.1:1\"\n",
            self.path("data").display(),
            self.core,
            self.server,
            self.path("gateway.db").display(),
            self.module,
            self.pin,
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn operator_url(&self) -> String {
        format!("http://{}", self.operator)
    }

    /// A command that needs no deployment.
    pub(crate) fn alone(arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(environment::gateway_binary()?).args(arguments).output()?)
    }

    /// `serve`, for `env` to start.
    pub(crate) fn serving(&self) -> Result<[String; 5]> {
        Ok([
            "SOFTHSM2_CONF=".to_owned() + self.path("softhsm2.conf").to_str().context("path")?,
            environment::gateway_binary()?.to_str().context("path")?.to_owned(),
            "serve".to_owned(),
            "--config".to_owned(),
            self.configuration()?.to_str().context("path")?.to_owned(),
        ])
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(environment::gateway_binary()?);
        command.args(arguments).arg("--config").arg(self.configuration()?);
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        Ok(command.output()?)
    }

    /// Runs a command that must fail, and returns what it says.
    pub(crate) fn fails(&self, arguments: &[&str], status: i32) -> Result<String> {
        let output = self.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(status), "expected exit code {status}: {output:?}");
        Ok(text)
    }

    pub(crate) fn init(&mut self, further: &[&str]) -> Result<Value> {
        let security_officer = self.path("so-pin");
        let security_officer = security_officer.to_str().context("path")?;
        let arguments = ["init", "--organization", "acme", "--init-token", "--so-pin-file", security_officer];
        let output = self.run(&[&arguments[..], further, &["--json"]].concat())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout)?;
        self.core = format!("organization = {}\n", made["organization"]);
        Ok(made)
    }
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not said in:\n{text}");
    }
}

#[tokio::test]
async fn a_deployment_is_made_from_an_empty_softhsm() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let absent = deployment.fails(&["init", "--organization", "acme"], 1)?;
    says(&absent, &["no token labelled `acme`", "`countersign init --init-token`"]);

    let made = deployment.init(&[])?;
    let rights = fs::metadata(deployment.path("so-pin"))?.permissions().mode() & 0o777;
    assert_eq!(rights, 0o600, "the security officer's PIN is open to others");
    ensure!(made["adminApiKey"].is_string(), "{made}");
    let again = deployment.fails(&["init", "--organization", "acme"], 1)?;
    says(&again, &["this deployment is initialized already"]);

    let doctor = deployment.run(&["doctor", "--json"])?;
    let parts: Value = serde_json::from_slice(&doctor.stdout)?;
    let parts = parts["parts"].as_array().context("no parts")?;
    let part = |name: &str| parts.iter().find(|part| part["part"] == name).context(name.to_owned());
    for sound in ["database", "token", "keys"] {
        ensure!(part(sound)?["ok"] == true, "{}", part(sound)?);
    }
    let node = part("chain eip155:31337")?;
    says(&node.to_string(), &["\"ok\":false", "`chains.rpc_urls`"]);

    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    let warned = wait::until("a warning that the node is away", DEADLINE, async || {
        Ok(service.output().contains("`chains.rpc_urls`").then_some(()))
    });
    warned.await?;

    let taken = deployment.fails(&["serve"], 4)?;
    says(&taken, &["is in use by a running gateway or command"]);
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}

#[test]
fn an_address_in_use_is_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?;
    deployment.server =
        format!("listen = \"{address}\"\noperator_listen = \"{}\"\n", environment::free_loopback_address()?);
    let text = deployment.fails(&["serve"], 1)?;
    says(&text, &[&address.to_string(), "another program listens there", "`server.listen`"]);
    Ok(())
}

#[test]
fn a_wrong_pin_is_sent_once_and_the_way_back_is_told() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    deployment.pin = "battery staple";
    for _ in 0..2 {
        let text = deployment.fails(&["serve"], 3)?;
        says(&text, &["pin", "`hsm.pin`", "countersign doctor --clear-pin-latch"]);
    }
    deployment.pin = "correct horse";
    let doctor = deployment.run(&["doctor", "--clear-pin-latch", "--json"])?;
    let parts: Value = serde_json::from_slice(&doctor.stdout)?;
    let token = parts["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["part"] == "token"));
    assert_eq!(token.context("no token")?["ok"], true, "{parts}");
    Ok(())
}

#[test]
fn an_absent_module_is_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.module = "/nowhere/libsofthsm2.so".to_owned();
    let text = deployment.fails(&["init", "--organization", "acme"], 1)?;
    says(&text, &["/nowhere/libsofthsm2.so", "`hsm.module`", "softhsm2"]);
    Ok(())
}

#[tokio::test]
async fn a_database_that_another_gateway_has_is_named() -> Result<()> {
    let shared = tempfile::tempdir()?;
    let database = shared.path().join("gateway.db");
    let configuration = format!("[database]\nurl = \"sqlite://{}\"\n", database.display());
    let (first, second) = (Installation::new(&configuration)?, Installation::new(&configuration)?);
    let running = first.start().await?;
    let refused = second.start().await.err().context("two gateways work on one file")?.to_string();
    says(&refused, &["is in use by another process", "`database.url`"]);
    ensure!(running.stop().await?.success());
    Ok(())
}

#[test]
fn mistakes_in_the_configuration_are_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.server += "lisden = 1\n";
    let text = deployment.fails(&["serve"], 2)?;
    says(&text, &["lisden", "config-reference"]);

    let mut deployment = Deployment::new()?;
    deployment.server += "body_bytes_max = 1\n";
    says(&deployment.fails(&["serve"], 2)?, &["`server.body_bytes_max` must be 1024 to"]);

    let deployment = Deployment::new()?;
    let text = deployment.fails(&["serve"], 2)?;
    says(&text, &["`core.organization` is not configured", "COUNTERSIGN__"]);

    let mut deployment = Deployment::new()?;
    deployment.server += "not toml";
    says(&deployment.fails(&["serve"], 2)?, &["is not TOML, line", "texts need quotes"]);
    Ok(())
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() -> Result<()> {
    let deployment = Deployment::new()?;
    let directory = deployment.path("data");
    fs::write(&directory, "a file")?;
    let text = deployment.fails(&["init", "--organization", "acme"], 1)?;
    says(&text, &[directory.to_str().context("path")?, "read and write", "`core.data_dir`"]);
    fs::remove_file(&directory)?;
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    says(&deployment.fails(&["init", "--organization", "acme"], 1)?, &["open to other users", "chmod 700"]);
    Ok(())
}
