//! The settings: whom to ask, and who reviews what the service will not decide.

use countersign_plugin::SettingsProblem;
use serde::Deserialize;

/// See `settings.schema.json` for the meaning of each field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) upstream: String,
    pub(crate) path: String,
    pub(crate) review_role: Option<String>,
}

impl Settings {
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsProblem> {
        let parsed: Result<Self, _> = serde_json::from_str(text);
        let settings = parsed.map_err(|error| problem("", &error.to_string()))?;
        if settings.upstream.is_empty() {
            return Err(problem("upstream", "must be the name of an upstream of the gateway"));
        }
        if !settings.path.starts_with('/') || settings.path.contains('{') {
            return Err(problem("path", "must start with `/` and have no places"));
        }
        if settings.review_role.as_deref().is_some_and(|role| !is_role(role)) {
            return Err(problem("reviewRole", "must be 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`"));
        }
        Ok(settings)
    }
}

fn is_role(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn problem(field: &str, rule: &str) -> SettingsProblem {
    SettingsProblem { field: field.to_owned(), rule: rule.to_owned() }
}

#[cfg(test)]
mod tests;
