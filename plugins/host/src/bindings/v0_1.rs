//! `countersign:policy@0.1`.

mod capabilities;
mod convert;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use self::countersign::policy;
use crate::outcome::{Description, Outcome, SettingsProblem};
use crate::sandbox::Sandbox;
use crate::transaction::{ClaimedTransaction, VerifiedTransaction};

wasmtime::component::bindgen!({
    path: "../../wit/0.1",
    world: "plugin",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(super) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    Plugin::add_to_linker::<_, HasSelf<_>>(linker, |sandbox| sandbox)
}

pub(super) fn describe(
    pre: &PluginPre<Sandbox>,
    store: &mut Store<Sandbox>,
) -> wasmtime::Result<Description> {
    let plugin = pre.instantiate(&mut *store)?;
    let description = plugin.countersign_policy_policy().call_describe(store)?;
    Ok(convert::description(description))
}

pub(super) fn validate_settings(
    pre: &PluginPre<Sandbox>,
    store: &mut Store<Sandbox>,
    settings: &str,
) -> wasmtime::Result<Vec<SettingsProblem>> {
    let plugin = pre.instantiate(&mut *store)?;
    let answer = plugin.countersign_policy_policy().call_validate_settings(store, settings)?;
    Ok(super::problems_of(answer, convert::settings_problem))
}

pub(super) fn evaluate(
    plugin: &Plugin,
    store: &mut Store<Sandbox>,
    verified: &VerifiedTransaction,
    claimed: &ClaimedTransaction,
) -> wasmtime::Result<Result<Outcome, String>> {
    let lent = convert::Lent::new(verified, claimed);
    let answer = plugin.countersign_policy_policy().call_evaluate(
        store,
        lent.verified(verified),
        lent.claimed(claimed),
    )?;
    Ok(answer.map(convert::outcome))
}

impl policy::types::Host for Sandbox {}
