//! The one writer: takes what is queued, applies it in one database transaction, acknowledges after the commit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_domain::{
    changes::{CommitError, Contested},
    ids::InstanceId,
    sealed::Sealer,
};
use sqlx::{AnyConnection, Connection};
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    batch::{Batches, Outcome},
    config::StoreConfig,
    connections::Opening,
    dialect::{Access, Engine, EngineSql, Failure},
    error::Overload,
    known::Known,
    seen::Seen,
    unit::Unit,
};

mod group;
mod lane;

use group::{GroupFailure, Isolation};
use lane::Lane;

type UnitResult = Result<Outcome, CommitError>;

struct Request {
    unit: Unit,
    queued: Instant,
    reply: oneshot::Sender<UnitResult>,
}

/// Where units are handed in.
pub(crate) struct WriterHandle {
    queue: mpsc::Sender<Request>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer shares with the rest of the store.
pub(crate) struct Parts {
    pub(crate) sql: Arc<EngineSql>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) outbox_written: Arc<Notify>,
    pub(crate) known: Option<Arc<Known>>,
    pub(crate) seen: Arc<Seen>,
}

pub(crate) struct Writer {
    opening: Opening,
    sql: Arc<EngineSql>,
    batches: Batches,
    connection: Option<AnyConnection>,
    lane: Lane,
    outbox_written: Arc<Notify>,
    known: Option<Arc<Known>>,
    seen: Arc<Seen>,
    limits: Limits,
}

struct Limits {
    queue: usize,
    wait: Duration,
    group: usize,
    timeout: Duration,
    retries: u32,
}

impl WriterHandle {
    /// Returns once the unit is durable, or why it is not.
    pub(crate) async fn submit(&self, unit: Unit) -> UnitResult {
        let (reply, answer) = oneshot::channel();
        let request = Request { unit, queued: Instant::now(), reply };
        self.queue.try_send(request).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Overload::QueueFull,
            mpsc::error::TrySendError::Closed(_) => Overload::Stopped,
        })?;
        answer.await.unwrap_or_else(|_| Err(Overload::Stopped.into()))
    }

    pub(crate) fn depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Refuses new units, finishes what is queued and closes the connection.
    pub(crate) async fn stop(&self) {
        self.stop.notify_one();
        if let Some(task) = self.task.lock().await.take()
            && let Err(cause) = task.await
        {
            tracing::error!(error = %cause, "the database writer ended badly");
        }
    }
}

impl Writer {
    pub(crate) fn new(engine: Engine, config: &StoreConfig, parts: Parts, instance: InstanceId) -> Self {
        let Parts { sql, sealer, outbox_written, known, seen } = parts;
        Self {
            opening: Opening::new(engine, config, Access::Write, "rw"),
            sql,
            batches: Batches::new(engine),
            connection: None,
            lane: Lane::new(instance, sealer),
            outbox_written,
            known,
            seen,
            limits: Limits {
                queue: config.commit_queue_max,
                wait: config.commit_wait_max,
                group: config.commit_group_max,
                timeout: config.commit_timeout,
                retries: config.commit_retries_max,
            },
        }
    }

    pub(crate) fn start(self) -> WriterHandle {
        let (queue, requests) = mpsc::channel(self.limits.queue);
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(self.run(requests, stop.clone()));
        WriterHandle { queue, stop, task: Mutex::new(Some(task)) }
    }

