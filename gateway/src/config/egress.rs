//! `[egress]`: where the gateway may connect to on its own.

use std::time::Duration;

use gateway_clients::egress::{EgressConfig, NamedHost};

use super::{ConfigError, section::section, value::List};

section! {
    /// Requests that the gateway makes to vendors and other outside systems. They go to public addresses over https,
    /// and to the hosts named here.
    pub(crate) struct Egress = "egress" {
        /// Hosts, with or without a port, that may have a private or loopback address and no TLS.
        named_hosts: List = List::default();
        /// Milliseconds to connect.
        connect_timeout_ms: u64 = 3000, within 1..=600_000;
        /// Milliseconds from the start of a request to the end of its answer.
        request_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Bytes of an answer, its head included; a longer one is refused. The HTTP library reads no head of more than
        /// 400 KiB.
        response_bytes_max: usize = 1 << 20, within 1024..=64 << 20;
        /// Headers of an answer; one with more is refused.
        response_headers_max: usize = 100, within 16..=10_000;
    }
}

impl Egress {
    pub(crate) fn egress_config(&self) -> Result<EgressConfig, ConfigError> {
        let read = |text: &String| {
            let fault = || {
                ConfigError::Value(format!("`egress.named_hosts`: `{text}` must be `host` or `host:port`"))
            };
            text.parse::<NamedHost>().map_err(|_| fault())
        };
        Ok(EgressConfig {
            named_hosts: self.named_hosts.0.iter().map(read).collect::<Result<_, _>>()?,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            response_bytes_max: self.response_bytes_max,
            response_headers_max: self.response_headers_max,
        })
    }
}
