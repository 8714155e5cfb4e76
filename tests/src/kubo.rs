//! A server that behaves like a Kubo node where the gateway touches it, written from Kubo's RPC reference and the IPFS
//! specifications: it names what it is given by itself, and can be told to refuse and to lie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::vendor::{Counterpart, header, locked};

/// What the gateway has to ask for, so that the node names content as the gateway does.
const QUERY: &str = "cid-version=1&raw-leaves=false&chunker=size-262144&pin=true";

/// What happens to the next requests to add something.
#[derive(Clone, Copy, Default)]
pub enum KuboMood {
    #[default]
    Honest,
    /// Nothing is kept; this is the answer's status.
    Refuse(u16),
    /// It is kept, and named after something else.
    Misname,
}

#[derive(Default)]
struct Repository {
    /// Content by name.
    pinned: BTreeMap<String, Vec<u8>>,
    requests: usize,
    faults: Vec<String>,
    mood: KuboMood,
}

pub struct Kubo {
    counterpart: Counterpart,
    repository: Arc<Mutex<Repository>>,
}

impl Kubo {
    pub async fn start() -> Result<Kubo> {
        let repository = Arc::<Mutex<Repository>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&repository));
        Ok(Kubo { counterpart: Counterpart::start(router).await?, repository })
    }

    pub fn url(&self) -> &str {
        self.counterpart.url()
    }

    pub fn set_mood(&self, mood: KuboMood) {
        locked(&self.repository).mood = mood;
    }

    /// What it keeps under this name.
    pub fn pinned(&self, cid: &str) -> Option<Vec<u8>> {
        locked(&self.repository).pinned.get(cid).cloned()
    }

    /// How often it was asked to add something.
    pub fn requests(&self) -> usize {
        locked(&self.repository).requests
    }

    /// What was wrong with requests so far.
    pub fn faults(&self) -> Vec<String> {
        locked(&self.repository).faults.clone()
    }
}

async fn answer(
    State(repository): State<Arc<Mutex<Repository>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut repository = locked(&repository);
    if (method, uri.path(), uri.query()) != (Method::POST, "/api/v0/add", Some(QUERY)) {
        repository.faults.push(format!("{uri} is not what adds and pins one file"));
        return StatusCode::NOT_FOUND.into_response();
    }
    repository.requests += 1;
    let content = match file_of(&headers, &body) {
        Ok(content) => content.to_vec(),
        Err(fault) => {
            repository.faults.push(fault);
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let name = match repository.mood {
        KuboMood::Refuse(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            return (status, json!({"Message": "refused", "Code": 0, "Type": "error"}).to_string())
                .into_response();
        }
        KuboMood::Misname => cid_of(b"something else"),
        KuboMood::Honest => cid_of(&content),
    };
    let told = json!({"Name": "payload", "Hash": name, "Size": content.len().to_string()});
    repository.pinned.insert(name, content);
    ([("content-type", "application/json")], format!("{told}\n")).into_response()
}

/// The one file of a form (RFC 7578).
fn file_of<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a [u8], String> {
    let kind = header(headers, "content-type")?;
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").ok_or("it is no form")?;
    let begin = format!("--{boundary}\r\n");
    let part = body.strip_prefix(begin.as_bytes()).ok_or("the form does not begin with its boundary")?;
    let end = format!("\r\n--{boundary}--\r\n");
    let part = part.strip_suffix(end.as_bytes()).ok_or("the form does not end with its boundary")?;
    let blank = part.windows(4).position(|window| window == b"\r\n\r\n").ok_or("the file has no head")?;
    let head = String::from_utf8_lossy(&part[..blank]);
    if !head.starts_with("Content-Disposition: form-data; name=\"file\"") {
        return Err(format!("the part is no file: {head}"));
    }
    Ok(&part[blank + 4..])
}

/// CIDv1 of content that fits into one UnixFS block, written without the gateway's code.
pub fn cid_of(content: &[u8]) -> String {
    let varint = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push(low_byte(number % 128 + 128));
            number /= 128;
        }
        bytes.push(low_byte(number));
        bytes
    };
    let length = varint(content.len());
    let file = [&[8, 2, 18][..], &length, content, &[24], &length].concat();
    let node = [&[10][..], &varint(file.len()), &file].concat();
    let cid = [&[1, 0x70, 0x12, 32][..], &Sha256::digest(node)].concat();
    let bits: Vec<u8> =
        cid.iter().flat_map(|byte| (0..8).rev().map(move |place| (byte >> place) & 1)).collect();
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |group: &[u8]| {
        let number = (0..5).fold(0, |number, place| number * 2 + group.get(place).copied().unwrap_or(0));
        char::from(letters[usize::from(number)])
    };
    format!("b{}", bits.chunks(5).map(letter).collect::<String>())
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}
