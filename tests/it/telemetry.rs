//! Traces reach a receiver, metrics and the access log tell what happened.

use std::time::Duration;

use anyhow::Result;
use countersign_tests::client::Credential;
use countersign_tests::trace_receiver::TraceReceiver;
use countersign_tests::wait;
use serde_json::Value;

use crate::stand::{Stand, request_hash};

const EXPORT_DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_signed_transaction_is_traced_counted_and_logged() -> Result<()> {
    let receiver = TraceReceiver::start().await?;
    let telemetry = format!("[telemetry]\notlp_endpoint = \"{}\"\n", receiver.endpoint());
    let stand = Stand::with_configuration(&telemetry).await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let (job, hash) = (stand.job(&gateway), request_hash(&proposed));
    job.approve_as_agent(hash).await?.expect(201)?;
    job.approve_as_user(hash).await?.expect(201)?;
    assert_eq!(job.final_transaction(hash).await?["status"], "EXECUTED");

    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    for word in [
        "orion",
        "sign",
        "countersign_evaluations_total{plugin=\"orion\",purpose=\"decision\",result=\"approve\"}",
        "countersign_plugin_instantiate_seconds_bucket{plugin=",
        "countersign_plugin_guest_seconds_bucket{plugin=",
        "countersign_plugin_host_call_seconds_bucket{plugin=",
        "countersign_plugin_wait_seconds_bucket{plugin=",
        "countersign_plugin_log_lines_cut_total{plugin=",
    ] {
        assert!(metrics.contains(word), "no metric speaks of `{word}`:\n{metrics}");
    }
    // Orion's memory lies within the buckets.
    let peak = "countersign_plugin_memory_peak_bytes_bucket{plugin=";
    let peak = metrics.lines().find(|line| line.starts_with(peak) && line.contains("le=\"16777216\""));
    assert!(peak.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    // The route's template, never the values in it.
    let route = "/transactions/{requestHash}/approvals";
    gateway.says(route, EXPORT_DEADLINE).await?;
    assert!(!gateway.output().contains(&format!("/transactions/{hash}/approvals")));

    wait::until("the traces", EXPORT_DEADLINE, async || {
        let all = ["countersign", route, "hsm", "orion"].iter().all(|text| receiver.has_seen(text));
        Ok(all.then_some(()))
    })
    .await?;
    assert!(!receiver.has_seen(gateway.bootstrap.agent_api_key.rsplit('_').next().unwrap()));
    Ok(())
}

#[tokio::test]
async fn an_absent_receiver_harms_nobody() -> Result<()> {
    let stand =
        Stand::with_configuration("[telemetry]\notlp_endpoint = \"http://127.0.0.1:1/v1/traces\"\n").await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    assert!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn log_lines_are_json_where_that_is_asked_for() -> Result<()> {
    let stand =
        Stand::with_configuration("[telemetry]\nlog_format = \"json\"\nlog_filter = \"info\"\n").await?;
    let gateway = stand.installation.start().await?;
    gateway.client().get("/health", Credential::Nobody).await?.expect(200)?;
    let line = wait::until("the access line", EXPORT_DEADLINE, async || {
        Ok(gateway.output().lines().find(|line| line.contains("answered a request")).map(str::to_owned))
    });
    let line: Value = serde_json::from_str(&line.await?)?;
    assert_eq!((&line["level"], &line["http.route"]), (&"INFO".into(), &"/health".into()), "{line}");
    Ok(())
}
