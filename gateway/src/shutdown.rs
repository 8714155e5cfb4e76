//! The end of a server: SIGTERM or SIGINT, told once to everybody who works.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM or SIGINT cancels. Handlers are installed before this returns, so that no signal ends the
/// process undrained; a second signal changes nothing, for the drain has a deadline of its own.
pub(crate) fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "draining");
        cancelled.cancel();
        // Later signals are taken and ignored.
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    #[tokio::test]
    async fn signals_cancel_once_and_end_nothing() {
        let stop = super::on_signal().expect("handlers are installed");
        assert!(!stop.is_cancelled());
        let own = std::process::id().to_string();
        for signal in ["-TERM", "-INT", "-TERM"] {
            let sent = Command::new("kill").args([signal, &own]).status().expect("kill runs");
            assert!(sent.success());
            tokio::time::timeout(Duration::from_secs(10), stop.cancelled()).await.expect("cancelled in time");
        }
    }
}
