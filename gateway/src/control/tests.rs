//! The socket between two processes' worth of code, with orders that are plain numbers.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::data_dir::DataDir;

const LONG: Duration = Duration::from_mins(1);
const BOUNDS: Bounds = Bounds { requests_max: 2, request_bytes_max: 200, timeout: LONG };

/// A directory, its lock, and a gateway that answers numbers with their double, refuses zero, and holds what is
/// above a thousand back until it is told to go on.
struct Bench {
    directory: TempDir,
    data_dir: DataDir,
    arrived: Arc<Semaphore>,
    go_on: Arc<Notify>,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        Self::within("data")
    }

    fn within(subdirectory: &str) -> Self {
        let directory = TempDir::new().expect("temporary directory");
        let data_dir = DataDir::open(&directory.path().join(subdirectory)).expect("opened");
        Self {
            directory,
            data_dir,
            arrived: Arc::new(Semaphore::new(0)),
            go_on: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    fn path(&self) -> &Path {
        self.data_dir.path()
    }

    fn start(&self, bounds: Bounds) -> JoinHandle<()> {
        self.start_on(self.bind(), bounds)
    }

    fn bind(&self) -> Socket {
        Socket::bind(&self.data_dir).expect("bound")
    }

    fn start_on(&self, socket: Socket, bounds: Bounds) -> JoinHandle<()> {
        let (arrived, go_on) = (self.arrived.clone(), self.go_on.clone());
        let handle = move |number: u64| {
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            async move {
                arrived.add_permits(1);
                if number > 1000 {
                    go_on.notified().await;
                }
                if number == 0 { Err(Failure::new("zero has no double".to_owned())) } else { Ok(number * 2) }
            }
        };
        tokio::spawn(socket.serve(bounds, self.stop.clone(), handle))
    }

    async fn ask(&self, number: u64) -> Result<u64, ControlError> {
        ask(self.path(), &number, LONG).await
    }

    /// What is answered to these bytes.
    async fn send(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path().join(FILE)).await.expect("connected");
        stream.write_all(request).await.expect("sent");
        stream.shutdown().await.expect("shut down");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        text
    }
}

#[tokio::test]
async fn an_order_is_answered_or_refused() {
    let bench = Bench::new();
    let served = bench.start(BOUNDS);
    assert_eq!(bench.ask(21).await.expect("answered"), 42);
    let refused = bench.ask(0).await.expect_err("refused");
    assert!(matches!(&refused, ControlError::Failed(failure) if failure.message == "zero has no double"));
    bench.stop.cancel();
    served.await.expect("ended");
}

#[tokio::test]
async fn the_socket_is_its_owners_and_goes_with_the_gateway() {
    let bench = Bench::new();
    let served = bench.start(BOUNDS);
    let socket = bench.path().join(FILE);
    assert_eq!(fs::metadata(&socket).expect("there").permissions().mode() & 0o777, 0o600);
    bench.stop.cancel();
    served.await.expect("ended");
    assert!(!socket.exists());
    assert!(matches!(bench.ask(1).await, Err(ControlError::Silent(_))));
}

#[tokio::test]
async fn a_socket_left_over_from_a_crash_is_replaced() {
    let bench = Bench::new();
    drop(std::os::unix::net::UnixListener::bind(bench.path().join(FILE)).expect("bound"));
    assert!(matches!(bench.ask(1).await, Err(ControlError::Silent(_))));
    let _served = bench.start(BOUNDS);
    assert_eq!(bench.ask(1).await.expect("answered"), 2);
}

#[tokio::test]
async fn a_path_longer_than_an_address_is_reached() {
    let bench = Bench::within(&"d".repeat(150));
    let _served = bench.start(BOUNDS);
    assert_eq!(bench.ask(4).await.expect("answered"), 8);
    assert!(bench.directory.path().join("d".repeat(150)).join(FILE).exists());
}

#[tokio::test]
async fn another_user_is_refused() {
    let bench = Bench::new();
    let own = fs::metadata(bench.path()).expect("there").uid();
    let _served = bench.start_on(bench.bind().owned_by(own + 1), BOUNDS);
    let refused = bench.ask(1).await.expect_err("refused");
    assert!(refused.to_string().contains(&format!("user {own} may not")), "{refused}");
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let bench = Bench::new();
    let _served = bench.start(BOUNDS);
    let long = vec![b' '; 100_000];
    for (request, reason) in [
        (&b""[..], "cannot be read"),
        (b"{}", "cannot be read"),
        (b"{\"version\":\"0.0.0-other\",\"order\":{\"of\":\"then\"}}", "version 0.0.0-other"),
        (&long, "longer than 200 bytes"),
    ] {
        let answer = bench.send(request).await;
        assert!(answer.contains(reason), "{answer}");
    }
    let order = serde_json::to_vec(&Request { version: VERSION, order: &"text" }).expect("written");
    assert!(bench.send(&order).await.contains("cannot be read"));
    assert_eq!(bench.ask(1).await.expect("still answered"), 2);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_given_up() {
    let bench = Bench::new();
    let _served = bench.start(Bounds { timeout: Duration::from_millis(50), ..BOUNDS });
    let mut stream = UnixStream::connect(bench.path().join(FILE)).await.expect("connected");
    stream.write_all(b"{").await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    assert!(text.contains("did not arrive within 50ms"), "{text}");
}

#[tokio::test]
async fn work_beyond_its_time_is_told_so_and_finished() {
    let bench = Bench::new();
    let served = bench.start(Bounds { timeout: Duration::from_millis(50), ..BOUNDS });
    let late = bench.ask(1001).await.expect_err("late");
    assert!(late.to_string().contains("not done within 50ms"), "{late}");
    bench.stop.cancel();
    assert!(!served.is_finished());
    bench.go_on.notify_one();
    served.await.expect("ends with the work");
}

#[tokio::test]
async fn further_requests_wait_for_their_turn() {
    let bench = Arc::new(Bench::new());
    let _served = bench.start(BOUNDS);
    let ask = |number| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.ask(number).await })
    };
    let held = [ask(1001), ask(1002)];
    bench.arrived.acquire_many(2).await.expect("open").forget();
    let third = ask(3);
    // A connection of its own that is accepted would be read; two held orders leave no room for one.
    tokio::task::yield_now().await;
    assert_eq!(bench.arrived.available_permits(), 0);
    bench.go_on.notify_waiters();
    for one in held {
        one.await.expect("joined").expect("answered");
    }
    assert_eq!(third.await.expect("joined").expect("answered"), 6);
}
