//! The contract's operations on the listeners of the real binary: everything on the public one but what verification
//! services call, which is served to operators only.

use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply};
use countersign_tests::environment;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stand::{Stand, request_hash};

const INTERNAL_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NO_ROUTE: &str = "there is no such route";

/// Method, path template and operation of every row of the contract's list.
pub(crate) fn rows() -> Result<Vec<(Method, String, String)>> {
    let text = std::fs::read_to_string(environment::root().join("gateway/api/tests/endpoints.tsv"))?;
    let row = |line: &str| {
        let mut columns = line.split('\t').skip(1);
        let mut column = || columns.next().map(str::to_owned).context("a column is missing");
        Ok((column()?.parse()?, column()?, column()?))
    };
    text.lines().skip(1).map(row).collect()
}

/// As somebody without any credential.
async fn ask(client: &Client, method: Method, template: &str) -> Result<Reply> {
    let zero = "0x0000000000000000000000000000000000000000";
    let path = template
        .replace("{ethereumAddress}", zero)
        .replace("{inbox}", zero)
        .replace("{type}", "execution")
        .replace("{requestHash}", &format!("0x{}", "00".repeat(32)))
        .replace("{id}", "1")
        .replace("{key}", &"0".repeat(40))
        .replace("{apiKeyId}", "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45");
    client.send(method, &path, Credential::Nobody, b"{}".to_vec(), &[]).await
}

#[tokio::test]
async fn each_operation_is_served_on_its_listener_and_documented() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let (public, operator) = (gateway.client(), Client::new(&gateway.bootstrap.operator_url));
    let document = public.get("/openapi/core.json", Credential::Nobody).await?.expect(200)?;
    let rows = rows()?;
    assert_eq!(rows.len(), 43);
    for (method, path, operation) in rows {
        let described = &document["paths"][&path][method.as_str().to_lowercase()];
        assert_eq!(described["operationId"], operation, "{method} {path}");
        let (served, elsewhere) =
            if path.starts_with("/internal/") { (&operator, public) } else { (public, &operator) };
        let reply = ask(served, method.clone(), &path).await?;
        let is_known = !matches!(reply.status, 404 | 405) || reply.message()? != NO_ROUTE;
        assert!(is_known, "{method} {path} is not served: {}", reply.body);
        // Operators have a health check of their own.
        if path != "/health" {
            assert_eq!(ask(elsewhere, method.clone(), &path).await?.status, 404, "{method} {path}");
        }
    }
    stand.finish(gateway).await
}

#[tokio::test]
async fn the_configured_token_reports_on_the_operators_listener() -> Result<()> {
    let stand =
        Stand::with_configuration(&format!("[core]\ninternal_token = \"{INTERNAL_TOKEN}\"\n")).await?;
    let gateway = stand.installation.start().await?;
    let operator = Client::new(&gateway.bootstrap.operator_url);
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let path = format!("/internal/orion-metadata/{}/tee-proof", request_hash(&proposed));
    let report = async |client: &Client, headers: &[(&str, &str)]| {
        let body = json!({"teeProof": "AAAA", "teeType": "tdx"}).to_string().into_bytes();
        client.send(Method::PATCH, &path, Credential::Nobody, body, headers).await
    };

    let stored: Value = report(&operator, &[("x-internal-token", INTERNAL_TOKEN)]).await?.expect(200)?;
    assert_eq!(stored["teeProof"]["teeType"], "tdx");
    report(&operator, &[]).await?.expect(401)?;
    report(&operator, &[("x-internal-token", "fedcba9876543210fedcba9876543210")]).await?.expect(401)?;
    let orion = ("x-api-key", gateway.bootstrap.orion_api_key.as_str());
    report(&operator, &[orion]).await?.expect(200)?;

    let public = report(gateway.client(), &[("x-internal-token", INTERNAL_TOKEN)]).await?;
    assert_eq!((public.status, public.message()?.as_str()), (404, NO_ROUTE));
    stand.finish(gateway).await
}
