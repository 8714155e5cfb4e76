//! A server that behaves like Privy where the gateway touches it, written from the documentation: Basic authentication,
//! key quorums, wallets, and `eth_signTransaction` for requests that a member of the wallet's quorum has authorized.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes as Data, Signature, U256};
use anyhow::Result;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::vendor::{Counterpart, header, locked};
use crate::wallet::Wallet;

pub const APP_ID: &str = "cm7oxq1el000e11o8iwp7d0d0";
pub const APP_SECRET: &str = "privy-app-secret-for-tests";

/// DER of a P-256 SPKI up to its point (RFC 5480).
const P256_SPKI_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

#[derive(Default)]
struct App {
    url: String,
    quorums: Vec<Value>,
    /// By user id.
    wallets: HashMap<String, (String, Wallet)>,
    /// The point of the P-256 key that may authorize.
    authorizer: Vec<u8>,
    /// Bodies of signing requests that were answered.
    signed: Vec<Value>,
    faults: Vec<String>,
    /// The wallet signs something else than it was asked to.
    lies: bool,
    refuses: Option<u16>,
    /// Shows nobody any wallet.
    hides: bool,
}

pub struct Privy {
    counterpart: Counterpart,
    app: Arc<Mutex<App>>,
}

impl Privy {
    pub async fn start() -> Result<Privy> {
        let app = Arc::<Mutex<App>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&app));
        let counterpart = Counterpart::start(router).await?;
        counterpart.url().clone_into(&mut locked(&app).url);
        Ok(Privy { counterpart, app })
    }

    pub fn url(&self) -> &str {
        self.counterpart.url()
    }

    /// Gives a user a wallet, whose address is the answer.
    pub fn make_wallet(&self, user_id: &str) -> Address {
        let wallet = Wallet::random();
        let address = wallet.address();
        let id = format!("wallet{}", locked(&self.app).wallets.len());
        locked(&self.app).wallets.insert(user_id.to_owned(), (id, wallet));
        address
    }

    /// Makes a key, given as SPKI in PEM, the one that may authorize.
    pub fn authorize(&self, pem: &str) -> Result<()> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        locked(&self.app).authorizer = point(&STANDARD.decode(body)?).map_err(anyhow::Error::msg)?;
        Ok(())
    }

    pub fn set_lies(&self, lies: bool) {
        locked(&self.app).lies = lies;
    }

    /// Shows nobody any wallet.
    pub fn set_hides(&self, hides: bool) {
        locked(&self.app).hides = hides;
    }

    /// Answers signing requests with this status.
    pub fn set_refuses(&self, status: Option<u16>) {
        locked(&self.app).refuses = status;
    }

    pub fn quorums(&self) -> Vec<Value> {
        locked(&self.app).quorums.clone()
    }

    pub fn signed(&self) -> Vec<Value> {
        locked(&self.app).signed.clone()
    }

    pub fn faults(&self) -> Vec<String> {
        locked(&self.app).faults.clone()
    }
}

async fn answer(
    State(app): State<Arc<Mutex<App>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut app = locked(&app);
    let answered = app.serve(&method, &uri, &headers, &body);
    let (status, told) = answered.unwrap_or_else(|(status, fault)| {
        app.faults.push(format!("{method} {uri}: {fault}"));
        (status, json!({"error": fault}))
    });
    (status, [("content-type", "application/json")], told.to_string()).into_response()
}

type Served = Result<(StatusCode, Value), (StatusCode, String)>;

fn bad(fault: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, fault.into())
}

