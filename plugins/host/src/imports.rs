//! What a component may import: interfaces of the contract, nothing else.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capability::{Capability, Grants};
use crate::failure::{EvaluationFailure, FailureCode};

const PACKAGE: &str = "countersign:policy/";
/// Imported for its types; offers no function.
const TYPES: &str = "types";
/// What is called of a component.
const POLICY: &str = "countersign:policy/policy@";

/// The capabilities that a component imports, or the first import that is not one, with the way out.
pub(crate) fn check(engine: &Engine, component: &Component) -> Result<Grants, EvaluationFailure> {
    let component_type = component.component_type();
    let mut capabilities = Vec::new();
    for (name, _) in component_type.imports(engine) {
        let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split('@').next());
        match interface.map(|interface| (interface, Capability::from_interface(interface))) {
            Some((_, Some(capability))) => capabilities.push(capability),
            Some((TYPES, None)) => {}
            Some(_) | None => return Err(refusal(name)),
        }
    }
    Ok(capabilities.into_iter().collect())
}

/// The track of versions, as `0.1` or `1`, of the policy that a component exports. What it imports of the contract must
/// be of the same: within a track versions only ever add.
pub(crate) fn track(engine: &Engine, component: &Component) -> Result<String, EvaluationFailure> {
    let unsupported = |detail: String| EvaluationFailure::new(FailureCode::UnsupportedContract, detail);
    let exported = exports(engine, component);
    let mut versions = exported.iter().filter_map(|name| name.strip_prefix(POLICY));
    let version = versions.next().ok_or_else(|| {
        unsupported(format!("the component does not export `{POLICY}1.0.0`, nor an earlier version of it"))
    })?;
    if let Some(other) = versions.next() {
        return Err(unsupported(format!(
            "the component exports `{POLICY}{version}` and `{POLICY}{other}`: which of them judges would be up to the host"
        )));
    }
    let track = track_of(version);
    for name in names(engine, component) {
        let imported = name.split_once('@').map(|(_, version)| track_of(version));
        if imported.is_some_and(|imported| imported != track) {
            return Err(unsupported(format!(
                "the component imports `{name}` and exports `{POLICY}{version}`: build all of it against one version"
            )));
        }
    }
    Ok(track.to_owned())
}

/// The part of a semantic version within which others are compatible.
fn track_of(version: &str) -> &str {
    let parts = if version.starts_with("0.") { 2 } else { 1 };
    let end = version.match_indices('.').nth(parts - 1).map_or(version.len(), |(end, _)| end);
    &version[..end]
}

/// Names of what a component exports, with their versions.
pub(crate) fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Names of what it imports, with their versions.
pub(crate) fn names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

fn refusal(import: &str) -> EvaluationFailure {
    let advice = if import.starts_with("wasi:") {
        "a plugin gets no WASI. Build Rust for `wasm32-unknown-unknown`; JavaScript with componentize-js and \
         `disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event']`; Python with \
         `componentize-py componentize --stub-wasi`"
    } else if import.starts_with(PACKAGE) {
        "this gateway does not offer that interface: build against a version of the contract that it has"
    } else {
        "a plugin imports interfaces of `countersign:policy` only"
    };
    EvaluationFailure::new(FailureCode::ForeignImport, format!("the component imports `{import}`: {advice}"))
}
