//! From what the service said to a verdict. One clear "approve" approves; everything else is less.

use countersign_plugin::Outcome;
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    decision: Decision,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Reject,
    Review,
}

/// `review_role` is asked where the service will not decide; without one, that is a rejection.
pub(crate) fn outcome(status: u16, body: &[u8], review_role: Option<&str>) -> Outcome {
    if status != 200 {
        return Outcome::reject("bad_status", format!("The service answered with status {status}."));
    }
    let Ok(Answer { decision, reason }) = serde_json::from_slice(body) else {
        return Outcome::reject("bad_answer", "The service's answer is none that is known.");
    };
    match (decision, review_role) {
        (Decision::Approve, _) => Outcome::approve("approved", reason),
        (Decision::Reject, _) => Outcome::reject("rejected", reason),
        (Decision::Review, Some(role)) => Outcome::need_approvals(role, 1, "review", reason),
        (Decision::Review, None) => Outcome::reject("review", reason),
    }
}

/// The service gave no answer at all.
pub(crate) fn absent(failure: &str) -> Outcome {
    Outcome::reject("no_answer", format!("The service gave no answer: {failure}."))
}

#[cfg(test)]
mod tests;