    /// The idle connection, or a new one. The caller puts it back only if it is fit for another transaction.
    pub(crate) async fn take_connection(&mut self) -> Result<AnyConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.opening.open().await,
        }
    }

    pub(crate) fn put_back(&mut self, connection: AnyConnection) {
        self.connection = Some(connection);
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>, stop: Arc<Notify>) {
        let mut taken = Vec::with_capacity(self.limits.group);
        loop {
            tokio::select! {
                biased;
                () = stop.notified() => requests.close(),
                count = requests.recv_many(&mut taken, self.limits.group) => {
                    if count == 0 {
                        break;
                    }
                    let group = self.still_wanted(&mut taken);
                    if !group.is_empty() {
                        self.serve(group).await;
                    }
                }
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(cause) = connection.close().await
        {
            tracing::warn!(error = %cause, "the writing connection did not close cleanly");
        }
    }

    fn still_wanted(&self, taken: &mut Vec<Request>) -> Vec<Request> {
        let (wanted, late): (Vec<_>, Vec<_>) =
            taken.drain(..).partition(|request| request.queued.elapsed() <= self.limits.wait);
        for request in late {
            answer(request, Err(Overload::WaitedTooLong.into()));
        }
        wanted
    }

    /// Applies a group and answers everybody in it.
    async fn serve(&mut self, group: Vec<Request>) {
        let units: Vec<&Unit> = group.iter().map(|request| &request.unit).collect();
        let started = Instant::now();
        let outcome = self.settle(&units).await;
        // Before anybody is answered, and also where it is unknown whether the group took effect.
        if let Some(known) = &self.known
            && units.iter().any(|unit| unit.changes_known)
        {
            known.forget();
        }
        record(started.elapsed(), units.len());
        match outcome {
            Ok(outcomes) => {
                let written = outcomes.iter().zip(&units).filter(|(outcome, _)| outcome.is_ok());
                written.for_each(|(_, unit)| self.seen.wrote(&unit.rows));
                if outcomes.iter().zip(&units).any(|(outcome, unit)| outcome.is_ok() && unit.wakes_outbox) {
                    self.outbox_written.notify_one();
                }
                group.into_iter().zip(outcomes).for_each(|(request, outcome)| answer(request, outcome));
            }
            Err(cause) => fail(group, cause),
        }
    }

    /// Applies units until they are committed or cannot be.
    async fn settle(&mut self, units: &[&Unit]) -> Result<Vec<UnitResult>, CommitError> {
        let mut isolation = Isolation::None;
        let mut retries = 0;
        loop {
            match tokio::time::timeout(self.limits.timeout, self.apply(units, isolation)).await {
                Ok(Ok(outcomes)) => return Ok(outcomes),
                Ok(Err(GroupFailure::UnitFailed)) => isolation = Isolation::Savepoints,
                Ok(Err(GroupFailure::NotApplied(Failure::Transient(_)))) if retries < self.limits.retries => {
                    retries += 1;
                    metrics::counter!("countersign_store_group_retries_total").increment(1);
                }
                Ok(Err(GroupFailure::NotApplied(failure))) => return Err(failure.into_commit_error()),
                Ok(Err(GroupFailure::Unknown(cause))) => {
                    self.forget();
                    return Err(cause);
                }
                Err(_) => {
                    self.forget();
                    return Err(Overload::TimedOut.into());
                }
            }
        }
    }

    /// Drops a connection of which nobody knows what it did, and the lane's head with it.
    fn forget(&mut self) {
        self.connection = None;
        self.lane.forget();
    }
}

/// A group of one gets the cause itself; several share its text.
fn fail(mut group: Vec<Request>, cause: CommitError) {
    if !matches!(cause, CommitError::Conflict(_)) {
        tracing::error!(
            error = &cause as &dyn std::error::Error,
            group = group.len(),
            "a group was not committed"
        );
    }
    if group.len() == 1
        && let Some(request) = group.pop()
    {
        return answer(request, Err(cause));
    }
    for request in group {
        answer(request, Err(Overload::Group(cause.to_string()).into()));
    }
}

fn answer(request: Request, outcome: UnitResult) {
    if let Err(CommitError::Conflict(contested)) = &outcome {
        metrics::counter!("countersign_store_conflicts_total", "contested" => contested_name(*contested))
            .increment(1);
    }
    // A caller that has gone away does not undo its commit.
    let _ = request.reply.send(outcome);
}

fn record(elapsed: Duration, size: usize) {
    metrics::histogram!("countersign_store_commit_seconds").record(elapsed.as_secs_f64());
    metrics::histogram!("countersign_store_commit_group_size")
        .record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
}

fn contested_name(contested: Contested) -> &'static str {
    match contested {
        Contested::Version => "version",
        Contested::UserAddress => "user_address",
        Contested::EscrowAddress => "escrow_address",
        Contested::RequestHash => "request_hash",
        Contested::Vote => "vote",
        Contested::Permit => "permit",
        Contested::Nonce => "nonce",
        Contested::PluginState => "plugin_state",
        Contested::Quota => "quota",
        Contested::Relay => "relay",
        Contested::Replay => "replay",
        Contested::Idempotency => "idempotency",
        Contested::SessionKey => "session_key",
        Contested::VaultName => "vault_name",
        Contested::Duplicate => "duplicate",
    }
}
