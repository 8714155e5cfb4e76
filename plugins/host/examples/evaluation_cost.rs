//! Prints what an evaluation by the host costs against the bare wasmtime call that it wraps: the same
//! component, transaction and settings, a fresh store each, on one evaluation thread and on two. Each
//! thread has several evaluations waiting, as under load; `alone` is the time of one evaluation when
//! nothing waits, which includes waking a thread and being woken by it.
//!
//! Arguments: the component (`target/guests/orion.wasm`), the compiling program
//! (`target/release/countersign-plugin-compiler`), evaluations per measurement.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugin_host::{
    CacheKey, Capability, ClaimedTransaction, CompileCommand, ComponentSource, Digest, EvaluationRequest,
    Grants, HostConfig, NoState, PluginHost, PreparedPlugin, VerifiedTransaction,
};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

wasmtime::component::bindgen!({ path: "../../wit/0.1", world: "plugin" });

use countersign::policy::{clock, log, settings, state, types};

const SETTINGS: &str =
    r#"{"valueLimit":"2000000000000000000","denyList":["0x00000000000000000000000000000000000000dd"]}"#;
const ROUNDS: usize = 7;
const WAITING: usize = 8;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [component, compiler, count] = arguments.as_slice() else {
        return Err("needs a component, a compiling program and a count".into());
    };
    let bytes = std::fs::read(component)?;
    let count = count.parse()?;
    let bare = Bare::new(&bytes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (name, threads, in_flight) in
        [("alone", 1, 1), ("one thread", 1, WAITING), ("two threads", 2, 2 * WAITING)]
    {
        let directory = tempfile::tempdir()?;
        let program = PathBuf::from(compiler).canonicalize()?;
        let command = CompileCommand { program, arguments: Vec::new() };
        let mut config = HostConfig::new(command, directory.path().join("cache"), CacheKey::new([1; 32]));
        config.schedule.deadline = Duration::from_mins(1);
        config.schedule.threads = threads;
        config.schedule.running_per_plugin = threads;
        let host = PluginHost::start(&config)?;
        let source = ComponentSource { digest: Digest::of(&bytes), bytes: bytes.clone().into() };
        let prepared = runtime.block_on(host.prepare(source))?;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            let bare = bare_time(&bare, threads, count)?;
            pairs.push((
                bare,
                runtime.block_on(host_time(&host, &prepared, in_flight, threads * count / in_flight))?,
            ));
        }
        pairs.sort_by(|(bare, host), (other_bare, other)| {
            (host.run / bare).total_cmp(&(other.run / other_bare))
        });
        let (bare, host) = &pairs[ROUNDS / 2];
        println!(
            "{name}: bare wasmtime {bare:.1} us, sandbox {:.1} us ({:.2} x); an answer every {:.1} us ({:.2} x)",
            host.run,
            host.run / bare,
            host.answer,
            host.answer * count_of(threads) / bare
        );
    }
    Ok(())
}

fn count_of(threads: usize) -> f64 {
    f64::from(u32::try_from(threads).unwrap_or(u32::MAX))
}

/// Microseconds per evaluation of the host.
struct HostTime {
    /// In the sandbox, on its thread.
    run: f64,
    /// From one answer to the next.
    answer: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per_evaluation(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// Microseconds of a thread per evaluation.
fn bare_time(bare: &Bare, threads: usize, count: usize) -> Result<f64, Failure> {
    let started = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| bare.evaluate(count))).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("no evaluation panics"))
    })?;
    Ok(per_evaluation(started.elapsed(), count))
}

async fn host_time(
    host: &PluginHost,
    plugin: &Arc<PreparedPlugin>,
    in_flight: usize,
    count: usize,
) -> Result<HostTime, Failure> {
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (host, plugin) = (host.clone(), Arc::clone(plugin));
        running.spawn(async move {
            let mut run_time = Duration::ZERO;
            for _ in 0..count {
                run_time += host.evaluate(&plugin, request()).await?.run_time;
            }
            Ok::<_, Failure>(run_time)
        });
    }
    let mut run_time = Duration::ZERO;
    while let Some(finished) = running.join_next().await {
        run_time += finished??;
    }
    let answer = per_evaluation(started.elapsed(), in_flight * count);
    Ok(HostTime { run: per_evaluation(run_time, in_flight * count), answer })
}

