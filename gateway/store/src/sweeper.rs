//! Sweeps at the start and from time to time, and holds back permits until the rows are proven.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_domain::{changes::CommitError, sealed::Sealer};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config::StoreConfig,
    connections::Opening,
    dialect::{Access, Engine},
    error::StoreError,
    sweep::{Sweep, sweep},
};

/// What is known of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// The first sweep is not finished.
    Unproven,
    /// As the log says, when it was looked at last.
    Proven,
    /// What the last sweep found wrong, one finding a line.
    Broken(Arc<str>),
}

/// Why a permit was not stored.
#[derive(Debug, thiserror::Error)]
enum Withheld {
    #[error("the rows have not been compared with the audit log yet")]
    Unproven,
    #[error("the rows are not what the audit log says was written: {0}")]
    Broken(Arc<str>),
}

/// Compares every sealed row of a database with its audit log once, as [`crate::Store`] does while it is open.
pub async fn sweep_database(config: &StoreConfig, sealer: Arc<Sealer>) -> Result<Sweep, StoreError> {
    Sweeper::new(Engine::of(&config.url)?, config, sealer).sweep().await
}

pub(crate) struct Sweeper {
    opening: Opening,
    begin: &'static [&'static str],
    sealer: Arc<Sealer>,
    deadline: Duration,
    is_required: bool,
    wait: Duration,
    integrity: watch::Sender<Integrity>,
}

/// Sweeps until dropped.
pub(crate) struct Sweeping(JoinHandle<()>);

impl Sweeper {
    pub(crate) fn new(engine: Engine, config: &StoreConfig, sealer: Arc<Sealer>) -> Self {
        Self {
            opening: Opening::new(engine, config, Access::Read, "rw"),
            begin: engine.begin_snapshot(),
            sealer,
            deadline: config.sweep_timeout,
            is_required: config.sweep_before_permits,
            wait: config.commit_wait_max,
            integrity: watch::Sender::new(Integrity::Unproven),
        }
    }

    /// Sweeps now and every `interval`, on the current runtime.
    pub(crate) fn start(self: Arc<Self>, interval: Duration) -> Sweeping {
        Sweeping(tokio::spawn(async move {
            loop {
                let started = Instant::now();
                match self.sweep().await {
                    Ok(sweep) if sweep.findings.is_empty() => {
                        let seconds = started.elapsed().as_secs_f64();
                        tracing::info!(rows = sweep.rows, seconds, "every row is as the audit log says");
                    }
                    Ok(sweep) => tracing::error!(
                        rows = sweep.rows,
                        findings = sweep.findings.join("; "),
                        "rows are not what the audit log says was written; no permit is given"
                    ),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the rows could not be compared with the audit log"
                    ),
                }
                tokio::time::sleep(interval).await;
            }
        }))
    }

    /// Looks at every row, and remembers what it found. A sweep that fails says nothing about the rows.
    pub(crate) async fn sweep(&self) -> Result<Sweep, StoreError> {
        let started = Instant::now();
        let sweep = sweep(&self.opening, self.begin, &self.sealer, self.deadline).await?;
        let integrity = match sweep.findings.as_slice() {
            [] => Integrity::Proven,
            findings => Integrity::Broken(findings.join("\n").into()),
        };
        metrics::gauge!("countersign_store_rows_proven").set(if integrity == Integrity::Proven {
            1.0
        } else {
            0.0
        });
        metrics::histogram!("countersign_store_sweep_seconds").record(started.elapsed().as_secs_f64());
        self.integrity.send_replace(integrity);
        Ok(sweep)
    }

    pub(crate) fn integrity(&self) -> Integrity {
        self.integrity.borrow().clone()
    }

    /// Waits for the first sweep, for as long as a change set may wait; refuses while the rows are not proven.
    pub(crate) async fn require_proven(&self) -> Result<(), CommitError> {
        if !self.is_required {
            return Ok(());
        }
        let mut integrity = self.integrity.subscribe();
        let known = integrity.wait_for(|integrity| *integrity != Integrity::Unproven);
        let refused: CommitError = match tokio::time::timeout(self.wait, known).await {
            Ok(Ok(integrity)) => match &*integrity {
                Integrity::Proven => return Ok(()),
                Integrity::Broken(findings) => {
                    CommitError::Refused(Box::new(Withheld::Broken(findings.clone())))
                }
                Integrity::Unproven => CommitError::Unavailable(Box::new(Withheld::Unproven)),
            },
            Ok(Err(_)) | Err(_) => CommitError::Unavailable(Box::new(Withheld::Unproven)),
        };
        Err(refused)
    }
}

impl Sweeping {
    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.stop();
    }
}
