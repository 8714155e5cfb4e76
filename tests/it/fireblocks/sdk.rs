//! The gateway's requests beside those of Fireblocks' own SDK for the same calls, as the counterpart hears them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use countersign_tests::fireblocks::sdk::Call;
use countersign_tests::fireblocks::{Fireblocks, Heard};
use countersign_tests::main_job::text;
use serde_json::{Value, json};

use super::{HASH, Scene};
use crate::stand::ETHER;

const SDK_API_KEY: &str = "99999999-2222-4333-8444-555555555555";

/// What HTTP libraries add by themselves.
const OF_THE_LIBRARY: [&str; 6] =
    ["accept", "accept-encoding", "connection", "content-length", "host", "user-agent"];

/// A GET has no body: the SDK says all the same of which type it would be.
const ONLY_THE_SDKS: &str = "content-type";

#[tokio::test]
async fn requests_are_those_of_fireblocks_own_sdk() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let job = scene.stand.job(&gateway);
    scene.validate(&gateway).await?.expect(200)?;
    let order = scene.order(1, ETHER / 10);
    let name = text(&order, "requestHash")?.to_owned();
    scene.ask(&gateway, &order).await?.expect(201)?;
    scene.fireblocks.set_status(&name, "COMPLETED", Some(HASH))?;
    job.final_transaction(&name).await?;
    gateway.stop().await?;
    scene.check_requests()?;

    let ours = scene.fireblocks.heard();
    let of = |method: &str, part: &str| {
        let found = ours.iter().find(|heard| heard.method == method && heard.uri.contains(part)).cloned();
        found.with_context(|| format!("the gateway never sent {method} `{part}`"))
    };
    let ours = [of("GET", "accounts_paged")?, of("GET", "external_tx_id")?, of("POST", "/v1/transactions")?];
    let body: Value = serde_json::from_slice(&ours[2].body)?;
    let before = scene.fireblocks.heard().len();
    let calls = [
        Call::ListVaultAccounts,
        Call::Find { external_id: name },
        Call::Create { idempotency_key: ours[2].headers["idempotency-key"].clone(), body },
    ];
    let told = scene.fireblocks.call_with_sdk(SDK_API_KEY, &calls).await?;
    assert!(told.iter().all(|answer| answer["status"] == 200), "{told:#?}");
    let theirs = scene.fireblocks.heard().split_off(before);
    assert_eq!(theirs.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        compare(ours, theirs)?;
    }
    scene.check_requests()
}

fn compare(ours: &Heard, theirs: &Heard) -> Result<()> {
    let uri = &ours.uri;
    assert_eq!((&ours.method, uri), (&theirs.method, &theirs.uri));
    let mut expected = named(theirs);
    if ours.body.is_empty() {
        expected.remove(ONLY_THE_SDKS);
    }
    assert_eq!(named(ours), expected, "{uri}: names of headers");
    for name in expected.iter().filter(|name| !["authorization", "x-api-key"].contains(name)) {
        assert_eq!(ours.headers[*name], theirs.headers[*name], "{uri}: `{name}`");
    }
    let json = |body: &[u8]| match body {
        [] => Ok(Value::Null),
        body => serde_json::from_slice::<Value>(body),
    };
    assert_eq!(json(&ours.body)?, given(json(&theirs.body)?), "{uri}: body");

    let token = |heard: &Heard| heard.token().map_err(anyhow::Error::msg);
    let ((our_head, our_claims), (their_head, their_claims)) = (token(ours)?, token(theirs)?);
    assert_eq!(our_head, their_head, "{uri}: header of the token");
    let shape = |claims: &Value| -> Vec<(String, &'static str)> {
        let claims = claims.as_object().into_iter().flatten();
        claims.map(|(name, value)| (name.clone(), if value.is_i64() { "number" } else { "text" })).collect()
    };
    assert_eq!(shape(&our_claims), shape(&their_claims), "{uri}: claims");
    assert_eq!(our_claims["uri"], their_claims["uri"]);
    let length = |claims: &Value| claims["nonce"].as_str().map(str::len);
    assert_eq!(length(&our_claims), length(&their_claims), "{uri}: nonce");
    // The documentation wants less than 30 s; the SDK asks for more than it needs.
    let span = |claims: &Value| Some(claims["exp"].as_i64()? - claims["iat"].as_i64()?);
    assert_eq!((span(&our_claims), span(&their_claims)), (Some(29), Some(55)), "{uri}: life of the token");
    if ours.body.is_empty() {
        assert_eq!(our_claims["bodyHash"], their_claims["bodyHash"], "{uri}: hash of no body");
    }
    Ok(())
}

fn named(heard: &Heard) -> BTreeSet<&str> {
    heard.headers.keys().map(String::as_str).filter(|name| !OF_THE_LIBRARY.contains(name)).collect()
}

/// The SDK writes null for what was not given.
fn given(body: Value) -> Value {
    match body {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name, given(value))).collect()
        }
        other => other,
    }
}

/// What the counterpart is believed to have in common with Fireblocks, asked with Fireblocks' own SDK.
#[tokio::test]
async fn the_counterpart_repeats_answers_and_refuses_second_transactions() -> Result<()> {
    let fireblocks = Fireblocks::start().await?;
    let body = |name: &str, amount: &str| {
        json!({
            "operation": "TRANSFER", "assetId": "ETH_TEST5", "source": {"type": "VAULT_ACCOUNT", "id": "0"},
            "amount": amount, "maxFee": "1", "failOnLowFee": true, "externalTxId": name,
        })
    };
    let create = |key: &str, body: Value| Call::Create { idempotency_key: key.to_owned(), body };
    let calls = [
        Call::Find { external_id: "one".to_owned() },
        create("first", body("one", "1")),
        create("first", body("one", "1")),
        create("second", body("one", "1")),
        create("second", body("one", "1")),
        create("first", body("two", "2")),
        Call::Find { external_id: "two".to_owned() },
    ];
    let told = fireblocks.call_with_sdk(SDK_API_KEY, &calls).await?;
    let statuses: Vec<_> = told.iter().map(|answer| answer["status"].as_u64()).collect();
    assert_eq!(statuses, [404, 200, 200, 400, 400, 200, 404].map(Some), "{told:#?}");
    assert_eq!(told[1], told[2], "the same key, the same answer");
    assert_eq!((&told[3]["body"]["code"], &told[3]), (&json!(1438), &told[4]), "errors are repeated too");
    assert_eq!(told[1], told[5], "the first answer, whatever the body");
    assert_eq!(fireblocks.faults(), ["Idempotency-Key: `first` was used for another body"]);
    fireblocks.forget_answers();
    let told = fireblocks.call_with_sdk(SDK_API_KEY, &[create("first", body("one", "1"))]).await?;
    assert_eq!(told[0]["body"]["code"], 1438, "the name outlives the answers");
    Ok(())
}
