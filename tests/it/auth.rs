//! Who may do what, and how a caller proves it.

use alloy_primitives::U256;
use anyhow::Result;
use countersign_tests::client::{Client, Credential, hex};
use countersign_tests::environment::unix_seconds;
use countersign_tests::wallet::{SignedRequest, Wallet, malleate};
use reqwest::Method;
use serde_json::json;

use crate::stand::{CHAIN_ID, Stand, request_hash, transfer};

#[tokio::test]
async fn api_keys_are_checked_for_existence_and_scope() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (client, keys) = (gateway.client(), &gateway.bootstrap);
    let user = format!("/users/{}", stand.wallet.address());

    let unknown = "ck_agent_000000000000_0000000000000000000000000000000000000000000";
    let answers = [
        (Credential::Nobody, 401),
        (Credential::ApiKey(""), 401),
        (Credential::ApiKey("swk_0123"), 401),
        (Credential::ApiKey(unknown), 401),
        (Credential::ApiKey(&keys.orion_api_key), 403),
        (Credential::ApiKey(&keys.agent_api_key), 200),
        (Credential::ApiKey(&keys.admin_api_key), 200),
    ];
    for (credential, status) in answers {
        let reply = client.get(&user, credential).await?;
        assert_eq!(reply.status, status, "{}", reply.body);
    }

    let body = transfer(escrow).body(CHAIN_ID);
    for (credential, status) in [
        (Credential::Nobody, 401),
        (Credential::Personal(&stand.wallet), 403),
        (Credential::ApiKey(&keys.agent_api_key), 403),
        (Credential::ApiKey(&keys.orion_api_key), 403),
    ] {
        let reply = client.post("/transactions", credential, &body).await?;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    Ok(())
}

#[tokio::test]
async fn unknown_and_tampered_keys_are_answered_alike() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let mut tampered = gateway.bootstrap.agent_api_key.clone();
    let last = tampered.pop();
    tampered.push(if last == Some('a') { 'b' } else { 'a' });
    let mut answers = Vec::new();
    for key in [&tampered, "ck_agent_000000000000_0000000000000000000000000000000000000000000", "nonsense"] {
        let reply = gateway
            .client()
            .get("/users/0x0000000000000000000000000000000000000001", Credential::ApiKey(key));
        let reply = reply.await?;
        answers.push((reply.status, reply.message()?));
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_wallet_enrols_and_reads_itself_by_signature() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let (personal, typed) = (Wallet::random(), Wallet::random());
    for (wallet, credential, other) in [
        (&personal, Credential::Personal(&personal), &typed),
        (&typed, Credential::Typed(&typed, CHAIN_ID), &personal),
    ] {
        let foreign = client.post("/users", credential, &json!({"ethereumAddress": other.address()})).await?;
        assert_eq!(foreign.status, 400, "{}", foreign.body);
        client
            .post("/users", credential, &json!({"ethereumAddress": wallet.address()}))
            .await?
            .expect(201)?;
        client.get(&format!("/users/{}", wallet.address()), credential).await?.expect(200)?;
        let hidden = client.get(&format!("/users/{}", stand.wallet.address()), credential).await?;
        assert_eq!(hidden.status, 404, "{}", hidden.body);
    }
    Ok(())
}

/// One request as a client with a twisted idea of it signs it.
struct Twist {
    name: &'static str,
    status: u16,
    origin: Option<&'static str>,
    path: Option<&'static str>,
    age_seconds: u64,
}

#[tokio::test]
async fn a_signature_fits_one_request_at_one_time_on_one_gateway() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    let client = gateway.client();
    let path = format!("/users/{}", stand.wallet.address());
    let exact = Twist { name: "exact", status: 200, origin: None, path: None, age_seconds: 0 };
    let twists = [
        Twist { name: "older than the window", status: 401, age_seconds: 301, ..exact },
        Twist {
            name: "another gateway's origin",
            status: 401,
            origin: Some("https://elsewhere.example"),
            ..exact
        },
        Twist { name: "another path", status: 401, path: Some("/users"), ..exact },
        exact,
    ];
    for twist in &twists {
        let timestamp = unix_seconds() - twist.age_seconds;
        let signed = SignedRequest {
            origin: twist.origin.unwrap_or(client.origin()),
            method: "GET",
            path: twist.path.unwrap_or(&path),
            body: b"",
            timestamp,
        };
        let signature = hex(&stand.wallet.sign_request(&signed)?);
        let address = stand.wallet.address().to_string();
        let reply = client.get(&path, Credential::Signature(&address, &signature, Some(timestamp))).await?;
        assert_eq!(reply.status, twist.status, "{}: {}", twist.name, reply.body);
    }
    Ok(())
}

