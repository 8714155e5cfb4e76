//! Every kind of caller on every route.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use gateway_api::openapi::{Family, openapi};
use gateway_domain::{
    Address, B256, OpCtx,
    credentials::{CreateApiKey, Label, create_api_key},
    ids::OrganizationId,
    verification::VerificationService,
};
use serde_json::{Value, json};

use crate::{
    openpgp::{OUTSIDE, encrypt},
    sign_in::without_login_rate,
    wallet::{Wallet, hex},
    world::{CHAIN, Call, INTERNAL_TOKEN, World, transfer},
};

const CALLERS: [&str; 15] = [
    "nobody",
    "admin",
    "agent",
    "arbiter",
    "orion",
    "bound orion",
    "wallet",
    "other wallet",
    "session",
    "other session",
    "user key",
    "other user key",
    "internal token",
    "wrong internal token",
    "foreign admin",
];

/// Expected statuses for a well-formed request, in the order of [`CALLERS`].
pub(super) const MATRIX: &[(&str, &str, [u16; 15])] = &[
    ("GET", "/", [200; 15]),
    ("GET", "/health", [200; 15]),
    ("POST", "/auth/siwe/nonce", [200; 15]),
    ("POST", "/auth/siwe/verify", [401; 15]),
    ("POST", "/auth/refresh", [401; 15]),
    ("POST", "/auth/logout", [401; 15]),
    ("POST", "/auth/logout-all", [401, 401, 401, 401, 401, 401, 401, 401, 204, 204, 401, 401, 401, 401, 401]),
    ("GET", "/auth/validate", [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401]),
    ("GET", "/auth/me", [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401]),
    (
        "GET",
        "/users/{ethereumAddress}",
        [401, 200, 200, 200, 403, 403, 200, 404, 401, 401, 403, 403, 401, 401, 404],
    ),
    ("POST", "/user-api-keys", [401, 401, 401, 401, 401, 401, 401, 401, 201, 201, 401, 401, 401, 401, 401]),
    ("GET", "/user-api-keys", [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401]),
    (
        "DELETE",
        "/user-api-keys/{apiKeyId}",
        [401, 401, 401, 401, 401, 401, 401, 401, 404, 404, 401, 401, 401, 401, 401],
    ),
    ("GET", "/settings", [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401]),
    ("PUT", "/settings", [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401]),
    (
        "PUT",
        "/settings/privy-quorum/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "GET",
        "/settings/privy-quorum/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "DELETE",
        "/settings/privy-quorum/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "POST",
        "/settings/register-privy-quorum",
        [401, 401, 401, 401, 401, 401, 401, 401, 201, 201, 401, 401, 401, 401, 401],
    ),
    (
        "POST",
        "/fireblocks/generate-csr/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 201, 201, 401, 401, 401, 401, 401],
    ),
    (
        "GET",
        "/fireblocks/csr/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "POST",
        "/fireblocks/complete/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "POST",
        "/fireblocks/validate/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "GET",
        "/fireblocks/integration/{type}",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "GET",
        "/fireblocks/integrations",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "GET",
        "/fireblocks/config/{type}/{ethereumAddress}",
        [401, 200, 200, 403, 403, 403, 401, 401, 401, 401, 403, 403, 401, 401, 404],
    ),
    // The user's key is in the HSM, and no vendor executes for it.
    (
        "POST",
        "/fireblocks/admin/transactions",
        [401, 400, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 404],
    ),
    ("POST", "/privy-quorum", [401, 201, 201, 403, 403, 403, 401, 401, 401, 401, 403, 403, 401, 401, 400]),
    (
        "GET",
        "/settings/by-ethereum/{ethereumAddress}",
        [401, 200, 200, 200, 403, 403, 401, 401, 200, 403, 403, 403, 401, 401, 404],
    ),
    ("POST", "/transactions", [401, 201, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 401, 401, 400]),
    (
        "GET",
        "/transactions/users/{ethereumAddress}",
        [401, 200, 200, 200, 200, 200, 200, 403, 200, 403, 200, 403, 401, 401, 404],
    ),
    (
        "POST",
        "/transactions/{requestHash}/approvals",
        [401, 403, 201, 201, 201, 403, 201, 403, 401, 401, 201, 403, 401, 401, 404],
    ),
    (
        "GET",
        "/transactions/{requestHash}/approval-status",
        [401, 200, 200, 200, 200, 200, 200, 404, 200, 404, 200, 404, 401, 401, 404],
    ),
    ("GET", "/verification-services", [200; 15]),
    ("GET", "/verification-services/active", [200; 15]),
    ("GET", "/verification-services/{id}", [200; 15]),
    ("GET", "/verification-services/inbox/{inbox}", [200; 15]),
    ("GET", "/verification-services/pgp-public-key/{key}", [200; 15]),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/tee-proof",
        [401, 200, 403, 403, 200, 404, 401, 401, 401, 401, 403, 403, 200, 401, 404],
    ),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/settlement",
        [401, 409, 403, 403, 409, 404, 401, 401, 401, 401, 403, 403, 409, 401, 404],
    ),
    (
        "GET",
        "/user-api-keys/profile",
        [401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 401, 401, 401, 401, 401],
    ),
    (
        "POST",
        "/user-api-keys/register",
        [401, 401, 401, 401, 401, 401, 401, 401, 400, 400, 401, 401, 401, 401, 401],
    ),
    // Last, for the foreign admin makes the wallet a user of its own organization.
    ("POST", "/users", [401, 409, 409, 403, 403, 403, 409, 400, 401, 401, 403, 403, 401, 401, 201]),
];

