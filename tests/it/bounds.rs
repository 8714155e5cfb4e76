//! The bounds of the listeners, reached by the real binary through real sockets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::gateway::Installation;
use countersign_tests::wait;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

async fn connect(client: &Client) -> Result<TcpStream> {
    let address = client.origin().strip_prefix("http://").context("an origin")?;
    Ok(TcpStream::connect(address).await?)
}

/// Status and body of what comes until the gateway closes.
async fn answer(stream: &mut TcpStream) -> Result<(u16, Value)> {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text)).await.context("no end of the answer")??;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer in `{text}`"))?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, serde_json::from_str(body)?))
}

#[tokio::test]
async fn slow_bodies_hold_their_sources_share_and_not_for_long() -> Result<()> {
    let installation =
        Installation::new("[server]\nbody_timeout_ms = 3000\nrequests_in_flight_per_source_max = 2\n")?;
    let gateway = installation.start().await?;
    let client = gateway.client();
    // Whoever claims to have signed has a body read before anything can be proven.
    let head = "POST /users HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n\
                x-ethereum-address: 0x0000000000000000000000000000000000000001\r\n\
                x-ethereum-signature: 0x00\r\ncontent-length: 100\r\n\r\n{";
    let mut slow = [connect(client).await?, connect(client).await?];
    for stream in &mut slow {
        stream.write_all(head.as_bytes()).await?;
    }
    let refused = wait::until("the share to be used up", DEADLINE, async || {
        let reply = client.get("/", Credential::Nobody).await?;
        Ok((reply.status == 429).then_some(reply))
    });
    let refused = refused.await?;
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.message()?.contains("of this source"), "{}", refused.body);
    for stream in &mut slow {
        let (status, body) = answer(stream).await?;
        assert_eq!(status, 408, "{body}");
        assert_eq!(body["message"], "body did not arrive in time");
    }
    client.get("/", Credential::Nobody).await?.expect(200)?;
    ensure!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn every_refusal_speaks_the_language_of_its_listener() -> Result<()> {
    let installation = Installation::new(
        "[server]\nheader_timeout_ms = 500\nsource_burst = 40\nsource_period_ms = 3600000\n",
    )?;
    let gateway = installation.start().await?;
    let (public, operator) = (gateway.client(), gateway.operator());
    let long = format!("/{}", "x".repeat(9_000));
    let padding = "x".repeat(20_000);
    let padded = [("x-padding", padding.as_str())];
    let many: Vec<String> = (0..200).map(|number| format!("x-padding-{number}-{}", "x".repeat(80))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let body = vec![b' '; 2 << 20];

    let send = |client: Client, method, path: String, headers: Vec<(String, String)>, body| async move {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send(method, &path, Credential::Nobody, body, &headers).await
    };
    let owned = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let declared = gateway.bootstrap.admin_api_key.clone();
    let cases = [
        (Method::GET, long.clone(), vec![], vec![], 414),
        (Method::GET, "/".to_owned(), owned(&padded), vec![], 431),
        (Method::GET, "/".to_owned(), owned(&many), vec![], 431),
        (Method::POST, "/users".to_owned(), owned(&[("x-api-key", &declared)]), body, 413),
    ];
    for (method, path, headers, body, status) in cases {
        let reply = send(public.clone(), method, path, headers, body).await?;
        let json = reply.expect(status)?;
        assert_eq!(json["statusCode"], status, "{json}");
    }
    for (path, headers, status) in [
        (long, vec![], 414),
        ("/livez".to_owned(), owned(&padded), 431),
        ("/nowhere".to_owned(), vec![], 404),
    ] {
        let reply = send(operator.clone(), Method::GET, path, headers, vec![]).await?;
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let id = reply.headers["x-request-id"].to_str()?.to_owned();
        let json = reply.expect(status)?;
        assert_eq!((&json["status"], &json["requestId"]), (&status.into(), &id.into()), "{json}");
    }
    let written = wait::until("an access line of the operator listener", DEADLINE, async || {
        Ok(gateway.output().contains("/livez").then_some(()))
    });
    written.await?;

    let mut silent = connect(public).await?;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: he").await?;
    let mut rest = Vec::new();
    timeout(DEADLINE, silent.read_to_end(&mut rest)).await.context("the head may take for ever")??;

    let limited = wait::until("the source's rate to be used up", DEADLINE, async || {
        let reply = public.get("/", Credential::Nobody).await?;
        Ok((reply.status != 200).then_some(reply))
    });
    let limited = limited.await?;
    assert!(limited.headers.contains_key("retry-after"));
    limited.expect(429)?;
    ensure!(gateway.stop().await?.success());
    Ok(())
}
