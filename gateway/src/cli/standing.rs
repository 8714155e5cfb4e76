//! What each command may bring about alone: one table of every command, which the tests of T31 read (`commands --json`).

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{output::Format, status::Status};

/// What running a command may do to what can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Permits more than before. Refused where there are operators, who propose and approve it instead.
    Enlarges,
    /// Reads, stops or stores, and permits nothing more.
    Confined,
    /// Done with operators' own keys: the gateway, or the audit log, counts who agreed.
    Operators,
    /// Takes the PIN of the token's security officer, who can use every key of it anyway.
    SecurityOfficer,
    /// Begins a deployment, or runs what was begun, under whatever the token and the database say.
    Deployment,
    /// Concerns no deployment.
    Apart,
}

use Standing::{Apart, Confined, Deployment, Enlarges, Operators, SecurityOfficer};

/// Every command, and those flags of one that make it another.
const COMMANDS: &[(&str, Standing)] = &[
    ("dev", Deployment),
    ("init", Deployment),
    ("serve", Deployment),
    ("doctor", Confined),
    ("migrate", Deployment),
    ("apikey create", Enlarges),
    ("apikey list", Confined),
    ("apikey revoke", Confined),
    ("key list", Confined),
    ("key create", Confined),
    ("key create --vault", Enlarges),
    ("key relayer", Confined),
    ("key retire", Confined),
    // A new one has no authority before it has an orion key.
    ("verification-service add", Confined),
    ("verification-service list", Confined),
    ("verification-service enable", Enlarges),
    ("verification-service disable", Confined),
    ("contract-account enrol", Enlarges),
    ("contract-account withdraw", Enlarges),
    ("contract-account list", Confined),
    ("freeze organization", Confined),
    ("freeze organization --lift", Enlarges),
    ("freeze key", Confined),
    ("freeze key --lift", Enlarges),
    ("freeze vault", Confined),
    ("freeze vault --lift", Enlarges),
    ("vault list", Confined),
    ("vault show", Confined),
    // A binding is about the keys of a vault: whoever moves one chooses who judges it.
    ("vault create", Enlarges),
    ("vault put", Enlarges),
    ("vault remove", Enlarges),
    ("transaction list", Confined),
    ("transaction show", Confined),
    ("transaction abort", Confined),
    ("transaction dry-run", Confined),
    ("plugin new", Apart),
    ("plugin build", Apart),
    ("plugin check", Apart),
    ("plugin test", Apart),
    ("plugin bench", Apart),
    ("plugin sign", Apart),
    // Where there are operators it is stored, not bound.
    ("plugin install", Confined),
    // A gate that is not bound denies nothing.
    ("plugin unbind", Enlarges),
    ("plugin list", Confined),
    ("plugin revoke", Confined),
    ("plugin record", Confined),
    ("plugin manual", Apart),
    ("plugin replay", Confined),
    ("plugin backtest", Confined),
    ("plugin backtest --revision", Confined),
    ("plugin diff", Confined),
    ("operator keygen", Apart),
    ("operator charter show", Operators),
    ("operator charter propose", Operators),
    ("operator revoke", Operators),
    ("operator proposals", Operators),
    ("operator proposal", Operators),
    ("operator plugin upload", Operators),
    ("operator plugin list", Operators),
    ("operator plugin inspect", Operators),
    ("operator plugin revoke", Operators),
    ("operator policy list", Operators),
    ("operator policy show", Operators),
    ("operator policy rollback", Operators),
    ("operator vault list", Operators),
    ("operator vault show", Operators),
    ("operator vault create", Operators),
    ("operator vault put", Operators),
    ("operator vault remove", Operators),
    ("operator vault freeze", Operators),
    ("operator vault thaw", Operators),
    ("operator freeze organization", Operators),
    ("operator freeze key", Operators),
    ("operator dry-run", Operators),
    ("operator bind", Operators),
    ("operator unbind", Operators),
    ("operator propose", Operators),
    ("operator approve", Operators),
    ("operator refuse", Operators),
    ("operator withdraw", Operators),
    ("operator request", Operators),
    ("charter-recovery begin", SecurityOfficer),
    ("charter-recovery complete", SecurityOfficer),
    ("audit verify", Apart),
    ("audit export", Confined),
    ("audit accept-rollback", Operators),
    ("audit approve-rollback", Operators),
    ("openapi", Apart),
    ("compile-plugin", Apart),
    ("config-reference", Apart),
    ("commands", Apart),
];

/// What is not in the table counts as what permits more.
pub(super) fn standing(command: &str) -> Standing {
    let found = COMMANDS.iter().find(|(name, _)| *name == command);
    found.map_or(Enlarges, |(_, standing)| *standing)
}

#[derive(Debug, Args)]
pub(super) struct Commands {
    #[command(flatten)]
    format: Format,
}

impl Commands {
    pub(super) fn run(self) -> Result<Status> {
        let values: Vec<_> =
            COMMANDS.iter().map(|(name, standing)| json!({ "name": name, "standing": standing })).collect();
        let lines: Vec<_> = COMMANDS.iter().map(|(name, standing)| format!("{standing:?}  {name}")).collect();
        self.format.print(&json!({ "commands": values }), &lines)
    }
}

#[cfg(test)]
mod tests;
