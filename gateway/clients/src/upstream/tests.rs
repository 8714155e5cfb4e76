//! T30: what leaves through an upstream, and what comes back.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::egress::SystemLookup;

const SECRET: &str = "Bearer s3cr/t+token==";

/// Answers each request with what `answer` makes of it.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    text.push(byte);
                }
                let text = String::from_utf8_lossy(&text).into_owned();
                let _ = stream.write_all(answer(&text).as_bytes()).await;
                seen.lock().unwrap().push(text);
            }
        });
        Self { address, heard, task }
    }

    fn upstream(&self) -> Upstream {
        self.with(|_| {}).unwrap()
    }

    fn with(&self, change: impl FnOnce(&mut UpstreamConfig)) -> Result<Upstream, UpstreamMalformed> {
        let routes = ["GET /v1/addresses/{address}?chain={chain}", "POST /v1/screen"];
        let mut config = UpstreamConfig {
            url: Url::parse(&format!("http://{}/base/", self.address)).unwrap(),
            routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
            request_headers: HashSet::from([HeaderName::from_static("x-client")]),
            response_headers: HashSet::from([HeaderName::from_static("x-echo")]),
            secret: Some((reqwest::header::AUTHORIZATION, Zeroizing::new(SECRET.to_owned()))),
            request_bytes_max: 100,
        };
        change(&mut config);
        let common = EgressConfig {
            named_hosts: BTreeSet::from([self.address.to_string().parse().unwrap()]),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 1 << 20,
            response_headers_max: 100,
        };
        let egress = egress_config(&common, Duration::from_secs(20), 1000);
        Upstream::new(config, egress, Arc::new(SystemLookup))
    }

    fn first_line(&self) -> String {
        let heard = self.heard.lock().unwrap();
        heard.last().and_then(|text| text.lines().next()).unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ok(head: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn empty(_: &str) -> String {
    ok("", "")
}

fn far() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn look_up(address: &str) -> Question {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Question {
        method: "GET".to_owned(),
        path: "/v1/addresses/{address}?chain={chain}".to_owned(),
        parameters: vec![pair("chain", "eip155:1"), pair("address", address)],
        headers: vec![pair("x-client", "gate")],
        body: Vec::new(),
    }
}

#[tokio::test]
async fn a_declared_route_is_asked_with_its_values_headers_and_the_secret() {
    let server = Server::start(|_| ok("x-echo: here\r\nx-other: no\r\n", "fine")).await;
    let answer = server.upstream().ask(&look_up("0xab"), far()).await.unwrap();
    let echo = ("x-echo".to_owned(), "here".to_owned());
    assert_eq!(answer, Answer { status: 200, headers: vec![echo], body: b"fine".to_vec() });
    assert_eq!(server.first_line(), "GET /base/v1/addresses/0xab?chain=eip155%3A1 HTTP/1.1");
    let heard = server.heard.lock().unwrap()[0].clone();
    assert!(heard.contains("x-client: gate\r\n") && heard.contains(SECRET), "{heard}");
}

#[tokio::test]
async fn no_value_leaves_its_place() {
    let server = Server::start(empty).await;
    let upstream = server.upstream();
    for (value, sent) in [
        ("a/../../admin", "a%2F..%2F..%2Fadmin"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a%2fb", "a%252fb"),
        ("a b\r\nHost: evil", "a%20b%0D%0AHost%3A%20evil"),
        ("@evil.example:80", "%40evil.example%3A80"),
        ("\\\\evil", "%5C%5Cevil"),
        ("ümlaut", "%C3%BCmlaut"),
        (";x&y=z", "%3Bx%26y%3Dz"),
    ] {
        upstream.ask(&look_up(value), far()).await.unwrap();
        assert_eq!(server.first_line(), format!("GET /base/v1/addresses/{sent}?chain=eip155%3A1 HTTP/1.1"));
    }
    let asked = server.heard.lock().unwrap().len();
    for value in ["", ".", "..", "..."] {
        let refused = upstream.ask(&look_up(value), far()).await;
        assert!(matches!(refused, Err(UpstreamError::Undeclared(_))), "{value}");
    }
    assert_eq!(server.heard.lock().unwrap().len(), asked, "nothing was sent");
}

#[tokio::test]
async fn what_is_not_declared_is_not_sent() {
    let server = Server::start(empty).await;
    let upstream = server.upstream();
    let fair = look_up("0xab");
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (case, question) in [
        ("method", Question { method: "POST".to_owned(), ..fair.clone() }),
        ("method in lower case", Question { method: "get".to_owned(), ..fair.clone() }),
        ("path", Question { path: "/v1/admin".to_owned(), parameters: Vec::new(), ..fair.clone() }),
        ("filled path", Question { path: "/v1/addresses/0xab?chain=1".to_owned(), ..fair.clone() }),
        ("missing value", Question { parameters: pair("address", "0xab"), ..fair.clone() }),
        (
            "value twice",
            Question { parameters: [pair("address", "1"), pair("address", "2")].concat(), ..fair.clone() },
        ),
        ("header", Question { headers: pair("x-admin", "1"), ..fair.clone() }),
        ("secret's header", Question { headers: pair("Authorization", "Bearer mine"), ..fair.clone() }),
        (
            "header twice",
            Question { headers: [pair("x-client", "1"), pair("X-Client", "2")].concat(), ..fair.clone() },
        ),
        (
            "header with a line break",
            Question { headers: pair("x-client", "1\r\nx-admin: 1"), ..fair.clone() },
        ),
        ("body with GET", Question { body: vec![1], ..fair.clone() }),
        (
            "long body",
            Question {
                method: "POST".to_owned(),
                path: "/v1/screen".to_owned(),
                parameters: Vec::new(),
                body: vec![b'x'; 101],
                ..fair.clone()
            },
        ),
    ] {
        let refused = upstream.ask(&question, far()).await;
        assert!(matches!(refused, Err(UpstreamError::Undeclared(_))), "{case}: {refused:?}");
    }
    assert!(server.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_secret_that_comes_back_is_cut_out_in_every_form() {
    let server = Server::start(|heard| {
        let authorization = heard.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
        let token = authorization.strip_prefix("Bearer ").unwrap();
        let forms = [
            authorization.to_owned(),
            format!("{{\"token\":\"{}\"}}", token.replace('/', "\\/")),
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token),
            token.to_uppercase(),
            "s3cr%2Ft%2Btoken%3D%3D".to_owned(),
            hex::encode(token),
        ];
        ok(&format!("x-echo: {token}\r\n"), &forms.join("\n"))
    })
    .await;
    let answer = server.upstream().ask(&look_up("0xab"), far()).await.unwrap();
    let body = String::from_utf8(answer.body).unwrap();
    let scrubbed = "[scrubbed]";
    assert_eq!(answer.headers[0].1, scrubbed);
    let lines: Vec<_> = body.lines().collect();
    assert_eq!(lines[1], format!("{{\"token\":\"{scrubbed}\"}}"));
    assert!([0, 2, 3, 4, 5].iter().all(|line| lines[*line] == scrubbed), "{body}");
}

#[tokio::test]
async fn an_encoded_answer_is_not_used() {
    let server = Server::start(|_| ok("content-encoding: gzip\r\n", "fine")).await;
    let refused = server.upstream().ask(&look_up("0xab"), far()).await;
    assert!(matches!(refused, Err(UpstreamError::Broken)));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::start(|_| {
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_owned()
    })
    .await;
    assert_eq!(server.upstream().ask(&look_up("0xab"), far()).await.unwrap().status, 302);
}

#[tokio::test]
async fn size_and_time_of_an_answer_are_bounded() {
    let server = Server::start(|_| ok("", &"x".repeat(1001))).await;
    let large = server.upstream().ask(&look_up("0xab"), far()).await;
    assert!(matches!(large, Err(UpstreamError::TooLarge)));
    // Accepted by the kernel's backlog, never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
    let late = |timeout| {
        let route = "GET /v1".parse().unwrap();
        let config = UpstreamConfig {
            url: url.clone(),
            routes: vec![route],
            request_headers: HashSet::new(),
            response_headers: HashSet::new(),
            secret: None,
            request_bytes_max: 100,
        };
        let common = EgressConfig {
            named_hosts: BTreeSet::from(["127.0.0.1".parse().unwrap()]),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_hours(1),
            response_bytes_max: 1000,
            response_headers_max: 100,
        };
        Upstream::new(config, egress_config(&common, timeout, 1000), Arc::new(SystemLookup)).unwrap()
    };
    let question = Question {
        method: "GET".to_owned(),
        path: "/v1".to_owned(),
        parameters: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let own = late(Duration::from_millis(100)).ask(&question, far()).await;
    assert!(matches!(own, Err(UpstreamError::TimedOut)));
    let soon = Instant::now() + Duration::from_millis(100);
    let evaluation = late(Duration::from_hours(1)).ask(&question, soon).await;
    assert!(matches!(evaluation, Err(UpstreamError::TimedOut)));
}

#[tokio::test]
async fn declarations_that_would_give_the_secret_away_are_refused() {
    let server = Server::start(empty).await;
    let header = HeaderName::from_static;
    let refused = server.with(|config| _ = config.request_headers.insert(header("host"))).err().unwrap();
    assert_eq!(refused.to_string(), "the header `host` is not a plugin's to set");
    let refused = server.with(|config| _ = config.request_headers.insert(header("authorization")));
    assert!(matches!(refused.err().unwrap(), UpstreamMalformed::SecretHeader(_)));
    for secret in ["short", "", "with\nline break", "sécret-sécret"] {
        let secret = Some((header("x-api-key"), Zeroizing::new(secret.to_owned())));
        let refused = server.with(|config| config.secret = secret);
        assert!(matches!(refused.err().unwrap(), UpstreamMalformed::Secret));
    }
}

#[test]
fn routes_are_read_strictly() {
    for route in ["GET /", "GET /v1/{a}/{b}", "POST /v1?x={a}", "GET /v1/{a}.json"] {
        assert!(route.parse::<Route>().is_ok(), "{route}");
    }
    for route in [
        "",
        "/v1",
        "get /v1",
        "PUT /v1",
        "DELETE /v1",
        "GET v1",
        "GET //evil.example/",
        "GET /v1/../admin",
        "GET /./v1",
        "GET /v1#x",
        "GET /v1%2f",
        "GET /v1\\x",
        "GET /v 1",
        "GET /v1/{}",
        "GET /v1/{A}",
        "GET /v1/{a}/{a}",
        "GET /v1/{a",
        "GET /v1/a}",
        "GET /v1/}{a}",
        "GET https://evil.example/",
    ] {
        assert_eq!(route.parse::<Route>(), Err(RouteMalformed), "{route}");
    }
}

#[tokio::test]
async fn a_password_too_short_to_be_found_in_an_answer_is_refused() {
    let server = Server::start(empty).await;
    let declared = |secret: String| {
        server.with(|config| config.secret = Some((reqwest::header::AUTHORIZATION, Zeroizing::new(secret))))
    };
    let basic = |credentials: &str| {
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, credentials);
        format!("basic {encoded}")
    };
    for (secret, found) in [
        (basic("gateway:12345"), Some(5)),
        (basic("gateway:123:456"), Some(7)),
        (basic("gateway"), None),
        // A token for the user name, and something in the place of a password.
        (basic("sk_live_4eC39HqLyjWD:"), Some(20)),
        (basic("sk_live_4eC39HqLyjWD:x"), Some(20)),
        ("Bearer Z2F0ZXdheToxMjM0NQ==".to_owned(), None),
    ] {
        assert_eq!(scrub::basic_secret(&secret).map(|password| password.len()), found, "{secret}");
    }
    let refused = declared(basic("gateway:12345"));
    assert!(matches!(refused.err().unwrap(), UpstreamMalformed::ShortPassword));
    assert!(declared(basic("gateway:123456")).is_ok());
    assert!(declared(basic("sk_live_4eC39HqLyjWD:x")).is_ok());
}

#[test]
fn a_token_that_is_the_user_name_of_basic_credentials_is_cut_out() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let token = "sk_live_4eC39HqLyjWD";
    for credentials in [format!("{token}:"), format!("{token}:x"), format!("{token}:a password")] {
        let scrubber = Scrubber::new(&format!("Basic {}", STANDARD.encode(&credentials)));
        let answer = format!(r#"{{"key":"{token}","again":"{}"}}"#, STANDARD.encode(token));
        let clean = String::from_utf8(scrubber.scrub(answer.as_bytes())).unwrap();
        assert_eq!(clean, r#"{"key":"[scrubbed]","again":"[scrubbed]"}"#, "{credentials}");
    }
}
