//! Asks a service that the operator named what it thinks of a transaction, and follows it only where it is clear:
//! whatever else comes, or nothing, denies.
//!
//! The service is asked `POST` with the transaction as JSON and answers 200 with
//! `{"decision": "approve" | "reject" | "review", "reason": "..."}`.

mod answer;
mod question;
mod settings;

use countersign_plugin::{
    Claimed, Description, Outcome, Plugin, SettingsProblem, Verified, http, plugin, settings as host,
};

use settings::Settings;

struct HttpReview;

impl Plugin for HttpReview {
    fn describe() -> Description {
        Description {
            name: "http-review".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Asks a named service, and denies when it does not say yes.".to_owned(),
            settings_schema: include_str!("settings.schema.json").to_owned(),
        }
    }

    fn validate_settings(settings: &str) -> Result<(), Vec<SettingsProblem>> {
        Settings::parse(settings).map(|_| ()).map_err(|problem| vec![problem])
    }

    fn evaluate(verified: &Verified, _claimed: &Claimed) -> Result<Outcome, String> {
        let settings = Settings::parse(&host::get())
            .map_err(|problem| format!("bad settings: `{}` {}", problem.field, problem.rule))?;
        let asked = http::Request {
            upstream: settings.upstream.clone(),
            method: "POST".to_owned(),
            path: settings.path.clone(),
            parameters: Vec::new(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: question::body(verified),
        };
        Ok(match http::fetch(&asked) {
            Ok(response) => answer::outcome(response.status, &response.body, settings.review_role.as_deref()),
            Err(failure) => answer::absent(&failure.name()),
        })
    }
}

plugin!(HttpReview);
