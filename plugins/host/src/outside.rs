//! What a plugin asks of the world outside its sandbox, behind a port of the caller. Every answer goes into the
//! evaluation's record, refusals too, so that a replay hears the same.

mod answers;
mod chain;
mod history;
mod http;
mod recorded;

use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use self::answers::Gap;
pub(crate) use self::answers::RecordedAnswers;
pub use self::chain::{ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, PinnedBlock};
pub use self::history::{HistoryAnswer, HistoryQuestion, PastTransaction, Selection, Stage};
pub(crate) use self::http::bytes as http_bytes;
pub use self::http::{HttpAnswer, HttpFailure, HttpQuestion, HttpResponse};
pub(crate) use self::recorded::RecordedCalls;
use crate::failure::FailureCode;

/// Answers what an evaluation asks besides its state.
///
/// Called on an evaluation thread, once for every call of the guest. An implementation may block; its time counts
/// against the deadline, but it must end its waiting by then, because nothing interrupts it. What is not granted it
/// refuses with [`FailureCode::MissingCapability`], which is counted as a denial.
pub trait OutsidePort: Send + Sync {
    /// What other transactions of the organization add up to.
    fn history(&self, question: &HistoryQuestion, deadline: Instant) -> Result<HistoryAnswer, OutsideError>;

    /// What an upstream says.
    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError>;

    /// What the chain's nodes say.
    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError>;
}

/// There is no answer; the evaluation fails with this code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct OutsideError {
    pub code: FailureCode,
    pub detail: String,
}

impl OutsideError {
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// One call of the guest and what it was answered, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "capability")]
pub enum HostCall {
    History { question: HistoryQuestion, answer: Result<HistoryAnswer, OutsideError> },
    Http { question: HttpQuestion, answer: Result<HttpAnswer, OutsideError> },
    Chain { question: ChainQuestion, answer: Result<ChainAnswer, OutsideError> },
}

impl HostCall {
    /// What was asked, for people.
    pub fn asked(&self) -> String {
        match self {
            Self::History { question, .. } => format!("history: {question:?}"),
            Self::Http { question, .. } => question.asked(),
            Self::Chain { question, .. } => format!("chain: {question:?}"),
        }
    }
}

/// Nothing is known outside: every question is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOutside;

impl OutsidePort for NoOutside {
    fn history(
        &self,
        _question: &HistoryQuestion,
        _deadline: Instant,
    ) -> Result<HistoryAnswer, OutsideError> {
        Err(OutsideError::new(FailureCode::HistoryUnavailable, "no history can be read here"))
    }

    fn http(&self, _question: &HttpQuestion, _deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        Err(OutsideError::new(FailureCode::HttpRefused, "there is no upstream here"))
    }

    fn chain(&self, _question: &ChainQuestion, _deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        Err(OutsideError::new(FailureCode::ChainRefused, "there is no chain here"))
    }
}
