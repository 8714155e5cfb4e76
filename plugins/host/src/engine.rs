//! The engine's configuration: one for compiling, shared by host and child, and the host's pool on top.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::{Limits, ScheduleConfig};

const MEBIBYTE: usize = 1024 * 1024;
/// Address space reserved behind each memory, so that guests need no bounds checks: the most that a
/// configuration can allow.
pub(crate) const MEMORY_BYTES_MAX: usize = 256 * MEBIBYTE;
const GUARD_BYTES: u64 = 32 * MEBIBYTE as u64;
/// Memory that a slot keeps between evaluations: covers a Rust guest with the SDK's arena.
const RESIDENT_BYTES: usize = 512 * 1024;

/// What decides the compiled code. A change here changes the engine's hash and empties the cache.
fn code_config(count_fuel: bool) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(count_fuel)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .memory_reservation(MEMORY_BYTES_MAX as u64)
        .memory_guard_size(GUARD_BYTES)
        .memory_init_cow(true);
    config
}

/// An engine that only compiles. Its address space is limited, so it has no pool and one thread.
pub(crate) fn compiling(count_fuel: bool) -> wasmtime::Result<Engine> {
    Engine::new(code_config(count_fuel).parallel_compilation(false))
}

/// The engine that runs guests.
pub(crate) fn running(
    limits: &Limits,
    schedule: &ScheduleConfig,
    count_fuel: bool,
) -> wasmtime::Result<Engine> {
    // What is tried out, and what a shadow says, may be long as well.
    let apart = schedule.aside_threads.saturating_mul(4);
    let slots = count(schedule.threads.saturating_add(schedule.background_threads).saturating_add(apart));
    let instances = count(limits.instances);
    let warm = count(schedule.warm_memories);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(instances))
        .total_memories(slots.saturating_mul(count(limits.memories)).saturating_add(warm))
        .total_tables(slots.saturating_mul(instances))
        .max_core_instances_per_component(instances)
        .max_memories_per_component(count(limits.memories))
        .max_tables_per_component(instances)
        .max_tables_per_module(instances)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(16 * 1024)
        .max_unused_warm_slots(slots.saturating_add(warm))
        // An upstream report says that a slot reset this way may not be fully fresh.
        .pagemap_scan(Enabled::No);
    let mut config = code_config(count_fuel);
    config.max_wasm_stack(limits.stack_bytes).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
