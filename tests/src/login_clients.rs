//! Logins by other people's software: npm's `siwe` and `viem`, and eth-account with siwe for Python; OpenPGP keys by
//! OpenPGP.js.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::environment;
use crate::process::ending;

#[derive(Clone, Copy, Debug)]
pub enum Library {
    Siwe,
    Viem,
    EthAccount,
}

impl Library {
    pub const ALL: [Library; 3] = [Library::Siwe, Library::Viem, Library::EthAccount];

    /// A fresh wallet logs in; answers with what the gateway answered.
    pub fn log_in(self, origin: &str, chain_id: u64) -> Result<Value> {
        let packages = environment::login_clients()?;
        let chain_id = chain_id.to_string();
        let mut command = match self {
            Library::Siwe => node(&packages, "siwe"),
            Library::Viem => node(&packages, "viem"),
            Library::EthAccount => python(&packages),
        };
        let output = command.args([origin, &chain_id]).output().with_context(|| format!("{self:?}"))?;
        ensure!(
            output.status.success(),
            "{self:?} did not log in: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A fresh wallet logs in and registers the OpenPGP key in the file, or one that OpenPGP.js makes; answers with the
/// key, its fingerprint, and what the gateway answered.
pub fn register_key(origin: &str, chain_id: u64, key: Option<&Path>) -> Result<Value> {
    let packages = environment::login_clients()?;
    let mut command = ending("node");
    command.env("NODE_PATH", packages.join("node_modules"));
    command.arg(environment::root().join("tests/clients/register_key.cjs"));
    let output = command.args([origin, &chain_id.to_string()]).args(key).output()?;
    ensure!(output.status.success(), "no key registered: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn node(packages: &Path, library: &str) -> Command {
    let mut command = ending("node");
    command.env("NODE_PATH", packages.join("node_modules"));
    command.arg(environment::root().join("tests/clients/log_in.cjs")).arg(library);
    command
}

fn python(packages: &Path) -> Command {
    let mut command = ending(packages.join("python/bin/python3"));
    command.arg(environment::root().join("tests/clients/log_in.py"));
    command
}
