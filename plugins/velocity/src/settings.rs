//! The settings: limits, and who reviews what goes beyond them.

use std::collections::BTreeSet;

use countersign_plugin::{SettingsProblem, Verified};
use serde::Deserialize;

use crate::movement::Movement;

const LIMITS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 32;
const DIGITS_MAX: usize = 77;

/// See `settings.schema.json` for the meaning of each field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) limits: Vec<Limit>,
    pub(crate) review_role: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) window_seconds: u32,
    pub(crate) per: Scope,
    /// Decimal text, as are all amounts.
    pub(crate) max_count: Option<String>,
    pub(crate) max_amount: Option<String>,
    /// In lower case.
    pub(crate) token: Option<String>,
}

/// Whose transactions share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Organization,
    Key,
    Recipient,
}

impl Settings {
    /// Reads settings; answers everything that is wrong with them.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<SettingsProblem>> {
        let parsed: Result<Self, _> = serde_json::from_str(text);
        let mut settings = parsed.map_err(|error| vec![problem("", &error.to_string())])?;
        let mut problems = Vec::new();
        if !(1..=LIMITS_MAX).contains(&settings.limits.len()) {
            problems.push(problem("limits", &format!("must hold 1 to {LIMITS_MAX} limits")));
        }
        let mut names = BTreeSet::new();
        for (index, limit) in settings.limits.iter_mut().enumerate() {
            limit.token = limit.token.as_ref().map(|token| token.to_ascii_lowercase());
            let broken = limit.broken_rules();
            problems.extend(broken.map(|(field, rule)| problem(&format!("limits[{index}].{field}"), rule)));
            if !names.insert(limit.name.clone()) {
                problems.push(problem(&format!("limits[{index}].name"), "must differ from the others"));
            }
        }
        if settings.review_role.as_deref().is_some_and(|role| !is_code(role, 64)) {
            problems.push(problem("reviewRole", "must be 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`"));
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

impl Limit {
    fn broken_rules(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let is_amount = |text: &Option<String>| text.as_deref().is_none_or(is_amount);
        let rules = [
            (is_code(&self.name, NAME_BYTES_MAX), "name", "must be 1 to 32 of `a-z`, `0-9`, `_`, `-`, `.`"),
            (self.window_seconds > 0, "windowSeconds", "must be at least 1"),
            (is_amount(&self.max_count), "maxCount", "must be decimal digits, as text"),
            (
                is_amount(&self.max_amount),
                "maxAmount",
                "must be decimal digits in the smallest unit, as text",
            ),
            (
                self.max_count.is_some() || self.max_amount.is_some(),
                "maxAmount",
                "or `maxCount` must be given",
            ),
            (self.token.as_deref().is_none_or(is_address), "token", "must be `0x` and 40 hexadecimal digits"),
        ];
        rules.into_iter().filter(|(holds, ..)| !holds).map(|(_, field, rule)| (field, rule))
    }

    /// The counter's name. Amounts on different chains are different money.
    pub(crate) fn counter(&self, what: &str, verified: &Verified, movement: &Movement) -> String {
        let shared_by = match self.per {
            Scope::Organization => "",
            Scope::Key => &verified.key_id,
            Scope::Recipient => &movement.recipient,
        };
        format!("{}/{what}/{}/{shared_by}", self.name, verified.chain)
    }
}

fn is_code(text: &str, bytes_max: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_amount(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn problem(field: &str, rule: &str) -> SettingsProblem {
    SettingsProblem { field: field.to_owned(), rule: rule.to_owned() }
}

/// Problems in one line.
pub(crate) fn described(problems: &[SettingsProblem]) -> String {
    let described: Vec<_> =
        problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.rule)).collect();
    format!("bad settings: {}", described.join("; "))
}

#[cfg(test)]
mod tests;
