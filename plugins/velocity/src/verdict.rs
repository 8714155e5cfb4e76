//! From what there was no room for to a verdict.

use countersign_plugin::Outcome;

use crate::settings::{Limit, Settings};

/// A limit that has no room for the transaction.
pub(crate) struct Excess<'a> {
    pub(crate) limit: &'a Limit,
    /// `count` or `amount`.
    pub(crate) what: &'static str,
    /// What the transaction would add.
    pub(crate) share: String,
    pub(crate) most: String,
    /// What other transactions hold already.
    pub(crate) others: String,
}

impl Excess<'_> {
    fn described(&self) -> String {
        let Self { limit, what, share, most, others } = self;
        let (name, window) = (&limit.name, limit.window_seconds);
        format!(
            "limit `{name}`: {what} of {most} within {window} s, of which {others} are taken and {share} asked for"
        )
    }
}

pub(crate) fn verdict(settings: &Settings, excesses: &[Excess<'_>]) -> Outcome {
    if excesses.is_empty() {
        return Outcome::approve("within_limits", "Every limit has room for this transaction.");
    }
    let described: Vec<_> = excesses.iter().map(Excess::described).collect();
    let analysis = format!("There is no room under {}.", described.join("; "));
    let outcome = match &settings.review_role {
        Some(role) => Outcome::need_approvals(role, 1, "over_limit", analysis),
        None => Outcome::reject("over_limit", analysis),
    };
    excesses.iter().fold(outcome, |outcome, excess| {
        outcome.with_evidence(&format!("{}.{}", excess.limit.name, excess.what), &*excess.others)
    })
}

/// An amount that is not known cannot be counted.
pub(crate) fn unreadable(limit: &Limit, call: &str) -> Outcome {
    let analysis = format!("limit `{}` counts transfers of its token, and this is {call}.", limit.name);
    Outcome::reject("unreadable_token_call", analysis)
}

#[cfg(test)]
mod tests;
