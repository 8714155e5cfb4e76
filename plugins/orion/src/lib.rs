//! Orion reads a proposed EVM transaction and says how safe it looks: a confidence between 0 and 1 and
//! an analysis that a person can follow.
//!
//! Rules (`findings`) look at the decoded transaction; each finding either rejects outright or takes
//! something off a score that starts at certainty. The settings (`settings`) say which finding does
//! what, and at which scores Orion approves and rejects (`judge`). What the client claims is ignored.

mod amount;
mod findings;
mod judge;
mod settings;
mod token_call;

use countersign_plugin::{
    Claimed, Description, Outcome, Plugin, SettingsProblem, Verified, plugin, settings as host,
};

use settings::Settings;

struct Orion;

impl Plugin for Orion {
    fn describe() -> Description {
        Description {
            name: "orion".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Scores an EVM transaction by its value, recipient, call and cost.".to_owned(),
            settings_schema: include_str!("settings/schema.json").to_owned(),
        }
    }

    fn validate_settings(settings: &str) -> Result<(), Vec<SettingsProblem>> {
        Settings::parse(settings).map(|_| ())
    }

    fn evaluate(verified: &Verified, _claimed: &Claimed) -> Result<Outcome, String> {
        let settings = Settings::parse(&host::get()).map_err(|problems| describe_problems(&problems))?;
        Ok(judge::judge(verified, &settings))
    }
}

plugin!(Orion);

fn describe_problems(problems: &[SettingsProblem]) -> String {
    let described: Vec<_> =
        problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.rule)).collect();
    format!("bad settings: {}", described.join("; "))
}
