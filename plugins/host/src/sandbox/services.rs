//! What the host does when a guest calls it, whatever version of the contract the guest speaks: asks for the grant,
//! counts, answers.

use crate::capability::Capability;
use crate::failure::{FailureCode, Stop};
use crate::outside::{
    ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, HistoryAnswer, HistoryQuestion, HttpAnswer,
    HttpQuestion, PastTransaction, PinnedBlock,
};
use crate::record::LogLevel;
use crate::sandbox::Sandbox;
use crate::text::plain;

const METHOD_BYTES_MAX: usize = 64;

impl Sandbox {
    pub(crate) fn write_log(&mut self, level: LogLevel, message: &str) -> Result<(), Stop> {
        self.require(Capability::Log)?;
        self.log(level, message)
    }

    pub(crate) fn settings_text(&self) -> Result<String, Stop> {
        self.require(Capability::Settings)?;
        Ok(self.settings.as_ref().map_or_else(String::new, |settings| settings.as_str().to_owned()))
    }

    pub(crate) fn state_value(&mut self, key: String) -> Result<Option<Vec<u8>>, Stop> {
        self.require(Capability::State)?;
        self.memory.read(key, &self.limits)
    }

    pub(crate) fn compare_and_set_state(
        &mut self,
        key: String,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, Stop> {
        self.require(Capability::State)?;
        self.memory.compare_and_set(key, expected, value, &self.limits)
    }

    /// Decimal text.
    pub(crate) fn counted(&mut self, counter: String, window_seconds: u32) -> Result<String, Stop> {
        self.require(Capability::State)?;
        Ok(self.memory.counted(counter, window_seconds, &self.limits)?.to_string())
    }

    pub(crate) fn reserve(
        &mut self,
        counter: (String, u32),
        amount: &str,
        limit: &str,
    ) -> Result<bool, Stop> {
        self.require(Capability::State)?;
        self.memory.reserve(counter, amount, limit, &self.limits)
    }

    pub(crate) fn now_ms(&self) -> Result<u64, Stop> {
        self.require(Capability::Clock)?;
        Ok(self.requested_at_ms)
    }

    pub(crate) fn history_number(&mut self, question: HistoryQuestion) -> Result<u64, Stop> {
        match self.ask_history(question)? {
            HistoryAnswer::Number(number) => Ok(number),
            HistoryAnswer::Amount(_) | HistoryAnswer::Transactions(_) => Err(beside_the_point()),
        }
    }

    /// Decimal text.
    pub(crate) fn history_amount(&mut self, question: HistoryQuestion) -> Result<String, Stop> {
        match self.ask_history(question)? {
            HistoryAnswer::Amount(amount) => Ok(amount.to_string()),
            HistoryAnswer::Number(_) | HistoryAnswer::Transactions(_) => Err(beside_the_point()),
        }
    }

    pub(crate) fn history_transactions(
        &mut self,
        question: HistoryQuestion,
    ) -> Result<Vec<PastTransaction>, Stop> {
        match self.ask_history(question)? {
            HistoryAnswer::Transactions(transactions) => Ok(transactions),
            HistoryAnswer::Number(_) | HistoryAnswer::Amount(_) => Err(beside_the_point()),
        }
    }

    pub(crate) fn fetch(&mut self, question: HttpQuestion) -> Result<HttpAnswer, Stop> {
        self.require(Capability::Http)?;
        let answer = self.calls.http(question, &self.limits);
        self.noting_denial(Capability::Http, answer)
    }

    pub(crate) fn pinned_block(&mut self) -> Result<Result<PinnedBlock, ChainFailure>, Stop> {
        match self.ask_chain(ChainQuestion::Pinned)? {
            ChainAnswer::Block(block) => Ok(Ok(block)),
            ChainAnswer::Failure(failure) => Ok(Err(failure)),
            ChainAnswer::Value(_) => Err(beside_the_point()),
        }
    }

    pub(crate) fn read_chain(
        &mut self,
        method: &str,
        parameters: Vec<String>,
    ) -> Result<Result<String, ChainFailure>, Stop> {
        let Some(method) = ChainMethod::from_name(method) else {
            let detail = format!("`{}` is not a method of `chain`", plain(method, METHOD_BYTES_MAX));
            return Err(Stop::new(FailureCode::ChainRefused, detail));
        };
        match self.ask_chain(ChainQuestion::Read { method, parameters })? {
            ChainAnswer::Value(value) => Ok(Ok(value)),
            ChainAnswer::Failure(failure) => Ok(Err(failure)),
            ChainAnswer::Block(_) => Err(beside_the_point()),
        }
    }

    fn ask_chain(&mut self, question: ChainQuestion) -> Result<ChainAnswer, Stop> {
        self.require(Capability::Chain)?;
        let answer = self.calls.chain(question, &self.limits);
        self.noting_denial(Capability::Chain, answer)
    }

    /// The port knows which upstreams and methods are granted.
    fn noting_denial<T>(&self, capability: Capability, answer: Result<T, Stop>) -> Result<T, Stop> {
        let is_denied = matches!(&answer, Err(stop) if stop.code == FailureCode::MissingCapability);
        if is_denied {
            self.denied.set(Some(capability));
        }
        answer
    }

    fn ask_history(&mut self, question: HistoryQuestion) -> Result<HistoryAnswer, Stop> {
        self.require(Capability::History)?;
        self.calls.history(question, &self.limits)
    }
}

/// A port that answers another question than it was asked.
fn beside_the_point() -> Stop {
    Stop::new(FailureCode::HostError, "the host answered another question than it was asked")
}
