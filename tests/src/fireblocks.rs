//! A server that behaves like Fireblocks where the gateway touches it, written from the documentation: it verifies every
//! token with the certificate request's public key, repeats the answer it gave under an `Idempotency-Key`, errors too,
//! refuses a second transaction under an external id, and can be told to refuse, to fall silent and to lie.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::lying_node::Gate;
use crate::process::ending;
use crate::vendor::{Counterpart, header, locked};

pub mod sdk;
mod token;

use token::User;

/// Fireblocks' documented limit between `iat` and `exp`.
const TOKEN_SECONDS_MAX: i64 = 30;
/// What its own SDKs ask for.
const SDK_TOKEN_SECONDS: i64 = 55;

/// What happens to the next requests to create a transaction.
#[derive(Clone, Default)]
pub enum Mood {
    #[default]
    Honest,
    /// Nothing is taken; this is the answer.
    Refuse { status: u16, code: i64 },
    /// The transaction is taken, and the answer says that it was not.
    TakeAndRefuse { status: u16, code: i64 },
    /// The request is heard and forgotten; the answer waits at the gate.
    HoldBefore(Arc<Gate>),
    /// The transaction is taken; the answer waits at the gate.
    HoldAfter(Arc<Gate>),
}

/// A request as it came, whoever sent it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// By name; only the first of several.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// The first answer under an `Idempotency-Key`.
#[derive(Clone)]
struct Answered {
    body: Value,
    status: StatusCode,
    answer: Value,
}

/// A transaction as it was asked for.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub body: Value,
    pub status: String,
    pub hash: Option<String>,
}

#[derive(Default)]
struct Workspace {
    /// By API key.
    users: HashMap<String, User>,
    heard: Vec<Heard>,
    /// By `Idempotency-Key`.
    answered: HashMap<String, Answered>,
    /// Whether look-ups do not show yet what was taken.
    hides: bool,
    nonces: HashSet<String>,
    transactions: HashMap<String, Taken>,
    /// Every request to create one: `Idempotency-Key` and body.
    posts: Vec<(String, Value)>,
    faults: Vec<String>,
    mood: Mood,
}

pub struct Fireblocks {
    counterpart: Counterpart,
    workspace: Arc<Mutex<Workspace>>,
}

impl Fireblocks {
    pub async fn start() -> Result<Fireblocks> {
        let workspace = Arc::<Mutex<Workspace>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&workspace));
        Ok(Fireblocks { counterpart: Counterpart::start(router).await?, workspace })
    }

    pub fn url(&self) -> &str {
        self.counterpart.url()
    }

    /// Makes an API user of a certificate request, after openssl has verified it.
    pub fn enrol(&self, csr: &str, api_key: &str) -> Result<()> {
        let pem = openssl(&["req", "-verify", "-noout", "-pubkey"], csr.as_bytes())?;
        self.add_user(&pem, api_key, TOKEN_SECONDS_MAX)
    }

    /// Makes an API user of a public key, for Fireblocks' own SDK.
    pub fn enrol_sdk(&self, public_key_pem: &str, api_key: &str) -> Result<()> {
        self.add_user(public_key_pem, api_key, SDK_TOKEN_SECONDS)
    }

    fn add_user(&self, public_key_pem: &str, api_key: &str, token_seconds_max: i64) -> Result<()> {
        let body: String = public_key_pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let user = User { spki: STANDARD.decode(body)?, token_seconds_max };
        locked(&self.workspace).users.insert(api_key.to_owned(), user);
        Ok(())
    }

    /// A day passes for the answers kept under `Idempotency-Key`s.
    pub fn forget_answers(&self) {
        locked(&self.workspace).answered.clear();
    }

    /// Whether look-ups lag behind what was taken.
    pub fn hide(&self, hides: bool) {
        locked(&self.workspace).hides = hides;
    }

    /// Every request so far, in order.
    pub fn heard(&self) -> Vec<Heard> {
        locked(&self.workspace).heard.clone()
    }

    /// Every API user is forgotten.
    pub fn forget_users(&self) {
        locked(&self.workspace).users.clear();
    }

    pub fn set_mood(&self, mood: Mood) {
        locked(&self.workspace).mood = mood;
    }

    /// Moves the transaction of an external id.
    pub fn set_status(&self, external_id: &str, status: &str, hash: Option<&str>) -> Result<()> {
        let mut workspace = locked(&self.workspace);
        let taken = workspace.transactions.get_mut(external_id).context("no such transaction")?;
        status.clone_into(&mut taken.status);
        taken.hash = hash.map(str::to_owned);
        Ok(())
    }

    pub fn taken(&self, external_id: &str) -> Option<Taken> {
        locked(&self.workspace).transactions.get(external_id).cloned()
    }

    /// `Idempotency-Key` and body of every request to create a transaction, refused ones included.
    pub fn posts(&self) -> Vec<(String, Value)> {
        locked(&self.workspace).posts.clone()
    }

    /// What was wrong with requests so far.
    pub fn faults(&self) -> Vec<String> {
        locked(&self.workspace).faults.clone()
    }
}

