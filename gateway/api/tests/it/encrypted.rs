//! Encrypted payloads and their verification services.

use std::collections::BTreeSet;

use gateway_domain::{
    Address, B256, OpCtx,
    credentials::{CreateApiKey, Label, create_api_key},
    identity::set_organization_frozen,
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, generate_key, retire_key, set_key_frozen},
    verification::set_verification_service_active,
};
use serde_json::{Value, json};

use crate::{
    openpgp::{BUILT_IN, OUTSIDE, encrypt},
    wallet::{Wallet, hex},
    world::{CHAIN, INTERNAL_TOKEN, Reply, World},
};

const TO: Address = Address::repeat_byte(0x42);

pub(crate) fn plaintext(escrow: Address, request_hash: B256) -> Value {
    json!({
        "requestHash": request_hash, "escrowAddress": escrow, "chainId": CHAIN, "to": TO, "value": "5000",
        "data": "0x",
    })
}

pub(crate) fn body(
    wallet: &Wallet,
    escrow: Address,
    request_hash: B256,
    message: &str,
    service: u32,
) -> Value {
    json!({
        "encryptedPayload": message, "requestHash": request_hash, "escrowAddress": escrow, "chainId": CHAIN,
        "executionType": 2, "ethereumAddress": wallet.address(), "verificationServiceId": service,
    })
}

async fn send(world: &World, body: &Value) -> Reply {
    world.post("/transactions", body).key(world, "admin").send().await
}

pub(crate) fn hash(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

/// An orion key that speaks for this service.
async fn bound_key(world: &World, service: u32) -> String {
    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    let request = CreateApiKey {
        label: Label::Orion,
        name: "bound".to_owned(),
        principal: None,
        expires_at: None,
        dev_only: false,
        verification_service: Some(service),
    };
    let (_, text) = create_api_key(&ctx, &world.services, request).await.unwrap();
    text.reveal().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_for_the_built_in_service_is_opened_judged_and_never_shown() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);
    let request = body(&wallet, escrow, hash(7), &message, service.id);
    let made = send(&world, &request).await.expect(201);
    assert_eq!(made["payloadType"], "encrypted");
    assert_eq!(made["status"], "PENDING");
    assert_eq!(made["requestHash"], hex(hash(7).as_slice()));
    assert_eq!(made["apiKeyApprovals"][0]["type"], "orion", "the plugin has judged the content");
    for hidden in ["to", "value", "data", "note", "encryptedPayload"] {
        assert!(made.get(hidden).is_none(), "{hidden} is shown");
    }
    let cid = made["ipfsCid"].as_str().unwrap();
    assert!(cid.starts_with("bafybei"), "{cid}");
    let path = format!("/transactions/{}/approval-status", made["requestHash"].as_str().unwrap());
    let status = world.get(path).key(&world, "agent").send().await.expect(200);
    assert_eq!(status["required"], json!(["user", "agent", "orion"]));
    assert_eq!(status["orion"], true);

    let again = send(&world, &request).await.expect(201);
    assert_eq!(again["id"], made["id"], "an equal request is the same transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_good_for_one_request_of_one_user() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let (escrow, others) = (world.user(&wallet).await, world.user(&other).await);
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);

    let stolen = send(&world, &body(&other, others, hash(7), &message, service.id)).await.expect(201);
    assert_eq!(stolen["status"], "REJECTED");
    assert_eq!(stolen["failureReason"], "payload_invalid: its escrowAddress is not the request's");

    let renamed = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);
    let renamed = send(&world, &body(&wallet, escrow, hash(8), &renamed, service.id)).await.expect(201);
    assert_eq!(renamed["failureReason"], "payload_invalid: its requestHash is not the request's");

    // The first message was used up by the attempt to steal it; its owner must not learn more than that.
    let late = send(&world, &body(&wallet, escrow, hash(9), &message, service.id)).await;
    late.expect(409);
    assert_eq!(late.message(), "encryptedPayload was sent before");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_breaks_a_rule_ends_rejected_with_the_rule_and_without_the_value() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let good = plaintext(escrow, hash(7)).to_string();
    for (number, (text, reason)) in [
        ("canary-secret".to_owned(), "it is not one JSON object"),
        ("[]".to_owned(), "it is not one JSON object"),
        (good.replace('}', ",\"value\":\"6\"}"), "it is not one JSON object"),
        (good.replace('}', ",\"canary\":1}"), "canary is not a known field"),
        (good.replace("\"5000\"", "5000"), "value must be a string of decimal digits, not a number"),
        (good.replace("\"data\"", "\"date\""), "data is required; date is not a known field"),
    ]
    .into_iter()
    .enumerate()
    {
        let request_hash = hash(7 + u8::try_from(number).unwrap());
        let message = encrypt(&text, BUILT_IN);
        let made = send(&world, &body(&wallet, escrow, request_hash, &message, service.id)).await.expect(201);
        assert_eq!(made["status"], "REJECTED", "{text}");
        assert_eq!(made["failureReason"], format!("payload_invalid: {reason}"));
        assert!(made.get("submissionTxHash").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_ends_with_one_reason() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);
    let mut reasons = BTreeSet::new();
    let lines: Vec<&str> = message.lines().collect();
    // A character of the session-key packet, and one of the body.
    for (number, line) in [3, lines.len() - 4].into_iter().enumerate() {
        let mut changed = lines.clone();
        let flipped = flip(changed[line]);
        changed[line] = &flipped;
        let request_hash = hash(7 + u8::try_from(number).unwrap());
        let request = body(&wallet, escrow, request_hash, &changed.join("\n"), service.id);
        let made = send(&world, &request).await.expect(201);
        assert_eq!(made["status"], "REJECTED");
        reasons.insert(made["failureReason"].as_str().unwrap().to_owned());
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["payload_unopened: it could not be opened"]);
}

