//! The child's side: limit yourself, read, compile, write, end.

use std::error::Error;
use std::io::{BufRead, Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasmparser::{CanonicalFunction, Parser, Payload};

use super::ChildLimits;
use crate::engine;

/// The whole life of a compiling child: reads its limits and a component from standard input, writes
/// native code to standard output. A complaint goes to standard error, with exit code 1.
pub fn compile_child_main() -> ExitCode {
    match compile_from_input() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear it if this fails.
            let _ = writeln!(stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn compile_from_input() -> Result<(), Box<dyn Error>> {
    // The parent may die by `kill -9`; this process must not outlive it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut input = stdin().lock();
    let mut header = String::new();
    input.read_line(&mut header)?;
    let limits: ChildLimits = serde_json::from_str(&header)?;
    apply(&limits)?;
    let mut component = Vec::new();
    input.read_to_end(&mut component)?;
    refuse_resources(&component)?;
    let artifact = engine::compiling(limits.count_fuel)?
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    stdout().lock().write_all(&artifact)?;
    Ok(())
}

/// Nothing bounds a guest's table of handles, and no interface of the contract needs one: a component
/// that makes resources of its own is refused.
fn refuse_resources(component: &[u8]) -> Result<(), Box<dyn Error>> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ComponentCanonicalSection(functions) = payload? {
            for function in functions {
                if matches!(function?, CanonicalFunction::ResourceNew { .. }) {
                    return Err("the component makes resources, which a plugin may not".into());
                }
            }
        }
    }
    Ok(())
}

fn apply(limits: &ChildLimits) -> rustix::io::Result<()> {
    let bounds = [
        (Resource::As, limits.memory_bytes, limits.memory_bytes),
        // At the first a signal of its own, by which the parent knows the bound; at the second the end for sure.
        (Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds.saturating_add(1)),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
    ];
    for (resource, current, maximum) in bounds {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?;
    }
    Ok(())
}
