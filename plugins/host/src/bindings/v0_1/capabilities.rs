//! The capabilities under the names and types of 0.1.

use super::countersign::policy;
use crate::outside::{
    ChainFailure, HistoryQuestion, HttpFailure, HttpQuestion, PastTransaction, Selection, Stage,
};
use crate::record::LogLevel;
use crate::sandbox::Sandbox;

impl policy::log::Host for Sandbox {
    fn write(&mut self, level: policy::log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            policy::log::Level::Debug => LogLevel::Debug,
            policy::log::Level::Info => LogLevel::Info,
            policy::log::Level::Warn => LogLevel::Warn,
            policy::log::Level::Error => LogLevel::Error,
        };
        Ok(self.write_log(level, &message)?)
    }
}

impl policy::settings::Host for Sandbox {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.settings_text()?)
    }
}

impl policy::state::Host for Sandbox {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.state_value(key)?)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<bool> {
        Ok(self.compare_and_set_state(key, expected.as_deref(), value)?)
    }

    fn counted(&mut self, counter: String, window_seconds: u32) -> wasmtime::Result<String> {
        Ok(Sandbox::counted(self, counter, window_seconds)?)
    }

    fn reserve(
        &mut self,
        counter: String,
        window_seconds: u32,
        amount: String,
        limit: String,
    ) -> wasmtime::Result<bool> {
        Ok(Sandbox::reserve(self, (counter, window_seconds), &amount, &limit)?)
    }
}

impl policy::clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.now_ms()?)
    }
}

impl policy::history::Host for Sandbox {
    fn count(&mut self, selection: policy::history::Selection) -> wasmtime::Result<u64> {
        Ok(self.history_number(HistoryQuestion::Count(selection.into()))?)
    }

    fn sum(&mut self, selection: policy::history::Selection) -> wasmtime::Result<String> {
        Ok(self.history_amount(HistoryQuestion::Sum(selection.into()))?)
    }

    fn distinct_recipients(&mut self, selection: policy::history::Selection) -> wasmtime::Result<u64> {
        Ok(self.history_number(HistoryQuestion::DistinctRecipients(selection.into()))?)
    }

    fn last(
        &mut self,
        selection: policy::history::Selection,
        limit: u32,
    ) -> wasmtime::Result<Vec<policy::history::PastTransaction>> {
        let question = HistoryQuestion::Last { selection: selection.into(), limit };
        Ok(self.history_transactions(question)?.into_iter().map(PastTransaction::into).collect())
    }
}

impl policy::http::Host for Sandbox {
    fn fetch(
        &mut self,
        request: policy::http::Request,
    ) -> wasmtime::Result<Result<policy::http::Response, policy::http::Failure>> {
        let policy::http::Request { upstream, method, path, parameters, headers, body } = request;
        let question = HttpQuestion { upstream, method, path, parameters, headers, body };
        let answer = Sandbox::fetch(self, question)?;
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
        let answer = self.pinned_block()?;
        Ok(answer
            .map(|block| policy::chain::Block {
                number: block.number,
                hash: block.hash,
                timestamp: block.timestamp,
            })
            .map_err(ChainFailure::into))
    }

    fn read(
        &mut self,
        method: String,
        parameters: Vec<String>,
    ) -> wasmtime::Result<Result<String, policy::chain::Failure>> {
        Ok(self.read_chain(&method, parameters)?.map_err(ChainFailure::into))
    }
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
