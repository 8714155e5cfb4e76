//! The gateway's end of the control socket.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::{Address, FILE, Failure, Reply, parse};
use crate::data_dir::DataDir;

const ROOT: u32 = 0;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Requests at once; further ones wait to be accepted.
    pub(crate) requests_max: usize,
    pub(crate) request_bytes_max: u64,
    /// From the accepted connection to the reply.
    pub(crate) timeout: Duration,
}

/// The bound socket; its file goes with it.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Users who may speak.
    users: [u32; 2],
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Binds in a data directory whose lock is held: a file of that name can only be left over from a crash.
    pub(crate) fn bind(data_dir: &DataDir) -> io::Result<Self> {
        let address = Address::within(data_dir.path())?;
        match fs::remove_file(&address.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&address.path)?;
        // Until here nobody else could open it either: the directory is its owner's.
        fs::set_permissions(&address.path, fs::Permissions::from_mode(0o600))?;
        let owner = fs::metadata(&address.path)?.uid();
        Ok(Self { listener, path: data_dir.path().join(FILE), users: [owner, ROOT] })
    }

    /// Lets `handle` carry out one request a connection until `stop`; then removes the socket and lets open ones end.
    pub(crate) async fn serve<Order, Answer, Handle, Work>(
        self,
        bounds: Bounds,
        stop: CancellationToken,
        handle: Handle,
    ) where
        Order: DeserializeOwned + Send + 'static,
        Answer: Serialize + Send + 'static,
        Handle: Fn(Order) -> Work + Clone + Send + Sync + 'static,
        Work: Future<Output = Reply<Answer>> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(bounds.requests_max));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&slots) => accepted,
            };
            let Some((stream, slot)) = accepted else { continue };
            let connection = Connection { stream, slot: Arc::new(slot), bounds, tasks: tasks.clone() };
            match self.refusal(&connection.stream) {
                Some(failure) => {
                    tasks.spawn(connection.send::<Answer>(Err(failure)));
                }
                None => {
                    tasks.spawn(connection.converse(handle.clone()));
                }
            }
        }
        drop(self);
        tasks.close();
        tasks.wait().await;
    }

    /// A slot before the accept: beyond the bound, connections wait in the kernel's backlog.
    async fn accept(&self, slots: &Arc<Semaphore>) -> Option<(UnixStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, slot)),
            Err(error) => {
                tracing::warn!(%error, "a command's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    /// Why the peer may not speak: it is neither this process's user nor root.
    fn refusal(&self, stream: &UnixStream) -> Option<Failure> {
        let refused = match stream.peer_cred() {
            Ok(peer) if self.users.contains(&peer.uid()) => return None,
            Ok(peer) => {
                format!("user {} may not command this gateway; user {} may", peer.uid(), self.users[0])
            }
            Err(error) => format!("it cannot be told who asks: {error}"),
        };
        tracing::warn!(reason = refused, "a command was refused");
        Some(Failure::new(refused))
    }

    #[cfg(test)]
    pub(super) fn owned_by(mut self, user: u32) -> Self {
        self.users = [user; 2];
        self
    }
}

struct Connection {
    stream: UnixStream,
    /// Shared with the work, which may outlast the connection.
    slot: Arc<OwnedSemaphorePermit>,
    bounds: Bounds,
    tasks: TaskTracker,
}

impl Connection {
    async fn converse<Order, Answer, Handle, Work>(mut self, handle: Handle)
    where
        Order: DeserializeOwned + Send + 'static,
        Answer: Serialize + Send + 'static,
        Handle: Fn(Order) -> Work + Send + Sync + 'static,
        Work: Future<Output = Reply<Answer>> + Send + 'static,
    {
        let process = self.stream.peer_cred().ok().and_then(|peer| peer.pid());
        let deadline = Instant::now() + self.bounds.timeout;
        let order = match timeout_at(deadline.into(), self.receive()).await {
            Ok(received) => received.and_then(|document| parse::<Order>(&document)),
            Err(_) => {
                Err(Failure::new(format!("the request did not arrive within {:?}", self.bounds.timeout)))
            }
        };
        let order = match order {
            Ok(order) => order,
            Err(failure) => return self.send::<Answer>(Err(failure)).await,
        };
        // A task of its own: work that its caller no longer waits for is still finished, never cut off half-way.
        let span = tracing::info_span!("control", process.pid = process);
        let slot = Arc::clone(&self.slot);
        let work = async move {
            let reply = handle(order).await;
            drop(slot);
            reply
        };
        let work = self.tasks.spawn(work.instrument(span));
        let reply = match timeout_at(deadline.into(), work).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(Failure::new("the gateway failed at it; its log says why".to_owned())),
            Err(_) => Err(Failure::new(format!(
                "not done within {:?} (`server.control_timeout_ms`), and may still be: look with `list`",
                self.bounds.timeout
            ))),
        };
        self.send(reply).await;
    }

    async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let failed = |error: io::Error| Failure::new(format!("the request did not arrive: {error}"));
        let most = self.bounds.request_bytes_max;
        let mut document = Vec::new();
        let mut bounded = (&mut self.stream).take(most + 1);
        bounded.read_to_end(&mut document).await.map_err(failed)?;
        if u64::try_from(document.len()).is_ok_and(|length| length <= most) {
            return Ok(document);
        }
        // The client reads once it has written: take the rest and forget it.
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map_err(failed)?;
        Err(Failure::new(format!(
            "the request is longer than {most} bytes; see `plugins.component_bytes_max`"
        )))
    }

    async fn send<Answer: Serialize>(mut self, reply: Reply<Answer>) {
        let text = match serde_json::to_vec(&reply) {
            Ok(text) => text,
            Err(error) => return tracing::error!(%error, "a command's answer cannot be written"),
        };
        if !matches!(timeout(self.bounds.timeout, self.stream.write_all(&text)).await, Ok(Ok(()))) {
            tracing::warn!("a command went away before its answer");
        }
    }
}
