use countersign_plugin::Verdict;

use super::*;

fn settings(review: &str) -> Settings {
    let text = format!(
        r#"{{"limits": [{{"name": "daily", "windowSeconds": 60, "per": "key", "maxCount": "3"}}]{review}}}"#
    );
    Settings::parse(&text).expect("the settings are good")
}

fn excess(settings: &Settings) -> [Excess<'_>; 1] {
    let (share, most, others) = ("1".to_owned(), "3".to_owned(), "3".to_owned());
    [Excess { limit: &settings.limits[0], what: "count", share, most, others }]
}

#[test]
fn room_everywhere_approves() {
    assert_eq!(verdict(&settings(""), &[]).verdict, Verdict::Approve);
}

#[test]
fn no_room_rejects_and_says_how_much_is_taken() {
    let settings = settings("");
    let outcome = verdict(&settings, &excess(&settings));
    assert_eq!((outcome.verdict, outcome.reason_code.as_str()), (Verdict::Reject, "over_limit"));
    assert!(
        outcome.analysis.contains("count of 3 within 60 s, of which 3 are taken"),
        "{}",
        outcome.analysis
    );
    assert_eq!(outcome.evidence, [("daily.count".to_owned(), "3".to_owned())]);
}

#[test]
fn a_review_role_is_asked_instead() {
    let settings = settings(r#", "reviewRole": "arbiter""#);
    let Verdict::NeedApprovals(needed) = verdict(&settings, &excess(&settings)).verdict else {
        panic!("approvals are demanded");
    };
    assert_eq!((needed[0].role.as_str(), needed[0].count), ("arbiter", 1));
}