fn flip(line: &str) -> String {
    let (head, tail) = line.split_at(line.len() / 2);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    format!("{head}{other}{}", &tail[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (service, outside) = (world.built_in_service().await, world.outside_service().await);
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);
    let good = body(&wallet, escrow, hash(7), &message, service.id);
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    for (request, rule) in [
        (with("encryptedPayload", json!("x")), "encryptedPayload must be one ASCII-armored block"),
        (with("verificationServiceId", json!(9)), "verificationServiceId 9 is not an active"),
        (
            with("verificationServiceId", json!(outside.id)),
            "is not encrypted to the verification service's key",
        ),
        (with("escrowAddress", json!(TO)), "escrowAddress must belong to the user"),
        (with("ethereumAddress", json!(TO)), "ethereumAddress must belong to a user"),
        (
            with("ipfsCid", json!("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")),
            "ipfsCid must be",
        ),
        (with("userSignature", json!(hex(&[1; 65]))), "userSignature must be"),
        (with("to", json!(TO)), "body must have either"),
        (with("note", json!("x")), "note is not a known field"),
    ] {
        let reply = send(&world, &request).await;
        reply.expect(400);
        assert!(reply.message().contains(rule), "{}", reply.message());
    }
    let stranger = world.post("/transactions", &good).key(&world, "arbiter").send().await;
    stranger.expect(403);
    let message = gateway_chains::evm::signature::personal_message_hash(hash(7).as_slice());
    let mut signature = wallet.sign(message);
    let made = send(&world, &with("userSignature", json!(hex(&signature)))).await.expect(201);
    // Signed anew, if only by another spelling, it is the same request.
    signature[64] = if signature[64] < 27 { signature[64] + 27 } else { signature[64] - 27 };
    let again = send(&world, &with("userSignature", json!(hex(&signature)))).await.expect(201);
    assert_eq!(again["id"], made["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_for_an_outside_service_waits_for_its_own_orion_key_and_is_settled_by_report() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.outside_service().await;
    let key = bound_key(&world, service.id).await;
    let message = encrypt("{}", &service.public_key);
    let request = body(&wallet, escrow, hash(7), &message, service.id);
    let made = world.post("/transactions", &request).key(&world, "admin").send().await.expect(201);
    assert_eq!(made["status"], "PENDING");
    assert!(made["apiKeyApprovals"].as_array().unwrap().is_empty(), "no plugin can read it");
    let name = made["requestHash"].as_str().unwrap();
    let settled = json!({"status": "settled", "settlementTxHash": hash(5), "blockNumber": 9});
    settle(&world, name, &settled).await.expect(409);

    let approvals = format!("/transactions/{name}/approvals");
    let vote = json!({"approved": true, "confidence": 0.95, "analysis": "fine"});
    world.post(approvals.clone(), &vote).key(&world, "orion").send().await.expect(403);
    let bound = world.post(approvals.clone(), &vote).header("x-api-key", &key).send().await.expect(201);
    assert_eq!((&bound["type"], &bound["label"]), (&json!("orion"), &json!("orion")));
    assert_eq!(bound["transactionStatus"], "PENDING");
    let yes = json!({"approved": true});
    world.post(approvals.clone(), &yes).signed(&wallet).send().await.expect(201);
    let last = world.post(approvals, &yes).key(&world, "agent").send().await.expect(201);
    assert_eq!(last["transactionStatus"], "APPROVED");

    settle(&world, name, &json!({"status": "settled"})).await.expect(400);
    let pending = settle(&world, name, &json!({"status": "pending"})).await.expect(200);
    assert_eq!(pending["settlement"]["status"], "pending");
    let done = settle(&world, name, &settled).await.expect(200);
    assert_eq!(done["settlement"]["settlementTxHash"], hex(hash(5).as_slice()));
    settle(&world, name, &settled).await.expect(200);
    settle(&world, name, &json!({"status": "failed"})).await.expect(409);
    let path = format!("/transactions/users/{}?status=EXECUTED", wallet.address());
    let listed = world.get(path).key(&world, "agent").send().await.expect(200);
    assert_eq!(listed[0]["requestHash"], name);
    assert_eq!(listed[0]["executionTxHash"], hex(hash(5).as_slice()));
    assert_eq!(listed[0]["orionMetadata"]["settlement"]["status"], "settled");
    assert_eq!(listed[0]["orionMetadata"]["confidence"], 0.95);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_failed_is_told_and_made_again_when_it_is_asked_for_again() {
    let world = World::new().await;
    let relayer = GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Relayer,
        kinds: BTreeSet::new(),
        vault: None,
    };
    generate_key(&world.ctx(), &world.services, relayer, None).await.unwrap();
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), BUILT_IN);
    let request = body(&wallet, escrow, hash(7), &message, service.id);
    world.node.mine(false);
    send(&world, &request).await.expect(201);
    let listed = async || {
        let path = format!("/transactions/users/{}", wallet.address());
        world.get(path).key(&world, "agent").send().await.expect(200)[0].clone()
    };
    world.work_until(async || listed().await["failureReason"] == "submission_failed: reverted").await;
    world.node.mine(true);
    let again = send(&world, &request).await.expect(201);
    assert_eq!(again["status"], "PENDING");
    world.work_until(async || listed().await.get("submissionTxHash").is_some()).await;
    assert!(listed().await.get("failureReason").is_none());
}

async fn settle(world: &World, name: &str, body: &Value) -> Reply {
    let path = format!("/internal/orion-metadata/{name}/settlement");
    let call = world.call(axum::http::Method::PATCH, path).json(body);
    call.header("x-internal-token", INTERNAL_TOKEN).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_settles_what_this_gateway_executes() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    for value in [1, 5_000] {
        let ours = world.propose(escrow, value).await;
        let name = ours["requestHash"].as_str().unwrap();
        for status in ["pending", "failed", "settled"] {
            let report = json!({"status": status, "settlementTxHash": hash(5)});
            settle(&world, name, &report).await.expect(409);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tee_proof_is_kept_as_sent_and_must_name_its_request() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let made = world.propose(escrow, 5_000).await;
    let name = made["requestHash"].as_str().unwrap();
    let report = async |token: &str, body: Value| {
        let path = format!("/internal/orion-metadata/{name}/tee-proof");
        let call = world.call(axum::http::Method::PATCH, path).json(&body);
        call.header("x-internal-token", token).send().await
    };
    let proof = json!({"teeProof": "AAECAw==", "teeType": "sev-snp", "reportData": name});
    report("another token of the same length", proof.clone()).await.expect(401);
    report(INTERNAL_TOKEN, json!({"teeProof": "AAAA", "reportData": hex(&[1; 32])})).await.expect(400);
    report(INTERNAL_TOKEN, json!({"teeProof": "not base64!"})).await.expect(400);
    let kept = report(INTERNAL_TOKEN, proof).await.expect(200);
    assert_eq!(kept["teeProof"]["teeProof"], "AAECAw==");
    assert_eq!(kept["teeProof"]["teeType"], "sev-snp");
    let path = format!("/transactions/users/{}", wallet.address());
    let listed = world.get(path).key(&world, "agent").send().await.expect(200);
    assert_eq!(listed[0]["orionMetadata"]["teeProof"]["reportData"], name);
}

#[tokio::test(flavor = "multi_thread")]
async fn report_data_is_hex_with_or_without_a_prefix_and_holds_the_request_hash_in_whole_bytes() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let made = world.propose(escrow, 5_000).await;
    let name = made["requestHash"].as_str().unwrap();
    let digits = name.strip_prefix("0x").unwrap();
    for (report, status) in [
        (format!("0xff{digits}ff"), 200),
        (format!("ff{}", digits.to_uppercase()), 200),
        // The digits are there, half a byte further on.
        (format!("0xf{digits}f"), 400),
        (format!("0x{digits}f"), 400),
        (format!("0X{digits}"), 400),
    ] {
        let body = json!({"teeProof": "AAECAw==", "measurement": "ABcd", "reportData": report});
        let path = format!("/internal/orion-metadata/{name}/tee-proof");
        let call = world.call(axum::http::Method::PATCH, path).json(&body);
        let kept = call.header("x-internal-token", INTERNAL_TOKEN).send().await.expect(status);
        if status == 200 {
            assert_eq!(kept["teeProof"]["measurement"], "0xabcd");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_found_by_number_inbox_and_every_form_of_its_key() {
    let world = World::new().await;
    let service = world.built_in_service().await;
    let encoded: String = form_urlencoded::byte_serialize(service.public_key.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let base64 = base64_url(service.public_key.as_bytes());
    for path in [
        "1".to_owned(),
        format!("inbox/{}", service.inbox),
        format!("pgp-public-key/{}", service.fingerprint),
        format!("pgp-public-key/{}", service.fingerprint.to_string().to_lowercase()),
        format!("pgp-public-key/{base64}"),
        format!("pgp-public-key/{encoded}"),
    ] {
        let found = world.get(format!("/verification-services/{path}")).send().await.expect(200);
        assert_eq!(found["pgpFingerprint"], service.fingerprint.to_string());
        assert_eq!(found["pgpPublicKey"], service.public_key);
    }
    for (path, status) in [
        ("2", 404),
        ("0", 400),
        ("01", 400),
        ("x", 400),
        ("inbox/0x01", 400),
        ("inbox/0x0000000000000000000000000000000000000009", 404),
        ("pgp-public-key/0000000000000000000000000000000000000000", 404),
        ("pgp-public-key/nonsense", 400),
    ] {
        world.get(format!("/verification-services/{path}")).send().await.expect(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_switched_off_is_not_offered_and_cannot_be_chosen() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (built_in, outside) = (world.built_in_service().await, world.outside_service().await);
    let listed = async |path: &str| -> Vec<(Value, Value)> {
        let told = world.get(path).send().await.expect(200);
        told.as_array()
            .unwrap()
            .iter()
            .map(|service| (service["id"].clone(), service["active"].clone()))
            .collect()
    };
    let both = [(json!(1), json!(true)), (json!(2), json!(true))];
    assert_eq!(listed("/verification-services/active").await, both);

    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    set_verification_service_active(&ctx, &world.services, outside.id, false).await.unwrap();
    assert_eq!(listed("/verification-services/active").await, both[..1]);
    assert_eq!(listed("/verification-services").await, [both[0].clone(), (json!(2), json!(false))]);
    let found = world.get(format!("/verification-services/{}", outside.id)).send().await.expect(200);
    assert_eq!(found["active"], false, "what was sent to it can still be looked up");
    let message = encrypt(&plaintext(escrow, hash(7)).to_string(), OUTSIDE);
    let refused = send(&world, &body(&wallet, escrow, hash(7), &message, outside.id)).await;
    refused.expect(400);
    assert_eq!(refused.message(), "verificationServiceId 2 is not an active verification service");

    set_verification_service_active(&ctx, &world.services, built_in.id, false).await.unwrap();
    assert_eq!(listed("/verification-services/active").await, []);
    set_verification_service_active(&ctx, &world.services, outside.id, true).await.unwrap();
    assert_eq!(listed("/verification-services/active").await, both[1..]);
}

/// Its owner has to make another key; the sender has done nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_key_has_expired_is_named_and_not_offered() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (good, expired) = (world.outside_service().await, world.expired_service().await);
    let message = encrypt("{}", OUTSIDE);
    let access = world.log_in(&wallet).await.access;
    let refused = send(&world, &body(&wallet, escrow, hash(7), &message, expired.id)).await;
    refused.expect(400);
    assert_eq!(refused.message(), "verificationServiceId 3: the service's public key is expired");
    assert_eq!(world.get("/verification-services/3").send().await.expect(200)["active"], false);
    let choice = json!({"verificationServiceId": expired.id});
    let call = world.call(axum::http::Method::PUT, "/settings").json(&choice).bearer(&access);
    call.send().await.expect(400);
    let listed = async |path: &str| world.get(path).send().await.expect(200).as_array().unwrap().clone();
    let offered = listed("/verification-services/active").await;
    assert_eq!(offered.iter().map(|service| &service["id"]).collect::<Vec<_>>(), [&json!(good.id)]);
    assert_eq!(listed("/verification-services").await.len(), 2);
    // The message was not claimed for that.
    send(&world, &body(&wallet, escrow, hash(7), &message, good.id)).await.expect(201);
}

/// Freezing the key that is suspected, or everything, ends what could be learnt by having messages opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_stops_opening_and_costs_the_message_nothing() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let (service, outside) = (world.built_in_service().await, world.outside_service().await);
    let (ctx, services) = (world.ctx(), &world.services);
    let key = service.built_in.unwrap();
    let sealed = |byte: u8| {
        let message = encrypt(&plaintext(escrow, hash(byte)).to_string(), BUILT_IN);
        body(&wallet, escrow, hash(byte), &message, service.id)
    };
    let refused = async |request: &Value| {
        let refused = send(&world, request).await;
        refused.expect(503);
        assert_eq!(refused.message(), "the built-in verification service is unavailable");
        // Whoever sends it first afterwards has it opened.
        let digest = services
            .publication
            .openpgp
            .inspect_message(request["encryptedPayload"].as_str().unwrap(), BUILT_IN, services.clock.now())
            .unwrap()
            .session_key_digest;
        let claim = services.store.session_key_claim(service.fingerprint, digest).await.unwrap();
        assert!(claim.is_none(), "{claim:?}");
    };
    let first = sealed(7);
    set_key_frozen(&ctx, services, key, true).await.unwrap();
    refused(&first).await;
    set_key_frozen(&ctx, services, key, false).await.unwrap();
    assert_eq!(send(&world, &first).await.expect(201)["status"], "PENDING");

    let second = sealed(8);
    set_organization_frozen(&ctx, services, true).await.unwrap();
    refused(&second).await;
    // What nobody here opens is still taken, and waits.
    let opaque = body(&wallet, escrow, hash(9), &encrypt("{}", OUTSIDE), outside.id);
    send(&world, &opaque).await.expect(201);
    set_organization_frozen(&ctx, services, false).await.unwrap();
    assert_eq!(send(&world, &second).await.expect(201)["status"], "PENDING");

    retire_key(&ctx, services, key).await.unwrap();
    refused(&sealed(10)).await;
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
