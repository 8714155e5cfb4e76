//! What would be decided, by evaluations that were made for the question and count for nothing else.

use std::collections::BTreeSet;

use crate::{
    approvals::Role,
    evaluations::Purpose,
    policy::{
        Decision, DecisionInput, Denial, Open,
        decide::{DenialReason, denied, judge},
    },
};

/// What [`decide`](super::decide) would say. It holds no proof: nothing can be signed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// Nobody else would have to agree.
    Approved {
        required: BTreeSet<Role>,
    },
    /// People would have to agree.
    Pending(Open),
    Denied(Denial),
}

impl Rehearsal {
    /// The decision's name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved { .. } => "approved",
            Self::Pending(_) => "pending",
            Self::Denied(_) => "denied",
        }
    }

    /// Every role that must agree, met or not.
    pub fn required(&self) -> &BTreeSet<Role> {
        match self {
            Self::Approved { required } => required,
            Self::Pending(open) => &open.required,
            Self::Denied(denial) => &denial.required,
        }
    }
}

/// Decides as if the dry-run evaluations among the input were what decisions rest on, and by no others.
pub fn rehearse(input: &DecisionInput<'_>) -> Rehearsal {
    match judge(input, Purpose::DryRun) {
        Ok(Decision::Approved(approved)) => Rehearsal::Approved { required: approved.required().clone() },
        Ok(Decision::Pending(open)) => Rehearsal::Pending(open),
        Ok(Decision::Unheard(_)) => {
            Rehearsal::Denied(denied(DenialReason::PluginFailure, "a binding was not heard"))
        }
        Ok(Decision::Denied(denial)) | Err(denial) => Rehearsal::Denied(denial),
    }
}
