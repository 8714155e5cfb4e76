//! What is good for one use is good for one on two gateways over one database, also at the same moment (T22).

use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::cluster::{Node, ORIGIN};
use countersign_tests::environment::{signing_time, unix_seconds};
use countersign_tests::main_job::text;
use countersign_tests::wallet::{Approval, SignedRequest, Wallet};
use reqwest::Method;
use serde_json::{Value, json};

use crate::pair::{Pair, log_in, me, refresh, signed_in, small};
use crate::stand::CHAIN_ID;

/// The statuses of what both were asked at once, in order.
async fn both<Answer>(
    gateways: [&Node; 2],
    ask: impl AsyncFn(&Client) -> Result<Answer>,
) -> Result<[Answer; 2]> {
    let (one, other) = tokio::join!(ask(gateways[0].client()), ask(gateways[1].client()));
    Ok([one?, other?])
}

fn statuses(replies: &[Reply; 2]) -> [u16; 2] {
    let mut statuses = [replies[0].status, replies[1].status];
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn a_login_and_a_refresh_token_are_used_once() -> Result<()> {
    let pair = Pair::new().await?;
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let gateways = [&one, &other];
    for _ in 0..4 {
        let body = signed_in(one.client(), &pair.wallet).await?;
        let replies =
            both(gateways, async |client| client.post("/auth/siwe/verify", Credential::Nobody, &body).await)
                .await?;
        assert_eq!(statuses(&replies), [200, 401], "a login message is good for one session");
    }
    for _ in 0..4 {
        let tokens = log_in(other.client(), &pair.wallet).await?;
        let replies = both(gateways, async |client| refresh(client, &tokens).await).await?;
        assert_eq!(statuses(&replies), [200, 401], "a refresh token is good for one exchange");
        let newer = replies.into_iter().find(|reply| reply.status == 200).context("one won")?.json()?;
        // Who used it first is not known: the session is over everywhere.
        for gateway in gateways {
            assert_eq!(me(gateway.client(), &newer).await?.status, 401);
            assert_eq!(refresh(gateway.client(), &newer).await?.status, 401);
        }
    }
    pair.cluster.verify_audit()
}

#[tokio::test]
async fn signed_requests_and_idempotency_keys_have_one_effect() -> Result<()> {
    let pair = Pair::new().await?;
    pair.reviewers()?;
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let gateways = [&one, &other];
    let escrow = pair.user(&one).await?;

    let body = serde_json::to_vec(&small(escrow).body(CHAIN_ID))?;
    let headers = [("idempotency-key", "the one payment")];
    let replies = both(gateways, async |client| {
        client.send(Method::POST, "/transactions", pair.admin(), body.clone(), &headers).await
    })
    .await?;
    assert_eq!(statuses(&replies), [201, 201]);
    let made = [replies[0].json()?, replies[1].json()?];
    assert_eq!(made[0]["id"], made[1]["id"], "one payment");
    assert_eq!(made[0]["status"], "PENDING", "{}", made[0]);

    // Reading: each signed text is answered once.
    let hash = text(&made[0], "requestHash")?;
    for path in [format!("/users/{}", pair.wallet.address()), format!("/transactions/{hash}/approval-status")]
    {
        let timestamp = signing_time();
        let signed = SignedRequest { origin: ORIGIN, method: "GET", path: &path, body: b"", timestamp };
        let (address, signature) =
            (pair.wallet.address().to_string(), hex(&pair.wallet.sign_request(&signed)?));
        let credential = Credential::Signature(&address, &signature, Some(timestamp));
        let replies = both(gateways, async |client| client.get(&path, credential).await).await?;
        assert_eq!(statuses(&replies), [200, 401], "{path}");
        for gateway in gateways {
            assert_eq!(gateway.client().get(&path, credential).await?.status, 401, "{path}");
        }
    }

    // Approving: the same vote again is the same vote.
    let path = format!("/transactions/{hash}/approval-status");
    let status = one.client().get(&path, pair.admin()).await?.expect(200)?;
    let approval = Approval {
        origin: ORIGIN.to_owned(),
        organization: text(&status, "organization")?.to_owned(),
        transactionId: text(&status, "transactionId")?.to_owned(),
        requestHash: text(&status, "requestHash")?.parse()?,
        intentHash: text(&status, "intentHash")?.parse()?,
        approved: true,
        expires: alloy_primitives::U256::from(unix_seconds() + 600),
    };
    let signature = hex(&pair.wallet.sign_approval(CHAIN_ID, &approval)?);
    let address = pair.wallet.address().to_string();
    let expires = approval.expires.to_string();
    let headers = [
        ("x-ethereum-address", address.as_str()),
        ("x-ethereum-signature", signature.as_str()),
        ("x-ethereum-expires", expires.as_str()),
    ];
    let path = format!("/transactions/{hash}/approvals");
    let vote = async |client: &Client| {
        let body = br#"{"approved":true}"#.to_vec();
        client.send(Method::POST, &path, Credential::Nobody, body, &headers).await
    };
    let replies = both(gateways, vote).await?;
    assert_eq!(statuses(&replies), [201, 201]);
    let votes = [replies[0].json()?, replies[1].json()?];
    assert_eq!(votes[0]["id"], votes[1]["id"], "one vote");
    pair.cluster.verify_audit()
}

#[tokio::test]
async fn a_gateway_that_is_rotated_later_takes_what_the_other_makes() -> Result<()> {
    let pair = Pair::new().await?;
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let old = log_in(one.client(), &pair.wallet).await?;
    for index in 0..2 {
        pair.cluster.set(index, "core.sessions.token_key_epoch", 2);
        pair.cluster.set(index, "core.credentials.key_epoch", 2);
    }
    one.kill()?;
    let one = pair.cluster.start(0).await?;

    // One signs and hashes under the new keys, the other does not yet.
    let new = log_in(one.client(), &pair.wallet).await?;
    let kid =
        |tokens: &Value| text(tokens, "accessToken").map(|token| token.split('.').next().map(str::to_owned));
    assert_ne!(kid(&old)?, kid(&new)?, "the key is another");
    for client in [one.client(), other.client()] {
        for tokens in [&old, &new] {
            assert_eq!(me(client, tokens).await?.status, 200);
        }
    }
    let credential = Credential::Token(text(&new, "accessToken")?);
    let made = one.client().post("/user-api-keys", credential, &json!({"name": "bot"})).await?.expect(201)?;
    let path = format!("/transactions/0x{:064}/approval-status", 7);
    for client in [one.client(), other.client()] {
        assert_eq!(client.get(&path, Credential::ApiKey(text(&made, "key")?)).await?.status, 404);
    }
    let newer = refresh(other.client(), &new).await?.expect(200)?;
    let newest = refresh(one.client(), &newer).await?.expect(200)?;

    other.kill()?;
    let other = pair.cluster.start(1).await?;
    for client in [one.client(), other.client()] {
        assert_eq!(me(client, &newest).await?.status, 200);
        assert_eq!(me(client, &old).await?.status, 200, "of the key before");
    }
    Ok(())
}

/// A stranger's signature is as good on the other gateway as it is used up there.
#[tokio::test]
async fn a_wallet_that_enrols_at_both_at_once_is_one_user() -> Result<()> {
    let pair = Pair::new().await?;
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let wallet = Wallet::random();
    let body = signed_in(one.client(), &wallet).await?;
    let second = signed_in(other.client(), &wallet).await?;
    let (first, second) = tokio::join!(
        one.client().post("/auth/siwe/verify", Credential::Nobody, &body),
        other.client().post("/auth/siwe/verify", Credential::Nobody, &second)
    );
    let (first, second) = (first?.expect(200)?, second?.expect(200)?);
    assert_eq!(first["user"]["id"], second["user"]["id"]);
    pair.cluster.verify_audit()
}
