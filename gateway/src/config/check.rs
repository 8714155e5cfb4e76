//! Rules that the sections' ranges cannot express.

use std::collections::BTreeSet;

use gateway_chains::registry::ChainRegistry;

use super::{Config, ConfigError, section::Section};

impl Config {
    /// Names every key that breaks its rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        self.core.check_ranges(&mut faults);
        self.server.check_ranges(&mut faults);
        self.database.check_ranges(&mut faults);
        self.hsm.check_ranges(&mut faults);
        self.plugins.check_ranges(&mut faults);
        for upstream in &self.plugin_upstreams {
            upstream.check_ranges(&mut faults);
        }
        for chain in &self.chains {
            chain.check_ranges(&mut faults);
        }
        self.egress.check_ranges(&mut faults);
        self.fireblocks.check_ranges(&mut faults);
        self.privy.check_ranges(&mut faults);
        self.openpgp.check_ranges(&mut faults);
        self.ipfs.check_ranges(&mut faults);
        self.onchain_registry.check_ranges(&mut faults);
        for service in &self.verification_services {
            service.check_ranges(&mut faults);
        }
        self.limits.check_ranges(&mut faults);
        self.outbox.check_ranges(&mut faults);
        self.audit.check_ranges(&mut faults);
        self.telemetry.check_ranges(&mut faults);
        self.check_server(&mut faults);
        self.check_chains(&mut faults);
        self.core.contract_accounts.check(&self.chains, &mut faults);
        self.check_vendors(&mut faults);
        self.check_upstreams(&mut faults);
        self.check_publication(&mut faults);
        self.check_others(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Rules(faults)) }
    }

    fn check_server(&self, faults: &mut Vec<String>) {
        if let Some(origin) = &self.server.public_origin
            && !is_origin(origin)
        {
            faults.push(
                "`server.public_origin` must be scheme, host and port, such as `https://custody.example`"
                    .into(),
            );
        }
        for origin in self.server.cors_origins.0.iter().filter(|origin| !is_origin(origin)) {
            faults.push(format!("`server.cors_origins`: `{origin}` is not an origin"));
        }
        for (key, origin) in [
            ("core.siwe.origin", &self.core.siwe.origin),
            ("core.sessions.issuer", &self.core.sessions.issuer),
        ] {
            if origin.as_deref().is_some_and(|origin| !is_origin(origin)) {
                faults.push(format!("`{key}` must be scheme, host and port, such as `https://app.example`"));
            }
        }
        for chain in self.core.siwe.chain_ids.0.iter().filter(|chain| chain.parse::<u64>().is_err()) {
            faults.push(format!("`core.siwe.chain_ids`: `{chain}` is not a number"));
        }
        for network in
            self.server.trusted_proxies.0.iter().filter(|network| network.parse::<ipnet::IpNet>().is_err())
        {
            faults.push(format!("`server.trusted_proxies`: `{network}` is not a network in CIDR form"));
        }
        if self.server.listen == self.server.operator_listen && self.server.listen.port() != 0 {
            faults.push("`server.operator_listen` must differ from `server.listen`".into());
        }
    }

    fn check_chains(&self, faults: &mut Vec<String>) {
        let configs: Result<Vec<_>, _> = self.chains.iter().map(super::Chain::chain_config).collect();
        match configs {
            Ok(configs) => {
                if let Err(error) = ChainRegistry::new(configs) {
                    faults.push(format!("`chains`: {error}"));
                }
            }
            Err(error) => faults.push(format!("`chains.id`: {error}")),
        }
    }

    fn check_vendors(&self, faults: &mut Vec<String>) {
        faults.extend(self.egress.egress_config().err().map(|fault| fault.to_string()));
        faults.extend(self.fireblocks.asset_names().err().map(|fault| fault.to_string()));
        faults.extend(self.privy.arbiter_key().err().map(|fault| fault.to_string()));
        let urls = self.fireblocks.urls().into_iter().chain([("privy.url", self.privy.url.as_str())]);
        for (key, _) in urls.filter(|(_, url)| !is_origin(url)) {
            faults.push(format!("`{key}` must be scheme and host, with a port if it is not the usual one"));
        }
        if self.privy.app_id.is_some() != self.privy.app_secret.is_some() {
            faults.push("`privy.app_id` and `privy.app_secret` belong together".into());
        }
    }

    fn check_upstreams(&self, faults: &mut Vec<String>) {
        let Ok(common) = self.egress.egress_config() else { return };
        let mut names = BTreeSet::new();
        for upstream in &self.plugin_upstreams {
            faults.extend(upstream.connect(&common).err().map(|fault| fault.to_string()));
            faults.extend(upstream.organization().err().map(|fault| fault.to_string()));
            if !names.insert(&upstream.name) {
                faults.push(format!("`plugin_upstreams`: `{}` is the name of two", upstream.name));
            }
        }
    }

    fn check_publication(&self, faults: &mut Vec<String>) {
        match self.onchain_registry.target(&self.limits) {
            Ok(Some(target)) => {
                let id = target.chain.to_string();
                if !self.chains.is_empty() && self.chains.iter().all(|chain| chain.id != id) {
                    faults.push(format!("`onchain_registry.chain`: `{id}` is not one of `chains`"));
                }
            }
            Ok(None) => {}
            Err(fault) => faults.push(fault.to_string()),
        }
        let mut inboxes = BTreeSet::new();
        for service in &self.verification_services {
            match service.request() {
                Ok(request) if !inboxes.insert(request.inbox) => {
                    faults.push(format!("`verification_services`: `{}` is the inbox of two", request.inbox));
                }
                Ok(_) => {}
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        if self.core.internal_token.as_ref().is_some_and(|token| token.expose().len() < 32) {
            faults.push("`core.internal_token` must have 32 characters or more".into());
        }
    }

    fn check_others(&self, faults: &mut Vec<String>) {
        let credentials = &self.core.credentials;
        if credentials.oldest_key_epoch > credentials.key_epoch {
            faults.push("`core.credentials.oldest_key_epoch` exceeds `core.credentials.key_epoch`".into());
        }
        let secrets = &self.core.secrets;
        if secrets.oldest_key_epoch > secrets.key_epoch {
            faults.push("`core.secrets.oldest_key_epoch` exceeds `core.secrets.key_epoch`".into());
        }
        let organization = self.core.organization.as_ref().map(|_| self.core.default_organization());
        if let Some(Err(fault)) = organization {
            faults.push(fault.to_string());
        }
        let hosts = self.core.organizations_by_host().map(drop);
        if let Err(fault) = hosts.and_then(|()| self.tenant_origins().map(drop)) {
            faults.push(fault.to_string());
        }
        for origin in self.core.origins.values().filter(|origin| !is_origin(origin)) {
            faults.push(format!("`core.origins`: `{origin}` must be scheme, host and port"));
        }
        if self.limits.unfinished_key_seconds * 1000 <= self.hsm.generate_timeout_ms {
            faults.push("`limits.unfinished_key_seconds` must exceed `hsm.generate_timeout_ms`".into());
        }
        if self.hsm.backoff_min_ms > self.hsm.backoff_max_ms {
            faults.push("`hsm.backoff_min_ms` exceeds `hsm.backoff_max_ms`".into());
        }
        if self.hsm.canary_stale_ms < self.hsm.canary_interval_ms {
            faults.push("`hsm.canary_stale_ms` must not be less than `hsm.canary_interval_ms`".into());
        }
        let is_fingerprint =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.audit.key_fingerprint.as_deref().is_some_and(|text| !is_fingerprint(text)) {
            faults.push("`audit.key_fingerprint` must have 64 hex digits".into());
        }
        if self.telemetry.log_filter.parse::<tracing_subscriber::filter::Targets>().is_err() {
            faults.push("`telemetry.log_filter` must be a level, or `target=level` pairs with commas".into());
        }
    }
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
}
