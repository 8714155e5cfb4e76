//! The configuration file that the demo and the tests give to `countersign dev`, and what `dev` itself
//! decides for its demo organization: the only place that knows either.

use std::fmt::Write;

/// Transfers of this much or more need the user and an agent besides Orion.
pub const PEOPLE_FROM_WEI: u128 = 1_000_000_000_000_000_000;
/// Orion rejects what lies above.
pub const ORION_LIMIT_WEI: u128 = 10_000_000_000_000_000_000;
/// Orion rejects transfers to this address.
pub const DENIED_RECIPIENT: &str = "0x000000000000000000000000000000000000dEaD";

pub struct Chain<'a> {
    pub id: u64,
    pub rpc_url: &'a str,
    pub confirmations: u32,
}

/// Work left behind by a killed gateway is taken up soon, and nothing is waited for longer than needed.
const OUTBOX: &str = "[outbox]\nlease_ms = 1000\npoll_interval_ms = 100\nretry_pause_ms = 100\n";

/// Time for plugins that no test but one of that time runs out of: whom a busy machine leaves none is refused.
pub const PATIENT: &str = "[plugins]\ndeadline_ms = 20000\n";
/// The same, and time to compile components that bring an interpreter along.
pub const PATIENT_TO_COMPILE: &str =
    "[plugins]\ndeadline_ms = 20000\ncompile_timeout_ms = 600000\ncompile_cpu_seconds_max = 300\n";

/// What gives plugins time in this configuration, unless it says itself what they have.
pub fn patience(configuration: &str) -> &'static str {
    if configuration.contains("[plugins]") { "" } else { PATIENT }
}

/// A configuration for `chains`, with SQLite in the data directory unless a database is named.
pub fn render(chains: &[Chain<'_>], database_url: Option<&str>) -> String {
    let mut text = OUTBOX.to_owned();
    if let Some(url) = database_url {
        let _ = write!(text, "\n[database]\nurl = \"{url}\"\n");
    }
    for Chain { id, rpc_url, confirmations } in chains {
        let _ = write!(
            text,
            "\n[[chains]]\nid = \"eip155:{id}\"\nrpc_urls = \"{rpc_url}\"\nconfirmations = {confirmations}\n"
        );
    }
    text
}
