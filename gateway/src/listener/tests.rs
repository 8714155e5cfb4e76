//! Each bound, reached through real sockets.

use std::net::Ipv4Addr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

fn bounds() -> Bounds {
    Bounds {
        connections_max: 100,
        connections_per_source_max: 100,
        proxies: Arc::new([]),
        header_timeout: DEADLINE,
        head_bytes_max: 16 << 10,
        drain_timeout: DEADLINE,
    }
}

impl Running {
    async fn start(bounds: Bounds) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/", get(async || "here\n"))
            .route("/never", get(std::future::pending::<&'static str>));
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, bounds, stop.clone()));
        Self { address, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.served.await.expect("it does not panic");
    }
}

/// Asks, and keeps the connection. What a refused one answers may be lost with it.
async fn ask(stream: &mut TcpStream) -> String {
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"here\n") {
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut bytes)).await.expect("in time");
        match read {
            Err(_) | Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&bytes[..count]),
        }
    }
    String::from_utf8(answer).expect("text")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text)).await;
    read.expect("in time").expect("read");
    text
}

#[tokio::test]
async fn a_source_with_its_share_of_connections_is_told_so() {
    let running = Running::start(Bounds { connections_per_source_max: 2, ..bounds() }).await;
    let (mut one, mut two) = (running.connect().await, running.connect().await);
    for stream in [&mut one, &mut two] {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
    let refused = rest(&mut running.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["statusCode"], 429);
    drop(one);
    // The place comes back once the gateway has seen the end of the connection.
    let again = async {
        loop {
            let answer = ask(&mut running.connect().await).await;
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, again).await.expect("in time");
    running.stop().await;
}

#[tokio::test]
async fn a_proxy_is_bounded_with_all_others_only() {
    let proxies: Arc<[IpNet]> = Arc::new(["127.0.0.0/8".parse().expect("a network")]);
    let running = Running::start(Bounds { connections_per_source_max: 1, proxies, ..bounds() }).await;
    let mut streams = [running.connect().await, running.connect().await, running.connect().await];
    for stream in &mut streams {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
    drop(streams);
    running.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_of_all_connections_they_wait() {
    let running = Running::start(Bounds { connections_max: 1, ..bounds() }).await;
    let mut first = running.connect().await;
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = running.connect().await;
    let waiting = tokio::spawn(async move { ask(&mut second).await });
    // The first is still served while the second waits in the backlog.
    for _ in 0..20 {
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    }
    assert!(!waiting.is_finished());
    drop(first);
    let served = tokio::time::timeout(DEADLINE, waiting).await.expect("in time");
    assert!(served.expect("it does not panic").starts_with("HTTP/1.1 200"));
    running.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_its_connection() {
    let running = Running::start(Bounds { header_timeout: Duration::from_millis(100), ..bounds() }).await;
    for begun in ["", "GET / HTTP/1.1\r\nhost: he"] {
        let mut stream = running.connect().await;
        stream.write_all(begun.as_bytes()).await.expect("sent");
        assert_eq!(rest(&mut stream).await, "", "{begun}");
    }
    // One that says nothing more after its answer ends as well.
    let mut stream = running.connect().await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut stream).await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let running = Running::start(bounds()).await;
    let mut stream = running.connect().await;
    let begun = "GET / HTTP/1.1\r\nhost: here\r\nx-padding: ";
    let head = begun.to_owned() + &"x".repeat((16 << 10) - begun.len());
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("in time").expect("read");
    assert_eq!(answer, b"HTTP/1.1 431");
    running.stop().await;
}

#[tokio::test]
async fn a_request_without_end_does_not_hold_up_the_end_of_the_listener() {
    let running = Running::start(Bounds { drain_timeout: Duration::from_millis(50), ..bounds() }).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("the connection is served");
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("sent");
    tokio::time::timeout(DEADLINE, running.stop()).await.expect("in time");
}
