//! Child processes that cannot outlive their owner.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::wait;

const OUTPUT_LINES_KEPT: usize = 400;
const PROGRAM_SECONDS_MAX: &str = "600";

/// A program that is to end by itself, and is killed with all it started if it does not: its exit code is 137 then.
pub fn ending(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal", "KILL", PROGRAM_SECONDS_MAX]).arg(program);
    command
}

/// A running program. Dropping it kills it and waits until it is gone.
pub struct Service {
    name: String,
    child: Child,
    stdout_lines: UnboundedReceiver<String>,
    output: Arc<Mutex<VecDeque<String>>>,
}

impl Service {
    /// Starts `program`. The kernel kills it when the starting thread ends, so that even a killed owner
    /// leaves nothing behind.
    pub fn start<Argument: AsRef<OsStr>>(
        program: &OsStr,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Result<Service> {
        let name = program.to_string_lossy().into_owned();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let output = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, stdout_lines) = unbounded_channel();
        let stdout = child.stdout.take().context("a piped child has a standard output")?;
        let stderr = child.stderr.take().context("a piped child has a standard error")?;
        // The lines end when both outputs have: what a child says last is on its standard error.
        let until_the_end = sender.clone();
        follow(stderr, Arc::clone(&output), move |_| {
            let _held = &until_the_end;
        });
        follow(stdout, Arc::clone(&output), move |line| {
            // Nobody may be interested in later lines.
            let _ = sender.send(line.to_owned());
        });
        Ok(Service { name, child, stdout_lines, output })
    }

    /// The rest of the first line on standard output that begins with `prefix`.
    pub async fn line_after(&mut self, prefix: &str, deadline: Duration) -> Result<String> {
        let found = timeout(deadline, async {
            while let Some(line) = self.stdout_lines.recv().await {
                if let Some(rest) = line.strip_prefix(prefix) {
                    return Some(rest.trim().to_owned());
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => bail!("`{}` ended before it printed `{prefix}`:\n{}", self.name, self.output()),
            Err(_) => bail!("`{}` did not print `{prefix}` in {deadline:?}:\n{}", self.name, self.output()),
        }
    }

    /// The last lines of both outputs, as a failing test shows them.
    pub fn output(&self) -> String {
        let lines = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Waits until `text` is among its last lines, which come later than what it answers.
    pub async fn says(&self, text: &str, deadline: Duration) -> Result<()> {
        wait::until(text, deadline, async || Ok(self.output().contains(text).then_some(()))).await
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, then waits until the process is gone.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for the process to end by itself.
    pub async fn terminate(mut self, deadline: Duration) -> Result<ExitStatus> {
        signal(self.child.id(), "TERM")?;
        let name = self.name.clone();
        wait::until(&format!("`{name}` to end after SIGTERM"), deadline, async || {
            Ok(self.child.try_wait()?)
        })
        .await
        .with_context(|| self.output())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, by name without `SIG`, to one process.
pub fn signal(process_id: u32, name: &str) -> Result<()> {
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process_id.to_string()])
        .status()?;
    if !status.success() {
        bail!("cannot send `{name}` to process {process_id}");
    }
    Ok(())
}

fn follow(
    stream: impl Read + Send + 'static,
    output: Arc<Mutex<VecDeque<String>>>,
    mut each: impl FnMut(&str) + Send + 'static,
) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            each(&line);
            let mut kept = output.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == OUTPUT_LINES_KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    });
}

/// Kibibytes of a process in memory.
pub fn resident_kib(process_id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no `VmRSS`")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
