//! The forms of signatures on every route: form 2 is as good as form 1, and form 3, which signs an approval and no
//! request, is taken where approvals are given and nowhere else.

use axum::http::Method;
use gateway_chains::evm::eip712::{Request, request_signing_hash};
use gateway_domain::B256;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::matrix::{Cast, MATRIX, body, path};
use crate::{
    sign_in::without_login_rate,
    signatures::SignedVote,
    wallet::Wallet,
    world::{CHAIN, Call, ORIGIN, World},
};

const APPROVALS: (&str, &str) = ("POST", "/transactions/{requestHash}/approvals");
/// Columns of the matrix.
const NOBODY: usize = 0;
const WALLET: usize = 6;
const OTHER_WALLET: usize = 7;

/// What a route answers to form 3, given what it answers to nobody and to the same wallet with form 1.
fn expected(route: (&str, &str), nobody: u16, form_one: u16) -> u16 {
    let takes_signatures = nobody == 401 && form_one != 401;
    if takes_signatures && route != APPROVALS { 400 } else { form_one }
}

/// Form 2.
fn typed<'a>(
    call: Call<'a>,
    wallet: &Wallet,
    facts: (&str, &str, Option<&Value>),
    timestamp: u64,
) -> Call<'a> {
    let (method, path, body) = facts;
    let bytes = body.map_or_else(Vec::new, |body| serde_json::to_vec(body).unwrap());
    let body_hash = B256::new(Sha256::digest(&bytes).into());
    let request = Request { origin: ORIGIN, method, path, body_hash, timestamp };
    let signature = wallet.sign(request_signing_hash(&request, CHAIN));
    call.signature(wallet, &signature).header("x-ethereum-timestamp", &timestamp.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_requests_and_signed_approvals_on_every_route() {
    let world = World::with(without_login_rate()).await;
    let service = world.outside_service().await;
    let (cast, escrow) = Cast::gather(&world, service.id).await;
    let mut different = Vec::new();
    for (method, template, statuses) in MATRIX {
        for (wallet, column) in [(&cast.wallet, WALLET), (&cast.other, OTHER_WALLET)] {
            for form in [2, 3] {
                let proposed = world.propose(escrow, 5_000).await;
                let name = proposed["requestHash"].as_str().unwrap();
                let path = path(template, (&cast.wallet, &service), name);
                let body = body(&world, (method, template), (&cast.wallet, escrow));
                let mut call = world.call(method.parse::<Method>().unwrap(), path.clone());
                if let Some(body) = &body {
                    call = call.json(body);
                }
                let (call, expected) = if form == 2 {
                    let facts = (*method, path.as_str(), body.as_ref());
                    (typed(call, wallet, facts, world.signing_time()), statuses[column])
                } else {
                    let status = format!("/transactions/{name}/approval-status");
                    let status = world.get(status).key(&world, "admin").send().await.expect(200);
                    let expires = world.seconds() + 600;
                    let vote = SignedVote { origin: ORIGIN.to_owned(), status, approved: true, expires };
                    let call = call.signature(wallet, &vote.sign(wallet));
                    let call = call.header("x-ethereum-expires", &expires.to_string());
                    (call, expected((method, template), statuses[NOBODY], statuses[column]))
                };
                let reply = call.send().await;
                if reply.status.as_u16() != expected {
                    different.push(format!(
                        "{method} {template} in form {form} by column {column}: {} instead of {expected}: {}",
                        reply.status, reply.text
                    ));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
