//! The least that wasmtime can do for a verdict: `InstancePre` and one typed call in a fresh store, with the
//! engine's settings and the pool of the plugin host, and without its limits, deadline, checks and record.

use std::thread;
use std::time::{Duration, Instant};

use plugin_host::{Limits, VerifiedTransaction};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, Error, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
};

use crate::statistics::micros_each;

wasmtime::component::bindgen!({ path: "../wit/1.0", world: "plugin" });

use countersign::policy::{log, settings, types};

pub(crate) struct BareWasm {
    engine: Engine,
    plugin: PluginPre<Inputs>,
    inputs: Inputs,
    verified: types::Verified,
    claimed: types::Claimed,
}

/// What the measured plugins can ask for.
#[derive(Clone)]
struct Inputs {
    settings: String,
}

impl BareWasm {
    pub(crate) fn new(
        component: &[u8],
        settings: &str,
        transaction: &VerifiedTransaction,
    ) -> Result<BareWasm> {
        let engine = Engine::new(&engine_config(&limits(component.len())))?;
        let mut linker = Linker::new(&engine);
        types::add_to_linker::<_, HasSelf<_>>(&mut linker, |inputs| inputs)?;
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |inputs| inputs)?;
        settings::add_to_linker::<_, HasSelf<_>>(&mut linker, |inputs| inputs)?;
        let component = Component::new(&engine, component)?;
        let plugin = PluginPre::new(linker.instantiate_pre(&component)?)?;
        let inputs = Inputs { settings: settings.to_owned() };
        let claimed = types::Claimed { reference: None, description: None, extra: Vec::new() };
        Ok(BareWasm { engine, plugin, inputs, verified: verified(transaction), claimed })
    }

    /// Microseconds of a thread per evaluation, on `threads` threads with `count` evaluations each.
    pub(crate) fn round(&self, threads: usize, count: usize) -> Result<f64> {
        let times = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.evaluate(count))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no evaluation panics"))
                .collect::<Result<Vec<_>>>()
        })?;
        let longest = times.into_iter().max().unwrap_or_default();
        Ok(micros_each(longest, count))
    }

    fn evaluate(&self, count: usize) -> Result<Duration> {
        let started = Instant::now();
        for _ in 0..count {
            let mut store = Store::new(&self.engine, self.inputs.clone());
            store.set_epoch_deadline(1_000_000);
            let plugin = self.plugin.instantiate(&mut store)?;
            let policy = plugin.countersign_policy_policy();
            let answer = policy.call_evaluate(&mut store, &self.verified, &self.claimed)?;
            answer.map_err(|text| Error::msg(format!("the plugin failed: {text}")))?;
        }
        Ok(started.elapsed())
    }
}

/// As the plugin host bounds a component of that length.
fn limits(component_bytes: usize) -> Limits {
    let limits = Limits::default();
    let large = limits.large.clone();
    if component_bytes < large.component_bytes {
        return limits;
    }
    Limits { memory_bytes: large.memory_bytes, instances: large.instances, ..limits }
}

/// As the plugin host configures its engine.
fn engine_config(limits: &Limits) -> Config {
    let instances = u32::try_from(limits.instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(8)
        .total_core_instances(8 * instances)
        .total_memories(16)
        .total_tables(8 * instances)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(2)
        .max_tables_per_component(instances)
        .max_tables_per_module(instances)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .linear_memory_keep_resident(512 * 1024)
        .table_keep_resident(16 * 1024)
        .max_unused_warm_slots(8)
        .pagemap_scan(Enabled::No);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .memory_reservation(256 << 20)
        .memory_guard_size(32 << 20)
        .memory_init_cow(true)
        .max_wasm_stack(limits.stack_bytes)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn verified(model: &VerifiedTransaction) -> types::Verified {
    let model = model.clone();
    types::Verified {
        organization_id: model.organization_id,
        transaction_id: model.transaction_id,
        initiator_id: model.initiator_id,
        owner_id: model.owner_id,
        created_at_ms: model.created_at_ms,
        key_id: model.key_id,
        provider: model.provider,
        chain: model.chain,
        kind: model.kind,
        sender: model.sender,
        recipient: model.recipient,
        value: model.value,
        data: model.data,
        call: None,
        ceilings: types::Ceilings {
            gas_limit: model.ceilings.gas_limit,
            fee_per_gas: model.ceilings.fee_per_gas,
            priority_fee_per_gas: model.ceilings.priority_fee_per_gas,
            total_fee: model.ceilings.total_fee,
        },
        approvals: Vec::new(),
        transactions_to_recipient: model.transactions_to_recipient,
        extra: Vec::new(),
    }
}

impl types::Host for Inputs {}

impl log::Host for Inputs {
    fn write(&mut self, _level: log::Level, _message: String) {}
}

impl settings::Host for Inputs {
    fn get(&mut self) -> String {
        self.settings.clone()
    }
}
