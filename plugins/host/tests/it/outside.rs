//! Upstreams and the chain: what guests make of the answers, and that a replay hears them again.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use plugin_host::{
    Capability, ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, EvaluationRecord, EvaluationRequest,
    FailureCode, HistoryAnswer, HistoryQuestion, HttpAnswer, HttpFailure, HttpQuestion, HttpResponse,
    NoOutside, OutsideError, OutsidePort, PinnedBlock, Verdict,
};

use crate::guests::{TestHost, request};

/// Gives the same answers to everybody; keeps the questions.
struct World {
    http: HttpAnswer,
    chain: ChainAnswer,
    asked: Mutex<Vec<String>>,
}

impl World {
    fn answering(http: HttpAnswer) -> Arc<Self> {
        Arc::new(Self {
            http,
            chain: ChainAnswer::Failure(ChainFailure::Unavailable),
            asked: Mutex::default(),
        })
    }

    fn on_chain(chain: ChainAnswer) -> Arc<Self> {
        Arc::new(Self { http: Err(HttpFailure::Unreachable), chain, asked: Mutex::default() })
    }
}

impl OutsidePort for World {
    fn history(&self, question: &HistoryQuestion, deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        NoOutside.history(question, deadline)
    }

    fn http(&self, question: &HttpQuestion, _deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        let body = String::from_utf8(question.body.clone()).unwrap();
        let HttpQuestion { upstream, method, path, .. } = question;
        self.asked.lock().unwrap().push(format!("{upstream} {method} {path} {body}"));
        Ok(self.http.clone())
    }

    fn chain(&self, question: &ChainQuestion, _deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        self.asked.lock().unwrap().push(format!("{question:?}"));
        Ok(self.chain.clone())
    }
}

const REVIEW: &str = r#"{"upstream": "screening", "path": "/v1/review"}"#;

fn said(status: u16, body: &str) -> HttpResponse {
    HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

async fn reviewed(host: &TestHost, answer: HttpAnswer) -> (Verdict, String) {
    let review = host.prepare("http_review").await;
    let asked = EvaluationRequest { outside: World::answering(answer), ..request(REVIEW) };
    let outcome = host.host.evaluate(&review, asked).await.unwrap().outcome;
    (outcome.verdict, outcome.reason_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_is_asked_about_what_was_verified() {
    let host = TestHost::start();
    let review = host.prepare("http_review").await;
    let world = World::answering(Ok(said(200, r#"{"decision": "approve", "reason": "known"}"#)));
    let asked = EvaluationRequest { outside: world.clone(), ..request(REVIEW) };
    let evaluation = host.host.evaluate(&review, asked).await.unwrap();
    assert_eq!(
        (evaluation.outcome.verdict, evaluation.outcome.analysis.as_str()),
        (Verdict::Approve, "known")
    );
    let questions = world.asked.lock().unwrap().clone();
    assert!(questions[0].starts_with("screening POST /v1/review {"), "{questions:?}");
    assert!(questions[0].contains(r#""value":"1000000000000000000""#), "{questions:?}");
    assert!(!questions[0].contains("invoice 7"), "what the client claims stays here: {questions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn review_fails_closed() {
    let host = TestHost::start();
    let yes = r#"{"decision": "approve"}"#;
    for (answer, reason) in [
        (Err(HttpFailure::Unreachable), "no_answer"),
        (Err(HttpFailure::TimedOut), "no_answer"),
        (Err(HttpFailure::TooLarge), "no_answer"),
        (Err(HttpFailure::Broken), "no_answer"),
        (Ok(said(500, yes)), "bad_status"),
        (Ok(said(302, yes)), "bad_status"),
        (Ok(said(200, "yes")), "bad_answer"),
        (Ok(said(200, r#"{"decision": "perhaps"}"#)), "bad_answer"),
        (Ok(said(200, r#"{"decision": "review"}"#)), "review"),
        (Ok(said(200, r#"{"decision": "reject"}"#)), "rejected"),
    ] {
        assert_eq!(reviewed(&host, answer).await, (Verdict::Reject, reason.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_an_upstream_are_repeated_from_the_record_alone() {
    let host = TestHost::start();
    let review = host.prepare("http_review").await;
    let world = World::answering(Ok(said(200, r#"{"decision": "approve"}"#)));
    let first =
        host.host.evaluate(&review, EvaluationRequest { outside: world, ..request(REVIEW) }).await.unwrap();
    let json = serde_json::to_string(&first.record).unwrap();
    let record: EvaluationRecord = serde_json::from_str(&json).unwrap();
    let second = host.host.evaluate(&review, record.repeat()).await.unwrap();
    assert_eq!((second.outcome, second.record), (first.outcome, first.record));
}

const READ: &str = "pinned; eth_getCode 0x00000000000000000000000000000000000000bb";

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_chain_reach_the_guest_and_its_replay() {
    let host = TestHost::start();
    let reader = host.prepare("reader").await;
    let world = World::on_chain(ChainAnswer::Value("0x6001".to_owned()));
    let asked = EvaluationRequest { outside: world.clone(), ..request(&READ[8..]) };
    let first = host.host.evaluate(&reader, asked).await.unwrap();
    assert_eq!(first.outcome.analysis, "0x6001");
    let address = "0x00000000000000000000000000000000000000bb".to_owned();
    let question = ChainQuestion::Read { method: ChainMethod::GetCode, parameters: vec![address] };
    assert_eq!(*world.asked.lock().unwrap(), [format!("{question:?}")]);
    let second = host.host.evaluate(&reader, first.record.repeat()).await.unwrap();
    assert_eq!((second.outcome, second.record), (first.outcome, first.record));
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_block_and_failures_of_the_chain_are_told_apart() {
    let host = TestHost::start();
    let reader = host.prepare("reader").await;
    let block = PinnedBlock { number: 7, hash: "0xab".to_owned(), timestamp: 1 };
    for (answer, shown) in [
        (ChainAnswer::Block(block), "block 7 0xab"),
        (ChainAnswer::Failure(ChainFailure::Unavailable), "unavailable"),
        (ChainAnswer::Failure(ChainFailure::Reverted), "reverted"),
    ] {
        let asked = EvaluationRequest { outside: World::on_chain(answer), ..request("pinned") };
        assert_eq!(host.host.evaluate(&reader, asked).await.unwrap().outcome.analysis, shown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn method_outside_the_contract_is_refused_before_anybody_is_asked() {
    let host = TestHost::start();
    let reader = host.prepare("reader").await;
    let world = World::on_chain(ChainAnswer::Value("0x".to_owned()));
    let asked = EvaluationRequest { outside: world.clone(), ..request("eth_sendRawTransaction 0x00") };
    let failure = host.host.evaluate(&reader, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ChainRefused);
    assert_eq!(failure.detail, "`eth_sendRawTransaction` is not a method of `chain`");
    assert!(world.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_capability_is_refused_where_it_is_not_granted() {
    let host = TestHost::start();
    for (guest, settings, missing) in
        [("http_review", REVIEW, Capability::Http), ("reader", READ, Capability::Chain)]
    {
        let plugin = host.prepare(guest).await;
        let granted = Capability::ALL.into_iter().filter(|capability| *capability != missing);
        let asked = EvaluationRequest { grants: granted.collect(), ..request(settings) };
        let failure = host.host.evaluate(&plugin, asked).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::MissingCapability);
        assert!(failure.detail.contains(&format!("`{missing}`")), "{failure}");
    }
}
