//! What the host does when a guest calls it.

use super::countersign::policy;
use crate::capability::Capability;
use crate::failure::{FailureCode, Stop};
use crate::outside::{
    ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, HistoryAnswer, HistoryQuestion, HttpFailure,
    HttpQuestion, PastTransaction, Selection, Stage,
};
use crate::record::LogLevel;
use crate::sandbox::Sandbox;
use crate::text::plain;

const METHOD_BYTES_MAX: usize = 64;

impl policy::log::Host for Sandbox {
    fn write(&mut self, level: policy::log::Level, message: String) -> wasmtime::Result<()> {
        self.require(Capability::Log)?;
        let level = match level {
            policy::log::Level::Debug => LogLevel::Debug,
            policy::log::Level::Info => LogLevel::Info,
            policy::log::Level::Warn => LogLevel::Warn,
            policy::log::Level::Error => LogLevel::Error,
        };
        Ok(self.log(level, &message)?)
    }
}

impl policy::settings::Host for Sandbox {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.require(Capability::Settings)?;
        Ok(self.settings.as_ref().map_or_else(String::new, |settings| settings.as_str().to_owned()))
    }
}

impl policy::state::Host for Sandbox {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.require(Capability::State)?;
        Ok(self.memory.read(key, &self.limits)?)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<bool> {
        self.require(Capability::State)?;
        Ok(self.memory.compare_and_set(key, expected.as_deref(), value, &self.limits)?)
    }

    fn counted(&mut self, counter: String, window_seconds: u32) -> wasmtime::Result<String> {
        self.require(Capability::State)?;
        Ok(self.memory.counted(counter, window_seconds, &self.limits)?.to_string())
    }

    fn reserve(
        &mut self,
        counter: String,
        window_seconds: u32,
        amount: String,
        limit: String,
    ) -> wasmtime::Result<bool> {
        self.require(Capability::State)?;
        Ok(self.memory.reserve((counter, window_seconds), &amount, &limit, &self.limits)?)
    }
}

impl policy::clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.require(Capability::Clock)?;
        Ok(self.requested_at_ms)
    }
}

impl policy::history::Host for Sandbox {
    fn count(&mut self, selection: policy::history::Selection) -> wasmtime::Result<u64> {
        number(&self.ask_history(HistoryQuestion::Count(selection.into()))?)
    }

    fn sum(&mut self, selection: policy::history::Selection) -> wasmtime::Result<String> {
        match self.ask_history(HistoryQuestion::Sum(selection.into()))? {
            HistoryAnswer::Amount(amount) => Ok(amount.to_string()),
            HistoryAnswer::Number(_) | HistoryAnswer::Transactions(_) => Err(beside_the_point()),
        }
    }

    fn distinct_recipients(&mut self, selection: policy::history::Selection) -> wasmtime::Result<u64> {
        number(&self.ask_history(HistoryQuestion::DistinctRecipients(selection.into()))?)
    }

    fn last(
        &mut self,
        selection: policy::history::Selection,
        limit: u32,
    ) -> wasmtime::Result<Vec<policy::history::PastTransaction>> {
        match self.ask_history(HistoryQuestion::Last { selection: selection.into(), limit })? {
            HistoryAnswer::Transactions(transactions) => {
                Ok(transactions.into_iter().map(PastTransaction::into).collect())
            }
            HistoryAnswer::Number(_) | HistoryAnswer::Amount(_) => Err(beside_the_point()),
        }
    }
}

impl policy::http::Host for Sandbox {
    fn fetch(
        &mut self,
        request: policy::http::Request,
    ) -> wasmtime::Result<Result<policy::http::Response, policy::http::Failure>> {
        self.require(Capability::Http)?;
        let policy::http::Request { upstream, method, path, parameters, headers, body } = request;
        let question = HttpQuestion { upstream, method, path, parameters, headers, body };
        let answer = self.calls.http(question, &self.limits)?;
        Ok(answer
            .map(|answer| policy::http::Response {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
            })
            .map_err(|failure| match failure {
                HttpFailure::Unreachable => policy::http::Failure::Unreachable,
                HttpFailure::TimedOut => policy::http::Failure::TimedOut,
                HttpFailure::TooLarge => policy::http::Failure::TooLarge,
                HttpFailure::Broken => policy::http::Failure::Broken,
            }))
    }
}

impl policy::chain::Host for Sandbox {
    fn pinned(&mut self) -> wasmtime::Result<Result<policy::chain::Block, policy::chain::Failure>> {
        match self.ask_chain(ChainQuestion::Pinned)? {
            ChainAnswer::Block(block) => Ok(Ok(policy::chain::Block {
                number: block.number,
                hash: block.hash,
                timestamp: block.timestamp,
            })),
            ChainAnswer::Failure(failure) => Ok(Err(failure.into())),
            ChainAnswer::Value(_) => Err(beside_the_point()),
        }
    }

    fn read(
        &mut self,
        method: String,
        parameters: Vec<String>,
    ) -> wasmtime::Result<Result<String, policy::chain::Failure>> {
        let Some(method) = ChainMethod::from_name(&method) else {
            let detail = format!("`{}` is not a method of `chain`", plain(&method, METHOD_BYTES_MAX));
            return Err(Stop::new(FailureCode::ChainRefused, detail).into());
        };
        match self.ask_chain(ChainQuestion::Read { method, parameters })? {
            ChainAnswer::Value(value) => Ok(Ok(value)),
            ChainAnswer::Failure(failure) => Ok(Err(failure.into())),
            ChainAnswer::Block(_) => Err(beside_the_point()),
        }
    }
}

impl Sandbox {
    fn ask_chain(&mut self, question: ChainQuestion) -> wasmtime::Result<ChainAnswer> {
        self.require(Capability::Chain)?;
        Ok(self.calls.chain(question, &self.limits)?)
    }

    fn ask_history(&mut self, question: HistoryQuestion) -> wasmtime::Result<HistoryAnswer> {
        self.require(Capability::History)?;
        Ok(self.calls.history(question, &self.limits)?)
    }
}

fn number(answer: &HistoryAnswer) -> wasmtime::Result<u64> {
    match answer {
        HistoryAnswer::Number(number) => Ok(*number),
        HistoryAnswer::Amount(_) | HistoryAnswer::Transactions(_) => Err(beside_the_point()),
    }
}

/// A port that answers another question than it was asked.
fn beside_the_point() -> wasmtime::Error {
    Stop::new(FailureCode::HostError, "the host answered another question than it was asked").into()
}

impl From<policy::history::Selection> for Selection {
    fn from(selection: policy::history::Selection) -> Self {
        let stage = match selection.stage {
            policy::history::Stage::Open => Stage::Open,
            policy::history::Stage::Released => Stage::Released,
            policy::history::Stage::Ended => Stage::Ended,
        };
        Self {
            stage,
            same_key: selection.same_key,
            recipient: selection.recipient,
            window_seconds: selection.window_seconds,
        }
    }
}

impl From<ChainFailure> for policy::chain::Failure {
    fn from(failure: ChainFailure) -> Self {
        match failure {
            ChainFailure::Unavailable => Self::Unavailable,
            ChainFailure::Reverted => Self::Reverted,
            ChainFailure::Refused => Self::Refused,
        }
    }
}

impl From<PastTransaction> for policy::history::PastTransaction {
    fn from(past: PastTransaction) -> Self {
        Self {
            transaction_id: past.transaction_id,
            key_id: past.key_id,
            recipient: past.recipient,
            value: past.value,
            selector: past.selector,
            created_at: past.created_at_ms,
        }
    }
}
