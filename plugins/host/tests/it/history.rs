//! History is asked through the port, bounded, recorded, and answered from the record in a replay.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use plugin_host::{
    Capability, ChainAnswer, ChainQuestion, EvaluationRecord, EvaluationRequest, FailureCode, HistoryAnswer,
    HistoryQuestion, HostCall, HttpAnswer, HttpQuestion, NoOutside, OutsideError, OutsidePort,
    PastTransaction, Selection, Stage,
};

use crate::guests::{TestHost, request};

/// Three transactions of 7 each; keeps the questions.
#[derive(Default)]
struct Ledger {
    asked: Mutex<Vec<HistoryQuestion>>,
    /// Bytes of each transaction's id.
    id_bytes: usize,
}

impl OutsidePort for Ledger {
    fn history(&self, question: &HistoryQuestion, _deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.asked.lock().unwrap().push(question.clone());
        Ok(match question {
            HistoryQuestion::Count(_) => HistoryAnswer::Number(3),
            HistoryQuestion::Sum(_) => HistoryAnswer::Amount("21".parse().unwrap()),
            HistoryQuestion::DistinctRecipients(_) => HistoryAnswer::Number(1),
            HistoryQuestion::Last { limit, .. } => {
                HistoryAnswer::Transactions((1..=*limit).map(|number| self.transaction(number)).collect())
            }
        })
    }

    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        NoOutside.http(question, deadline)
    }

    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        NoOutside.chain(question, deadline)
    }
}

impl Ledger {
    fn transaction(&self, number: u32) -> PastTransaction {
        PastTransaction {
            transaction_id: format!("tx_{number}{}", "-".repeat(self.id_bytes)),
            key_id: "key_1".to_owned(),
            recipient: None,
            value: "7".to_owned(),
            selector: None,
            created_at_ms: 1_700_000_000_000,
        }
    }
}

fn asking(settings: &str, outside: impl OutsidePort + 'static) -> EvaluationRequest {
    EvaluationRequest { outside: Arc::new(outside), ..request(settings) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_reaches_the_port_and_is_recorded_with_its_answer() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let ledger = Arc::new(Ledger::default());
    let asked = EvaluationRequest { outside: ledger.clone(), ..request("history") };
    let evaluation = host.host.evaluate(&hostile, asked).await.unwrap();
    assert_eq!(evaluation.outcome.analysis, r#"3 21 1 ["tx_1", "tx_2"]"#);
    let hour = |same_key, recipient: Option<&str>| Selection {
        stage: Stage::Released,
        same_key,
        recipient: recipient.map(str::to_owned),
        window_seconds: 3600,
    };
    let to_recipient = hour(true, Some("0x00000000000000000000000000000000000000bb"));
    let questions = [
        HistoryQuestion::Count(to_recipient.clone()),
        HistoryQuestion::Sum(to_recipient.clone()),
        HistoryQuestion::DistinctRecipients(hour(false, None)),
        HistoryQuestion::Last { selection: to_recipient, limit: 2 },
    ];
    assert_eq!(*ledger.asked.lock().unwrap(), questions);
    let recorded = evaluation.record.host_calls.iter().map(|call| match call {
        HostCall::History { question, .. } => question,
        HostCall::Http { .. } | HostCall::Chain { .. } => panic!("{call:?}"),
    });
    assert!(recorded.eq(&questions));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_repeated_from_the_record_alone() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let first = host.host.evaluate(&hostile, asking("history", Ledger::default())).await.unwrap();
    let json = serde_json::to_string(&first.record).unwrap();
    let record: EvaluationRecord = serde_json::from_str(&json).unwrap();
    let second = host.host.evaluate(&hostile, record.repeat()).await.unwrap();
    assert_eq!((second.outcome, second.record), (first.outcome, first.record));
}

/// Has one answer to every question: none.
struct Refusing(FailureCode);

impl OutsidePort for Refusing {
    fn history(
        &self,
        _question: &HistoryQuestion,
        _deadline: Instant,
    ) -> Result<HistoryAnswer, OutsideError> {
        Err(OutsideError::new(self.0, "too much"))
    }

    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        NoOutside.http(question, deadline)
    }

    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        NoOutside.chain(question, deadline)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beyond_the_limits_is_told_the_guest_and_other_refusals_end_it_and_replays_do_alike() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    for (refused, code, detail) in [
        (FailureCode::HistoryLimit, FailureCode::GuestError, "beyond-limits"),
        (FailureCode::HistoryUnavailable, FailureCode::HistoryUnavailable, "too much"),
    ] {
        let first = host.host.evaluate(&hostile, asking("history", Refusing(refused))).await.unwrap_err();
        assert_eq!((first.code, first.detail.as_str()), (code, detail));
        let second = host.host.evaluate(&hostile, first.record.clone().unwrap().repeat()).await.unwrap_err();
        assert_eq!((second.code, second.detail, second.record), (first.code, first.detail, first.record));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_another_question_or_of_one_more_is_a_mismatch() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let record = host.host.evaluate(&hostile, asking("history", Ledger::default())).await.unwrap().record;
    let mut other = record.clone();
    other.host_calls.swap(0, 1);
    let mut shorter = record.clone();
    shorter.host_calls.pop();
    for changed in [other, shorter] {
        let failure = host.host.evaluate(&hostile, changed.repeat()).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::ReplayMismatch, "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_after_question_meets_the_limit_on_calls() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, asking("history flood", Ledger::default())).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::CallLimit);
    assert_eq!(failure.record.unwrap().host_calls.len(), host.config.limits.host_calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_meet_the_limit_on_their_bytes() {
    let host = TestHost::with(|config| config.limits.host_call_bytes = 1500);
    let hostile = host.prepare("hostile").await;
    let ledger = |id_bytes| Ledger { id_bytes, ..Ledger::default() };
    assert!(host.host.evaluate(&hostile, asking("history", ledger(300))).await.is_ok());
    let failure = host.host.evaluate(&hostile, asking("history", ledger(700))).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::CallLimit, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_questions_meet_the_same_limit_before_they_are_asked() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, asking("long question", Ledger::default())).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::CallLimit, "{failure}");
    assert!(failure.record.unwrap().host_calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_not_granted_is_refused_before_the_guest_runs() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let granted = Capability::ALL.into_iter().filter(|capability| *capability != Capability::History);
    let asked = EvaluationRequest { grants: granted.collect(), ..asking("behave", Ledger::default()) };
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::MissingCapability);
    assert!(failure.detail.contains("`history`"), "{failure}");
}
