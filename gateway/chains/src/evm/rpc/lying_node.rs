//! A scripted HTTP node, for tests.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{HttpEvmRpc, RpcLimits};

/// A node that answers each connection with one scripted HTTP response and records the requests.
pub(super) struct LyingNode {
    pub(super) address: SocketAddr,
    pub(super) requests: tokio::task::JoinHandle<Vec<Value>>,
}

/// What to answer; `ID` in the body stands for the id of the request.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) header: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn result(result: &Value) -> Self {
        Self::body(format!(r#"{{"jsonrpc":"2.0","id":ID,"result":{result}}}"#))
    }

    pub(super) fn error(code: i64, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        Self::body(format!(r#"{{"jsonrpc":"2.0","id":ID,"error":{error}}}"#))
    }

    pub(super) fn body(body: impl Into<String>) -> Self {
        Self { status: "200 OK", header: String::new(), body: body.into() }
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Value {
    let mut received = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "client closed within its request");
        received.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&received);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(request) = serde_json::from_str(body)
        {
            return request;
        }
    }
}

impl LyingNode {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for Answer { status, header, body } in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let body = body.replace("ID", &request["id"].to_string());
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{header}\r\n",
                    body.len()
                );
                // The client may hang up early on an answer that is too long.
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                requests.push(request);
            }
            requests
        });
        Self { address, requests }
    }

    pub(super) fn client(&self) -> HttpEvmRpc {
        let limits = RpcLimits { response_bytes_max: 4_096, ..RpcLimits::default() };
        HttpEvmRpc::new(&format!("http://{}/v3/secret-key", self.address), limits).unwrap()
    }
}
