//! Requests to upstreams.

use std::{collections::BTreeMap, time::Instant};

use gateway_clients::upstream::{Question, Upstream, UpstreamError};
use gateway_domain::ids::OrganizationId;
use plugin_host::{FailureCode, HttpAnswer, HttpFailure, HttpQuestion, HttpResponse, OutsideError};

use super::Reach;
use crate::grants::Granted;

/// The configured upstreams by name, each with the only organization that may ask it, if there is one.
pub(crate) struct Upstreams(BTreeMap<String, (Option<OrganizationId>, Upstream)>);

impl Upstreams {
    pub(crate) fn new(upstreams: BTreeMap<String, (Option<OrganizationId>, Upstream)>) -> Self {
        Self(upstreams)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether plugins of the organization could be granted the upstream.
    pub(crate) fn serves(&self, name: &str, organization: OrganizationId) -> bool {
        self.find(name, organization).is_some()
    }

    fn find(&self, name: &str, organization: OrganizationId) -> Option<&Upstream> {
        let (owner, upstream) = self.0.get(name)?;
        owner.is_none_or(|owner| owner == organization).then_some(upstream)
    }
}

impl Reach {
    pub(crate) fn ask_upstream(
        &self,
        question: &HttpQuestion,
        deadline: Instant,
    ) -> Result<HttpAnswer, OutsideError> {
        let granted = Granted::of(&self.grants).upstream(&question.upstream);
        let upstream = self.upstreams.find(&question.upstream, self.organization).filter(|_| granted);
        let upstream = upstream.ok_or_else(|| {
            let shown = plugin_host::plain(&question.upstream, 64);
            OutsideError::new(
                FailureCode::MissingCapability,
                format!("the upstream `{shown}` is not granted"),
            )
        })?;
        let asked = Question {
            method: question.method.clone(),
            path: question.path.clone(),
            parameters: question.parameters.clone(),
            headers: question.headers.clone(),
            body: question.body.clone(),
        };
        match self.runtime.block_on(upstream.ask(&asked, deadline)) {
            Ok(answer) => {
                Ok(Ok(HttpResponse { status: answer.status, headers: answer.headers, body: answer.body }))
            }
            Err(UpstreamError::Undeclared(detail)) => {
                let detail = format!("{}: {}", question.upstream, plugin_host::plain(&detail, 1024));
                Err(OutsideError::new(FailureCode::HttpRefused, detail))
            }
            Err(UpstreamError::Unreachable(_)) => Ok(Err(HttpFailure::Unreachable)),
            Err(UpstreamError::TimedOut) => Ok(Err(HttpFailure::TimedOut)),
            Err(UpstreamError::TooLarge) => Ok(Err(HttpFailure::TooLarge)),
            Err(UpstreamError::Broken) => Ok(Err(HttpFailure::Broken)),
        }
    }
}

#[cfg(test)]
mod tests;
