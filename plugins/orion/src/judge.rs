//! From findings to a score, from the score to a verdict, and all of it into words.

use countersign_plugin::outcome::CERTAIN;
use countersign_plugin::{Outcome, Verified};

use crate::amount::Amount;
use crate::findings::{self, Finding};
use crate::settings::{Effect, Settings};
use crate::token_call::TokenCall;

/// Judges a transaction. The confidence is that in the verdict: the score when approving, what it lacks
/// to certainty when rejecting.
pub(crate) fn judge(verified: &Verified, settings: &Settings) -> Outcome {
    if !verified.chain.starts_with("eip155:") {
        return Outcome::abstain("not_evm", format!("{} is not an EVM chain.", verified.chain))
            .with_confidence(0);
    }
    let findings = findings::of(verified, settings);
    let score = score(&findings);
    let leading = findings.first().map_or("no_findings", |finding| finding.code);
    let analysis = analysis(verified, &findings, score);
    let outcome =
        if score < settings.reject_below || findings.iter().any(|found| found.effect == Effect::Reject) {
            Outcome::reject(leading, analysis).with_confidence(CERTAIN - score)
        } else if score >= settings.approve_at {
            Outcome::approve(leading, analysis).with_confidence(score)
        } else if let Some(role) = &settings.review_role {
            Outcome::need_approvals(role, 1, leading, analysis).with_confidence(score)
        } else {
            Outcome::abstain(leading, analysis).with_confidence(score)
        };
    let outcome =
        findings.into_iter().fold(outcome, |outcome, found| outcome.with_evidence(found.code, found.text));
    outcome.with_evidence("score", in_decimals(score))
}

/// Certainty less the penalties; nothing is left after a rejection.
fn score(findings: &[Finding]) -> u32 {
    findings.iter().fold(CERTAIN, |score, found| match found.effect {
        Effect::Reject => 0,
        Effect::Doubt => score.saturating_sub(found.penalty),
        Effect::Ignore => score,
    })
}

fn analysis(verified: &Verified, findings: &[Finding], score: u32) -> String {
    let mut sentences = vec![subject(verified)];
    if findings.is_empty() {
        sentences.push("Nothing speaks against it.".to_owned());
    }
    sentences.extend(findings.iter().map(|finding| match finding.effect {
        Effect::Reject => format!("Rejected: {}.", finding.text),
        Effect::Doubt | Effect::Ignore => format!("Doubtful: {}.", finding.text),
    }));
    sentences.push(format!("Safety score {}.", in_decimals(score)));
    sentences.join(" ")
}

/// What the transaction does, in one sentence.
fn subject(verified: &Verified) -> String {
    let value =
        Amount::parse(&verified.value).map_or_else(|| verified.value.clone(), |value| value.in_coins());
    let chain = &verified.chain;
    let Some(recipient) = &verified.recipient else {
        return format!("Creates a contract on {chain} with {value} coins.");
    };
    if verified.data.is_empty() {
        return format!("Sends {value} coins to {recipient} on {chain}.");
    }
    let call = match TokenCall::read(&verified.data) {
        Some(Ok(TokenCall::Transfer { to, amount })) => {
            format!("moves {} token units to {to}", amount.as_str())
        }
        Some(Ok(TokenCall::Allowance { spender, unlimited: true, .. })) => {
            format!("lets {spender} take any amount")
        }
        Some(Ok(TokenCall::Allowance { spender, amount, .. })) => {
            format!("lets {spender} take {} token units", amount.as_str())
        }
        Some(Ok(TokenCall::Operator { operator })) => format!("lets {operator} take every token"),
        Some(Err(_)) | None => match verified.call.as_ref().and_then(|call| call.function.as_ref()) {
            Some(function) => format!("calls {function}"),
            None => "calls an unknown function".to_owned(),
        },
    };
    format!("Calls the contract {recipient} on {chain} with {value} coins: {call}.")
}

/// Parts per million as a number between 0 and 1.
fn in_decimals(parts: u32) -> String {
    format!("{}.{:03}", parts / CERTAIN, parts % CERTAIN / 1000)
}

#[cfg(test)]
mod tests;
