//! `[core]`: where the gateway keeps its files and whom it serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use gateway_domain::ids::OrganizationId;

use super::{
    ConfigError,
    contract_accounts::ContractAccountRules,
    login::{Credentials, Secrets, Sessions, Siwe},
    section::section,
    value::Secret,
};

section! {
    /// Where the gateway keeps its files, and whom the core API serves.
    pub(crate) struct Core = "core" {
        /// Directory of this instance's files: locks, PIN record, plugin cache. Created with mode 0700.
        data_dir: Option<PathBuf> = None, like "\"/var/lib/countersign\"";
        /// Id of the organization of requests whose host is not in `hosts`, and of operator's commands; `countersign
        /// init` shows it.
        organization: Option<String> = None, like "\"01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45\"";
        /// Host name of the request, without port, and the id of the organization it means.
        hosts: BTreeMap<String, String> = BTreeMap::new();
        /// Id of an organization in `hosts`, and the scheme, host and port that its clients sign. Without it, those of
        /// `server.public_origin` with the organization's host; one with several hosts needs it.
        origins: BTreeMap<String, String> = BTreeMap::new();
        /// What a verification service of `organization` may send as `x-internal-token` instead of an orion key, 32
        /// characters or more.
        internal_token: Option<Secret> = None, like "\"0123456789abcdef0123456789abcdef\"";
        /// File that holds the token, instead of `internal_token`.
        internal_token_file: Option<PathBuf> = None, like "\"/run/secrets/internal-token\"";
    }
    nested {
        eth_signature: EthSignature, contract_accounts: ContractAccountRules, siwe: Siwe, sessions: Sessions,
        credentials: Credentials, secrets: Secrets
    }
}

section! {
    /// Requests signed by an Ethereum wallet.
    pub(crate) struct EthSignature = "core.eth_signature" {
        /// Accepts requests without `x-ethereum-timestamp`. They can be replayed within the window, and approve
        /// pending transactions only.
        allow_untimed: bool = false;
        /// Seconds by which the timestamp may differ from this machine's clock; replays are remembered as long.
        window_seconds: u64 = 300, within 1..=3600;
    }
}

impl Core {
    /// The organization of requests to no particular host, and of operator's commands.
    pub(crate) fn default_organization(&self) -> Result<OrganizationId, ConfigError> {
        let text = self.organization.as_deref().ok_or(ConfigError::Missing("core.organization"))?;
        organization("core.organization", text)
    }

    /// Organizations by host name in lower case.
    pub(crate) fn organizations_by_host(&self) -> Result<BTreeMap<String, OrganizationId>, ConfigError> {
        let host =
            |(host, id): (&String, &String)| Ok((host.to_ascii_lowercase(), organization("core.hosts", id)?));
        self.hosts.iter().map(host).collect()
    }
}

impl Core {
    /// Origins of organizations that have one of their own: what `origins` says, or scheme and port of the
    /// deployment's origin with the organization's host. Every organization's differs.
    pub(crate) fn tenant_origins(
        &self,
        deployment: &str,
    ) -> Result<BTreeMap<OrganizationId, String>, ConfigError> {
        let default = self.organization.as_deref().map(|text| organization("core.organization", text));
        let default = default.transpose()?;
        let mut origins = BTreeMap::new();
        for (id, origin) in &self.origins {
            origins.insert(organization("core.origins", id)?, origin.to_ascii_lowercase());
        }
        let named: BTreeSet<OrganizationId> = origins.keys().copied().collect();
        for (host, id) in self.organizations_by_host()? {
            if named.contains(&id) || Some(id) == default {
                continue;
            }
            if origins.insert(id, with_host(deployment, &host)).is_some() {
                return Err(ConfigError::Value(format!(
                    "`core.origins` must name the origin that clients of organization `{id}` sign: it has several hosts"
                )));
            }
        }
        let mut seen = BTreeSet::from([deployment]);
        for (id, origin) in &origins {
            if Some(*id) != default && !seen.insert(origin) {
                return Err(ConfigError::Value(format!(
                    "`core.origins`: organization `{id}` must have an origin of its own, not `{origin}`"
                )));
            }
        }
        Ok(origins)
    }
}

/// `https://custody.example:8443` with another host.
fn with_host(origin: &str, host: &str) -> String {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("http", origin));
    let after_bracket = authority.rfind(']').map_or(0, |end| end + 1);
    let port = authority[after_bracket..].find(':').map_or("", |colon| &authority[after_bracket + colon..]);
    format!("{scheme}://{host}{port}")
}

fn organization(key: &str, text: &str) -> Result<OrganizationId, ConfigError> {
    let refused = |_| ConfigError::Value(format!("`{key}`: `{text}` is not the id of an organization"));
    text.parse().map_err(refused)
}
