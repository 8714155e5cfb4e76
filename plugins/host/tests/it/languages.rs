//! Guests that are not written in Rust, and the bounds of what they bring along. Compiling one takes seconds: each has
//! one test.

use plugin_host::{
    Argument, Call, ClaimedTransaction, EvaluationRequest, FailureCode, LargeLimits, Outcome, Verdict,
};
use serde_json::{Value, json};

use crate::guests::{TestHost, request, source};

const RECIPIENT: &str = "0x00000000000000000000000000000000000000bb";
const STRANGER: &str = "0x00000000000000000000000000000000000000cc";
const TOKEN: &str = "0x00000000000000000000000000000000000000dd";

/// Describes itself, and takes its own examples for settings but not `{}`.
async fn introduced(host: &TestHost, guest: &str, name: &str) -> Value {
    let plugin = host.prepare(guest).await;
    let description = host.host.describe(&plugin).await.unwrap();
    assert_eq!((description.name.as_str(), description.version.as_str()), (name, "0.1.0"));
    let schema: Value = serde_json::from_str(&description.settings_schema).unwrap();
    let example = schema["examples"][0].clone();
    assert_eq!(host.host.validate_settings(&plugin, &example.to_string()).await.unwrap(), []);
    assert_ne!(host.host.validate_settings(&plugin, "{}").await.unwrap(), []);
    example
}

/// The outcome, which is the same when the record is evaluated again.
async fn judged(host: &TestHost, guest: &str, asked: EvaluationRequest) -> Outcome {
    let plugin = host.prepare(guest).await;
    let first = host.host.evaluate(&plugin, asked).await.unwrap();
    let second = host.host.evaluate(&plugin, first.record.repeat()).await.unwrap();
    assert_eq!((&second.outcome, &second.record), (&first.outcome, &first.record));
    first.outcome
}

/// A call of a token's function, which the host has decoded.
fn call(settings: &str, function: &str, arguments: &[&str]) -> EvaluationRequest {
    let mut asked = request(settings);
    let argument = |value: &&str| Argument { value: (*value).to_owned(), ..Argument::default() };
    asked.verified.kind = "contract-call".into();
    asked.verified.recipient = Some(TOKEN.to_owned());
    asked.verified.value = "0".into();
    asked.verified.data = vec![0xa9; 68];
    asked.verified.call = Some(Call {
        selector: "0xa9a9a9a9".to_owned(),
        function: Some(function.to_owned()),
        arguments: arguments.iter().map(argument).collect(),
    });
    asked
}

fn verdict(outcome: &Outcome) -> (&str, &str) {
    (outcome.verdict.as_str(), &outcome.reason_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn allowlist_in_javascript_lets_listed_recipients_through() {
    let host = TestHost::start();
    introduced(&host, "allowlist", "allowlist").await;
    let listed = json!({
        "recipients": {RECIPIENT: "Treasury"}, "tokens": {TOKEN: "USDX"}, "spenders": {STRANGER: "Exchange"},
    });
    let settings = json!({ "chains": { "eip155:1": listed } }).to_string();

    let outcome = judged(&host, "allowlist", request(&settings)).await;
    assert_eq!(verdict(&outcome), ("approve", "listed_recipient"));
    assert_eq!(outcome.analysis, "Sends 1000000000000000000 base units of the coin to Treasury.");
    let mut elsewhere = request(&settings);
    elsewhere.verified.recipient = Some(STRANGER.to_owned());
    assert_eq!(verdict(&judged(&host, "allowlist", elsewhere).await), ("reject", "unlisted_recipient"));

    let transfer = call(&settings, "transfer(address,uint256)", &[RECIPIENT, "7"]);
    assert_eq!(verdict(&judged(&host, "allowlist", transfer).await), ("approve", "listed_recipient"));
    let approval = call(&settings, "approve(address,uint256)", &[RECIPIENT, "7"]);
    assert_eq!(verdict(&judged(&host, "allowlist", approval).await), ("reject", "unlisted_spender"));

    // What a guest throws is a failure with its words, and no verdict.
    let plugin = host.prepare("allowlist").await;
    let failure = host.host.evaluate(&plugin, request("{}")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::GuestError);
    assert!(failure.detail.contains("bad settings: `chains` must be an object"), "{}", failure.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn travel_rule_threshold_in_python_demands_claims_and_people() {
    let host = TestHost::start();
    let settings = introduced(&host, "travel_rule_threshold", "travel-rule-threshold").await.to_string();
    let moving = |value: &str, description: Option<&str>| {
        let mut asked = request(&settings);
        asked.verified.value = value.to_owned();
        asked.claimed = ClaimedTransaction {
            description: description.map(str::to_owned),
            extra: vec![("origin".to_owned(), "desk 4".to_owned())],
            ..ClaimedTransaction::default()
        };
        asked
    };
    let below = judged(&host, "travel_rule_threshold", moving("299999999999999999", None)).await;
    assert_eq!(verdict(&below), ("approve", "below_threshold"));
    let silent = judged(&host, "travel_rule_threshold", moving("300000000000000000", None)).await;
    assert_eq!(verdict(&silent), ("reject", "claims_missing"));
    let said = judged(&host, "travel_rule_threshold", moving("300000000000000000", Some("invoice 7"))).await;
    let Verdict::NeedApprovals(needed) = &said.verdict else { panic!("{said:?}") };
    assert_eq!((needed[0].role.as_str(), needed[0].count), ("compliance", 1));

    let plugin = host.prepare("travel_rule_threshold").await;
    let failure = host.host.evaluate(&plugin, request("[]")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::GuestError);
    assert!(failure.detail.contains("bad settings: `` must be a JSON object"), "{}", failure.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_components_have_bounds_of_their_own() {
    let bounds = LargeLimits { component_bytes: 60_000, memory_bytes: 24 << 20, instances: 12 };
    let host = TestHost::with(|config| config.limits.large = bounds);
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, request("memory bomb")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::MemoryLimit);
    assert!(failure.detail.ends_with("where 25165824 are allowed"), "{}", failure.detail);

    let of = |instances: usize, bytes: usize| {
        let instances = "(core instance (instantiate $m))".repeat(instances);
        let padding = "x".repeat(bytes);
        let text = format!("(component (core module $m) {instances} (@custom \"padding\" \"{padding}\"))");
        source(wat::parse_str(text).unwrap())
    };
    // Twelve are let through, and fail for exporting nothing.
    for (instances, bytes, code) in [
        (11, 0, FailureCode::InstanceLimit),
        (12, 60_000, FailureCode::UnsupportedContract),
        (13, 60_000, FailureCode::InstanceLimit),
    ] {
        let failure = host.host.prepare(of(instances, bytes)).await.unwrap_err();
        assert_eq!(failure.code, code, "{instances} instances: {}", failure.detail);
    }
}
