use std::time::Duration;

use super::*;
use crate::outside::{
    ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HttpAnswer, HttpFailure, HttpQuestion,
    OutsideError, PinnedBlock, Selection, Stage,
};
use crate::state::{Counted, CounterName, StatePortError};

/// Answers everything, and counts.
#[derive(Default)]
struct Answers(std::sync::atomic::AtomicU32);

impl Answers {
    fn asked(&self) -> u32 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn count(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl StatePort for Answers {
    fn read(&self, _: &str, _: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        self.count();
        Ok(None)
    }

    fn counted(&self, _: &CounterName, _: Instant) -> Result<Counted, StatePortError> {
        self.count();
        Ok(Counted::default())
    }
}

impl OutsidePort for Answers {
    fn history(&self, question: &HistoryQuestion, _: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.count();
        Ok(match question {
            HistoryQuestion::Sum(_) => HistoryAnswer::Amount(alloy_primitives::U256::ZERO),
            HistoryQuestion::Last { .. } => HistoryAnswer::Transactions(Vec::new()),
            HistoryQuestion::Count(_) | HistoryQuestion::DistinctRecipients(_) => HistoryAnswer::Number(0),
        })
    }

    fn http(&self, _: &HttpQuestion, _: Instant) -> Result<HttpAnswer, OutsideError> {
        self.count();
        Ok(Err(HttpFailure::Unreachable))
    }

    fn chain(&self, question: &ChainQuestion, _: Instant) -> Result<ChainAnswer, OutsideError> {
        self.count();
        Ok(match question {
            ChainQuestion::Pinned => {
                ChainAnswer::Block(PinnedBlock { number: 1, hash: "0x".to_owned(), timestamp: 1 })
            }
            ChainQuestion::Read { .. } => ChainAnswer::Value("0x".to_owned()),
        })
    }
}

type Service = fn(&mut Sandbox) -> Result<(), Stop>;

fn selection() -> Selection {
    Selection { stage: Stage::Open, same_key: false, recipient: None, window_seconds: 60 }
}

fn fetch(sandbox: &mut Sandbox) -> Result<(), Stop> {
    let question = HttpQuestion {
        upstream: "screening".to_owned(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        parameters: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    sandbox.fetch(question).map(drop)
}

/// Everything that a guest can call, under what it needs.
const SERVICES: [(Capability, Service); 12] = [
    (Capability::Log, |sandbox| sandbox.write_log(LogLevel::Info, "hello")),
    (Capability::Settings, |sandbox| sandbox.settings_text().map(drop)),
    (Capability::State, |sandbox| sandbox.state_value("key".to_owned()).map(drop)),
    (Capability::State, |sandbox| sandbox.compare_and_set_state("key".to_owned(), None, None).map(drop)),
    (Capability::State, |sandbox| sandbox.counted("daily".to_owned(), 60).map(drop)),
    (Capability::State, |sandbox| sandbox.reserve(("daily".to_owned(), 60), "1", "2").map(drop)),
    (Capability::Clock, |sandbox| sandbox.now_ms().map(drop)),
    (Capability::History, |sandbox| sandbox.history_number(HistoryQuestion::Count(selection())).map(drop)),
    (Capability::History, |sandbox| sandbox.history_amount(HistoryQuestion::Sum(selection())).map(drop)),
    (Capability::Http, fetch),
    (Capability::Chain, |sandbox| sandbox.pinned_block().map(drop)),
    (Capability::Chain, |sandbox| sandbox.read_chain("eth_getCode", Vec::new()).map(drop)),
];

fn sandbox(grants: Grants, answers: &Arc<Answers>) -> Sandbox {
    let deadline = Instant::now() + Duration::from_mins(1);
    let settings = Settings::from("{}");
    let limits = Arc::new(Limits::default());
    Sandbox::new(limits, grants).with_inputs(settings, 1, answers.clone(), (answers.clone(), deadline))
}

/// What was found at the start holds for components; what is checked at the call holds for whatever calls.
#[test]
fn every_call_asks_for_its_grant_before_anybody_is_asked_for_an_answer() {
    for (capability, service) in SERVICES {
        let answers = Arc::new(Answers::default());
        let others = Capability::ALL.into_iter().filter(|other| *other != capability);
        let mut without = sandbox(others.collect(), &answers);
        let refused = service(&mut without).unwrap_err();
        assert_eq!(refused.code, FailureCode::MissingCapability, "{capability}");
        assert_eq!((without.denied.get(), answers.asked()), (Some(capability), 0), "{capability}");
        assert!(without.logs.is_empty());

        let mut with = sandbox(Grants::from_iter([capability]), &answers);
        service(&mut with).unwrap_or_else(|stop| panic!("{capability}: {}", stop.detail));
        assert_eq!(with.denied.get(), None);
    }
    for capability in Capability::ALL {
        assert!(SERVICES.iter().any(|(needed, _)| *needed == capability), "{capability} has no call here");
    }
}
