//! Orion in its sandbox; its rules have unit tests of their own.

use plugin_host::{Capability, Grants, Outcome, PARTS_PER_MILLION, Verdict};

use crate::guests::{TestHost, request};

async fn judged(settings: &str) -> Outcome {
    let host = TestHost::start();
    let orion = host.prepare("orion").await;
    host.host.evaluate(&orion, request(settings)).await.unwrap().outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn approves_within_the_limit_with_confidence_and_analysis() {
    let outcome = judged(r#"{"valueLimit":"1000000000000000000"}"#).await;
    assert_eq!((outcome.verdict, outcome.confidence_ppm), (Verdict::Approve, PARTS_PER_MILLION));
    assert_eq!(
        outcome.analysis,
        "Sends 1 coins to 0x00000000000000000000000000000000000000bb on eip155:1. Nothing speaks against it. \
         Safety score 1.000."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_above_the_limit_and_says_why() {
    let outcome = judged(r#"{"valueLimit":"999999999999999999"}"#).await;
    assert_eq!((outcome.verdict, outcome.reason_code.as_str()), (Verdict::Reject, "value_over_limit"));
    assert!(outcome.analysis.contains("is above the limit of 0.999999999999999999"), "{}", outcome.analysis);
}

#[tokio::test(flavor = "multi_thread")]
async fn describes_itself_and_refuses_bad_settings_by_field_and_rule() {
    let host = TestHost::start();
    let orion = host.prepare("orion").await;
    assert_eq!(orion.required(), Grants::from_iter([Capability::Log, Capability::Settings]));
    assert_eq!(orion.contract_version(), "1.0");
    let description = host.host.describe(&orion).await.unwrap();
    assert_eq!(description.name, "orion");
    serde_json::from_str::<serde_json::Value>(&description.settings_schema).unwrap();
    assert_eq!(host.host.validate_settings(&orion, "{}").await.unwrap(), []);
    let problems = host.host.validate_settings(&orion, r#"{"denyList":["0x1"]}"#).await.unwrap();
    assert_eq!(problems[0].field, "denyList[0]");
    assert_eq!(problems[0].rule, "must be `0x` and 40 hexadecimal digits");
}
