//! Answers from a record to a plugin that it was not made with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{
    ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HostCall, HttpAnswer, HttpQuestion,
    OutsideError, OutsidePort,
};
use crate::failure::FailureCode;
use crate::record::{CounterRead, EvaluationRecord, StateRead};
use crate::state::{Counted, CounterName, StatePort, StatePortError};

/// The first question that a record had no answer to. An evaluation that asked one says nothing about the plugin.
#[derive(Debug, Clone, Default)]
pub struct Gap(Arc<Mutex<Option<String>>>);

impl Gap {
    /// What was asked and is not recorded, if anything was.
    pub fn found(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, asked: String) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(asked).clone()
    }
}

/// Answers what the record answers, in whatever order and however often it is asked.
pub(crate) struct RecordedAnswers {
    state_reads: Vec<StateRead>,
    counter_reads: Vec<CounterRead>,
    calls: Vec<HostCall>,
    gap: Gap,
}

impl RecordedAnswers {
    pub(crate) fn of(record: &EvaluationRecord, gap: Gap) -> Self {
        Self {
            state_reads: record.state_reads.clone(),
            counter_reads: record.counter_reads.clone(),
            calls: record.host_calls.clone(),
            gap,
        }
    }

    fn answer<T>(
        &self,
        asked: impl FnOnce() -> String,
        recorded: impl Fn(&HostCall) -> Option<Result<T, OutsideError>>,
    ) -> Result<T, OutsideError> {
        let found = self.calls.iter().find_map(recorded);
        found.unwrap_or_else(|| Err(OutsideError::new(FailureCode::ReplayMismatch, self.gap.note(asked()))))
    }
}

impl StatePort for RecordedAnswers {
    fn read(&self, key: &str, _deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        let found = self.state_reads.iter().find(|read| read.key == key);
        let read = found.ok_or_else(|| StatePortError(self.gap.note(format!("state key `{key}`"))))?;
        Ok(read.value.clone())
    }

    fn counted(&self, counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
        let found = self.counter_reads.iter().find(|read| read.counter == *counter);
        let read = found.ok_or_else(|| {
            let CounterName { name, window_seconds } = counter;
            StatePortError(self.gap.note(format!("counter `{name}` over {window_seconds} s")))
        })?;
        Ok(Counted { others: read.others, is_final: read.is_final })
    }
}

impl OutsidePort for RecordedAnswers {
    fn history(&self, question: &HistoryQuestion, _deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.answer(
            || format!("history: {question:?}"),
            |call| match call {
                HostCall::History { question: recorded, answer } if recorded == question => {
                    Some(answer.clone())
                }
                HostCall::History { .. } | HostCall::Http { .. } | HostCall::Chain { .. } => None,
            },
        )
    }

    fn http(&self, question: &HttpQuestion, _deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        self.answer(
            || question.asked(),
            |call| match call {
                HostCall::Http { question: recorded, answer } if recorded == question => Some(answer.clone()),
                HostCall::History { .. } | HostCall::Http { .. } | HostCall::Chain { .. } => None,
            },
        )
    }

    fn chain(&self, question: &ChainQuestion, _deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        self.answer(
            || format!("chain: {question:?}"),
            |call| match call {
                HostCall::Chain { question: recorded, answer } if recorded == question => {
                    Some(answer.clone())
                }
                HostCall::History { .. } | HostCall::Http { .. } | HostCall::Chain { .. } => None,
            },
        )
    }
}
