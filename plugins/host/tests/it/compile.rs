//! Only components are compiled, in a child that cannot take more than it is given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_host::{CompileCommand, ComponentSource, Digest, FailureCode, HostConfig, Origin};

use tempfile::TempDir;

use crate::guests::{TestHost, component, nested, source};

async fn refusal(component: ComponentSource, change: impl FnOnce(&mut HostConfig)) -> (FailureCode, String) {
    let failure = TestHost::with(change).host.prepare(component).await.unwrap_err();
    (failure.code, failure.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_differ_from_their_digest_are_refused() {
    let mut bytes = component("hello").bytes.to_vec();
    bytes[100] ^= 1;
    let swapped = ComponentSource { bytes: bytes.into(), digest: component("hello").digest };
    assert_eq!(refusal(swapped, |_| {}).await.0, FailureCode::DigestMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_hashed_again_when_the_digest_is_known() {
    let host = TestHost::start();
    let prepared = host.prepare("hello").await;
    let swapped = ComponentSource { bytes: Arc::from(*b"other"), digest: prepared.digest() };
    assert_eq!(host.host.prepare(swapped).await.unwrap_err().code, FailureCode::DigestMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_component_does_not_compile() {
    let truncated = component("hello").bytes[..2000].to_vec();
    let module = wat::parse_str("(module)").unwrap();
    for bytes in [b"not wasm".to_vec(), Vec::new(), truncated, module] {
        let (code, detail) = refusal(source(bytes), |_| {}).await;
        assert_eq!(code, FailureCode::CompileFailed, "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn precompiled_code_is_not_accepted_as_a_component() {
    let host = TestHost::start();
    host.prepare("hello").await;
    let cached = std::fs::read_dir(&host.config.cache.directory).unwrap().next().unwrap().unwrap().path();
    let native = std::fs::read(cached).unwrap().split_off(32);
    assert!(native.starts_with(b"\x7fELF"));
    assert_eq!(refusal(source(native), |_| {}).await.0, FailureCode::CompileFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_above_the_size_limit_is_refused() {
    let (code, _) = refusal(component("hello"), |config| config.compile.component_bytes = 1000).await;
    assert_eq!(code, FailureCode::ComponentTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn child_out_of_memory_fails_alone() {
    let (code, detail) = refusal(component("hello"), |config| config.compile.memory_bytes = 16 << 20).await;
    assert_eq!(code, FailureCode::CompileFailed);
    assert_eq!(detail, "compiling took more than 16777216 bytes of memory (`compile_memory_bytes_max`)");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_out_of_processor_time_is_ended() {
    let (code, detail) = refusal(component("hello"), |config| config.compile.cpu_seconds = 0).await;
    assert_eq!(code, FailureCode::CompileFailed);
    assert_eq!(detail, "compiling took more than 0 s of processor time (`compile_cpu_seconds_max`)");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_hangs_is_ended_at_its_time_out() {
    let command =
        CompileCommand { program: PathBuf::from("/bin/sleep"), arguments: vec![OsString::from("1000")] };
    let (code, detail) = refusal(component("hello"), |config| {
        config.compile.command = command;
        config.compile.timeout = Duration::from_millis(50);
    })
    .await;
    assert_eq!(
        (code, detail.as_str()),
        (FailureCode::CompileFailed, "compiling took longer than 50ms (`compile_timeout_ms`)")
    );
}

/// Compiles by way of a script that says in a directory that it runs.
fn watched(config: &mut HostConfig, directory: &Path, script: &str, concurrent: usize) {
    let compiler = config.compile.command.program.clone();
    let arguments = ["-c".into(), script.into(), "sh".into(), directory.into(), compiler.into_os_string()];
    config.compile.command =
        CompileCommand { program: PathBuf::from("/bin/sh"), arguments: arguments.into() };
    config.compile.concurrent = concurrent;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_so_many_compilations_at_once_they_take_turns() {
    let directory = TempDir::new().unwrap();
    let alone =
        "mkdir \"$1/running\" || touch \"$1/overlap\"; \"$2\"; status=$?; rmdir \"$1/running\"; exit $status";
    let host = TestHost::with(|config| watched(config, directory.path(), alone, 1));
    tokio::join!(host.prepare("hello"), host.prepare("endless"), host.prepare("limiter"));
    assert!(!directory.path().join("overlap").exists());

    // Each ends only once both have begun.
    let together = "touch \"$1/$$\"; while [ \"$(ls \"$1\" | wc -l)\" -lt 2 ]; do :; done; exec \"$2\"";
    let host = TestHost::with(|config| watched(config, directory.path(), together, 2));
    tokio::join!(host.prepare("hello"), host.prepare("endless"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compiled_already_does_not_wait_for_what_is_not() {
    let earlier = TestHost::start();
    earlier.prepare("hello").await;
    let directory = TempDir::new().unwrap();
    let (begun, go) = (directory.path().join("begun"), directory.path().join("go"));
    let held = "touch \"$1/begun\"; until [ -e \"$1/go\" ]; do :; done; exec \"$2\"";
    let host = TestHost::with(|config| {
        watched(config, directory.path(), held, 1);
        config.cache = earlier.config.cache.clone();
    });
    let cached = async {
        while !begun.exists() {
            tokio::task::yield_now().await;
        }
        let cached = host.prepare("hello").await;
        std::fs::write(&go, "").unwrap();
        cached
    };
    let (compiled, cached) = tokio::join!(host.prepare("endless"), cached);
    assert_eq!((compiled.origin(), cached.origin()), (Origin::Compiled, Origin::Cached));
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_without_end_is_refused() {
    let command = CompileCommand { program: PathBuf::from("/usr/bin/yes"), arguments: Vec::new() };
    let (code, _) = refusal(component("hello"), |config| config.compile.command = command).await;
    assert_eq!(code, FailureCode::CompileFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_above_the_limit_is_refused() {
    let (code, _) = refusal(component("hello"), |config| config.compile.artifact_bytes = 1000).await;
    assert_eq!(code, FailureCode::CompileFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_of_too_many_instances_or_too_large_memories_is_refused() {
    let many = format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(11));
    let memories =
        format!("(component (core module $m (memory 1)) {})", "(core instance (instantiate $m))".repeat(3));
    let large = "(component (core module $m (memory 300)) (core instance (instantiate $m)))";
    let wide = "(component (core module $m (table 20001 funcref)) (core instance (instantiate $m)))";
    for text in [many.as_str(), memories.as_str(), large, wide] {
        let (code, detail) = refusal(source(wat::parse_str(text).unwrap()), |_| {}).await;
        assert_eq!(code, FailureCode::InstanceLimit, "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_inside_components_to_any_depth_are_no_plugin_and_harm_nobody() {
    // Each holds the one before as its only section, to a depth that no toolchain needs.
    let mut bytes = wat::parse_str("(component)").unwrap();
    for _ in 0..2000 {
        bytes = nested(&bytes);
    }
    let (code, detail) = refusal(source(bytes), |_| {}).await;
    assert_eq!(code, FailureCode::UnsupportedContract, "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_makes_resources_is_refused() {
    let maker = "(component (type $handle (resource (rep i32))) (core func (canon resource.new $handle)))";
    for text in [maker.to_owned(), format!("(component (component {maker}))")] {
        let (code, detail) = refusal(source(wat::parse_str(text).unwrap()), |_| {}).await;
        assert_eq!(code, FailureCode::CompileFailed);
        assert!(detail.ends_with("the component makes resources, which a plugin may not"), "{detail}");
    }
}

#[test]
fn digests_read_and_print_as_hexadecimal() {
    let digest = Digest::of(b"");
    assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
    assert_eq!(Digest::from_hex("e3b0"), None);
}
