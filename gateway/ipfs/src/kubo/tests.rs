use gateway_domain::{Error, payloads::Ipfs as _};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::Blocks;

const CONTENT: &[u8] = b"a message";

/// Answers one request with this, and returns what was asked.
async fn node(answer: String) -> (Blocks, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let end = format!("--{BOUNDARY}--\r\n");
        while !request.ends_with(end.as_bytes()) {
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).await.unwrap();
            assert!(length > 0, "the request ended early");
            request.extend_from_slice(&chunk[..length]);
        }
        // A client that has read enough may be gone.
        let _ = stream.write_all(answer.as_bytes()).await;
        String::from_utf8(request).unwrap()
    });
    let limits =
        KuboLimits { connect_timeout: Duration::from_secs(5), call_timeout: Duration::from_secs(10) };
    (Blocks::new(Some(Kubo::new(&url, limits).unwrap())), asked)
}

fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn cid() -> String {
    Blocks::new(None).address(CONTENT).unwrap().cid
}

#[tokio::test]
async fn content_is_added_and_pinned_under_the_name_computed_here() {
    let (blocks, asked) =
        node(reply("200 OK", &format!("{{\"Name\":\"payload\",\"Hash\":\"{}\",\"Size\":\"17\"}}\n", cid())))
            .await;
    blocks.pin(CONTENT, &cid()).await.unwrap();
    let request = asked.await.unwrap();
    let first = request.lines().next().unwrap();
    assert_eq!(
        first,
        "POST /api/v0/add?cid-version=1&raw-leaves=false&chunker=size-262144&pin=true HTTP/1.1"
    );
    assert!(request.contains("a message"), "{request}");
}

#[tokio::test]
async fn a_node_that_says_anything_else_is_not_believed() {
    let other = Blocks::new(None).address(b"another message").unwrap().cid;
    let named = |name: &str| reply("200 OK", &format!("{{\"Hash\":\"{name}\"}}\n"));
    for (answer, is_refusal) in [
        (named(&other), true),
        (named("no name"), true),
        (reply("200 OK", "{}"), true),
        (reply("200 OK", ""), true),
        (reply("500 Internal Server Error", "{}"), false),
        (reply("307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/", ""), false),
        (reply("200 OK", &" ".repeat(RESPONSE_BYTES_MAX + 1)), false),
    ] {
        let (blocks, asked) = node(answer.clone()).await;
        let error = blocks.pin(CONTENT, &cid()).await.unwrap_err();
        asked.await.unwrap();
        match error {
            Error::Upstream(..) => assert!(is_refusal, "{answer}"),
            Error::Unavailable { .. } => assert!(!is_refusal, "{answer}"),
            error => panic!("{answer}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits =
        KuboLimits { connect_timeout: Duration::from_hours(1), call_timeout: Duration::from_millis(50) };
    let blocks = Blocks::new(Some(Kubo::new(&url, limits).unwrap()));
    let error = blocks.pin(CONTENT, &cid()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[test]
fn a_url_that_leads_nowhere_is_refused_without_being_repeated() {
    let limits = KuboLimits { connect_timeout: Duration::from_secs(1), call_timeout: Duration::from_secs(1) };
    for url in ["", "ftp://user:secret@node", "node:5001", "http://"] {
        let refused = Kubo::new(url, limits).unwrap_err().to_string();
        assert_eq!(refused, "`ipfs.kubo_url` must be an http or https URL");
    }
}
