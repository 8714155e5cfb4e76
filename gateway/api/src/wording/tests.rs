use gateway_domain::error::Internal;

use super::*;

fn said(failure: &Failure) -> (u16, Message, Option<u64>) {
    let Wording { status, message, retry_after, details: _ } = wording(failure);
    (status.as_u16(), message, retry_after.map(|pause| pause.to_str().unwrap().parse().unwrap()))
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn internal_causes_stay_inside() {
    let canary = || Internal::new("canary-secret");
    for (error, status) in [
        (Error::Internal(canary()), 500),
        (Error::Inconsistency(canary()), 500),
        (Error::Upstream("the node", canary()), 502),
        (Error::Unavailable { what: "the HSM", retry_after: Duration::from_secs(3), cause: canary() }, 503),
    ] {
        assert!(causes(&error).contains("canary-secret"), "the operator is told");
        let (said_status, message, _) = said(&Failure::Domain(error));
        assert_eq!(said_status, status);
        assert!(!format!("{message:?}").contains("canary"), "{message:?}");
    }
}

#[test]
fn validation_is_a_list_and_everything_else_a_text() {
    let rules = vec!["a must be b".to_owned(), "c is required".to_owned()];
    let failure = Failure::Domain(Error::Invalid(rules.clone()));
    assert_eq!(said(&failure), (400, Message::Rules(rules), None));
    assert_eq!(said(&Failure::Domain(Error::NotFound("user"))), (404, text("user not found"), None));
    assert_eq!(said(&Failure::NoRoute), (404, text("there is no such route"), None));
}

#[test]
fn whoever_is_asked_to_wait_is_told_how_long() {
    let exhausted = Error::Exhausted { what: "the quota is used up", retry_after: Duration::from_hours(1) };
    assert_eq!(said(&Failure::Domain(exhausted)), (429, text("the quota is used up"), Some(3600)));
    for (wait, said_seconds) in [(Duration::from_millis(1_200), 2), (Duration::ZERO, 1)] {
        assert_eq!(said(&Failure::RateLimited { retry_after: wait }).2, Some(said_seconds));
    }
    for failure in [Failure::Overloaded, Failure::SourceBusy, Failure::TimedOut, Failure::Unconfigured("x")] {
        assert!(said(&failure).2.is_some(), "{failure:?}");
    }
}