fn request() -> EvaluationRequest {
    EvaluationRequest {
        verified: VerifiedTransaction {
            organization: "org_1".to_owned(),
            transaction_id: "tx_1".to_owned(),
            key_id: "key_1".to_owned(),
            chain: "eip155:1".to_owned(),
            kind: "transfer".to_owned(),
            sender: "0x00000000000000000000000000000000000000aa".to_owned(),
            recipient: Some("0x00000000000000000000000000000000000000bb".to_owned()),
            value: "1000000000000000000".to_owned(),
            transactions_to_recipient: 3,
            ..VerifiedTransaction::default()
        },
        claimed: ClaimedTransaction::default(),
        settings: SETTINGS.to_owned(),
        grants: Grants::from_iter(Capability::ALL),
        state: Arc::new(NoState),
        requested_at_ms: 0,
        deadline: None,
    }
}

/// The least that wasmtime can do for the same answer, with the host's pool.
struct Bare {
    engine: Engine,
    plugin: PluginPre<Nothing>,
}

struct Nothing;

impl Bare {
    fn new(component: &[u8]) -> Result<Self, Failure> {
        let mut pool = PoolingAllocationConfig::default();
        pool.linear_memory_keep_resident(512 * 1024).table_keep_resident(16 * 1024);
        pool.max_memory_size(16 << 20)
            .total_memories(8)
            .total_core_instances(80)
            .total_component_instances(8);
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .epoch_interruption(true)
            .cranelift_nan_canonicalization(true)
            .memory_reservation(256 << 20)
            .memory_guard_size(32 << 20)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |nothing| nothing)?;
        let component = Component::new(&engine, component)?;
        let plugin = PluginPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, plugin })
    }

    fn evaluate(&self, count: usize) -> Result<(), Failure> {
        let (verified, claimed) = transaction();
        for _ in 0..count {
            let mut store = Store::new(&self.engine, Nothing);
            store.set_epoch_deadline(1_000_000);
            let plugin = self.plugin.instantiate(&mut store)?;
            let answer = plugin.countersign_policy_policy().call_evaluate(&mut store, &verified, &claimed)?;
            answer.map_err(|text| format!("the plugin failed: {text}"))?;
        }
        Ok(())
    }
}

fn transaction() -> (types::Verified, types::Claimed) {
    let model = request().verified;
    let ceilings =
        types::Ceilings { gas_limit: None, fee_per_gas: None, priority_fee_per_gas: None, total_fee: None };
    let verified = types::Verified {
        organization: model.organization,
        transaction_id: model.transaction_id,
        key_id: model.key_id,
        chain: model.chain,
        kind: model.kind,
        sender: model.sender,
        recipient: model.recipient,
        value: model.value,
        data: model.data,
        call: None,
        ceilings,
        approvals: Vec::new(),
        transactions_to_recipient: model.transactions_to_recipient,
        extra: Vec::new(),
    };
    (verified, types::Claimed { reference: None, description: None, extra: Vec::new() })
}

impl types::Host for Nothing {}

impl log::Host for Nothing {
    fn write(&mut self, _level: log::Level, _message: String) {}
}

impl settings::Host for Nothing {
    fn get(&mut self) -> String {
        SETTINGS.to_owned()
    }
}

impl state::Host for Nothing {
    fn get(&mut self, _key: String) -> Option<Vec<u8>> {
        None
    }

    fn compare_and_set(&mut self, _key: String, _expected: Option<Vec<u8>>, _value: Option<Vec<u8>>) -> bool {
        true
    }
}

impl clock::Host for Nothing {
    fn now(&mut self) -> u64 {
        0
    }
}
