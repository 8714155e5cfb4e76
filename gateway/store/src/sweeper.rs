//! Sweeps at the start and from time to time, and holds back permits until the rows are proven.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gateway_domain::{audit::LaneHead, changes::CommitError, ids::InstanceId, sealed::Sealer};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config::StoreConfig,
    connections::Opening,
    dialect::{Access, Engine},
    error::StoreError,
    sweep::{Sweep, sweep},
};

/// The pause after a sweep that failed.
const RETRY: Duration = Duration::from_secs(5);

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

impl Integrity {
    fn of(findings: &[String]) -> Self {
        match findings {
            [] => Self::Proven,
            findings => Self::Broken(findings.join("\n").into()),
        }
    }
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
    /// As the last sweep found them.
    heads: Mutex<BTreeMap<InstanceId, LaneHead>>,
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
            heads: Mutex::default(),
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
                // Nothing is permitted before the first comparison, nor after one that failed.
                let proven = self.integrity() != Integrity::Unproven;
                tokio::time::sleep(if proven { interval } else { interval.min(RETRY) }).await;
            }
        }))
    }

    /// Looks at every row, and remembers what it found. Rows that cannot be looked at are not proven any more.
    pub(crate) async fn sweep(&self) -> Result<Sweep, StoreError> {
        let started = Instant::now();
        let broken = |findings: &[String]| self.publish(Integrity::of(findings));
        let swept = sweep(&self.opening, self.begin, &self.sealer, self.deadline, &broken).await;
        let mut sweep = swept.inspect_err(|_| {
            if self.integrity() == Integrity::Proven {
                self.publish(Integrity::Unproven);
            }
        })?;
        sweep.findings.extend(self.heads_that_went_back(&sweep));
        metrics::histogram!("countersign_store_sweep_seconds").record(started.elapsed().as_secs_f64());
        self.publish(Integrity::of(&sweep.findings));
        Ok(sweep)
    }

    fn publish(&self, integrity: Integrity) {
        metrics::gauge!("countersign_store_rows_proven").set(if integrity == Integrity::Proven {
            1.0
        } else {
            0.0
        });
        self.integrity.send_replace(integrity);
    }

    /// Lanes only grow. One that was longer before has been put back together with its rows.
    fn heads_that_went_back(&self, sweep: &Sweep) -> Vec<String> {
        let mut known = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let back = |(lane, head): (&InstanceId, &LaneHead)| match sweep.heads.get(lane) {
            Some(now) if now.sequence >= head.sequence => None,
            Some(now) => {
                Some(format!("audit lane {lane} went back from entry {} to {}", head.sequence, now.sequence))
            }
            None => Some(format!("audit lane {lane} is gone")),
        };
        let findings: Vec<String> = known.iter().filter_map(back).collect();
        if findings.is_empty() {
            known.clone_from(&sweep.heads);
        }
        findings
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
