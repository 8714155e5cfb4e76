//! Calls of an evaluation to the outside: counted, bounded, recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::failure::{FailureCode, Stop};
use crate::outside::{
    self, ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HostCall, HttpAnswer, HttpQuestion,
    OutsideError, OutsidePort,
};

#[derive(Default)]
pub(crate) struct Calls {
    /// The port, and when answers must be there; none for calls without a binding.
    port: Option<(Arc<dyn OutsidePort>, Instant)>,
    made: Vec<HostCall>,
    bytes: usize,
    waited: Duration,
}

impl Calls {
    pub(crate) fn of(port: Arc<dyn OutsidePort>, deadline: Instant) -> Self {
        Self { port: Some((port, deadline)), ..Self::default() }
    }

    pub(crate) fn history(
        &mut self,
        question: HistoryQuestion,
        limits: &Limits,
    ) -> Result<HistoryAnswer, Stop> {
        let (port, deadline) = self.begin(question.bytes(), limits)?;
        let answer = self.timed(|| port.history(&question, deadline));
        self.made.push(HostCall::History { question, answer: answer.clone() });
        self.charged(answer, HistoryAnswer::bytes, limits)
    }

    pub(crate) fn http(&mut self, question: HttpQuestion, limits: &Limits) -> Result<HttpAnswer, Stop> {
        let (port, deadline) = self.begin(question.bytes(), limits)?;
        let answer = self.timed(|| port.http(&question, deadline));
        self.made.push(HostCall::Http { question, answer: answer.clone() });
        self.charged(answer, outside::http_bytes, limits)
    }

    pub(crate) fn chain(&mut self, question: ChainQuestion, limits: &Limits) -> Result<ChainAnswer, Stop> {
        let (port, deadline) = self.begin(question.bytes(), limits)?;
        let answer = self.timed(|| port.chain(&question, deadline));
        self.made.push(HostCall::Chain { question, answer: answer.clone() });
        self.charged(answer, ChainAnswer::bytes, limits)
    }

    /// The time in which the port was asked.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }

    fn timed<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        let asked = Instant::now();
        let answer = ask();
        self.waited += asked.elapsed();
        answer
    }

    pub(crate) fn into_record(self) -> Vec<HostCall> {
        self.made
    }

    /// Counts a call and its question, which is recorded like the answer.
    fn begin(&mut self, bytes: usize, limits: &Limits) -> Result<(Arc<dyn OutsidePort>, Instant), Stop> {
        if self.made.len() >= limits.host_calls {
            let detail = format!("more than {} calls to the host", limits.host_calls);
            return Err(Stop::new(FailureCode::CallLimit, detail));
        }
        self.charge(bytes, limits)?;
        let unbound = || Stop::new(FailureCode::HostError, "a call to the host without a binding");
        self.port.clone().ok_or_else(unbound)
    }

    fn charged<T>(
        &mut self,
        answer: Result<T, OutsideError>,
        bytes: fn(&T) -> usize,
        limits: &Limits,
    ) -> Result<T, Stop> {
        let answer = answer.map_err(|error| Stop::new(error.code, error.detail))?;
        self.charge(bytes(&answer), limits)?;
        Ok(answer)
    }

    fn charge(&mut self, bytes: usize, limits: &Limits) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= limits.host_call_bytes {
            return Ok(());
        }
        let detail = format!("more than {} bytes in calls to the host", limits.host_call_bytes);
        Err(Stop::new(FailureCode::CallLimit, detail))
    }
}
