//! The rules: each looks at one aspect of the transaction and reports what it finds.

use countersign_plugin::Verified;

use crate::amount::Amount;
use crate::settings::{Effect, Settings};
use crate::token_call::TokenCall;

const ZERO_ADDRESS: &str = "0x0000000000000000000000000000000000000000";

/// Something worth telling, and what it does to the score.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) effect: Effect,
    /// Taken off the score when the effect is doubt, in parts per million.
    pub(crate) penalty: u32,
    pub(crate) text: String,
}

/// The findings that have an effect under `settings`; those that reject come first.
pub(crate) fn of(verified: &Verified, settings: &Settings) -> Vec<Finding> {
    let token_call = TokenCall::read(&verified.data);
    let malformed = matches!(token_call, Some(Err(_)));
    let subject = Subject { verified, settings, token_call: token_call.and_then(Result::ok) };
    let rules = [
        Subject::unreadable_amount,
        Subject::foreign_chain,
        Subject::denied_address,
        Subject::value_over_limit,
        Subject::fee_over_limit,
        Subject::burn,
        Subject::unlimited_allowance,
        Subject::contract_creation,
        Subject::unknown_selector,
        Subject::unlisted_recipient,
        Subject::new_recipient,
    ];
    let mut findings: Vec<_> = rules.into_iter().filter_map(|rule| rule(&subject)).collect();
    if malformed {
        findings.push(reject("malformed_call", "the arguments of the token call are malformed"));
    }
    findings.retain(|finding| finding.effect != Effect::Ignore);
    findings.sort_by_key(|finding| finding.effect != Effect::Reject);
    findings
}

fn finding(code: &'static str, effect: Effect, penalty: u32, text: impl Into<String>) -> Finding {
    Finding { code, effect, penalty, text: text.into() }
}

fn reject(code: &'static str, text: impl Into<String>) -> Finding {
    finding(code, Effect::Reject, 0, text)
}

struct Subject<'a> {
    verified: &'a Verified,
    settings: &'a Settings,
    token_call: Option<TokenCall>,
}

impl Subject<'_> {
    fn unreadable_amount(&self) -> Option<Finding> {
        let unreadable = |amount: &str| Amount::parse(amount).is_none();
        let fee = self.verified.ceilings.total_fee.as_deref();
        (unreadable(&self.verified.value) || fee.is_some_and(unreadable))
            .then(|| reject("unreadable_amount", "an amount is not a decimal number"))
    }

    fn foreign_chain(&self) -> Option<Finding> {
        let (chain, chains) = (&self.verified.chain, &self.settings.chains);
        (!chains.is_empty() && !chains.contains(chain))
            .then(|| reject("chain_not_allowed", format!("chain {chain} is not among the allowed ones")))
    }

    /// The address may be the recipient or hide in an argument, also inside of a list or tuple.
    fn denied_address(&self) -> Option<Finding> {
        let arguments = self.verified.call.iter().flat_map(|call| &call.arguments);
        let mut mentioned: Vec<_> = arguments.map(|argument| argument.value.to_ascii_lowercase()).collect();
        mentioned.extend(self.recipients().map(str::to_ascii_lowercase));
        let denied = self
            .settings
            .deny_list
            .iter()
            .find(|denied| mentioned.iter().any(|text| text.contains(*denied)))?;
        Some(reject("denied_address", format!("{denied} is on the deny list")))
    }

    fn value_over_limit(&self) -> Option<Finding> {
        let limit = self.settings.value_limit.as_ref()?;
        let value = Amount::parse(&self.verified.value).filter(|value| value > limit)?;
        let text =
            format!("the value of {} coins is above the limit of {}", value.in_coins(), limit.in_coins());
        Some(reject("value_over_limit", text))
    }

    /// Without a ceiling the fee has no bound, which is above any limit.
    fn fee_over_limit(&self) -> Option<Finding> {
        let limit = self.settings.fee_limit.as_ref()?;
        let Some(fee) = &self.verified.ceilings.total_fee else {
            return Some(reject("fee_over_limit", "the fee has no ceiling"));
        };
        let fee = Amount::parse(fee).filter(|fee| fee > limit)?;
        let text =
            format!("the fee may reach {} coins, above the limit of {}", fee.in_coins(), limit.in_coins());
        Some(reject("fee_over_limit", text))
    }

    fn burn(&self) -> Option<Finding> {
        let burns = self.recipients().any(|address| address == ZERO_ADDRESS);
        let text = "something would go to the zero address, from where nothing returns";
        burns.then(|| finding("burn", self.settings.burn, 500_000, text))
    }

    fn unlimited_allowance(&self) -> Option<Finding> {
        let text = match self.token_call.as_ref()? {
            TokenCall::Allowance { spender, unlimited: true, .. } => {
                format!("{spender} would get an unlimited allowance")
            }
            TokenCall::Operator { operator } => {
                format!("{operator} would get control of every token of a collection")
            }
            TokenCall::Allowance { .. } | TokenCall::Transfer { .. } => return None,
        };
        Some(finding("unlimited_allowance", self.settings.unlimited_allowance, 500_000, text))
    }

    fn contract_creation(&self) -> Option<Finding> {
        let text = "the transaction creates a contract, whose code was not examined";
        let creates = self.verified.recipient.is_none();
        creates.then(|| finding("contract_creation", self.settings.contract_creation, 400_000, text))
    }

    fn unknown_selector(&self) -> Option<Finding> {
        if self.verified.recipient.is_none() || self.verified.data.is_empty() || self.token_call.is_some() {
            return None;
        }
        let text = match &self.verified.call {
            Some(call) if call.function.is_some() => return None,
            Some(call) => format!("the function {} is unknown", call.selector),
            None => "the data is too short for a function call".to_owned(),
        };
        Some(finding("unknown_selector", self.settings.unknown_selector, 350_000, text))
    }

    fn unlisted_recipient(&self) -> Option<Finding> {
        if self.settings.allow_list.is_empty() {
            return None;
        }
        let listed =
            |address: &&str| self.settings.allow_list.iter().any(|known| known.eq_ignore_ascii_case(address));
        let unlisted = self.recipients().find(|address| !listed(address))?;
        let text = format!("{unlisted} is not on the allow list");
        Some(finding("unlisted_recipient", self.settings.unlisted_recipient, 350_000, text))
    }

    fn new_recipient(&self) -> Option<Finding> {
        let recipient = self.verified.recipient.as_ref()?;
        let value = Amount::parse(&self.verified.value)?;
        let noticeable =
            self.settings.new_recipient_value.as_ref().map_or(!value.is_zero(), |limit| value > *limit);
        if self.verified.transactions_to_recipient > 0 || !noticeable {
            return None;
        }
        let text = format!("{recipient} has never received anything from this key");
        Some(finding("new_recipient", self.settings.new_recipient, 250_000, text))
    }

    /// Who receives coins, tokens or rights. A token contract that is called receives nothing itself,
    /// but is listed too: it runs code.
    fn recipients(&self) -> impl Iterator<Item = &str> {
        let direct = self.verified.recipient.as_deref();
        direct.into_iter().chain(self.token_call.as_ref().map(TokenCall::beneficiary))
    }
}
