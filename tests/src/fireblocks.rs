//! A server that behaves like Fireblocks where the gateway touches it, written from the documentation: it verifies every
//! token with the certificate request's public key, refuses a second transaction under an external id, and can be told
//! to refuse, to fall silent and to lie.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::environment::unix_seconds;
use crate::lying_node::Gate;
use crate::vendor::{Counterpart, header, locked};

/// Fireblocks' own limit between `iat` and `exp`.
const TOKEN_SECONDS_MAX: i64 = 30;
const CLAIMS: [&str; 6] = ["bodyHash", "exp", "iat", "nonce", "sub", "uri"];

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
    /// SPKI in DER by API key.
    users: HashMap<String, Vec<u8>>,
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
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        locked(&self.workspace).users.insert(api_key.to_owned(), STANDARD.decode(body)?);
        Ok(())
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
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("openssl has no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    // Of a request that does not verify openssl only says so.
    let verified = !arguments.contains(&"-verify") || told.contains("verify OK");
    ensure!(output.status.success() && verified, "openssl: {told}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn answer(
    State(workspace): State<Arc<Mutex<Workspace>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authenticated = locked(&workspace).authenticate(&uri, &headers, &body);
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
            match locked(&workspace).transactions.get(name) {
                Some(taken) => says(StatusCode::OK, &told(name, taken)),
                None => says(StatusCode::NOT_FOUND, &json!({"message": "Not Found", "code": 1404})),
            }
        }
        _ => says(StatusCode::NOT_FOUND, &json!({"message": "Not Found", "code": 1})),
    }
}

async fn create(workspace: &Mutex<Workspace>, headers: &HeaderMap, body: &[u8]) -> Response {
    let (mood, asked) = {
        let mut workspace = locked(workspace);
        let asked = workspace.note_post(headers, body);
        (workspace.mood.clone(), asked)
    };
    let refuse = |status: u16, code: i64| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        says(status, &json!({"message": "refused: upstream secret text", "code": code}))
    };
    let take = || locked(workspace).take(&asked);
    match mood {
        Mood::Honest => take(),
        Mood::Refuse { status, code } => refuse(status, code),
        Mood::TakeAndRefuse { status, code } => {
            drop(take());
            refuse(status, code)
        }
        Mood::HoldBefore(gate) => {
            gate.pass().await;
            refuse(503, 0)
        }
        Mood::HoldAfter(gate) => {
            let answer = take();
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

    fn check(&mut self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let api_key = header(headers, "x-api-key")?;
        let token = header(headers, "authorization")?;
        let token = token.strip_prefix("Bearer ").ok_or("the scheme is not Bearer")?;
        let (signed, signature) = token.rsplit_once('.').ok_or("not a JWT")?;
        let (head, claims) = signed.split_once('.').ok_or("not a JWT")?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64url".to_owned());
        let read = |part| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| "not JSON".to_owned());
        let (head, claims) = (read(head)?, read(claims)?);
        if head["alg"] != "RS256" || head["typ"] != "JWT" {
            return Err("the algorithm is not RS256".to_owned());
        }
        let key = self.users.get(api_key).ok_or("the API key is unknown")?;
        let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
        let signature = decode(signature)?;
        verifier.verify(signed.as_bytes(), &signature).map_err(|_| "the signature does not verify")?;
        let mut names: Vec<&str> =
            claims.as_object().ok_or("claims are no object")?.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names != CLAIMS {
            return Err(format!("the claims are {names:?}"));
        }
        if claims["sub"] != api_key || claims["uri"] != uri.to_string() {
            return Err("`sub` or `uri` is of another request".to_owned());
        }
        if claims["bodyHash"] != hex::encode(Sha256::digest(body)) {
            return Err("`bodyHash` is of another body".to_owned());
        }
        let (issued, expires) = (seconds(&claims["iat"])?, seconds(&claims["exp"])?);
        let now = i64::try_from(unix_seconds()).unwrap_or(i64::MAX);
        if expires <= now || issued > now + 5 || expires - issued > TOKEN_SECONDS_MAX {
            return Err("the token is not of now, or lives too long".to_owned());
        }
        let nonce = claims["nonce"].as_str().ok_or("the nonce is no text")?;
        if nonce.len() != 36 || !self.nonces.insert(nonce.to_owned()) {
            return Err("the nonce is no UUID or was used before".to_owned());
        }
        Ok(())
    }

    fn note_post(&mut self, headers: &HeaderMap, body: &[u8]) -> Value {
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
        self.posts.push((key, asked.clone()));
        asked
    }

    fn take(&mut self, asked: &Value) -> Response {
        let Some(name) = asked["externalTxId"].as_str() else {
            return says(
                StatusCode::BAD_REQUEST,
                &json!({"message": "externalTxId is missing", "code": 1409}),
            );
        };
        if self.transactions.contains_key(name) {
            let text = "The external tx id that was provided in the request, already exists";
            return says(StatusCode::BAD_REQUEST, &json!({"message": text, "code": 1438}));
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let taken = Taken { id, body: asked.clone(), status: "SUBMITTED".to_owned(), hash: None };
        let answer = json!({"id": taken.id, "status": taken.status});
        self.transactions.insert(name.to_owned(), taken);
        says(StatusCode::OK, &answer)
    }
}

/// Gwei as a numeric string.
fn is_price(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse().is_ok_and(|price: f64| price > 0.0)
}

fn seconds(claim: &Value) -> Result<i64, String> {
    claim.as_i64().ok_or_else(|| "a time is not in whole seconds".to_owned())
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
