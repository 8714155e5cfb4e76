//! Upstreams that never come to an end, asked by a real plugin of the real gateway: each evaluation ends in a denial that
//! names what the upstream did, and the gateway keeps nothing of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::evaluations;
use countersign_tests::process::resident_kib;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::plugin_hostile::{propose, stopped};
use crate::plugin_outside::install;
use crate::stand::{Stand, request_hash};

/// Between two pieces of a trickle: an idle time-out would not see it.
const PACE: Duration = Duration::from_millis(50);
const YES: &str = r#"{"decision":"approve"}"#;
/// What an upstream does by its path, and what the plugin is told of it.
const ANSWERS: [(&str, &str); 7] = [
    ("/drip", "timed-out"),
    ("/drip-head", "timed-out"),
    ("/interim", "timed-out"),
    ("/flood", "too-large"),
    ("/headers", "too-large"),
    ("/header", "too-large"),
    ("/packed", "broken"),
];
/// Less than a flood that nobody bounds sends in its second.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// Serves everybody at once; ends with this value.
struct Hostile {
    address: String,
    task: JoinHandle<()>,
}

impl Hostile {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Ok(Self { address, task })
    }

    /// Two upstreams at the same address, of which one would wait for a minute.
    fn configuration(&self) -> String {
        let routes: Vec<String> = ANSWERS.iter().map(|(path, _)| format!("POST {path}")).collect();
        let upstream = |name: &str, timeout_ms: u64| {
            format!(
                "[[plugin_upstreams]]\nname = \"{name}\"\nurl = \"http://{}\"\nshared = true\n\
                 timeout_ms = {timeout_ms}\nroutes = {}\nrequest_headers = [\"content-type\"]\n",
                self.address,
                json!([&routes[..], &["POST /fair".to_owned()]].concat()),
            )
        };
        format!(
            "[egress]\nnamed_hosts = [\"{}\"]\n{}{}[plugins]\ndeadline_ms = 10000\n",
            self.address,
            upstream("hostile", 1500),
            upstream("patient", 60_000)
        )
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let ok = "HTTP/1.1 200 OK\r\n";
    let (beginning, more, paced) = match path {
        "/drip" => (format!("{ok}content-length: 60000\r\n\r\n{YES}"), " ", true),
        "/drip-head" => (format!("{ok}x-long: "), "x", true),
        "/interim" => (String::new(), "HTTP/1.1 103 Early Hints\r\n\r\n", true),
        "/flood" => (format!("{ok}\r\n{YES}"), "                ", false),
        "/headers" => (ok.to_owned(), "x: y\r\n", false),
        "/header" => (format!("{ok}x-long: "), "x", false),
        "/packed" => (format!("{ok}content-encoding: gzip\r\ncontent-length: 22\r\n\r\n{YES}"), "", true),
        _ => (format!("{ok}content-length: 22\r\n\r\n{YES}"), "", true),
    };
    stream.write_all(beginning.as_bytes()).await?;
    let mut ticks = tokio::time::interval(PACE);
    let flood = more.repeat(4096);
    while !more.is_empty() {
        if paced {
            ticks.tick().await;
        }
        stream.write_all(if paced { more } else { &flood }.as_bytes()).await?;
    }
    // The connection stays: what was announced was sent.
    stream.read_u8().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_end_is_a_denial_that_names_it() -> Result<()> {
    let hostile = Hostile::start().await?;
    let stand = Stand::with_configuration(&hostile.configuration()).await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    let review = |upstream: &str, path: &str| {
        let settings = json!({"upstream": upstream, "path": path}).to_string();
        install(&stand, "http_review", &settings, &["log", "settings", &format!("http:{upstream}")])
    };
    review("patient", "/fair")?;
    let fair = propose(&stand, &gateway, 1).await?;
    ensure!(fair["status"] != "REJECTED", "{fair}");
    let resident = resident_kib(gateway.process_id())?;
    let mut denied = Vec::new();
    for (number, (path, told)) in ANSWERS.iter().enumerate() {
        // Only what ends at the upstream's own time-out is to meet it.
        review(if *told == "timed-out" { "hostile" } else { "patient" }, path)?;
        let proposed = propose(&stand, &gateway, 2 + number as u64).await?;
        ensure!(proposed["status"] == "REJECTED", "{path}: {proposed}");
        denied.push((*path, *told, request_hash(&proposed).to_owned()));
        gateway.operator().get("/readyz", Credential::Nobody).await?.expect(200)?;
    }
    let grown = resident_kib(gateway.process_id())?.saturating_sub(resident);
    ensure!(grown < GROWTH_MAX_KIB, "{grown} KiB are left of what the upstreams sent");

    // Where the upstream may take longer than the evaluation, the evaluation's deadline ends both.
    review("patient", "/drip")?;
    let before = stopped(&gateway, "timeout").await?;
    let late = propose(&stand, &gateway, 50).await?;
    ensure!(late["status"] == "REJECTED", "{late}");
    ensure!(stopped(&gateway, "timeout").await? == before + 1, "the evaluation met another end");
    review("patient", "/fair")?;
    let fair = propose(&stand, &gateway, 51).await?;
    ensure!(fair["status"] != "REJECTED", "{fair}");
    stand.finish(gateway).await?;

    for (path, told, hash) in denied {
        let said = evaluations::of_transaction(&stand.installation.data_dir(), &hash).await?;
        let said = said.iter().find(|one| one["plugin"] == "http_review").context("it was not asked")?;
        ensure!(said["analysis"] == format!("The service gave no answer: {told}."), "{path}: {said}");
    }
    Ok(())
}
