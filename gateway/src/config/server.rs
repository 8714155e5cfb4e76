//! `[server]`: the listeners and what they let in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use gateway_api::{ApiConfig, EthSignatureConfig, Rate, RateConfig};

use super::{ConfigError, general::Core, plugins::Plugins, section::section, value::List};

section! {
    /// The HTTP listeners and what they let in.
    pub(crate) struct Server = "server" {
        /// Public listener.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        /// Operator listener: health, metrics and internal routes. Keep it off public networks.
        operator_listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090));
        /// Scheme, host and port by which clients know this deployment; part of what they sign. Without it, `http://`
        /// and the public listener's address.
        public_origin: Option<String> = None, like "\"https://custody.example\"";
        /// Networks (CIDR) whose `x-forwarded-for` is believed.
        trusted_proxies: List = List::default();
        /// Origins that browsers may call from.
        cors_origins: List = List::default();
        /// Bytes of a request body; a longer one is answered 413.
        body_bytes_max: usize = 1 << 20, within 1024..=64 << 20;
        /// Bytes of stored transactions that one page of a list is made of; a page that would need more ends there, with
        /// at least one, and the next one goes on.
        list_bytes_max: usize = 8 << 20, within 1024..=1 << 30;
        /// Levels of arrays and objects in a request body; deeper ones are answered 400.
        json_depth_max: usize = 32, within 4..=512;
        /// Bytes of a path with its query; a longer one is answered 414.
        uri_bytes_max: usize = 8 << 10, within 256..=64 << 10;
        /// Bytes of all headers of a request together; more are answered 431.
        header_bytes_max: usize = 16 << 10, within 8192..=1 << 20;
        /// Milliseconds for the headers of a request to arrive.
        header_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Milliseconds for the body of a request to arrive; then it is answered 408.
        body_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Bytes of a refused body that are still received and thrown away, so that its client lives to read the answer;
        /// then the connection ends.
        refused_body_bytes_max: usize = 8 << 20, within 0..=1 << 30;
        /// Milliseconds for that; the request keeps its place in its source's share meanwhile.
        refused_body_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Milliseconds for a request, its body's arrival included; then it is answered 503.
        request_timeout_ms: u64 = 30_000, within 1..=600_000;
        /// Milliseconds that a creating request waits for an approved transaction to be signed and sent, before it
        /// answers with the state as it is.
        inline_signing_wait_ms: u64 = 5000, within 0..=600_000;
        /// Milliseconds between two notes of an API key's use, which people see as `lastUsedAt`.
        key_use_interval_ms: u64 = 60_000, within 1000..=86_400_000;
        /// Connections open at once on each listener; further ones wait to be accepted.
        connections_max: usize = 4096, within 1..=1_000_000;
        /// Of these, from one address that is not in `trusted_proxies`; further ones are answered 429 and closed.
        connections_per_source_max: usize = 512, within 1..=1_000_000;
        /// Requests worked on at once; more are answered 503.
        requests_in_flight_max: usize = 1024, within 1..=1_000_000;
        /// Of these, from one source address; more are answered 429.
        requests_in_flight_per_source_max: usize = 256, within 1..=1_000_000;
        /// Requests of one credential in `credential_period_ms`, at once if need be; more are answered 429.
        credential_burst: u32 = 5000, within 1..=10_000_000;
        /// Milliseconds in which a credential's burst comes back.
        credential_period_ms: u64 = 1000, within 1..=3_600_000;
        /// Requests from one source address in `source_period_ms`, at once if need be; more are answered 429.
        source_burst: u32 = 10_000, within 1..=10_000_000;
        /// Milliseconds in which a source's burst comes back.
        source_period_ms: u64 = 1000, within 1..=3_600_000;
        /// Requests of one operator in `operator_period_ms`, at once if need be; more are answered 429.
        operator_burst: u32 = 300, within 1..=10_000_000;
        /// Milliseconds in which an operator's burst comes back.
        operator_period_ms: u64 = 60_000, within 1..=3_600_000;
        /// Dry runs of one operator in `dry_run_period_ms`, at once if need be; more are answered 429.
        dry_run_burst: u32 = 30, within 1..=10_000_000;
        /// Milliseconds in which an operator's burst of dry runs comes back.
        dry_run_period_ms: u64 = 60_000, within 1..=3_600_000;
        /// Uploads of plugins worked on at once; more are answered 503.
        plugin_uploads_max: usize = 2, within 1..=64;
        /// Milliseconds for an upload, compilation included; then it is answered 503. How long it may be is
        /// `plugins.component_bytes_max`.
        plugin_upload_timeout_ms: u64 = 120_000, within 1..=3_600_000;
        /// Requests to read that one wallet signs in `wallet_period_ms`, at once if need be; more are answered 429. Each
        /// leaves a row until it cannot be replayed.
        wallet_burst: u32 = 50, within 1..=10_000_000;
        /// Milliseconds in which a wallet's burst comes back.
        wallet_period_ms: u64 = 1000, within 1..=3_600_000;
        /// Encrypted payloads for one user that the token is asked to open in `decryption_period_ms`, at once if need be; more
        /// are answered 429. See also `openpgp.payloads_per_user_daily_max`.
        decryption_burst: u32 = 30, within 1..=10_000_000;
        /// Milliseconds in which a user's burst comes back.
        decryption_period_ms: u64 = 10_000, within 1..=3_600_000;
        /// Requests for a login nonce, logins and refreshes, each for itself, from one source address in
        /// `login_period_ms`; more are answered 429. This rate and those of registrations, changes and failures are counted
        /// in the database: by all gateways that share it together, and beyond their restarts. Those above are each
        /// gateway's own.
        login_burst: u32 = 20, within 1..=10_000_000;
        /// Milliseconds in which a source's logins come back.
        login_period_ms: u64 = 60_000, within 1..=3_600_000;
        /// Wallets that enrol themselves from one source address in `registration_period_ms`; more are answered 429.
        registration_burst: u32 = 20, within 1..=10_000_000;
        /// Milliseconds in which a source's enrolments come back.
        registration_period_ms: u64 = 3_600_000, within 1..=86_400_000;
        /// Requests to change something by one user who enrolled themselves, with a session or an API key of their own, in
        /// `change_period_ms`, at once if need be; more are answered 429.
        change_burst: u32 = 5000, within 1..=10_000_000;
        /// Milliseconds in which such a user's changes come back.
        change_period_ms: u64 = 86_400_000, within 1..=604_800_000;
        /// Failed authentications from one source address in `failure_period_ms`; then the source is answered 429
        /// before anything is looked up.
        failure_burst: u32 = 120, within 1..=10_000_000;
        /// Milliseconds in which a source's failures are forgotten.
        failure_period_ms: u64 = 60_000, within 1..=3_600_000;
        /// Sources and credentials that the rates tell apart at once; further ones share one. Also the places that the
        /// database has for sources under each rate that gateways share; the same on each of them.
        rate_keys_max: usize = 65_536, within 1..=10_000_000;
        /// Milliseconds for open requests to end after SIGTERM.
        drain_timeout_ms: u64 = 20_000, within 1..=600_000;
        /// Commands (`freeze`, `apikey`, `key`, `vault`, `plugin`) that the running gateway carries out at once; further ones wait.
        control_commands_max: usize = 4, within 1..=100;
        /// Milliseconds for such a command, its arrival and a plugin's compilation included; then it is told so.
        control_timeout_ms: u64 = 120_000, within 1..=3_600_000;
    }
}