#[tokio::test]
async fn malformed_signature_headers_are_named() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let address = stand.wallet.address().to_string();
    let path = format!("/users/{address}");
    let signature = "0x".to_owned() + &"11".repeat(65);
    for (address, signature, status) in [
        ("0x1234", signature.as_str(), 400),
        (address.as_str(), "0x1234", 400),
        (address.as_str(), "not hex", 400),
    ] {
        let reply =
            client.get(&path, Credential::Signature(address, signature, Some(unix_seconds()))).await?;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    let both = [("x-ethereum-address", address.as_str()), ("x-ethereum-signature", signature.as_str())];
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    let reply = client.send(Method::GET, &path, admin, Vec::new(), &both).await?;
    assert_eq!(reply.status, 400, "two ways to authenticate: {}", reply.body);
    Ok(())
}

/// T22: the replay key is what was signed, not the signature's bytes.
#[tokio::test]
async fn a_replayed_or_malleated_signature_has_no_second_effect() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let wallet = Wallet::random();
    let address = wallet.address().to_string();
    let body = serde_json::to_vec(&json!({"ethereumAddress": address}))?;
    let timestamp = unix_seconds();
    let signed =
        SignedRequest { origin: client.origin(), method: "POST", path: "/users", body: &body, timestamp };
    let signature = wallet.sign_request(&signed)?;
    let post = async |client: &Client, signature: [u8; 65]| {
        let signature = hex(&signature);
        let credential = Credential::Signature(&address, &signature, Some(timestamp));
        client.send(Method::POST, "/users", credential, body.clone(), &[]).await
    };

    let high_s = post(client, malleate(&signature)?).await?;
    assert_eq!(high_s.status, 401, "{}", high_s.body);
    post(client, signature).await?.expect(201)?;
    let mut low_v = signature;
    low_v[64] -= 27;
    for replayed in [signature, low_v] {
        let reply = post(client, replayed).await?;
        assert_eq!(reply.status, 401, "{}", reply.body);
    }
    Ok(())
}

/// T10: an approval binds origin, organization, transaction, intent, decision and expiry.
#[tokio::test]
async fn an_approval_signature_fits_nothing_else() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (_, first) = stand.pending(&gateway, escrow).await?;
    let (_, second) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&first);
    let status = job.approval_status(hash).await?;
    let exact = || job.approval_of(&status, true);
    let other = job.approval_of(&job.approval_status(request_hash(&second)).await?, true)?;

    let mut twisted = vec![exact()?, exact()?, exact()?, exact()?, exact()?];
    "https://elsewhere.example".clone_into(&mut twisted[0].origin);
    twisted[1].organization.push('x');
    twisted[2].transactionId = other.transactionId;
    twisted[3].intentHash = other.intentHash;
    twisted[4].expires = U256::from(unix_seconds() - 1);
    for approval in &twisted {
        let signature = hex(&stand.wallet.sign_approval(CHAIN_ID, approval)?);
        let reply = job.send_signed_approval(hash, approval, &signature).await?;
        assert_eq!(reply.status, 401, "{}", reply.body);
    }
    // Signed as a rejection, sent as an approval.
    let rejection = job.approval_of(&status, false)?;
    let signature = hex(&stand.wallet.sign_approval(CHAIN_ID, &rejection)?);
    let reply = job.send_signed_approval(hash, &exact()?, &signature).await?;
    assert_eq!(reply.status, 401, "{}", reply.body);

    job.approve_as_user(hash).await?.expect(201)?;
    let again = job.approve_as_user(hash).await?.expect(201)?;
    assert_eq!(again["approved"], true);
    Ok(())
}