/// The user's wallet, that of somebody else, and the keys that are not of the world.
pub(super) struct Cast {
    pub(super) wallet: Wallet,
    pub(super) other: Wallet,
    keys: BTreeMap<&'static str, String>,
}

impl Cast {
    /// Both are users of the organization; the user has an escrow.
    pub(super) async fn gather(world: &World, service: u32) -> (Self, Address) {
        let (wallet, other) = (Wallet::new(1), Wallet::new(2));
        let escrow = world.user(&wallet).await;
        let mut keys = BTreeMap::from([
            ("bound orion", server_key(world, world.organization, (Label::Orion, Some(service))).await),
            ("foreign admin", server_key(world, world.tenant, (Label::Admin, None)).await),
        ]);
        for (name, owner) in [("user key", &wallet), ("other user key", &other)] {
            let session = world.log_in(owner).await;
            let made =
                world.post("/user-api-keys", &json!({"name": name})).bearer(&session.access).send().await;
            keys.insert(name, made.expect(201)["key"].as_str().unwrap().to_owned());
        }
        (Self { wallet, other, keys }, escrow)
    }

    /// The call as this caller makes it.
    async fn make<'a>(&self, world: &World, caller: &str, call: Call<'a>) -> Call<'a> {
        match caller {
            "nobody" => call,
            "wallet" => call.signed(&self.wallet),
            "other wallet" => call.signed(&self.other),
            "session" => call.bearer(&world.log_in(&self.wallet).await.access),
            "other session" => call.bearer(&world.log_in(&self.other).await.access),
            "internal token" => call.header("x-internal-token", INTERNAL_TOKEN),
            "wrong internal token" => call.header("x-internal-token", "another token of the same length"),
            label => match self.keys.get(label) {
                Some(key) => call.header("x-api-key", key),
                None => call.key(world, label),
            },
        }
    }
}

