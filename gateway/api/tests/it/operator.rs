//! The operator listener.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use axum::{body::Body, http::Request};
use gateway_api::{
    ApiConfig, OperatorState, Readiness, ReadinessProbe,
    openapi::{Family, openapi},
    operator_router,
};
use tower::ServiceExt;

use crate::doubles::{TestClock, TestEntropy};

/// Without any, the probe hangs; with one named `panic`, it panics.
struct Parts(BTreeMap<&'static str, Option<String>>);

#[async_trait]
impl ReadinessProbe for Parts {
    async fn readiness(&self) -> Readiness {
        if self.0.is_empty() {
            std::future::pending::<()>().await;
        }
        assert!(!self.0.contains_key("panic"), "canary-secret in a panic");
        Readiness { parts: self.0.clone() }
    }
}

async fn ask(parts: &[(&'static str, Option<&str>)], path: &str) -> (u16, String) {
    let parts = parts.iter().map(|(name, fault)| (*name, fault.map(str::to_owned))).collect();
    let metrics = Arc::new(|| "countersign_up 1\n".to_owned());
    let router = operator_router(OperatorState {
        readiness: Arc::new(Parts(parts)),
        clock: Arc::new(TestClock::new()),
        entropy: Arc::new(TestEntropy),
        config: ApiConfig { request_timeout_ms: 200, requests_in_flight_max: 1, ..ApiConfig::default() },
        metrics,
    });
    let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_gateway_is_ready_when_every_part_is() {
    let ready = ask(&[("database", None), ("hsm", None)], "/readyz").await;
    assert_eq!(ready, (200, r#"{"status":"ready","parts":{"database":"ok","hsm":"ok"}}"#.to_owned()));
    let (status, body) = ask(&[("database", None), ("hsm", Some("no canary for 30 s"))], "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("no canary for 30 s"), "{body}");
}

#[tokio::test]
async fn it_lives_and_counts_and_serves_nothing_else() {
    let broken = [("hsm", Some("gone"))];
    assert_eq!(ask(&broken, "/livez").await.0, 200);
    assert_eq!(ask(&broken, "/metrics").await, (200, "countersign_up 1\n".to_owned()));
    let document = (200, openapi(Family::Operator));
    assert_eq!(ask(&broken, "/openapi/operator.json").await, document);
    assert_eq!(ask(&broken, "/users").await.0, 404);
}

#[tokio::test]
async fn it_survives_what_its_probes_do_and_says_so() {
    let (status, body) = ask(&[("panic", None)], "/readyz").await;
    assert_eq!(status, 500);
    assert!(!body.contains("canary"), "{body}");
    let (status, body) = ask(&[], "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("took too long"), "{body}");
    let (status, body) = ask(&[], &format!("/{}", "x".repeat(9_000))).await;
    assert_eq!(status, 414);
    assert!(body.contains("\"title\":\"URI Too Long\""), "{body}");
}
