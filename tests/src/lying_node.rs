//! A JSON-RPC proxy before a real node that lies, refuses or stops where a test tells it to, and
//! remembers what it was asked.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::client;

/// What happens to calls of one method.
#[derive(Clone)]
pub enum Lie {
    /// The node is not asked; this is its answer.
    Answer(Value),
    /// The node is asked, and its answer goes through this function.
    Alter(fn(Value) -> Value),
    /// The node is not asked; this error is its answer.
    Refuse { code: i64, message: &'static str },
    /// The node is asked and does it; the caller hears this error instead.
    DoAndRefuse { code: i64, message: &'static str },
    /// HTTP 502 without asking.
    Unavailable,
    /// The call halts before the node is asked, until released.
    HoldBefore(Arc<Gate>),
    /// The node is asked, the answer is held back until released.
    HoldAfter(Arc<Gate>),
}

/// A place where a call halts.
#[derive(Default)]
pub struct Gate {
    reached: Notify,
    released: Notify,
}

impl Gate {
    pub fn new() -> Arc<Gate> {
        Arc::default()
    }

    /// Waits until a call has halted here.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets one halted call go on.
    pub fn release(&self) {
        self.released.notify_one();
    }

    pub(crate) async fn pass(&self) {
        self.reached.notify_one();
        self.released.notified().await;
    }
}

#[derive(Default)]
struct Script {
    lies: HashMap<String, Lie>,
    calls: Vec<(String, Value)>,
}

struct Proxy {
    http: reqwest::Client,
    upstream: String,
    script: Mutex<Script>,
    in_flight: Semaphore,
}

const CALLS_IN_FLIGHT_MAX: usize = 256;

pub struct LyingNode {
    url: String,
    proxy: Arc<Proxy>,
    server: JoinHandle<()>,
}

impl LyingNode {
    pub async fn start(upstream: &str) -> Result<LyingNode> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let proxy = Arc::new(Proxy {
            http: client::http(),
            upstream: upstream.to_owned(),
            script: Mutex::default(),
            in_flight: Semaphore::new(CALLS_IN_FLIGHT_MAX),
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&proxy));
        let server = tokio::spawn(async move {
            // It serves until the drop below aborts it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(LyingNode { url, proxy, server })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn lie(&self, method: &str, lie: Lie) {
        self.proxy.script().lies.insert(method.to_owned(), lie);
    }

    pub fn tell_the_truth(&self, method: &str) {
        self.proxy.script().lies.remove(method);
    }

    /// Parameters of every call of `method` so far.
    pub fn calls(&self, method: &str) -> Vec<Value> {
        let script = self.proxy.script();
        script.calls.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }
}

impl Drop for LyingNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, request: &Value) -> Result<Value> {
        Ok(self.http.post(&self.upstream).json(request).send().await?.json().await?)
    }

    async fn one(&self, request: &Value) -> Result<Value> {
        let method = request["method"].as_str().context("a call without a method")?;
        let lie = {
            let mut script = self.script();
            script.calls.push((method.to_owned(), request["params"].clone()));
            script.lies.get(method).cloned()
        };
        let error = |code, message| json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}});
        match lie {
            None => self.forward(request).await,
            Some(Lie::Answer(result)) => Ok(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})),
            Some(Lie::Alter(alter)) => {
                let mut answer = self.forward(request).await?;
                answer["result"] = alter(answer["result"].take());
                Ok(answer)
            }
            Some(Lie::Refuse { code, message }) => Ok(error(code, message)),
            Some(Lie::DoAndRefuse { code, message }) => {
                self.forward(request).await?;
                Ok(error(code, message))
            }
            Some(Lie::Unavailable) => anyhow::bail!("told to be unavailable"),
            Some(Lie::HoldBefore(gate)) => {
                gate.pass().await;
                self.forward(request).await
            }
            Some(Lie::HoldAfter(gate)) => {
                let answer = self.forward(request).await?;
                gate.pass().await;
                Ok(answer)
            }
        }
    }
}

async fn answer(State(proxy): State<Arc<Proxy>>, body: Bytes) -> Response {
    let answered = async {
        let _permit = proxy.in_flight.acquire().await?;
        match serde_json::from_slice(&body)? {
            Value::Array(requests) => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in &requests {
                    answers.push(proxy.one(request).await?);
                }
                Ok(Value::Array(answers))
            }
            request => proxy.one(&request).await,
        }
    };
    match answered.await {
        Ok(value) => ([("content-type", "application/json")], value.to_string()).into_response(),
        Err::<_, anyhow::Error>(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
