//! Servers that never come to an end, by trickle or by flood: each request ends by a bound of ours, and what was taken from
//! a flood is no more than what the bound and the sockets between hold.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Between two pieces of a trickle: no idle time-out would ever see it.
const PACE: Duration = Duration::from_millis(20);
/// Buffers of both sockets, and what the HTTP library reads ahead; a flood is gigabytes a second.
const IN_BETWEEN_BYTES_MAX: usize = 32 << 20;
/// Far beyond any bound here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers with a beginning and then with more of the same for ever.
struct Endless {
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Endless {
    async fn start(beginning: &'static str, more: Vec<u8>, pace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, sent) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Whoever hangs up ends its own answer.
                let _ = answer(&mut stream, beginning, &more, pace, &count).await;
            }
        });
        Self { address, sent, task }
    }

    async fn ask(&self, config: EgressConfig) -> EgressError {
        let egress = Egress::new(config).unwrap();
        let asked = timeout(PATIENCE, egress.send(get(&format!("http://{}/", self.address))));
        asked.await.expect("it ends by a bound of its own").err().expect("nothing of it is an answer")
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    stream: &mut TcpStream,
    beginning: &str,
    more: &[u8],
    pace: Duration,
    sent: &AtomicUsize,
) -> io::Result<Infallible> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(beginning.as_bytes()).await?;
    let mut ticks = (!pace.is_zero()).then(|| tokio::time::interval(pace));
    loop {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        stream.write_all(more).await?;
        sent.fetch_add(more.len(), Ordering::Relaxed);
    }
}

async fn trickled(beginning: &'static str, more: &str) -> EgressError {
    Endless::start(beginning, more.as_bytes().to_vec(), PACE).await.ask(hurried(&["127.0.0.1"])).await
}

async fn flooded(beginning: &'static str, more: &str) -> EgressError {
    let endless = Endless::start(beginning, more.repeat(65_536 / more.len()).into(), Duration::ZERO).await;
    let error = endless.ask(config(&["127.0.0.1"])).await;
    let sent = endless.sent.load(Ordering::Relaxed);
    assert!(sent < IN_BETWEEN_BYTES_MAX, "{sent} bytes were taken of {beginning:?}: {error:?}");
    error
}

#[tokio::test]
async fn a_trickle_ends_with_the_time_of_the_whole_request() {
    for (beginning, more) in [
        // A body whose every byte comes soon, and whose last would come after eighteen seconds.
        ("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\nx-long: ", "x"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ] {
        let error = trickled(beginning, more).await;
        assert!(matches!(error, EgressError::TimedOut), "{beginning:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_its_bound() {
    for (beginning, more) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "8\r\n12345678\r\n"),
        // Nothing is ever unpacked: what is packed counts as it is.
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", "\0"),
    ] {
        let error = flooded(beginning, more).await;
        assert!(matches!(error, EgressError::TooLarge { bytes_max: 1000 }), "{beginning:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    for more in ["x: y\r\n", "x"] {
        let error = flooded("HTTP/1.1 200 OK\r\nx-long: y\r\nx-more: ", more).await;
        assert!(matches!(error, EgressError::HeadTooLarge), "{more:?}: {error:?}");
    }
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
    for (count, allowed) in [(101, false), (100, true)] {
        let (address, _, task) = server(many(count)).await;
        let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
        let reply = egress.send(get(&format!("http://{address}/"))).await;
        assert_eq!(reply.is_ok(), allowed, "{count} headers: {:?}", reply.err());
        task.abort();
    }
}

/// Fewer headers than allowed, which are longer together than an answer may be.
#[tokio::test]
async fn a_head_counts_among_the_bytes_of_its_answer() {
    for (value, body, allowed) in [(1000, 0, false), (500, 600, false), (500, 100, true)] {
        let (value, body) = ("y".repeat(value), "x".repeat(body));
        let head = format!("content-length: {}\r\nconnection: close\r\nx-long: {value}", body.len());
        let (address, _, task) = server(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
        let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
        let reply = egress.send(get(&format!("http://{address}/"))).await;
        let refused = matches!(reply, Err(EgressError::TooLarge { bytes_max: 1000 }));
        assert_eq!((reply.is_ok(), refused), (allowed, !allowed), "{:?}", reply.err());
        task.abort();
    }
}

#[tokio::test]
async fn what_surrounds_a_body_is_bounded_as_well() {
    for (beginning, more) in [
        // An extension of a chunk, and trailers after the last one (RFC 9112, section 7.1).
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n"),
    ] {
        let error = flooded(beginning, more).await;
        assert!(matches!(error, EgressError::Broken(_)), "{beginning:?}: {error:?}");
    }
    // Interim answers are thrown away as they come, until the time is over.
    let beginning = "HTTP/1.1 102 Processing\r\n\r\n";
    let hints = beginning.repeat(1000).into_bytes();
    let error = Endless::start(beginning, hints, Duration::ZERO).await.ask(hurried(&["127.0.0.1"])).await;
    assert!(matches!(error, EgressError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn no_compression_is_asked_for() {
    let (address, heads, task) = server(ok("hello")).await;
    let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
    egress.send(get(&format!("http://{address}/"))).await.unwrap();
    let head = heads.lock().unwrap()[0].to_lowercase();
    assert!(!head.contains("accept-encoding"), "{head}");
    task.abort();
}
