//! `[server]`: the listeners and what they let in.

use std::net::{Ipv4Addr, SocketAddr};

use super::{section::section, value::List};

section! {
    /// The HTTP listeners and what they let in.
    pub struct Server = "server" {
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
        /// Bytes of a request body.
        body_bytes_max: usize = 1 << 20, within 1024..=64 << 20;
        /// Levels of arrays and objects in a request body.
        json_depth_max: usize = 64, within 4..=512;
        /// Bytes of a request's head.
        header_bytes_max: usize = 16 << 10, within 8192..=1 << 20;
        /// Milliseconds for the head of a request to arrive.
        header_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Milliseconds for a request, from its head to its answer.
        request_timeout_ms: u64 = 30_000, within 1..=600_000;
        /// Connections open at once, each listener.
        connections_max: usize = 4096, within 1..=1_000_000;
        /// Requests worked on at once; more are answered 503.
        requests_in_flight_max: usize = 1024, within 1..=1_000_000;
        /// Requests per second and credential.
        credential_rate_per_second: u32 = 200, within 1..=1_000_000;
        /// Requests at once per credential, above the rate.
        credential_burst: u32 = 400, within 1..=1_000_000;
        /// Unauthenticated requests per second and source address.
        source_rate_per_second: u32 = 50, within 1..=1_000_000;
        /// Unauthenticated requests at once per source address, above the rate.
        source_burst: u32 = 100, within 1..=1_000_000;
        /// Failed authentications per minute and source address.
        failures_per_minute: u32 = 60, within 1..=1_000_000;
        /// Enrolments of users per minute and source address.
        registrations_per_minute: u32 = 20, within 1..=1_000_000;
        /// Milliseconds for open requests to end after SIGTERM.
        drain_timeout_ms: u64 = 20_000, within 1..=600_000;
    }
}

impl Server {
    /// The origin that clients sign.
    pub fn origin(&self) -> String {
        self.public_origin.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}
