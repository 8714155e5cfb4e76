//! The configuration file that the demo and the tests give to `countersign dev`: the only place that
//! knows its keys.

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

/// A configuration for `chains`, with SQLite in the data directory unless a database is named.
pub fn render(chains: &[Chain<'_>], database_url: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(url) = database_url {
        let _ = write!(text, "[database]\nurl = \"{url}\"\n\n");
    }
    for Chain { id, rpc_url, confirmations } in chains {
        let _ = write!(
            text,
            "[[chains]]\nchain_id = {id}\nrpc_url = \"{rpc_url}\"\nconfirmations = {confirmations}\npoll_interval_ms = 100\n\n"
        );
    }
    let _ = write!(
        text,
        "[dev]\npeople_from_wei = \"{PEOPLE_FROM_WEI}\"\n\n\
         [dev.orion]\nvalue_limit_wei = \"{ORION_LIMIT_WEI}\"\ndenied_recipients = [\"{DENIED_RECIPIENT}\"]\n"
    );
    text
}
