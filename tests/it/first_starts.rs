//! Gateways that start at the same time and all lack the same thing: one makes it, the others find it.

use anyhow::{Context as _, Result};
use countersign_tests::client::Credential;
use countersign_tests::main_job::text;
use futures::future::try_join;
use serde_json::Value;

use crate::pair::{Pair, log_in, me};

/// Two pairs of keys under one identifier could be used by nobody, ever after.
#[tokio::test]
async fn gateways_that_start_at_once_after_a_rotation_agree_on_the_keys() -> Result<()> {
    let pair = Pair::new().await?;
    // Each time the key that signs and the next one are both absent.
    for epoch in [3, 6, 9, 12] {
        for index in 0..2 {
            pair.cluster.set(index, "core.sessions.token_key_epoch", epoch);
            pair.cluster.set(index, "core.credentials.key_epoch", epoch);
            pair.cluster.set(index, "core.credentials.oldest_key_epoch", 1);
            pair.cluster.set(index, "core.secrets.key_epoch", epoch);
        }
        let (one, other) = try_join(pair.cluster.start(0), pair.cluster.start(1)).await?;
        let tokens = [log_in(one.client(), &pair.wallet).await?, log_in(other.client(), &pair.wallet).await?];
        let kid = |tokens: &Value| {
            let token = text(tokens, "accessToken")?;
            token.split('.').next().map(str::to_owned).context("a token has a head")
        };
        assert_eq!(kid(&tokens[0])?, kid(&tokens[1])?, "epoch {epoch}");
        for client in [one.client(), other.client()] {
            for tokens in &tokens {
                assert_eq!(me(client, tokens).await?.status, 200, "epoch {epoch}");
            }
        }
        one.kill()?;
        other.kill()?;
    }
    pair.cluster.verify_audit()
}

const SERVICES: &str = "[[verification_services]]\nname = \"Orion\"\n\
     inbox = \"0x1111111111111111111111111111111111111111\"\nbuilt_in = \"rsa2048\"\nactive = false\n";

#[tokio::test]
async fn gateways_that_start_at_once_establish_a_verification_service_once() -> Result<()> {
    let pair = Pair::new().await?;
    pair.cluster.configure(SERVICES)?;
    let (one, other) = try_join(pair.cluster.start(0), pair.cluster.start(1)).await?;
    let mut lists = Vec::new();
    for client in [one.client(), other.client()] {
        lists.push(client.get("/verification-services", Credential::Nobody).await?.expect(200)?);
    }
    assert_eq!(lists[0], lists[1]);
    let found = lists[0].as_array().context("a list")?;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["name"], &found[0]["active"]), (&"Orion".into(), &false.into()));
    let keys = pair.cluster.order(0, &["key", "list"])?;
    for purpose in ["open_pgp_certify", "open_pgp_decrypt"] {
        let made = keys["keys"].as_array().context("keys")?.iter().filter(|key| key["purpose"] == purpose);
        assert_eq!(made.count(), 1, "no key was made in vain: {keys}");
    }
    pair.cluster.verify_audit()
}
