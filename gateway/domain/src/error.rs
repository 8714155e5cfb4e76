//! One error for the whole domain, its variants chosen by what the caller does next.

use std::{error::Error as StdError, time::Duration};

use crate::{
    changes::{CommitError, Contested},
    quota::used_up,
};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text for the operator's log. It has no `Display`, so it cannot reach a client by accident.
#[derive(Debug)]
pub struct Internal(pub Box<dyn StdError + Send + Sync>);

impl Internal {
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule; each text names a field and the rule.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error("authentication failed")]
    Unauthenticated,
    /// The caller is known and may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The request contradicts the present state.
    #[error("{0}")]
    Conflict(&'static str),
    /// A quota or rate is used up.
    #[error("{what}")]
    Exhausted { what: &'static str, retry_after: Duration },
    /// A part the request needs is away or overloaded; the same request may succeed later.
    #[error("{what} is unavailable")]
    Unavailable { what: &'static str, retry_after: Duration, cause: Internal },
    /// An outside system answered badly.
    #[error("{0} failed")]
    Upstream(&'static str, Internal),
    /// A vendor understood what it was asked, and refused.
    #[error("{vendor} refused the request")]
    VendorRefused { vendor: &'static str, http_status: u16, code: Option<i64> },
    /// A part that this installation's configuration leaves out; names the setting.
    #[error("`{0}` is not configured")]
    Unconfigured(&'static str),
    /// Stored state contradicts itself, or its seal does not fit.
    #[error("internal inconsistency")]
    Inconsistency(Internal),
    #[error("internal error")]
    Internal(Internal),
}

impl Error {
    pub fn invalid(rule: impl Into<String>) -> Self {
        Self::Invalid(vec![rule.into()])
    }

    pub fn inconsistency(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Inconsistency(Internal::new(cause))
    }

    pub fn unavailable(what: &'static str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable { what, retry_after: Duration::from_secs(1), cause: Internal::new(cause) }
    }

    /// The cause that is meant for the operator's log, where there is one.
    pub fn internal_cause(&self) -> Option<&(dyn StdError + Send + Sync)> {
        match self {
            Self::Unavailable { cause, .. }
            | Self::Upstream(_, cause)
            | Self::Inconsistency(cause)
            | Self::Internal(cause) => Some(cause.0.as_ref()),
            Self::Invalid(_)
            | Self::Unauthenticated
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Exhausted { .. }
            | Self::VendorRefused { .. }
            | Self::Unconfigured(_) => None,
        }
    }
}

impl From<CommitError> for Error {
    /// For writers that expect no contest; those that do match on [`Contested`] first.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(Contested::Replay) => Self::Unauthenticated,
            CommitError::Conflict(Contested::Quota) => used_up("a quota of the organization is used up"),
            CommitError::Conflict(_) => Self::Conflict("the object was changed by another request"),
            CommitError::Unavailable(cause) => Self::unavailable("the database", cause),
            CommitError::Refused(cause) => Self::Internal(Internal(cause)),
        }
    }
}
