//! Names of the causes for which a capability gives no answer.

use std::borrow::Cow;

use crate::{chain, history, http};

impl history::Failure {
    /// The name in the contract, for texts and evidence.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::BeyondLimits => "beyond-limits".into(),
            Self::Other(name) => name.clone().into(),
        }
    }
}

impl http::Failure {
    /// The name in the contract, for texts and evidence.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Unreachable => "unreachable".into(),
            Self::TimedOut => "timed-out".into(),
            Self::TooLarge => "too-large".into(),
            Self::Broken => "broken".into(),
            Self::Other(name) => name.clone().into(),
        }
    }
}

impl chain::Failure {
    /// The name in the contract, for texts and evidence.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Unavailable => "unavailable".into(),
            Self::Reverted => "reverted".into(),
            Self::Refused => "refused".into(),
            Self::Other(name) => name.clone().into(),
        }
    }
}
