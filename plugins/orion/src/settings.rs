//! Orion's settings: a JSON object, every field optional, nothing unknown accepted.

mod object;

use countersign_plugin::SettingsProblem;
use serde_json::Value;

use crate::amount::Amount;
use object::Object;

const PARTS_PER_MILLION: u32 = 1_000_000;
const ROLE_BYTES_MAX: usize = 64;

/// What a finding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Ignore,
    /// Takes something off the score.
    Doubt,
    /// Ends it.
    Reject,
}

/// See `settings/schema.json` for the meaning of each field. Addresses are in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) value_limit: Option<Amount>,
    pub(crate) fee_limit: Option<Amount>,
    pub(crate) chains: Vec<String>,
    pub(crate) deny_list: Vec<String>,
    pub(crate) allow_list: Vec<String>,
    pub(crate) unlisted_recipient: Effect,
    pub(crate) new_recipient: Effect,
    pub(crate) new_recipient_value: Option<Amount>,
    pub(crate) unknown_selector: Effect,
    pub(crate) unlimited_allowance: Effect,
    pub(crate) contract_creation: Effect,
    pub(crate) burn: Effect,
    pub(crate) approve_at: u32,
    pub(crate) reject_below: u32,
    pub(crate) review_role: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            value_limit: None,
            fee_limit: None,
            chains: Vec::new(),
            deny_list: Vec::new(),
            allow_list: Vec::new(),
            unlisted_recipient: Effect::Doubt,
            new_recipient: Effect::Doubt,
            new_recipient_value: None,
            unknown_selector: Effect::Doubt,
            unlimited_allowance: Effect::Reject,
            contract_creation: Effect::Doubt,
            burn: Effect::Reject,
            approve_at: 700_000,
            reject_below: 400_000,
            review_role: None,
        }
    }
}

impl Settings {
    /// Reads settings; answers everything that is wrong with them, not just the first.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<SettingsProblem>> {
        let Object(fields) = serde_json::from_str(text).map_err(|error| {
            vec![problem("", &format!("must be a JSON object without repeated fields: {error}"))]
        })?;
        let mut settings = Self::default();
        let mut problems = Vec::new();
        for (field, value) in fields {
            if let Err(found) = settings.set(&field, &value) {
                problems.push(found);
            }
        }
        if settings.reject_below > settings.approve_at {
            problems.push(problem("rejectBelow", "must not be above `approveAt`"));
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn set(&mut self, field: &str, value: &Value) -> Result<(), SettingsProblem> {
        match field {
            "valueLimit" => self.value_limit = Some(amount(field, value)?),
            "feeLimit" => self.fee_limit = Some(amount(field, value)?),
            "newRecipientValue" => self.new_recipient_value = Some(amount(field, value)?),
            "chains" => self.chains = list(field, value, chain)?,
            "denyList" => self.deny_list = list(field, value, address)?,
            "allowList" => self.allow_list = list(field, value, address)?,
            "unlistedRecipient" => self.unlisted_recipient = effect(field, value)?,
            "newRecipient" => self.new_recipient = effect(field, value)?,
            "unknownSelector" => self.unknown_selector = effect(field, value)?,
            "unlimitedAllowance" => self.unlimited_allowance = effect(field, value)?,
            "contractCreation" => self.contract_creation = effect(field, value)?,
            "burn" => self.burn = effect(field, value)?,
            "approveAt" => self.approve_at = parts_per_million(field, value)?,
            "rejectBelow" => self.reject_below = parts_per_million(field, value)?,
            "reviewRole" => self.review_role = Some(role(field, value)?),
            _ => return Err(problem(field, "is not a setting of Orion")),
        }
        Ok(())
    }
}

fn problem(field: &str, rule: &str) -> SettingsProblem {
    SettingsProblem { field: field.to_owned(), rule: rule.to_owned() }
}

fn amount(field: &str, value: &Value) -> Result<Amount, SettingsProblem> {
    let parsed = value.as_str().and_then(Amount::parse);
    parsed.ok_or_else(|| {
        problem(field, "must be a decimal amount in the smallest unit, as text without leading zeros")
    })
}

fn effect(field: &str, value: &Value) -> Result<Effect, SettingsProblem> {
    match value.as_str() {
        Some("ignore") => Ok(Effect::Ignore),
        Some("doubt") => Ok(Effect::Doubt),
        Some("reject") => Ok(Effect::Reject),
        _ => Err(problem(field, "must be `ignore`, `doubt` or `reject`")),
    }
}

fn parts_per_million(field: &str, value: &Value) -> Result<u32, SettingsProblem> {
    let parsed = value.as_u64().and_then(|parts| u32::try_from(parts).ok());
    let parsed = parsed.filter(|parts| *parts <= PARTS_PER_MILLION);
    parsed.ok_or_else(|| problem(field, "must be a whole number of parts per million, 0 to 1000000"))
}

fn role(field: &str, value: &Value) -> Result<String, SettingsProblem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    let role =
        value.as_str().filter(|role| (1..=ROLE_BYTES_MAX).contains(&role.len()) && role.bytes().all(allowed));
    role.map(str::to_owned).ok_or_else(|| problem(field, "must be 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`"))
}

type Read = fn(&str, &Value) -> Result<String, SettingsProblem>;

fn list(field: &str, value: &Value, read: Read) -> Result<Vec<String>, SettingsProblem> {
    let items = value.as_array().ok_or_else(|| problem(field, "must be a list"))?;
    items.iter().enumerate().map(|(index, item)| read(&format!("{field}[{index}]"), item)).collect()
}

fn address(field: &str, value: &Value) -> Result<String, SettingsProblem> {
    let address = value.as_str().filter(|text| {
        let digits = text.strip_prefix("0x").unwrap_or_default();
        digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let address = address.ok_or_else(|| problem(field, "must be `0x` and 40 hexadecimal digits"))?;
    Ok(address.to_ascii_lowercase())
}

fn chain(field: &str, value: &Value) -> Result<String, SettingsProblem> {
    let chain = value.as_str().filter(|text| {
        let id = text.strip_prefix("eip155:").unwrap_or_default();
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
    });
    chain.map(str::to_owned).ok_or_else(|| problem(field, "must be a CAIP-2 id of the form `eip155:1`"))
}

#[cfg(test)]
mod tests;
