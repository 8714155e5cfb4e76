//! Guests of released contracts, as they were built then: they are given what they were given then, and say the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use plugin_host::{
    Approval, Argument, Call, Capability, Ceilings, ChainAnswer, ChainFailure, ChainMethod, ChainQuestion,
    ClaimedTransaction, Counted, CounterName, Digest, EvaluationRequest, FailureCode, Grants, HistoryAnswer,
    HistoryQuestion, HttpAnswer, HttpFailure, HttpQuestion, HttpResponse, OutsideError, OutsidePort,
    PastTransaction, PinnedBlock, StateSnapshot, VerifiedTransaction,
};
use serde_json::{Value, json};

use crate::guests::{TestHost, request, source};

const RECIPIENT: &str = "0x00000000000000000000000000000000000000bb";
/// Verdicts that the guests give when their settings name them, a verdict that no contract has, and an error.
const SETTINGS: [&str; 6] = ["approve", "reject", "abstain", "need-approvals", "escrow", "error"];

fn folder(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/released").join(version)
}

/// What every guest is told, whichever its version.
struct World;

impl OutsidePort for World {
    fn history(&self, question: &HistoryQuestion, _deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        Ok(match question {
            HistoryQuestion::Count(_) => HistoryAnswer::Number(3),
            HistoryQuestion::Sum(_) => HistoryAnswer::Amount(alloy_primitives::U256::MAX),
            HistoryQuestion::DistinctRecipients(_) => HistoryAnswer::Number(2),
            HistoryQuestion::Last { .. } => HistoryAnswer::Transactions(vec![PastTransaction {
                transaction_id: "tx_0".to_owned(),
                key_id: "key_1".to_owned(),
                recipient: Some(RECIPIENT.to_owned()),
                value: "7".to_owned(),
                selector: Some("0xa9059cbb".to_owned()),
                created_at_ms: 1_700_000_000_000,
            }]),
        })
    }

    fn http(&self, question: &HttpQuestion, _deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        let answer = HttpResponse { status: 200, headers, body: b"nobody".to_vec() };
        Ok(if question.upstream == "screening" { Ok(answer) } else { Err(HttpFailure::TimedOut) })
    }

    fn chain(&self, question: &ChainQuestion, _deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        Ok(match question {
            ChainQuestion::Pinned => ChainAnswer::Block(PinnedBlock {
                number: 7,
                hash: format!("0x{}", "ab".repeat(32)),
                timestamp: 1_700_000_000,
            }),
            ChainQuestion::Read { method: ChainMethod::Call, .. } => {
                ChainAnswer::Failure(ChainFailure::Reverted)
            }
            ChainQuestion::Read { .. } => ChainAnswer::Value("0x7".to_owned()),
        })
    }
}

/// Every field is filled.
fn verified() -> VerifiedTransaction {
    let text = str::to_owned;
    VerifiedTransaction {
        organization_id: text("org_1"),
        transaction_id: text("tx_1"),
        initiator_id: text("agent_1"),
        owner_id: text("user_1"),
        created_at_ms: 1_799_999_999_000,
        key_id: text("key_1"),
        provider: text("hsm"),
        chain: text("eip155:1"),
        kind: text("contract-call"),
        sender: text("0x00000000000000000000000000000000000000aa"),
        recipient: Some(text(RECIPIENT)),
        value: alloy_primitives::U256::MAX.to_string(),
        data: vec![0xa9, 0x05, 0x9c, 0xbb, 0],
        call: Some(Call {
            selector: text("0xa9059cbb"),
            function: Some(text("transfer(address,uint256)")),
            arguments: vec![Argument { name: text("to"), abi_type: text("address"), value: text(RECIPIENT) }],
        }),
        ceilings: Ceilings {
            gas_limit: Some(u64::MAX),
            fee_per_gas: Some(text("1")),
            priority_fee_per_gas: Some(text("2")),
            total_fee: Some(text("3")),
        },
        approvals: vec![Approval {
            role: text("user"),
            principal_id: text("user_1"),
            evidence_level: text("signed"),
            given_at_ms: 1_799_999_999_999,
        }],
        transactions_to_recipient: 3,
        extra: vec![(text("vendor-account"), text("7"))],
    }
}

