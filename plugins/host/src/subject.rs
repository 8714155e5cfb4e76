//! Whose behaviour is remembered.

use crate::digest::Digest;
use crate::prepare::PreparedPlugin;
use crate::record::EvaluationRequest;

/// What is judged as one: a component under its settings, for one organization, so that none makes another wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) organization: Box<str>,
    pub(crate) component: Digest,
    pub(crate) settings: Digest,
}

impl Subject {
    pub(crate) fn of(plugin: &PreparedPlugin, request: &EvaluationRequest) -> Self {
        Self {
            organization: request.verified.organization_id.as_str().into(),
            component: plugin.digest(),
            settings: request.settings.digest(),
        }
    }
}
