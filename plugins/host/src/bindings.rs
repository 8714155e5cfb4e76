//! The released versions of the contract, one module each. What is above this module knows none.

mod v0_1;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::failure::{EvaluationFailure, FailureCode};
use crate::outcome::{Description, Outcome, SettingsProblem};
use crate::sandbox::Sandbox;
use crate::transaction::{ClaimedTransaction, VerifiedTransaction};

/// A component linked to the host, under the version of the contract that it was built against.
pub(crate) enum Contract {
    V0_1(v0_1::PluginPre<Sandbox>),
}

impl Contract {
    /// Links everything that the host offers, in all versions.
    pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
        let mut linker = Linker::new(engine);
        v0_1::link(&mut linker)?;
        Ok(linker)
    }

    /// Links a component and checks the types of its imports and exports.
    pub(crate) fn resolve(
        linker: &Linker<Sandbox>,
        component: &Component,
    ) -> Result<Self, EvaluationFailure> {
        let unsupported = |error: wasmtime::Error| {
            EvaluationFailure::new(FailureCode::UnsupportedContract, format!("{error:#}"))
        };
        let pre = linker.instantiate_pre(component).map_err(unsupported)?;
        v0_1::PluginPre::new(pre).map(Self::V0_1).map_err(unsupported)
    }

    pub(crate) const fn version(&self) -> &'static str {
        match self {
            Self::V0_1(_) => "0.1",
        }
    }

    pub(crate) fn describe(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Description> {
        match self {
            Self::V0_1(pre) => v0_1::describe(pre, store),
        }
    }

    pub(crate) fn validate_settings(
        &self,
        store: &mut Store<Sandbox>,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>> {
        match self {
            Self::V0_1(pre) => v0_1::validate_settings(pre, store, settings),
        }
    }

    /// The guest's answer as it is: nothing in it has been checked.
    pub(crate) fn evaluate(
        &self,
        store: &mut Store<Sandbox>,
        verified: &VerifiedTransaction,
        claimed: &ClaimedTransaction,
    ) -> wasmtime::Result<Result<Outcome, String>> {
        match self {
            Self::V0_1(pre) => v0_1::evaluate(pre, store, verified, claimed),
        }
    }
}
