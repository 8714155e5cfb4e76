//! Two gateways over one database allow together what one may, whatever becomes of either (T25, T38).

use anyhow::Result;
use countersign_tests::client::{Client, Credential};
use countersign_tests::cluster::ORIGIN;
use countersign_tests::wallet::Wallet;
use futures::future::try_join_all;
use serde_json::json;

use crate::pair::Pair;

const HOUR_MS: u64 = 3_600_000;
const NOWHERE: &str = "/users/0x0000000000000000000000000000000000000001";

async fn nonce(client: &Client) -> Result<u16> {
    Ok(client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.status)
}

async fn register(client: &Client) -> Result<u16> {
    let wallet = Wallet::random();
    let body = json!({"ethereumAddress": wallet.address(), "escrowAddress": wallet.address()});
    let client = client.known_as(ORIGIN);
    Ok(client.post("/users", Credential::Personal(&wallet), &body).await?.status)
}

async fn guess(client: &Client) -> Result<u16> {
    let guess = format!("ck_agent_{}_{}", "0".repeat(12), "0".repeat(43));
    let reply = client.get(NOWHERE, Credential::ApiKey(&guess)).await?;
    assert_eq!(reply.headers.contains_key("retry-after"), reply.status == 429);
    Ok(reply.status)
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

#[tokio::test]
async fn both_gateways_allow_together_what_one_may_and_a_kill_restores_nothing() -> Result<()> {
    let pair = Pair::new().await?;
    for index in 0..2 {
        for (rate, burst) in [("login", 6), ("registration", 2), ("failure", 4)] {
            pair.cluster.set(index, &format!("server.{rate}_burst"), burst);
            pair.cluster.set(index, &format!("server.{rate}_period_ms"), HOUR_MS);
        }
    }
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let either = |number: usize| if number.is_multiple_of(2) { one.client() } else { other.client() };

    let nonces = try_join_all((0..16).map(|number| nonce(either(number)))).await?;
    assert_eq!((count(&nonces, 200), count(&nonces, 429)), (6, 10), "{nonces:?}");
    let mut registrations = Vec::new();
    for number in 0..4 {
        registrations.push(register(either(number)).await?);
    }
    assert_eq!(registrations, [201, 201, 429, 429]);
    let guesses = try_join_all((0..16).map(|number| guess(either(number)))).await?;
    assert_eq!((count(&guesses, 401), count(&guesses, 429)), (4, 12), "{guesses:?}");

    one.kill()?;
    let one = pair.cluster.start(0).await?;
    for client in [one.client(), other.client()] {
        assert_eq!(nonce(client).await?, 429);
    }
    assert_eq!(register(one.client()).await?, 429);
    assert_eq!(guess(one.client()).await?, 429, "the first guess after the start");
    let refused = one.client().get(NOWHERE, pair.admin()).await?;
    assert_eq!(refused.status, 429, "the source waits again, whatever it presents: {}", refused.body);
    pair.cluster.verify_audit()
}
