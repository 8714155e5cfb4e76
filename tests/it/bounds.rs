//! The bounds of the listeners, reached by the real binary through real sockets.

use std::time::Duration;

use alloy_primitives::U256;
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::gateway::Installation;
use countersign_tests::lying_node::{Gate, Lie};
use countersign_tests::main_job::Transfer;
use countersign_tests::wait;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stand::{Stand, request_hash, transfer};

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

/// Receives answers until the gateway closes or `end` has come.
async fn received(stream: &mut TcpStream, end: &str) -> Result<String> {
    let mut text = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&text).contains(end) && stream.read_buf(&mut text).await? > 0 {}
        anyhow::Ok(())
    };
    timeout(DEADLINE, reading).await.context("no end of the answer")??;
    Ok(String::from_utf8(text)?)
}

#[tokio::test]
async fn whoever_sends_everything_before_reading_learns_why_it_is_refused() -> Result<()> {
    const BODY_BYTES: usize = 6 << 20;
    let installation = Installation::new("[server]\nrefused_body_timeout_ms = 60000\n")?;
    let gateway = installation.start().await?;
    let key = &gateway.bootstrap.admin_api_key;
    let declared = format!("content-length: {BODY_BYTES}");
    let in_chunks = "transfer-encoding: chunked".to_owned();
    let mut chunked = format!("{BODY_BYTES:x}\r\n").into_bytes();
    chunked.extend(vec![b' '; BODY_BYTES]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let plain = vec![b' '; BODY_BYTES];
    for (line, more, coding, body, status) in [
        ("POST /users", format!("x-api-key: {key}"), &declared, &plain, "413"),
        ("POST /users", format!("x-api-key: {key}"), &in_chunks, &chunked, "413"),
        ("POST /users", format!("x-api-key: {key}x"), &declared, &plain, "401"),
        ("POST /nowhere", "accept: */*".to_owned(), &declared, &plain, "404"),
        ("POST /users", format!("x-padding: {}", "x".repeat(20_000)), &declared, &plain, "431"),
    ] {
        let mut stream = connect(gateway.client()).await?;
        let head = format!("{line} HTTP/1.1\r\nhost: here\r\n{more}\r\n{coding}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await.with_context(|| format!("{line} was cut before its {status}"))?;
        // The connection is as good as new: another request may follow.
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n").await?;
        let answers = received(&mut stream, "\"database\"").await?;
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answers}");
        assert!(answers.contains("HTTP/1.1 200 OK"), "{line}: {answers}");
    }
    ensure!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_stop_sending_is_cut_off() -> Result<()> {
    const TEN_MINUTES_MS: u64 = 600_000;
    let server = format!(
        "[server]\nrefused_body_bytes_max = {}\nrefused_body_timeout_ms = {TEN_MINUTES_MS}\n",
        1 << 20
    );
    let installation = Installation::new(&server)?;
    let gateway = installation.start().await?;
    let mut stream = connect(gateway.client()).await?;
    let head = "POST /users HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(vec![b' '; 1 << 16]);
    chunk.extend(b"\r\n");
    let mut sent = 0;
    let sending = async {
        while stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
    };
    timeout(DEADLINE, sending).await.context("it may send for ever")?;
    // The bound, and what both ends' kernels hold.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    Ok(())
}

#[tokio::test]
async fn a_refused_body_that_does_not_come_holds_its_sources_share_and_not_for_long() -> Result<()> {
    let head = b"POST /users HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{";
    for (timeout_ms, waits_for_it) in [(600_000, true), (100, false)] {
        let installation = Installation::new(&format!(
            "[server]\nrefused_body_timeout_ms = {timeout_ms}\nrequests_in_flight_per_source_max = 2\n"
        ))?;
        let gateway = installation.start().await?;
        let client = gateway.client();
        let mut slow = [connect(client).await?, connect(client).await?];
        for stream in &mut slow {
            stream.write_all(head).await?;
            let answer = received(stream, "requestId").await?;
            assert!(answer.starts_with("HTTP/1.1 401 "), "the answer waits for nothing: {answer}");
        }
        if waits_for_it {
            client.get("/", Credential::Nobody).await?.expect(429)?;
            drop(slow);
        } else {
            for stream in &mut slow {
                let rest = received(stream, "never comes").await?;
                assert!(!rest.contains("HTTP/1.1"), "{rest}");
            }
        }
        wait::until("the share to be given back", DEADLINE, async || {
            Ok((client.get("/", Credential::Nobody).await?.status == 200).then_some(()))
        })
        .await?;
        ensure!(gateway.stop().await?.success());
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_not_told_so() -> Result<()> {
    let installation = Installation::new("")?;
    let gateway = installation.start().await?;
    let mut stream = connect(gateway.client()).await?;
    let head = "POST /users HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let answer = received(&mut stream, "never comes").await?;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    ensure!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn slow_bodies_hold_their_sources_share_and_not_for_long() -> Result<()> {
    let installation = Installation::new(
        "[server]\nbody_timeout_ms = 10000\nrefused_body_timeout_ms = 100\nrequests_in_flight_per_source_max = 2\n",
    )?;
    let gateway = installation.start().await?;
    let client = gateway.client();
    // Whoever claims to have signed has a body read before anything can be proven.
    let head = "POST /users HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n\
                x-ethereum-address: 0x0000000000000000000000000000000000000001\r\n\
                x-ethereum-signature: 0x00\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    let mut slow = [connect(client).await?, connect(client).await?];
    for stream in &mut slow {
        stream.write_all(head.as_bytes()).await?;
        let told = received(stream, "\r\n\r\n").await?;
        assert!(told.starts_with("HTTP/1.1 100 "), "whose body is asked for has a place: {told}");
        stream.write_all(b"{").await?;
    }
    let refused = client.get("/", Credential::Nobody).await?;
    assert_eq!(refused.status, 429, "{}", refused.body);
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
    let installation = Installation::new("[server]\nsource_burst = 40\nsource_period_ms = 3600000\n")?;
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
    gateway.says("/livez", DEADLINE).await?;

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

#[tokio::test]
async fn a_head_that_does_not_come_ends_its_connection() -> Result<()> {
    let installation = Installation::new("[server]\nheader_timeout_ms = 500\n")?;
    let gateway = installation.start().await?;
    let mut silent = connect(gateway.client()).await?;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: he").await?;
    let mut rest = Vec::new();
    timeout(DEADLINE, silent.read_to_end(&mut rest)).await.context("the head may take for ever")??;
    ensure!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn no_more_transactions_are_carried_on_at_once_than_configured() -> Result<()> {
    let stand = Stand::with_outbox("concurrency_max = 1\nbatch_max = 1").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    stand.node.lie("eth_estimateGas", Lie::Unavailable);
    let mut hashes = Vec::new();
    for value in 1..=3 {
        let small = Transfer { value: U256::from(value), ..transfer(escrow) };
        let approved = job.propose(&small).await?.expect(201)?;
        assert_eq!(approved["status"], "APPROVED", "{approved}");
        hashes.push(request_hash(&approved).to_owned());
    }
    let gate = Gate::new();
    stand.node.lie("eth_estimateGas", Lie::HoldBefore(gate.clone()));
    for _ in &hashes {
        timeout(DEADLINE, gate.reached()).await.context("nothing is carried on")?;
        let second = timeout(Duration::from_secs(1), gate.reached()).await;
        ensure!(second.is_err(), "another one is carried on meanwhile");
        gate.release();
    }
    stand.node.tell_the_truth("eth_estimateGas");
    for hash in &hashes {
        assert_eq!(job.final_transaction(hash).await?["status"], "EXECUTED");
    }
    stand.finish(gateway).await
}
