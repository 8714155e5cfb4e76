//! Why a request is not answered as asked. A failure travels as a response extension to the family's dialect,
//! which is the one place that words it, so that layers and framework rejections speak the family's language too.

use std::{sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gateway_domain::{Error, identity::is_unanswered};

#[derive(Debug)]
pub(crate) enum Failure {
    Domain(Error),
    /// The request cannot be understood as a whole.
    Malformed(String),
    /// No usable credential was presented.
    CredentialMissing,
    NoRoute,
    MethodNotAllowed,
    BodyTooLarge {
        bytes_max: usize,
    },
    /// The body ended early or its transfer coding is broken.
    BodyUnreadable,
    BodyTooSlow,
    UnsupportedMediaType,
    UriTooLong {
        bytes_max: usize,
    },
    HeadersTooLarge {
        bytes_max: usize,
    },
    RateLimited {
        retry_after: Duration,
    },
    Overloaded,
    /// The source has its share of requests under way.
    SourceBusy,
    TimedOut,
    /// An outside system that this installation does not name in its configuration.
    Unconfigured(&'static str),
    Panicked,
}

impl Failure {
    pub(crate) fn invalid(rule: impl Into<String>) -> Self {
        Self::Domain(Error::invalid(rule))
    }

    /// Whether a proof failed, or cost as much as one that fails: a question to nodes that brought no answer.
    pub(crate) fn is_failed_proof(&self) -> bool {
        matches!(self, Self::Domain(error) if matches!(error, Error::Unauthenticated) || is_unanswered(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl IntoResponse for Failure {
    /// Empty until the dialect has seen it.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