/// What openssl writes, if it is content.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Result<String> {
    let mut command = ending("openssl");
    let output = fed(command.args(arguments), input)?;
    let told = String::from_utf8_lossy(&output.stderr);
    // Of a request that does not verify openssl only says so.
    let verified = !arguments.contains(&"-verify") || told.contains("verify OK");
    ensure!(output.status.success() && verified, "openssl: {told}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The output of a program that reads `input`.
fn fed(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("the program has no input")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

async fn answer(
    State(workspace): State<Arc<Mutex<Workspace>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authenticated = {
        let mut workspace = locked(&workspace);
        workspace.heard.push(heard(&method, &uri, &headers, &body));
        workspace.authenticate(&uri, &headers, &body)
    };
    if let Err(fault) = authenticated {
        return says(StatusCode::UNAUTHORIZED, &json!({"message": fault, "code": -7}));
    }
    match (method.as_str(), uri.path()) {
        ("GET", "/v1/vault/accounts_paged") => {
            says(StatusCode::OK, &json!({"accounts": [], "paging": {"before": "", "after": ""}}))
        }
        ("POST", "/v1/transactions") => create(&workspace, &headers, &body).await,
        ("GET", path) if path.starts_with("/v1/transactions/external_tx_id/") => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let workspace = locked(&workspace);
            match workspace.transactions.get(name).filter(|_| !workspace.hides) {
                Some(taken) => says(StatusCode::OK, &told(name, taken)),
                None => says(StatusCode::NOT_FOUND, &json!({"message": "Not Found", "code": 1404})),
            }
        }
        _ => says(StatusCode::NOT_FOUND, &json!({"message": "Not Found", "code": 1})),
    }
}

fn heard(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Heard {
    let text = |value: &HeaderValue| value.to_str().unwrap_or("not text").to_owned();
    Heard {
        method: method.to_string(),
        uri: uri.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.to_vec(),
    }
}

async fn create(workspace: &Mutex<Workspace>, headers: &HeaderMap, body: &[u8]) -> Response {
    let (mood, key, asked) = {
        let mut workspace = locked(workspace);
        let (key, asked) = workspace.note_post(headers, body);
        if let Some(repeated) = workspace.repeat(&key, &asked) {
            return says(repeated.status, &repeated.answer);
        }
        (workspace.mood.clone(), key, asked)
    };
    let refusal = |status: u16, code: i64| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, json!({"message": "refused: upstream secret text", "code": code}))
    };
    let keep = |(status, answer): (StatusCode, Value)| {
        let answered = Answered { body: asked.clone(), status, answer: answer.clone() };
        locked(workspace).answered.insert(key.clone(), answered);
        says(status, &answer)
    };
    let take = || locked(workspace).take(&asked);
    match mood {
        Mood::Honest => {
            let answer = take();
            keep(answer)
        }
        Mood::Refuse { status, code } => keep(refusal(status, code)),
        Mood::TakeAndRefuse { status, code } => {
            drop(take());
            keep(refusal(status, code))
        }
        Mood::HoldBefore(gate) => {
            gate.pass().await;
            let (status, answer) = refusal(503, 0);
            says(status, &answer)
        }
        Mood::HoldAfter(gate) => {
            let answer = take();
            let answer = keep(answer);
            gate.pass().await;
            answer
        }
    }
}

impl Workspace {
    /// The documented checks of a request; what is wrong is kept as well as told.
    fn authenticate(&mut self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let checked = self.check(uri, headers, body);
        if let Err(fault) = &checked {
            self.faults.push(format!("{uri}: {fault}"));
        }
        checked
    }

    /// The first answer under the key. Fireblocks does not say what another body under it gets: the client has a fault.
    fn repeat(&mut self, key: &str, asked: &Value) -> Option<Answered> {
        let answered = self.answered.get(key)?.clone();
        if answered.body != *asked {
            self.faults.push(format!("Idempotency-Key: `{key}` was used for another body"));
        }
        Some(answered)
    }

    fn note_post(&mut self, headers: &HeaderMap, body: &[u8]) -> (String, Value) {
        let key = header(headers, "idempotency-key").map(str::to_owned);
        let key =
            key.and_then(|key| if key.len() <= 40 { Ok(key) } else { Err("it is too long".to_owned()) });
        let key = key.unwrap_or_else(|fault| {
            self.faults.push(format!("Idempotency-Key: {fault}"));
            String::new()
        });
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        if !asked["maxFee"].as_str().is_some_and(is_price) {
            self.faults.push(format!("maxFee: {} is no price of gas as a numeric string", asked["maxFee"]));
        }
        if asked["failOnLowFee"] != true {
            self.faults
                .push("failOnLowFee: below the ceiling the transaction could linger unmined".to_owned());
        }
        self.posts.push((key.clone(), asked.clone()));
        (key, asked)
    }

    fn take(&mut self, asked: &Value) -> (StatusCode, Value) {
        let refuse =
            |text: &str, code: i64| (StatusCode::BAD_REQUEST, json!({"message": text, "code": code}));
        let Some(name) = asked["externalTxId"].as_str() else {
            return refuse("externalTxId is missing", 1409);
        };
        if self.transactions.contains_key(name) {
            return refuse("The external tx id that was provided in the request, already exists", 1438);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let taken = Taken { id, body: asked.clone(), status: "SUBMITTED".to_owned(), hash: None };
        let answer = json!({"id": taken.id, "status": taken.status});
        self.transactions.insert(name.to_owned(), taken);
        (StatusCode::OK, answer)
    }
}

/// Gwei as a numeric string.
fn is_price(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse().is_ok_and(|price: f64| price > 0.0)
}

fn told(name: &str, taken: &Taken) -> Value {
    json!({
        "id": taken.id, "status": taken.status, "externalTxId": name, "txHash": taken.hash.as_deref().unwrap_or(""),
        "operation": taken.body["operation"], "assetId": taken.body["assetId"], "subStatus": "",
    })
}

fn says(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}
