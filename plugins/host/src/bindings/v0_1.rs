//! `countersign:policy@0.1`.

mod convert;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use self::countersign::policy;
use crate::capability::Capability;
use crate::outcome::{Description, Outcome, SettingsProblem};
use crate::record::LogLevel;
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
    Ok(answer.err().unwrap_or_default().into_iter().map(convert::settings_problem).collect())
}

pub(super) fn evaluate(
    pre: &PluginPre<Sandbox>,
    store: &mut Store<Sandbox>,
    verified: &VerifiedTransaction,
    claimed: &ClaimedTransaction,
) -> wasmtime::Result<Result<Outcome, String>> {
    let plugin = pre.instantiate(&mut *store)?;
    let lent = convert::Lent::new(verified, claimed);
    let answer = plugin.countersign_policy_policy().call_evaluate(
        store,
        lent.verified(verified),
        lent.claimed(claimed),
    )?;
    Ok(answer.map(convert::outcome))
}

impl policy::types::Host for Sandbox {}

impl policy::log::Host for Sandbox {
    fn write(&mut self, level: policy::log::Level, message: String) -> wasmtime::Result<()> {
        self.require(Capability::Log)?;
        let level = match level {
            policy::log::Level::Debug => LogLevel::Debug,
            policy::log::Level::Info => LogLevel::Info,
            policy::log::Level::Warn => LogLevel::Warn,
            policy::log::Level::Error => LogLevel::Error,
        };
        Ok(self.log(level, &message)?)
    }
}

impl policy::settings::Host for Sandbox {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.require(Capability::Settings)?;
        Ok(self.settings.as_ref().map_or_else(String::new, |settings| settings.as_str().to_owned()))
    }
}

impl policy::state::Host for Sandbox {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.require(Capability::State)?;
        Ok(self.memory.read(key, &self.limits)?)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<bool> {
        self.require(Capability::State)?;
        Ok(self.memory.compare_and_set(key, expected.as_deref(), value, &self.limits)?)
    }

    fn counted(&mut self, counter: String, window_seconds: u32) -> wasmtime::Result<String> {
        self.require(Capability::State)?;
        Ok(self.memory.counted(counter, window_seconds, &self.limits)?.to_string())
    }

    fn reserve(
        &mut self,
        counter: String,
        window_seconds: u32,
        amount: String,
        limit: String,
    ) -> wasmtime::Result<bool> {
        self.require(Capability::State)?;
        Ok(self.memory.reserve((counter, window_seconds), &amount, &limit, &self.limits)?)
    }
}

impl policy::clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.require(Capability::Clock)?;
        Ok(self.requested_at_ms)
    }
}
