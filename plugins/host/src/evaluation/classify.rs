//! From what wasmtime reports to the closed list of failures: the one table.

use wasmtime::Trap;

use crate::failure::{FailureCode, Stop};
use crate::record::LogLevel;
use crate::sandbox::Sandbox;
use crate::text::plain;

/// The engine's own error for this has no public type.
const TRANSFER_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

pub(super) fn stop(error: &wasmtime::Error, sandbox: &Sandbox) -> Stop {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Stop::new(stop.code, stop.detail.clone());
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(*trap, sandbox);
    }
    let text = format!("{error:#}");
    if text.contains(TRANSFER_EXHAUSTED) {
        let detail =
            format!("more than {} bytes in one transfer from the guest", sandbox.limits.transfer_bytes);
        return Stop::new(FailureCode::OutputTooLarge, detail);
    }
    // What is left is data that cannot be lifted: bad UTF-8, pointers outside of memory, unknown cases.
    Stop::new(FailureCode::InvalidOutput, plain(&text, sandbox.limits.analysis_bytes))
}

fn trapped(trap: Trap, sandbox: &Sandbox) -> Stop {
    let code = match trap {
        Trap::StackOverflow => FailureCode::StackOverflow,
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => FailureCode::OutOfBounds,
        Trap::UnreachableCodeReached => FailureCode::Abort,
        Trap::Interrupt => FailureCode::Timeout,
        _ => FailureCode::Trap,
    };
    let last_words = sandbox.logs.last().filter(|line| line.level == LogLevel::Error);
    let detail = match last_words {
        Some(line) => format!("{trap}; last logged: {}", line.message),
        None => trap.to_string(),
    };
    Stop::new(code, detail)
}
