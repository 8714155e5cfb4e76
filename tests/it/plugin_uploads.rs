//! T29: components that hurt whoever compiles them, uploaded to a gateway that signs meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::gateway::Gateway;

use crate::control::order;
use crate::plugin_hostile::propose;
use crate::stand::{Stand, request_hash};

/// Loops in loops, each of which changes a local that all others read: work that grows with the cube of them.
fn endless_to_compile() -> String {
    const LOOPS: usize = 250;
    let (mut changes, mut closed) = (String::new(), String::new());
    for local in 0..LOOPS {
        let _ = write!(changes, "(local.set {local} (i32.add (local.get {local}) (i32.const 1)))");
        let _ = write!(closed, "(br_if 0 (local.get {local})))");
    }
    let locals = "i32 ".repeat(LOOPS);
    let function = format!("(func (local {locals}) {} {changes} {closed})", "(loop ".repeat(LOOPS));
    format!("(component (core module {}))", function.repeat(10))
}

/// A byte at each end of a memory: fifty bytes of it are sixteen megabytes of compiled code.
fn sparse_memories(modules: usize) -> String {
    let module = "(core module (memory 256) (data (i32.const 0) \"a\") (data (i32.const 16700000) \"b\"))";
    format!("(component {})", module.repeat(modules))
}

/// What the gateway says to an upload that it refuses.
fn refused(stand: &Stand, name: &str, text: &str) -> Result<String> {
    let path = stand.installation.data_dir().join(format!("{name}.wasm"));
    fs::write(&path, wat::parse_str(text)?)?;
    let component = path.to_str().context("path")?;
    let answer = order(&stand.installation, &["plugin", "install", component, "--name", name, "--gate"]);
    let error = answer.err().with_context(|| format!("`{name}` was installed"))?;
    Ok(error.to_string())
}

/// A small transfer, judged by Orion and signed.
async fn executed(stand: &Stand, gateway: &Gateway, value: u64) -> Result<()> {
    let proposed = propose(stand, gateway, value).await?;
    let ended = stand.job(gateway).final_transaction(request_hash(&proposed)).await?;
    ensure!(ended["status"] == "EXECUTED", "{ended}\n{}", gateway.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compiled_is_refused_while_others_are_judged_and_signed() -> Result<()> {
    let bounds = "[plugins]\ncompile_cpu_seconds_max = 10\ndeadline_ms = 20000\n";
    let stand = Arc::new(Stand::with_configuration(bounds).await?);
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    executed(&stand, &gateway, 1).await?;

    let uploading = {
        let stand = Arc::clone(&stand);
        tokio::task::spawn_blocking(move || refused(&stand, "endless", &endless_to_compile()))
    };
    let mut beside = 0;
    while !uploading.is_finished() {
        executed(&stand, &gateway, 2 + beside).await?;
        beside += 1;
    }
    let told = uploading.await??;
    ensure!(told.contains("10 s of processor time (`compile_cpu_seconds_max`)"), "{told}");
    // The last one may have outlived the upload.
    ensure!(beside >= 3, "{beside} transactions were signed while the compiler was busy");

    let instances = "(core instance (instantiate $m))".repeat(11);
    for (name, text, key) in [
        ("sparse", sparse_memories(30), "artifact_bytes_max"),
        ("sparser", sparse_memories(200), "compile_memory_bytes_max"),
        ("many", format!("(component (core module $m) {instances})"), "instances_max"),
    ] {
        let told = refused(&stand, name, &text)?;
        ensure!(told.contains(&format!("`{key}`")), "{name}: {told}");
        gateway.operator().get("/readyz", Credential::Nobody).await?.expect(200)?;
    }
    executed(&stand, &gateway, 1000).await?;
    stand.finish(gateway).await
}
