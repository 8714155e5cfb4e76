//! Compiling a component in a short-lived child process: a component made to hurt the compiler hurts
//! only a child whose memory, processor time and life are limited.

mod child;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

pub use self::child::compile_child_main;
use crate::config::CompileConfig;
use crate::failure::{EvaluationFailure, FailureCode};
use crate::text::plain;

const COMPLAINT_BYTES: usize = 2048;
/// What an allocation that fails is told by: Rust's own words, and the system's.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of", "Cannot allocate memory"];

/// How to start a child: a program, by its absolute path, that calls [`compile_child_main`] and nothing else.
#[derive(Debug, Clone)]
pub struct CompileCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

/// The first line that the child reads; the component follows.
#[derive(Debug, Serialize, Deserialize)]
struct ChildLimits {
    memory_bytes: u64,
    cpu_seconds: u64,
    count_fuel: bool,
}

/// Native code for a component, as a child made it.
pub(crate) async fn compile(config: &CompileConfig, component: &[u8]) -> Result<Vec<u8>, EvaluationFailure> {
    let finished = tokio::time::timeout(config.timeout, run_child(config, component)).await;
    let output = match finished {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(refused(format!("cannot run the compiler: {error}"))),
        Err(_) => {
            let allowed = config.timeout;
            return Err(refused(format!("compiling took longer than {allowed:?} (`compile_timeout_ms`)")));
        }
    };
    if output.stdout.len() > config.artifact_bytes {
        let allowed = config.artifact_bytes;
        return Err(refused(format!(
            "the compiled code is longer than {allowed} bytes (`artifact_bytes_max`)"
        )));
    }
    if !output.status.success() {
        return Err(refused(why_it_ended(config, &output)));
    }
    Ok(output.stdout)
}

/// Names the bound that a child met, where there is one.
fn why_it_ended(config: &CompileConfig, output: &Output) -> String {
    let complaint = plain(String::from_utf8_lossy(&output.stderr).trim(), COMPLAINT_BYTES);
    if output.status.signal() == Some(Signal::XCPU.as_raw()) {
        let allowed = config.cpu_seconds;
        return format!("compiling took more than {allowed} s of processor time (`compile_cpu_seconds_max`)");
    }
    if OUT_OF_MEMORY.iter().any(|words| complaint.contains(words)) {
        let allowed = config.memory_bytes;
        return format!("compiling took more than {allowed} bytes of memory (`compile_memory_bytes_max`)");
    }
    format!("the compiler ended with {}: {complaint}", output.status)
}

fn refused(detail: String) -> EvaluationFailure {
    EvaluationFailure::new(FailureCode::CompileFailed, detail)
}

async fn run_child(config: &CompileConfig, component: &[u8]) -> std::io::Result<Output> {
    let mut child = Command::new(&config.command.program)
        .args(&config.command.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (fed, answer) =
        tokio::join!(feed(child.stdin.take(), config, component), collect(&mut child, config));
    let output = answer?;
    // A child that refuses its input closes the pipe; its complaint says more than the broken pipe.
    if output.status.success() {
        fed?;
    }
    Ok(output)
}

async fn feed(
    stdin: Option<tokio::process::ChildStdin>,
    config: &CompileConfig,
    component: &[u8],
) -> std::io::Result<()> {
    let mut stdin = stdin.expect("standard input was asked for as a pipe");
    let limits = ChildLimits {
        memory_bytes: config.memory_bytes,
        cpu_seconds: config.cpu_seconds,
        count_fuel: config.count_fuel,
    };
    let mut header = serde_json::to_vec(&limits)?;
    header.push(b'\n');
    stdin.write_all(&header).await?;
    stdin.write_all(component).await?;
    stdin.shutdown().await
}

async fn collect(child: &mut Child, config: &CompileConfig) -> std::io::Result<Output> {
    let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
    let stderr = child.stderr.take().expect("standard error was asked for as a pipe");
    let (stdout, stderr) = tokio::join!(
        read_bounded(stdout, config.artifact_bytes.saturating_add(1)),
        read_bounded(stderr, 4 * COMPLAINT_BYTES)
    );
    let status = child.wait().await?;
    Ok(Output { status, stdout: stdout?, stderr: stderr? })
}

/// Reads up to a limit and closes the pipe, which ends a child that writes on.
async fn read_bounded(pipe: impl tokio::io::AsyncRead + Unpin, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(bytes_max as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