fn asked(settings: &str) -> EvaluationRequest {
    let hourly = CounterName { name: "spent".to_owned(), window_seconds: 3600 };
    let counted = Counted { others: "12".parse().unwrap(), is_final: false };
    EvaluationRequest {
        verified: verified(),
        claimed: ClaimedTransaction {
            reference: Some("invoice".to_owned()),
            description: Some("bread".to_owned()),
            extra: vec![("execution-type".to_owned(), "direct-user".to_owned())],
        },
        state: Arc::new(StateSnapshot {
            values: BTreeMap::from([("key".to_owned(), b"old".to_vec())]),
            counters: BTreeMap::from([(hourly, counted)]),
        }),
        outside: Arc::new(World),
        ..request(&format!("\"{settings}\""))
    }
}

/// All that a guest said and did, without what depends on the engine.
async fn evaluated(host: &TestHost, version: &str) -> Value {
    let bytes = fs::read(folder(version).join("guest.wasm")).unwrap();
    let plugin = host.host.prepare(source(bytes)).await.unwrap();
    assert_eq!(plugin.contract_version(), version);
    assert_eq!(plugin.required(), Grants::from_iter(Capability::ALL));
    let description = host.host.describe(&plugin).await.unwrap();
    let problems = host.host.validate_settings(&plugin, "{}").await.unwrap();
    let mut evaluations = Vec::new();
    for settings in SETTINGS {
        let (said, record) = match host.host.evaluate(&plugin, asked(settings)).await {
            Ok(evaluation) => (json!(evaluation.outcome), evaluation.record),
            Err(failure) => (json!([failure.code, failure.detail]), *failure.record.unwrap()),
        };
        let mut record = json!(record);
        let fields = record.as_object_mut().unwrap();
        for of_the_host in ["engine", "limits", "memory_peak_bytes", "verified", "claimed"] {
            fields.remove(of_the_host);
        }
        evaluations.push(json!({ "said": said, "record": record }));
    }
    json!({ "description": description, "problems": problems, "evaluations": evaluations })
}

async fn assert_says_what_it_said(version: &str) {
    let found = evaluated(&TestHost::start(), version).await;
    let path = folder(version).join("evaluations.json");
    let then: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(found == then, "a guest of {version} no longer says what it said: mend the host\n{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_of_0_1_says_what_it_said_when_it_was_built() {
    assert_says_what_it_said("0.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_of_1_0_says_what_it_said_when_it_was_built() {
    assert_says_what_it_said("1.0").await;
}

/// The contract of 1.0 as it was released; every component that anybody built rests on it.
#[test]
fn contract_of_1_0_is_as_it_was_released() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit/1.0");
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut all = Vec::new();
    for name in &names {
        all.extend_from_slice(format!("{name}\n").as_bytes());
        all.extend(fs::read(folder.join(name)).unwrap());
    }
    assert_eq!(
        Digest::of(&all).to_string(),
        "1a9751477ef12c8c607f2bf70c12408a4ff4feba42fc307e832cf45d662c8755",
        "wit/1.0 is released and never changes, not even a comment: put it back, and make 1.1 as wit/README.md says"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn component_of_two_versions_at_once_is_refused_by_name() {
    let text = r#"(component
        (import "countersign:policy/clock@0.1.0" (instance (export "now" (func (result u64)))))
        (instance $policy)
        (export "countersign:policy/policy@1.0.0" (instance $policy)))"#;
    let failure = TestHost::start().host.prepare(source(wat::parse_str(text).unwrap())).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::UnsupportedContract);
    for part in
        ["`countersign:policy/clock@0.1.0`", "`countersign:policy/policy@1.0.0`", "against one version"]
    {
        assert!(failure.detail.contains(part), "{}", failure.detail);
    }
}
