//! The released versions of the contract, one module each. What is above this module knows none.

mod v0_1;
mod v1_0;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::failure::{EvaluationFailure, FailureCode};
use crate::imports;
use crate::outcome::{Description, Outcome, SettingsProblem};
use crate::sandbox::Sandbox;
use crate::transaction::{ClaimedTransaction, VerifiedTransaction};

/// A component linked to the host, under the version of the contract that it was built against.
pub(crate) enum Contract {
    V0_1(v0_1::PluginPre<Sandbox>),
    V1_0(v1_0::PluginPre<Sandbox>),
}

/// A component's instance, under the same version.
pub(crate) enum Instance {
    V0_1(v0_1::Plugin),
    V1_0(v1_0::Plugin),
}

impl Contract {
    /// Links everything that the host offers, in all versions.
    pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
        let mut linker = Linker::new(engine);
        v0_1::link(&mut linker)?;
        v1_0::link(&mut linker)?;
        Ok(linker)
    }

    /// Links a component and checks the types of its imports and exports, under the version of the policy that it
    /// exports.
    pub(crate) fn resolve(
        linker: &Linker<Sandbox>,
        component: &Component,
    ) -> Result<Self, EvaluationFailure> {
        let pre = || linker.instantiate_pre(component);
        let resolved = match imports::track(linker.engine(), component)?.as_str() {
            "0.1" => pre().and_then(v0_1::PluginPre::new).map(Self::V0_1),
            "1" => pre().and_then(v1_0::PluginPre::new).map(Self::V1_0),
            other => Err(wasmtime::Error::msg(format!(
                "the component is built against version {other} of the contract; this gateway has 1 and 0.1"
            ))),
        };
        resolved
            .map_err(|error| EvaluationFailure::new(FailureCode::UnsupportedContract, format!("{error:#}")))
    }

    pub(crate) const fn version(&self) -> &'static str {
        match self {
            Self::V0_1(_) => "0.1",
            Self::V1_0(_) => "1.0",
        }
    }

    pub(crate) fn describe(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Description> {
        match self {
            Self::V0_1(pre) => v0_1::describe(pre, store),
            Self::V1_0(pre) => v1_0::describe(pre, store),
        }
    }

    pub(crate) fn validate_settings(
        &self,
        store: &mut Store<Sandbox>,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>> {
        match self {
            Self::V0_1(pre) => v0_1::validate_settings(pre, store, settings),
            Self::V1_0(pre) => v1_0::validate_settings(pre, store, settings),
        }
    }

    pub(crate) fn instantiate(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Instance> {
        match self {
            Self::V0_1(pre) => pre.instantiate(store).map(Instance::V0_1),
            Self::V1_0(pre) => pre.instantiate(store).map(Instance::V1_0),
        }
    }
}

/// What is wrong with settings. Who refuses them without a word has refused them: so ends a check that failed itself, in
/// languages whose exceptions are not the contract's errors.
fn problems_of<P>(
    answer: Result<(), Vec<P>>,
    convert: impl FnMut(P) -> SettingsProblem,
) -> Vec<SettingsProblem> {
    match answer {
        Ok(()) => Vec::new(),
        Err(problems) if problems.is_empty() => vec![SettingsProblem {
            field: String::new(),
            rule: "are refused without a reason: the plugin's check may have failed itself".to_owned(),
        }],
        Err(problems) => problems.into_iter().map(convert).collect(),
    }
}

impl Instance {
    /// The guest's answer as it is: nothing in it has been checked.
    pub(crate) fn evaluate(
        &self,
        store: &mut Store<Sandbox>,
        verified: &VerifiedTransaction,
        claimed: &ClaimedTransaction,
    ) -> wasmtime::Result<Result<Outcome, String>> {
        match self {
            Self::V0_1(plugin) => v0_1::evaluate(plugin, store, verified, claimed),
            Self::V1_0(plugin) => v1_0::evaluate(plugin, store, verified, claimed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::problems_of;
    use crate::outcome::SettingsProblem;

    #[test]
    fn settings_that_are_refused_without_a_word_are_refused() {
        let same = |problem: SettingsProblem| problem;
        assert!(problems_of(Ok::<_, Vec<SettingsProblem>>(()), same).is_empty());
        let refused = problems_of(Err(Vec::new()), same);
        assert!(refused[0].rule.contains("without a reason"), "{refused:?}");
        let named = SettingsProblem { field: "limit".to_owned(), rule: "must be a number".to_owned() };
        assert_eq!(problems_of(Err(vec![named.clone()]), same), [named]);
    }
}
