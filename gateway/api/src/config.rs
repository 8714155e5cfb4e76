//! Every bound of the HTTP edge. Times are whole units named in the field.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// The `[api]` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Longest request body; a longer one is answered 413. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Deepest nesting of a JSON body; deeper is answered 400. Default 32.
    pub json_depth_max: usize,
    /// Longest path with query; a longer one is answered 414. Default 8 KiB.
    pub uri_bytes_max: usize,
    /// Names and values of all headers of a request together; more is answered 431. Default 16 KiB.
    pub header_bytes_max: usize,
    /// The longest the arrival of a body may take; then the request is answered 408. Default 10 s.
    pub body_timeout_ms: u64,
    /// How much of a refused body is still received and thrown away, so that its client lives to read the answer; then
    /// the connection ends. Default 8 MiB.
    pub refused_body_bytes_max: usize,
    /// The longest that may take. Default 5 s.
    pub refused_body_timeout_ms: u64,
    /// The longest a request may take, its body's arrival included; then it is answered 503. Default 30 s.
    pub request_timeout_ms: u64,
    /// Requests that may be under way at once; more are answered 503. Default 1024.
    pub requests_in_flight_max: usize,
    /// Of these, from one source; more are answered 429. Default 256.
    pub requests_in_flight_per_source_max: usize,
    /// Bytes of one page of a list; a page that would be longer ends before, with at
    /// least one. Default 8 MiB.
    pub list_bytes_max: usize,
    /// How long a creating request waits for an approved transaction to be signed and sent before it answers
    /// with the state as it is. Default 5 s.
    pub inline_signing_wait_ms: u64,
    /// How often the use of an API key is noted at most, for people to see. Default 60 s.
    pub key_use_interval_ms: u64,
    /// Networks of reverse proxies whose `x-forwarded-for` is believed. Default none.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose browser pages may call the API. Default none.
    pub cors_origins: Vec<String>,
    pub eth_signature: EthSignatureConfig,
    pub siwe: SiweConfig,
    pub rates: RateConfig,
}

/// How `x-ethereum-signature` is read (contract/core.md section 1.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EthSignatureConfig {
    /// Accepts signatures without `x-ethereum-timestamp` for reading and for approvals. Default false.
    pub allow_untimed: bool,
    /// How far a timestamp may lie from the gateway's clock, and how long replays are recognised. Default 300 s.
    pub window_seconds: u64,
}

/// Which logins with Ethereum are taken (contract/core.md section 1.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiweConfig {
    /// Scheme, host and port of the page that people log in on. Default the deployment's own.
    pub origin: Option<String>,
    /// `Chain ID` of messages that are taken. Default those of the configured chains.
    pub chain_ids: Vec<u64>,
    /// How old a message may be. Default 600 s.
    pub issued_age_max_seconds: u64,
    /// How far a message's time may lie ahead of the gateway's clock. Default 60 s.
    pub issued_ahead_max_seconds: u64,
}

/// Rates above which callers are answered 429.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Requests of one credential. Default 5,000 a second.
    pub credential: Rate,
    /// Requests from one source address. Default 10,000 a second.
    pub source: Rate,
    /// Requests of one operator. Default 300 a minute.
    pub operator: Rate,
    /// Dry runs of one operator. Default 30 a minute.
    pub dry_run: Rate,
    /// Requests to read that one wallet signs; each leaves a row until it cannot be replayed. Default 50 a second.
    pub wallet: Rate,
    /// Encrypted payloads for one user that the token is asked to open. Default 30 in ten seconds.
    pub decryption: Rate,
    /// Requests for a login nonce, logins and refreshes, each for itself, from one source address. Default 20 a
    /// minute. This rate and those below are kept together by all gateways of a database.
    pub login: Rate,
    /// Wallets that enrol themselves from one source address. Default 20 an hour.
    pub registrations: Rate,
    /// Requests to change something by one user who enrolled themselves. Default 5,000 a day.
    pub changes: Rate,
    /// Failed authentications from one source address; above it the source waits before anything is looked up.
    /// Default 120 a minute.
    pub failures: Rate,
    /// Sources and credentials that are told apart at once; further ones share one bucket, and under the rates of the
    /// database those that chance puts into one place. Default 65,536.
    pub keys_max: usize,
}

/// `burst` at once, and as many again in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At least 1; 0 reads as 1.
    pub burst: u32,
    /// Time in which the whole burst comes back. At least 1; 0 reads as 1.
    pub period_ms: u64,
}

impl ApiConfig {
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn refused_body_timeout(&self) -> Duration {
        Duration::from_millis(self.refused_body_timeout_ms)
    }

    pub(crate) fn inline_signing_wait(&self) -> Duration {
        Duration::from_millis(self.inline_signing_wait_ms)
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            json_depth_max: 32,
            uri_bytes_max: 8 * 1024,
            header_bytes_max: 16 * 1024,
            body_timeout_ms: 10_000,
            refused_body_bytes_max: 8 * 1024 * 1024,
            refused_body_timeout_ms: 5_000,
            request_timeout_ms: 30_000,
            requests_in_flight_max: 1024,
            requests_in_flight_per_source_max: 256,
            list_bytes_max: 8 * 1024 * 1024,
            inline_signing_wait_ms: 5_000,
            key_use_interval_ms: 60_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            eth_signature: EthSignatureConfig::default(),
            siwe: SiweConfig::default(),
            rates: RateConfig::default(),
        }
    }
}

impl Default for EthSignatureConfig {
    fn default() -> Self {
        Self { allow_untimed: false, window_seconds: 300 }
    }
}

impl Default for SiweConfig {
    fn default() -> Self {
        Self {
            origin: None,
            chain_ids: Vec::new(),
            issued_age_max_seconds: 600,
            issued_ahead_max_seconds: 60,
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            credential: Rate { burst: 5_000, period_ms: 1_000 },
            source: Rate { burst: 10_000, period_ms: 1_000 },
            operator: Rate { burst: 300, period_ms: 60_000 },
            dry_run: Rate { burst: 30, period_ms: 60_000 },
            wallet: Rate { burst: 50, period_ms: 1_000 },
            decryption: Rate { burst: 30, period_ms: 10_000 },
            login: Rate { burst: 20, period_ms: 60_000 },
            registrations: Rate { burst: 20, period_ms: 3_600_000 },
            changes: Rate { burst: 5_000, period_ms: 86_400_000 },
            failures: Rate { burst: 120, period_ms: 60_000 },
            keys_max: 65_536,
        }
    }
}

/// Read from text, so that the network crate needs no serialization of its own.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: String| {
        text.parse()
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is not a network such as `10.0.0.0/8`")))
    };
    texts.into_iter().map(parse).collect()
}
