//! A deployment as `init` and `serve` know it, on SoftHSM; `dev` needs none of this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::configuration::patience;
use crate::environment;
use crate::process::ending;

const SOFTHSM: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

const CHAINS: &str = "[[chains]]\nid = \"eip155:31337\"\nrpc_urls = \"http://127.0.0.1:1\"\n";

/// A deployment that `init` is to prepare: configuration and SoftHSM, and nothing else yet.
pub struct Deployment {
    folder: TempDir,
    pub module: String,
    pub pin: &'static str,
    /// Lines for the configuration's `[core]` and `[server]` sections.
    pub core: String,
    pub server: String,
    /// The configuration's chains.
    pub chains: &'static str,
    operator: String,
    listen: String,
}

impl Deployment {
    pub fn new() -> Result<Deployment> {
        let folder = tempfile::Builder::new().prefix("countersign-").tempdir()?;
        fs::create_dir(folder.path().join("tokens"))?;
        let tokens = folder.path().join("tokens");
        fs::write(
            folder.path().join("softhsm2.conf"),
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()),
        )?;
        let module = SOFTHSM.iter().find(|path| Path::new(path).exists()).context("softhsm2 is installed")?;
        let operator = environment::free_loopback_address()?.to_string();
        let listen = environment::free_loopback_address()?.to_string();
        let server = format!("listen = \"{listen}\"\noperator_listen = \"{operator}\"\n");
        Ok(Deployment {
            folder,
            module: (*module).to_owned(),
            pin: "correct horse",
            core: String::new(),
            server,
            chains: CHAINS,
            operator,
            listen,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> Result<PathBuf> {
        let path = self.path("config.toml");
        let mut text = format!(
            "[core]\ndata_dir = \"{}\"\n{}\n[server]\n{}\n[database]\nurl = \"sqlite://{}\"\n\
             [hsm]\nmodule = \"{}\"\ntoken_label = \"acme\"\npin = \"{}\"\n{}\n",
            self.path("data").display(),
            self.core,
            self.server,
            self.path("gateway.db").display(),
            self.module,
            self.pin,
            self.chains,
        );
        text.push_str(patience(&text));
        fs::write(&path, text)?;
        Ok(path)
    }

    pub fn operator_url(&self) -> String {
        format!("http://{}", self.operator)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// A command that needs no deployment.
    pub fn alone(arguments: &[&str]) -> Result<Output> {
        Ok(ending(environment::gateway_binary()?).args(arguments).output()?)
    }

    /// `serve`, for `env` to start.
    pub fn serving(&self) -> Result<[String; 5]> {
        Ok([
            "SOFTHSM2_CONF=".to_owned() + self.path("softhsm2.conf").to_str().context("path")?,
            environment::gateway_binary()?.to_str().context("path")?.to_owned(),
            "serve".to_owned(),
            "--config".to_owned(),
            self.configuration()?.to_str().context("path")?.to_owned(),
        ])
    }

    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = ending(environment::gateway_binary()?);
        command.args(arguments).arg("--config").arg(self.configuration()?);
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        Ok(command.output()?)
    }

    /// Runs a command that must fail, and returns what it says.
    pub fn fails(&self, arguments: &[&str], status: i32) -> Result<String> {
        let output = self.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(status), "expected exit code {status}: {output:?}");
        Ok(text)
    }

    pub fn init(&mut self, further: &[&str]) -> Result<Value> {
        let security_officer = self.path("so-pin");
        let security_officer = security_officer.to_str().context("path")?;
        let arguments = ["init", "--organization", "acme", "--init-token", "--so-pin-file", security_officer];
        let kind: &[&str] = if further.contains(&"--charter") { &[] } else { &["--development"] };
        let output = self.run(&[&arguments[..], further, kind, &["--json"]].concat())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout)?;
        self.core = format!("organization = {}\n", made["organization"]);
        Ok(made)
    }
}