impl App {
    fn serve(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Served {
        let denied = |fault: String| (StatusCode::UNAUTHORIZED, fault);
        let basic = format!("Basic {}", STANDARD.encode(format!("{APP_ID}:{APP_SECRET}")));
        if header(headers, "authorization").map_err(denied)? != basic
            || header(headers, "privy-app-id").map_err(denied)? != APP_ID
        {
            return Err(denied("wrong app id or secret".to_owned()));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method.as_str(), uri.path()) {
            ("POST", "/v1/key_quorums") => self.create_quorum(&body),
            ("GET", "/v1/wallets") => Ok((StatusCode::OK, self.list(uri.query().unwrap_or_default()))),
            ("POST", path) if path.starts_with("/v1/wallets/") && path.ends_with("/rpc") => {
                self.sign(path, headers, &body)
            }
            _ => Err((StatusCode::NOT_FOUND, "no such route".to_owned())),
        }
    }

    fn create_quorum(&mut self, body: &Value) -> Served {
        let keys = body["public_keys"].as_array().cloned().unwrap_or_default();
        let users = body["user_ids"].as_array().cloned().unwrap_or_default();
        for key in &keys {
            let der = key.as_str().and_then(|text| STANDARD.decode(text).ok());
            point(&der.unwrap_or_default()).map_err(bad)?;
        }
        let (members, threshold) = (keys.len() + users.len(), body["authorization_threshold"].as_u64());
        let fits = threshold.is_some_and(|threshold| (1..=members as u64).contains(&threshold));
        let name = body["display_name"].as_str().unwrap_or_default();
        if members == 0 || !fits || name.is_empty() || name.chars().count() > 50 {
            return Err(bad("no members, or threshold or name out of bounds"));
        }
        let authorization_keys: Vec<Value> =
            keys.iter().map(|key| json!({"public_key": key, "display_name": null})).collect();
        let quorum = json!({
            "id": format!("quorum{}", self.quorums.len()), "display_name": name, "user_ids": users,
            "authorization_threshold": threshold, "authorization_keys": authorization_keys,
        });
        self.quorums.push(quorum.clone());
        Ok((StatusCode::OK, quorum))
    }

    fn list(&self, query: &str) -> Value {
        let url = reqwest::Url::parse(&format!("http://privy/?{query}")).expect("a query is part of a URL");
        let asked: Vec<_> =
            url.query_pairs().filter(|(name, _)| name == "user_id").map(|(_, user)| user).collect();
        let is_shown = |user: &String| !self.hides && asked.iter().any(|asked| asked == user);
        let found = self.wallets.iter().filter(|(user, _)| is_shown(user));
        let data: Vec<Value> = found
            .map(|(_, (id, wallet))| json!({"id": id, "address": wallet.address(), "chain_type": "ethereum"}))
            .collect();
        json!({"data": data, "next_cursor": null})
    }

    fn sign(&mut self, path: &str, headers: &HeaderMap, body: &Value) -> Served {
        if let Some(status) = self.refuses {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return Ok((status, json!({"error": "refused: upstream secret text"})));
        }
        let signature = STANDARD.decode(header(headers, "privy-authorization-signature").map_err(bad)?);
        let idempotency = header(headers, "privy-idempotency-key").map_err(bad)?;
        // The default map of this JSON library is sorted, and everything here is ASCII without fractions: canonical.
        let authorized = json!({
            "version": 1, "method": "POST", "url": format!("{}{path}", self.url), "body": body,
            "headers": {"privy-app-id": APP_ID, "privy-idempotency-key": idempotency},
        });
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.authorizer);
        let signature = signature.map_err(|_| bad("the authorization is not base64"))?;
        verifier
            .verify(authorized.to_string().as_bytes(), &signature)
            .map_err(|_| bad("the authorization does not verify"))?;
        let id = path.trim_start_matches("/v1/wallets/").trim_end_matches("/rpc");
        let wallet = self.wallets.values().find(|(known, _)| known == id).map(|(_, wallet)| wallet);
        let wallet = wallet.ok_or_else(|| bad("no such wallet"))?;
        if body["method"] != "eth_signTransaction" {
            return Err(bad("another method"));
        }
        let mut transaction = read(&body["params"]["transaction"]).ok_or_else(|| bad("not a transaction"))?;
        if self.lies {
            transaction.value += U256::from(1);
        }
        let signature = wallet.sign(transaction.signature_hash()).map_err(|error| bad(error.to_string()))?;
        let signature = Signature::from_raw_array(&signature).map_err(|error| bad(error.to_string()))?;
        let signed = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        self.signed.push(body.clone());
        let data = json!({"signed_transaction": format!("0x{}", hex::encode(signed)), "encoding": "rlp"});
        Ok((StatusCode::OK, json!({"method": "eth_signTransaction", "data": data})))
    }
}

fn read(told: &Value) -> Option<TxEip1559> {
    let quantity = |value: &Value| u128::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
    let data = told["data"].as_str()?.strip_prefix("0x")?;
    (told["type"] == 2).then_some(())?;
    Some(TxEip1559 {
        chain_id: told["chain_id"].as_u64()?,
        nonce: told["nonce"].as_u64()?,
        gas_limit: quantity(&told["gas_limit"])?.try_into().ok()?,
        max_fee_per_gas: quantity(&told["max_fee_per_gas"])?,
        max_priority_fee_per_gas: quantity(&told["max_priority_fee_per_gas"])?,
        to: told["to"].as_str()?.parse::<Address>().ok()?.into(),
        value: told["value"].as_str()?.parse().ok()?,
        access_list: alloy_eips::eip2930::AccessList::default(),
        input: Data::from(hex::decode(data).ok()?),
    })
}

/// The point of a P-256 SPKI in DER.
fn point(der: &[u8]) -> Result<Vec<u8>, String> {
    let head = hex::decode(P256_SPKI_HEAD).map_err(|error| error.to_string())?;
    let point = der.strip_prefix(head.as_slice()).filter(|point| point.len() == 65 && point[0] == 4);
    point.map(<[u8]>::to_vec).ok_or_else(|| "not a P-256 SPKI in DER".to_owned())
}