impl Server {
    /// The origin that clients sign.
    pub(crate) fn origin(&self) -> String {
        self.public_origin.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }

    /// The first listener that others than this machine can reach, by its key.
    pub(crate) fn beyond_loopback(&self) -> Option<(&'static str, SocketAddr)> {
        let listeners = [("server.listen", self.listen), ("server.operator_listen", self.operator_listen)];
        listeners.into_iter().find(|(_, address)| !address.ip().is_loopback())
    }

    pub(crate) fn control_timeout(&self) -> Duration {
        Duration::from_millis(self.control_timeout_ms)
    }

    pub(crate) fn api_config(&self, core: &Core) -> Result<ApiConfig, ConfigError> {
        let eth_signature = &core.eth_signature;
        let rate = |burst, period_ms| Rate { burst, period_ms };
        let network = |text: &String| {
            text.parse().map_err(|_| {
                ConfigError::Value(format!("`server.trusted_proxies`: `{text}` is not a network"))
            })
        };
        Ok(ApiConfig {
            body_bytes_max: self.body_bytes_max,
            json_depth_max: self.json_depth_max,
            uri_bytes_max: self.uri_bytes_max,
            header_bytes_max: self.header_bytes_max,
            body_timeout_ms: self.body_timeout_ms,
            refused_body_bytes_max: self.refused_body_bytes_max,
            refused_body_timeout_ms: self.refused_body_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            list_bytes_max: self.list_bytes_max,
            requests_in_flight_max: self.requests_in_flight_max,
            requests_in_flight_per_source_max: self.requests_in_flight_per_source_max,
            inline_signing_wait_ms: self.inline_signing_wait_ms,
            key_use_interval_ms: self.key_use_interval_ms,
            trusted_proxies: self.trusted_proxies.0.iter().map(network).collect::<Result<_, _>>()?,
            cors_origins: self.cors_origins.0.clone(),
            eth_signature: EthSignatureConfig {
                allow_untimed: eth_signature.allow_untimed,
                window_seconds: eth_signature.window_seconds,
            },
            siwe: core.siwe_config()?,
            rates: RateConfig {
                credential: rate(self.credential_burst, self.credential_period_ms),
                source: rate(self.source_burst, self.source_period_ms),
                operator: rate(self.operator_burst, self.operator_period_ms),
                dry_run: rate(self.dry_run_burst, self.dry_run_period_ms),
                wallet: rate(self.wallet_burst, self.wallet_period_ms),
                decryption: rate(self.decryption_burst, self.decryption_period_ms),
                login: rate(self.login_burst, self.login_period_ms),
                registrations: rate(self.registration_burst, self.registration_period_ms),
                changes: rate(self.change_burst, self.change_period_ms),
                failures: rate(self.failure_burst, self.failure_period_ms),
                keys_max: self.rate_keys_max,
            },
        })
    }

    /// The bounds of requests that carry a component.
    pub(crate) fn upload_config(&self, common: ApiConfig, plugins: &Plugins) -> ApiConfig {
        // In base64; settings in the worst case as escapes of six bytes each.
        let component = plugins.component_bytes_max.div_ceil(3) * 4;
        ApiConfig {
            body_bytes_max: component + 6 * plugins.settings_bytes_max + ENVELOPE_BYTES,
            body_timeout_ms: self.plugin_upload_timeout_ms,
            request_timeout_ms: self.plugin_upload_timeout_ms,
            requests_in_flight_max: self.plugin_uploads_max,
            ..common
        }
    }
}

/// Of an upload besides component and settings.
const ENVELOPE_BYTES: usize = 64 << 10;
