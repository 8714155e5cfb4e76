//! T36: what a hostile URL or name server tries, and what goes through.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;

mod hostile;

fn config(named: &[&str]) -> EgressConfig {
    EgressConfig {
        named_hosts: named.iter().map(|host| host.parse().unwrap()).collect(),
        connect_timeout: Duration::from_mins(1),
        request_timeout: Duration::from_mins(1),
        response_bytes_max: 1000,
        response_headers_max: 100,
    }
}

/// For what is to end by its time.
fn hurried(named: &[&str]) -> EgressConfig {
    let brief = Duration::from_millis(500);
    EgressConfig { connect_timeout: brief, request_timeout: brief, ..config(named) }
}

fn get(url: &str) -> Request {
    let secret = HeaderValue::from_static("Bearer very-secret");
    Request {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: vec![(reqwest::header::AUTHORIZATION, secret)],
        body: Bytes::new(),
    }
}

/// Answers with the next set of addresses each time it is asked.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }

    fn asked_for_all(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
        let next = self.0.lock().unwrap().pop_front();
        let addresses = next.ok_or_else(|| io::Error::other("the name was resolved once more"))?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

/// Serves one connection at a time with a fixed answer, and keeps the heads of the requests.
async fn server(answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&heads);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heads, task)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn addresses_written_in_the_url_are_refused_however_they_are_spelt() {
    let egress = Egress::with_lookup(config(&[]), Script::of(&[])).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.0.192",
        "192.52.193.1",
        "192.175.48.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:db8::1]",
        "[2002:7f00:1::]",
        "[2620:4f:8000::1]",
        "[fc00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        let refused = egress.send(get(&format!("https://{host}/v1"))).await;
        assert!(matches!(refused, Err(EgressError::Refused(_))), "{host}: {:?}", refused.err());
    }
}

#[tokio::test]
async fn names_that_lead_inside_are_refused() {
    let cases: [&[&str]; 6] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:10.0.0.1"],
        &["169.254.169.254"],
        &["93.184.215.14", "127.0.0.1"],
        &["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "fd00::1"],
    ];
    for addresses in cases {
        let egress = Egress::with_lookup(config(&[]), Script::of(&[addresses])).unwrap();
        let refused = egress.send(get("https://vendor.example/")).await;
        assert!(matches!(refused, Err(EgressError::Refused(_))), "{addresses:?}: {:?}", refused.err());
    }
}

/// The name is resolved once for a connection: the second answer of a rebinding name server is never asked for.
#[tokio::test]
async fn what_was_judged_is_what_is_connected_to() {
    let script = Script::of(&[&["192.0.2.1"], &["127.0.0.1"]]);
    let egress = Egress::with_lookup(config(&[]), script.clone()).unwrap();
    assert!(matches!(egress.send(get("https://rebind.example/")).await, Err(EgressError::Refused(_))));
    assert!(!script.asked_for_all());
    let refused = egress.send(get("https://rebind.example/")).await;
    assert!(matches!(refused, Err(EgressError::Refused(_))), "judged again for the next connection");
    assert!(script.asked_for_all());
}

#[tokio::test]
async fn plain_http_and_other_schemes_are_refused() {
    let egress = Egress::with_lookup(config(&["127.0.0.1:1"]), Script::of(&[])).unwrap();
    for url in
        ["http://vendor.example/", "http://93.184.215.14/", "ftp://vendor.example/", "file:///etc/hosts"]
    {
        assert!(matches!(egress.send(get(url)).await, Err(EgressError::Refused(_))), "{url}");
    }
}

#[tokio::test]
async fn a_named_host_is_reached_and_only_on_its_port() {
    let (address, heads, task) = server(ok("hello")).await;
    let egress = Egress::new(config(&[&address.to_string()])).unwrap();
    let reply = egress.send(get(&format!("http://{address}/v1?limit=1"))).await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (200, &b"hello"[..]));
    assert!(heads.lock().unwrap()[0].starts_with("GET /v1?limit=1 HTTP/1.1\r\n"));
    let other = egress.send(get(&format!("http://127.0.0.1:{}/", address.port() ^ 1))).await;
    assert!(matches!(other, Err(EgressError::Refused(_))));
    // Another spelling of the same address is the same host; a name that leads there is not.
    assert!(egress.send(get(&format!("http://0x7f.1:{}/", address.port()))).await.is_ok());
    let by_name = egress.send(get(&format!("http://localhost:{}/", address.port()))).await;
    assert!(matches!(by_name, Err(EgressError::Refused(_))));
    task.abort();
}

#[tokio::test]
async fn redirects_are_answers() {
    let (target, seen, behind) = server(ok("inside")).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("HTTP/1.1 {status}\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
        let (address, _, task) = server(head).await;
        let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
        let reply = egress.send(get(&format!("http://{address}/"))).await.unwrap();
        assert_eq!(reply.status.to_string(), status[..3]);
        task.abort();
    }
    assert!(seen.lock().unwrap().is_empty(), "nobody went there");
    behind.abort();
}

#[tokio::test]
async fn size_and_time_are_bounded() {
    let (address, _, task) = server(ok(&"x".repeat(1001))).await;
    let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
    let large = egress.send(get(&format!("http://{address}/"))).await;
    assert!(matches!(large, Err(EgressError::TooLarge { bytes_max: 1000 })));
    task.abort();
    // Accepted by the kernel's backlog, never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = Egress::new(hurried(&["127.0.0.1"])).unwrap();
    let late = egress.send(get(&format!("http://{}/", silent.local_addr().unwrap()))).await;
    assert!(matches!(late, Err(EgressError::TimedOut)));
}

#[tokio::test]
async fn a_host_that_takes_no_connection_was_sent_nothing() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the backlog is full, the kernel answers no more.
    let mut held = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        held.push(stream.unwrap());
    }
    let patient =
        EgressConfig { request_timeout: Duration::from_hours(1), ..hurried(&[&address.to_string()]) };
    let egress = Egress::with_lookup(patient, Script::of(&[])).unwrap();
    let sent = timeout(Duration::from_secs(20), egress.send(get(&format!("http://{address}/")))).await;
    let error = sent.expect("in time").err().unwrap();
    assert!(error.nothing_was_sent(), "{error:?}");
}

#[tokio::test]
async fn errors_tell_whether_anything_was_sent_and_hold_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = listener.local_addr().unwrap();
    drop(listener);
    let egress = Egress::new(config(&["127.0.0.1"])).unwrap();
    let unreachable =
        egress.send(get(&format!("http://{absent}/path-secret?key=query-secret"))).await.err().unwrap();
    assert!(matches!(unreachable, EgressError::Unreachable(_)) && unreachable.nothing_was_sent());
    let (address, _, task) = server("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort".to_owned()).await;
    let broken =
        egress.send(get(&format!("http://{address}/path-secret?key=query-secret"))).await.err().unwrap();
    assert!(matches!(broken, EgressError::Broken(_)) && !broken.nothing_was_sent());
    for error in [unreachable, broken] {
        let told = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        for secret in ["very-secret", "path-secret", "query-secret"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
    task.abort();
}

#[test]
fn named_hosts_are_read_as_urls_read_them() {
    for (text, shown) in [
        ("Vault.Example", "vault.example"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0x7f.1:8545", "127.0.0.1:8545"),
        ("[::1]:9000", "[::1]:9000"),
    ] {
        assert_eq!(text.parse::<NamedHost>().unwrap().to_string(), shown);
    }
    for text in ["", ":80", "host/path", "user@host", "host:99999", "host?x", "a b"] {
        assert!(text.parse::<NamedHost>().is_err(), "{text}");
    }
}
