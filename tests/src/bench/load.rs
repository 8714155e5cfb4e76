//! A load generator that costs little itself: requests as ready bytes over connections that stay open.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::statistics::rate;

const HEAD_END: &[u8] = b"\r\n\r\n";
const READ_BYTES: usize = 16 * 1024;

/// The whole bytes of one HTTP request.
pub(crate) type Request = Arc<[u8]>;

/// What a successful answer must say.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) status: &'static str,
    pub(crate) body_contains: &'static str,
}

pub(crate) struct Answered {
    pub(crate) count: usize,
    pub(crate) per_second: f64,
    pub(crate) latencies: Vec<Duration>,
}

/// Requests that one client sends one after another, and what each must be answered.
pub(crate) type Script = Vec<(Request, Expected)>;

pub(crate) fn post(path: &str, address: SocketAddr, api_key: &str, body: &str) -> Request {
    post_with(path, address, &[("x-api-key", api_key.to_owned())], body)
}

pub(crate) fn post_as_nobody(path: &str, address: SocketAddr, body: &str) -> Request {
    post_with(path, address, &[], body)
}

pub(crate) fn post_with(path: &str, address: SocketAddr, headers: &[(&str, String)], body: &str) -> Request {
    let headers = headers.iter().map(|(name, value)| [name, ": ", value.as_str(), "\r\n"].concat());
    let headers: String = headers.collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into()
}

pub(crate) fn get(path: &str, address: SocketAddr, api_key: &str) -> Request {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {api_key}\r\n\r\n").into_bytes().into()
}

/// Sends one request `count` times, one after another.
pub(crate) async fn times(
    address: SocketAddr,
    request: Request,
    count: usize,
    expected: Expected,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..count {
        connection.exchange(&request, expected).await?;
    }
    Ok(())
}

/// Keeps `connections` requests under way for about `duration`. Requests are dealt out to connections, so
/// that no request is under way twice at once.
pub(crate) async fn run(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
    duration: Duration,
    expected: Expected,
) -> Result<Answered> {
    ensure!(requests.len() >= connections, "fewer requests than connections");
    let mut opened = Vec::new();
    for number in 0..connections {
        let own: Vec<Request> = requests.iter().skip(number).step_by(connections).cloned().collect();
        opened.push((Connection::open(address).await?, own));
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (mut connection, own) in opened {
        running.spawn(async move {
            let mut latencies = Vec::new();
            for request in own.iter().cycle() {
                if started.elapsed() >= duration {
                    break;
                }
                let asked = Instant::now();
                connection.exchange(request, expected).await?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(finished) = running.join_next().await {
        latencies.append(&mut finished??);
    }
    ensure!(!latencies.is_empty(), "nothing was answered");
    Ok(Answered { count: latencies.len(), per_second: rate(latencies.len(), started.elapsed()), latencies })
}

/// Works every script off once, on `connections` connections. Scripts are dealt out to them in turn. A latency is that
/// of a whole script.
pub(crate) async fn scripts(
    address: SocketAddr,
    scripts: Vec<Script>,
    connections: usize,
) -> Result<Answered> {
    let mut hands: Vec<Vec<Script>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, script) in scripts.into_iter().enumerate() {
        hands[number % connections].push(script);
    }
    let mut opened = Vec::new();
    for hand in hands {
        opened.push((Connection::open(address).await?, hand));
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (mut connection, hand) in opened {
        running.spawn(async move {
            let mut latencies = Vec::new();
            for script in hand {
                let asked = Instant::now();
                for (request, expected) in &script {
                    connection.exchange(request, *expected).await?;
                }
                latencies.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(finished) = running.join_next().await {
        latencies.append(&mut finished??);
    }
    ensure!(!latencies.is_empty(), "nothing was answered");
    Ok(Answered { count: latencies.len(), per_second: rate(latencies.len(), started.elapsed()), latencies })
}

/// Sends one request over and over from another address of this machine until aborted, and counts what is answered,
/// whatever the answer.
pub(crate) async fn flood(
    address: SocketAddr,
    from: IpAddr,
    request: Request,
    answered: Arc<AtomicUsize>,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let mut connection = Connection::of(socket.connect(address).await?)?;
    loop {
        connection.answer(&request).await?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Connection> {
        Connection::of(TcpStream::connect(address).await?)
    }

    fn of(stream: TcpStream) -> Result<Connection> {
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::new() })
    }

    async fn exchange(&mut self, request: &[u8], expected: Expected) -> Result<()> {
        let (body_at, end) = self.answer(request).await?;
        let answer = std::str::from_utf8(&self.received[..end])?;
        let is_expected = answer.get(9..12) == Some(expected.status)
            && answer.get(body_at..).is_some_and(|body| body.contains(expected.body_contains));
        ensure!(is_expected, "an answer that was not expected: {answer}");
        Ok(())
    }

    /// Where the answer's body begins and ends in what was received.
    async fn answer(&mut self, request: &[u8]) -> Result<(usize, usize)> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (body_at, end) = loop {
            if let Some(extent) = extent(&self.received)? {
                break extent;
            }
            self.receive().await?;
        };
        while self.received.len() < end {
            self.receive().await?;
        }
        Ok((body_at, end))
    }

    async fn receive(&mut self) -> Result<()> {
        self.received.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed a connection: {}", String::from_utf8_lossy(&self.received));
        }
        Ok(())
    }
}

/// Where the body begins and ends, once all headers are there.
fn extent(received: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head_end) = received.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..head_end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body_at = head_end + HEAD_END.len();
    Ok(Some((body_at, body_at + length.context("an answer without content-length")?)))
}
