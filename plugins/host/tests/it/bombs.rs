//! Uploads that are small and hurt whoever compiles them. Each is refused by a bound that its message names, and leaves
//! nothing behind; what is compiled is hostile itself, not only what bounds it.

use std::fmt::Write as _;
use std::fs;

use plugin_host::{ComponentSource, FailureCode, HostConfig};

use crate::guests::{TestHost, nested, request, source};

/// Refuses the bomb, with an honest plugin before and after it; the message.
async fn refused(
    bomb: ComponentSource,
    change: impl FnOnce(&mut HostConfig),
    expected: FailureCode,
    key: &str,
) -> String {
    let host = TestHost::with(change);
    let honest = host.prepare("hello").await;
    let size = bomb.bytes.len();
    let failure = host.host.prepare(bomb).await.unwrap_err();
    assert_eq!(failure.code, expected, "{failure}");
    assert!(failure.detail.contains(&format!("`{key}`")), "{size} bytes: {failure}");
    host.host.evaluate(&honest, request("{}")).await.unwrap();
    host.prepare("limiter").await;
    let cached = fs::read_dir(&host.config.cache.directory).unwrap().count();
    assert_eq!(cached, 2, "what was refused takes no room in the cache");
    failure.detail
}

fn component(contents: &str) -> ComponentSource {
    source(wat::parse_str(format!("(component {contents})")).unwrap())
}

/// Loops in loops, each of which changes a local that all others read: work that grows with the cube of them.
fn endless_to_compile() -> ComponentSource {
    const LOOPS: usize = 250;
    let opened = "(loop ".repeat(LOOPS);
    let (mut changes, mut closed) = (String::new(), String::new());
    for local in 0..LOOPS {
        write!(changes, "(local.set {local} (i32.add (local.get {local}) (i32.const 1)))").unwrap();
        write!(closed, "(br_if 0 (local.get {local})))").unwrap();
    }
    let locals = "i32 ".repeat(LOOPS);
    let function = format!("(func (local {locals}) {opened} {changes} {closed})");
    component(&format!("(core module {})", function.repeat(10)))
}

/// A byte at each end of a memory: fifty bytes of it are sixteen megabytes of an artifact.
fn sparse_memories(modules: usize) -> ComponentSource {
    let module = "(core module (memory 256) (data (i32.const 0) \"a\") (data (i32.const 16700000) \"b\"))";
    component(&module.repeat(modules))
}

/// Ten of the one below at each level.
fn multiplied(levels: u32) -> ComponentSource {
    let mut inner = wat::parse_str(format!(
        "(component (core module $m) {})",
        "(core instance (instantiate $m))".repeat(10)
    ))
    .unwrap();
    for _ in 1..levels {
        inner = nested(&inner);
        // Section 5: ten instances of component 0, each without arguments.
        inner.extend([5, 1 + 10 * 3, 10]);
        inner.extend([0, 0, 0].repeat(10));
    }
    source(inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_in_loops_meet_the_bound_on_processor_time() {
    let bomb = endless_to_compile();
    assert!(bomb.bytes.len() < 50_000);
    let limited = |config: &mut HostConfig| config.compile.cpu_seconds = 2;
    let told = refused(bomb, limited, FailureCode::CompileFailed, "compile_cpu_seconds_max").await;
    assert_eq!(told, "compiling took more than 2 s of processor time (`compile_cpu_seconds_max`)");
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_in_loops_meet_the_time_out_where_the_processor_is_slow() {
    let limited = |config: &mut HostConfig| config.compile.timeout = std::time::Duration::from_secs(3);
    // The honest plugins have as little time, and need a fraction of it.
    let host = TestHost::with(limited);
    let failure = host.host.prepare(endless_to_compile()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::CompileFailed, "{failure}");
    assert_eq!(failure.detail, "compiling took longer than 3s (`compile_timeout_ms`)");
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_memories_meet_the_bound_on_compiled_code() {
    let bomb = sparse_memories(30);
    assert!(bomb.bytes.len() < 2000);
    refused(bomb, |_| {}, FailureCode::CompileFailed, "artifact_bytes_max").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sparse_memories_meet_the_bound_on_the_compilers_memory() {
    let bomb = sparse_memories(200);
    assert!(bomb.bytes.len() < 10_000);
    refused(bomb, |_| {}, FailureCode::CompileFailed, "compile_memory_bytes_max").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_of_ten_at_four_levels_meet_the_bound_on_instances() {
    let told = refused(multiplied(4), |_| {}, FailureCode::InstanceLimit, "instances_max").await;
    assert!(told.contains("10000 core module instances"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_of_ten_at_nine_levels_meet_the_bound_on_the_compilers_memory() {
    let bomb = multiplied(9);
    assert!(bomb.bytes.len() < 1000);
    refused(bomb, |_| {}, FailureCode::CompileFailed, "compile_memory_bytes_max").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_longer_than_memory_and_memory_beyond_the_bound_are_refused() {
    let data = "x".repeat(17 << 20);
    let beyond = format!(
        "(core module $m (memory 272) (data (i32.const 0) \"{data}\")) (core instance (instantiate $m))"
    );
    // So long a component is large, and bound as such.
    let limited = |config: &mut HostConfig| config.limits.large.memory_bytes = 16 << 20;
    refused(component(&beyond), limited, FailureCode::InstanceLimit, "large_memory_bytes_max").await;
    let within = "(core module $m (memory 257) (data (i32.const 0) \"x\")) (core instance (instantiate $m))";
    refused(component(within), |_| {}, FailureCode::InstanceLimit, "memory_bytes_max").await;
    let long = format!("(core module (memory 1) (data \"{}\"))", "x".repeat(33 << 20));
    refused(component(&long), |_| {}, FailureCode::ComponentTooLarge, "component_bytes_max").await;
}
