//! The gateway as an operator runs it: the real binary, a data directory, a configuration file.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::environment;
use crate::process::{Service, ending};

const READY_DEADLINE: Duration = Duration::from_mins(1);
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// What `countersign dev` writes for the person who tries it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    pub base_url: String,
    pub operator_url: String,
    pub admin_api_key: String,
    pub agent_api_key: String,
    pub arbiter_api_key: String,
    pub orion_api_key: String,
    pub relayer_address: String,
    pub hsm_pin: String,
    pub audit_key_fingerprint: String,
}

/// Everything of a gateway that survives its process.
pub struct Installation {
    folder: TempDir,
    listen: SocketAddr,
    operator_listen: SocketAddr,
}

impl Installation {
    pub fn new(configuration: &str) -> Result<Installation> {
        let folder = tempfile::Builder::new().prefix("countersign-").tempdir()?;
        fs::write(folder.path().join("config.toml"), configuration)?;
        Ok(Installation {
            folder,
            listen: environment::free_loopback_address()?,
            operator_listen: environment::free_loopback_address()?,
        })
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds to the configuration of the next start.
    pub fn configure(&self, more: &str) -> Result<()> {
        let path = self.folder.path().join("config.toml");
        let kept = fs::read_to_string(&path)?;
        let kept = kept.split("# added\n").next().unwrap_or_default();
        Ok(fs::write(path, format!("{kept}# added\n{more}"))?)
    }

    /// Starts the gateway, for the first time or again, and waits until it has signed its canary.
    pub async fn start(&self) -> Result<Gateway> {
        let (data_dir, config) = (self.data_dir(), self.folder.path().join("config.toml"));
        let (listen, operator_listen) = (self.listen.to_string(), self.operator_listen.to_string());
        let arguments: [&OsStr; 9] = [
            "dev".as_ref(),
            "--data-dir".as_ref(),
            data_dir.as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--operator-listen".as_ref(),
            operator_listen.as_ref(),
            "--config".as_ref(),
            config.as_ref(),
        ];
        let mut service = Service::start(environment::gateway_binary()?.as_os_str(), arguments)?;
        let base_url = service.line_after("ready ", READY_DEADLINE).await?;
        let bootstrap = read_bootstrap(&data_dir)?;
        ensure!(
            base_url == bootstrap.base_url,
            "`ready` names `{base_url}`, but bootstrap.json `{}`",
            bootstrap.base_url
        );
        Ok(Gateway { service, client: Client::new(&base_url), bootstrap })
    }

    /// Runs another command of the gateway's binary, such as `audit verify`.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let binary = environment::gateway_binary()?;
        ending(binary)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run `{}`", arguments.join(" ")))
    }

    /// Verifies the audit log without the gateway; an error carries what the command said.
    pub fn verify_audit(&self) -> Result<Value> {
        let data_dir = self.data_dir();
        let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
        let config = self.folder.path().join("config.toml");
        let config = config.to_str().context("the configuration's path is not UTF-8")?;
        // With a database of its own, `dev` has told the pin in bootstrap.json only.
        let pin = read_bootstrap(&self.data_dir())?.audit_key_fingerprint;
        let place = if fs::read_to_string(config)?.contains("[database]\nurl") {
            ["--config", config, "--key", &pin]
        } else {
            ["--data-dir", data_dir, "--key", &pin]
        };
        let output = self.command(&[&["audit", "verify", "--json"], &place[..]].concat())?;
        ensure!(
            output.status.success(),
            "the audit log does not verify: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A running gateway.
pub struct Gateway {
    service: Service,
    client: Client,
    pub bootstrap: Bootstrap,
}

impl Gateway {
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn operator(&self) -> Client {
        Client::new(&self.bootstrap.operator_url)
    }

    pub fn process_id(&self) -> u32 {
        self.service.process_id()
    }

    /// What it logged last, for the message of a failing test.
    pub fn output(&self) -> String {
        self.service.output()
    }

    /// As [`Service::says`].
    pub async fn says(&self, text: &str, deadline: Duration) -> Result<()> {
        self.service.says(text, deadline).await
    }

    /// kill -9.
    pub fn kill(self) -> Result<()> {
        self.service.kill()
    }

    /// SIGTERM: drains and ends.
    pub async fn stop(self) -> Result<ExitStatus> {
        self.service.terminate(DRAIN_DEADLINE).await
    }
}

fn read_bootstrap(data_dir: &Path) -> Result<Bootstrap> {
    let path = data_dir.join("bootstrap.json");
    let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mode = |path: &Path| Ok::<_, std::io::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    ensure!(mode(&path)? == 0o600, "`{}` is open to others", path.display());
    ensure!(mode(data_dir)? == 0o700, "`{}` is open to others", data_dir.display());
    Ok(serde_json::from_slice(&text)?)
}
