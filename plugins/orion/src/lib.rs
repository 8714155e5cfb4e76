//! The smallest plugin: it abstains.

use countersign_plugin::{Claimed, Description, Outcome, Plugin, SettingsProblem, Verified, plugin};

struct Hello;

impl Plugin for Hello {
    fn describe() -> Description {
        Description {
            name: "hello".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Abstains from every transaction.".to_owned(),
            settings_schema: "{}".to_owned(),
        }
    }

    fn validate_settings(_settings: &str) -> Result<(), Vec<SettingsProblem>> {
        Ok(())
    }

    fn evaluate(verified: &Verified, _claimed: &Claimed) -> Result<Outcome, String> {
        Ok(Outcome::abstain("hello", format!("Hello, transaction {}.", verified.transaction_id)))
    }
}

plugin!(Hello);