async fn server_key(
    world: &World,
    organization: OrganizationId,
    (label, verification_service): (Label, Option<u32>),
) -> String {
    let ctx = OpCtx::gateway(organization, gateway_domain::Clock::now(&*world.clock));
    let name = label.as_str().to_owned();
    let request = CreateApiKey {
        label,
        name,
        principal: None,
        expires_at: None,
        dev_only: false,
        verification_service,
    };
    let (_, text) = create_api_key(&ctx, &world.services, request).await.unwrap();
    text.reveal().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_caller_on_every_route() {
    let world = World::with(without_login_rate()).await;
    let service = world.outside_service().await;
    let (cast, escrow) = Cast::gather(&world, service.id).await;
    let mut different = Vec::new();
    for (method, template, statuses) in MATRIX {
        for (caller, expected) in CALLERS.iter().zip(statuses) {
            let proposed = world.propose(escrow, 5_000).await;
            let path = path(template, (&cast.wallet, &service), proposed["requestHash"].as_str().unwrap());
            let mut call = world.call(method.parse::<Method>().unwrap(), path);
            if let Some(body) = body(&world, (method, template), (&cast.wallet, escrow)) {
                call = call.json(&body);
            }
            let reply = cast.make(&world, caller, call).await.send().await;
            if reply.status.as_u16() != *expected {
                different.push(format!("{method} {template} by {caller}: {} {}", reply.status, reply.text));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Who may send a payload that only its verification service reads, for the user and with one of their own.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_caller_with_an_encrypted_payload() {
    const EXPECTED: [(&str, u16); 15] = [
        ("nobody", 401),
        ("admin", 201),
        ("agent", 201),
        ("arbiter", 403),
        ("orion", 403),
        ("bound orion", 403),
        ("wallet", 403),
        ("other wallet", 403),
        ("session", 403),
        ("other session", 403),
        ("user key", 201),
        // The escrow is not theirs.
        ("other user key", 400),
        ("internal token", 401),
        ("wrong internal token", 401),
        // The user is none of its organization.
        ("foreign admin", 400),
    ];
    let world = World::with(without_login_rate()).await;
    let service = world.outside_service().await;
    let (cast, escrow) = Cast::gather(&world, service.id).await;
    assert_eq!(EXPECTED.map(|(caller, _)| caller), CALLERS);
    for (number, (caller, expected)) in (1..).zip(EXPECTED) {
        let mut body = json!({
            "encryptedPayload": encrypt(caller, OUTSIDE), "requestHash": B256::repeat_byte(number),
            "escrowAddress": escrow, "chainId": CHAIN, "executionType": 2, "verificationServiceId": service.id,
        });
        if !caller.ends_with("user key") {
            body["ethereumAddress"] = json!(cast.wallet.address());
        }
        let call = world.post("/transactions", &body);
        let reply = cast.make(&world, caller, call).await.send().await;
        assert_eq!(reply.status.as_u16(), expected, "by {caller}: {}", reply.text);
    }
}

/// The route with what it is about filled in.
pub(super) fn path(
    template: &str,
    (wallet, service): (&Wallet, &VerificationService),
    request_hash: &str,
) -> String {
    template
        .replace("{ethereumAddress}", &wallet.address().to_string())
        .replace("{type}", "execution")
        .replace("{apiKeyId}", "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45")
        .replace("{id}", &service.id.to_string())
        .replace("{inbox}", &service.inbox.to_string())
        .replace("{key}", &service.fingerprint.to_string())
        .replace("{requestHash}", request_hash)
}

/// What a request to the operation says when it is well-formed.
pub(super) fn body(
    world: &World,
    (method, template): (&str, &str),
    (wallet, escrow): (&Wallet, Address),
) -> Option<Value> {
    let body = match (method, template) {
        ("POST", "/users") => json!({"ethereumAddress": wallet.address()}),
        ("POST", "/transactions") => transfer(escrow, 5_000),
        ("POST", "/transactions/{requestHash}/approvals") => json!({"approved": true}),
        ("POST", "/user-api-keys") => json!({"name": "bot"}),
        ("PUT", "/settings") | ("POST", "/auth/siwe/nonce" | "/user-api-keys/register") => json!({}),
        ("PATCH", "/internal/orion-metadata/{requestHash}/tee-proof") => json!({"teeProof": "AAAA"}),
        ("PATCH", "/internal/orion-metadata/{requestHash}/settlement") => json!({"status": "failed"}),
        ("POST", "/auth/siwe/verify") => {
            let message = world.sign_in(wallet, "0123456789abcdefghijklmnopqrstuv");
            json!({"message": message, "signature": hex(&wallet.sign_text(&message))})
        }
        ("POST", "/auth/refresh" | "/auth/logout") => json!({"refreshToken": "rt_unknown"}),
        ("PUT", "/settings/privy-quorum/{type}") => json!({"quorumId": "jx8v1c2q4w0m"}),
        ("POST", "/settings/register-privy-quorum") => json!({"type": "agent", "navaAgent": true}),
        ("POST", "/fireblocks/generate-csr/{type}") => {
            json!({"commonName": "My Organization", "organization": "My Org", "country": "US"})
        }
        ("POST", "/fireblocks/complete/{type}") => json!({
            "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox",
            "region": "US",
        }),
        ("POST", "/fireblocks/admin/transactions") => json!({
            "escrowAddress": escrow, "to": Address::repeat_byte(0x42), "value": "1",
            "requestHash": B256::repeat_byte(1),
        }),
        ("POST", "/privy-quorum") => json!({
            "displayName": "Arbiter Quorum", "ethereumAddress": wallet.address(), "privyUserId": "did:privy:x",
        }),
        _ => return None,
    };
    Some(body)
}

#[test]
fn the_matrix_names_every_mounted_route() {
    let document: Value = serde_json::from_str(&openapi(Family::Core)).unwrap();
    let mut mounted = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        mounted.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let listed = MATRIX.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(mounted, listed.collect());
}
