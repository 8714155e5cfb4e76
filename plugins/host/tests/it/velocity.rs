//! Velocity reserves in every counter that its settings name.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin_host::{
    Argument, Call, Counted, CounterName, EvaluationRequest, Outcome, Reservation, StateSnapshot, Verdict,
};

use crate::guests::{TestHost, request};

const SETTINGS: &str = r#"{"limits": [
    {"name": "hourly", "windowSeconds": 3600, "per": "organization", "maxCount": "3"},
    {"name": "daily", "windowSeconds": 86400, "per": "recipient", "maxAmount": "5000000000000000000"}
]}"#;
const TOKEN: &str = "0x00000000000000000000000000000000000000cc";
const RECIPIENT: &str = "0x00000000000000000000000000000000000000bb";

fn counter(name: &str, window_seconds: u32) -> CounterName {
    CounterName { name: name.to_owned(), window_seconds }
}

/// The verdict, and what was reserved, where others hold so much.
async fn judged(
    host: &TestHost,
    mut asked: EvaluationRequest,
    others: &[(CounterName, &str)],
) -> (Outcome, Vec<Reservation>) {
    let velocity = host.prepare("velocity").await;
    let counted = |others: &str| Counted { others: others.parse().unwrap(), is_final: false };
    let counters: BTreeMap<_, _> = others.iter().map(|(name, sum)| (name.clone(), counted(sum))).collect();
    asked.state = Arc::new(StateSnapshot { counters, ..StateSnapshot::default() });
    let evaluation = host.host.evaluate(&velocity, asked).await.unwrap();
    (evaluation.outcome, evaluation.record.reservations)
}

fn reserved(counter: CounterName, amount: &str) -> Reservation {
    Reservation { counter, amount: amount.parse().unwrap() }
}

fn hourly() -> CounterName {
    counter("hourly/count/eip155:1/", 3600)
}

fn daily() -> CounterName {
    counter(&format!("daily/amount/eip155:1/{RECIPIENT}"), 86_400)
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_within_every_limit_reserves_under_each() {
    let host = TestHost::start();
    let others = [(hourly(), "2"), (daily(), "4000000000000000000")];
    let (outcome, reservations) = judged(&host, request(SETTINGS), &others).await;
    assert_eq!(outcome.verdict, Verdict::Approve);
    assert_eq!(reservations, [reserved(daily(), "1000000000000000000"), reserved(hourly(), "1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_limit_without_room_rejects_and_is_named() {
    let host = TestHost::start();
    let others = [(daily(), "4000000000000000001")];
    let (outcome, _) = judged(&host, request(SETTINGS), &others).await;
    assert_eq!((outcome.verdict, outcome.reason_code.as_str()), (Verdict::Reject, "over_limit"));
    assert!(
        outcome.analysis.contains("limit `daily`: amount of 5000000000000000000"),
        "{}",
        outcome.analysis
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_reviewers_is_counted_all_the_same() {
    let host = TestHost::start();
    let settings = SETTINGS.trim_end_matches('}').to_owned() + r#", "reviewRole": "arbiter"}"#;
    let (outcome, reservations) = judged(&host, request(&settings), &[(hourly(), "3")]).await;
    assert!(matches!(outcome.verdict, Verdict::NeedApprovals(_)), "{outcome:?}");
    assert!(reservations.contains(&reserved(hourly(), "1")), "{reservations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_of_a_token_are_counted_by_their_call() {
    let host = TestHost::start();
    let settings = format!(
        r#"{{"limits": [{{"name": "t", "windowSeconds": 60, "per": "recipient", "maxAmount": "10", "token": "{TOKEN}"}}]}}"#
    );
    let call = |function: &str| {
        let argument = |value: &str| Argument { value: value.to_owned(), ..Argument::default() };
        let mut asked = request(&settings);
        asked.verified.recipient = Some(TOKEN.to_owned());
        asked.verified.call = Some(Call {
            selector: "0xa9059cbb".to_owned(),
            function: Some(function.to_owned()),
            arguments: vec![argument(RECIPIENT), argument("7")],
        });
        asked
    };
    let counted = counter(&format!("t/amount/eip155:1/{RECIPIENT}"), 60);
    let (outcome, reservations) = judged(&host, call("transfer(address,uint256)"), &[]).await;
    assert_eq!(outcome.verdict, Verdict::Approve);
    assert_eq!(reservations, [reserved(counted.clone(), "7")]);
    let (outcome, _) = judged(&host, call("transfer(address,uint256)"), &[(counted, "4")]).await;
    assert_eq!(outcome.verdict, Verdict::Reject);
    let (outcome, _) = judged(&host, call("approve(address,uint256)"), &[]).await;
    assert_eq!((outcome.verdict, outcome.reason_code.as_str()), (Verdict::Reject, "unreadable_token_call"));
}
