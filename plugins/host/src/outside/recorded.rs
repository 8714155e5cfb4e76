//! Answers from a record, in the order in which they were given.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{
    ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HostCall, HttpAnswer, HttpQuestion,
    OutsideError, OutsidePort,
};
use crate::failure::FailureCode;

/// Answers as recorded, and only the questions that were asked then, in the same order. A guest that asks anything
/// else is not the one that was recorded, and its evaluation fails with `replay_mismatch`.
pub(crate) struct RecordedCalls(Mutex<VecDeque<HostCall>>);

impl RecordedCalls {
    pub(crate) fn new(calls: impl IntoIterator<Item = HostCall>) -> Self {
        Self(Mutex::new(calls.into_iter().collect()))
    }

    fn next(&self) -> Option<HostCall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl OutsidePort for RecordedCalls {
    fn history(&self, question: &HistoryQuestion, _deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        match self.next() {
            Some(HostCall::History { question: recorded, answer }) if recorded == *question => answer,
            other => Err(mismatch("history", other.is_some())),
        }
    }

    fn http(&self, question: &HttpQuestion, _deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        match self.next() {
            Some(HostCall::Http { question: recorded, answer }) if recorded == *question => answer,
            other => Err(mismatch("http", other.is_some())),
        }
    }

    fn chain(&self, question: &ChainQuestion, _deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        match self.next() {
            Some(HostCall::Chain { question: recorded, answer }) if recorded == *question => answer,
            other => Err(mismatch("chain", other.is_some())),
        }
    }
}

fn mismatch(capability: &str, is_recorded: bool) -> OutsideError {
    let cause =
        if is_recorded { "another question was recorded at this point" } else { "the record ends before" };
    OutsideError::new(FailureCode::ReplayMismatch, format!("the guest asked `{capability}`, where {cause}"))
}
