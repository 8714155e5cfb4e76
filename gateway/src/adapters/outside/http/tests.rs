//! T30: whom a call reaches is decided at the call, whatever was checked when the plugin was stored.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use gateway_clients::{
    egress::{EgressConfig, SystemLookup},
    upstream::{UpstreamConfig, egress_config},
};
use gateway_domain::Timestamp;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    runtime::Handle,
};
use uuid::Uuid;

use super::*;
use crate::adapters::outside::Pinned;

/// An upstream that counts who connects, under two names: one of everybody, one of another organization.
struct Service {
    upstreams: Arc<Upstreams>,
    connections: Arc<AtomicU32>,
}

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

const OURS: u128 = 1;
const THEIRS: u128 = 2;

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        });
        let common = EgressConfig {
            named_hosts: BTreeSet::from([address.to_string().parse().unwrap()]),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 1 << 20,
            response_headers_max: 100,
        };
        let upstream = || {
            let config = UpstreamConfig {
                url: format!("http://{address}/").parse().unwrap(),
                routes: vec!["GET /v1".parse().unwrap()],
                request_headers: [].into(),
                response_headers: [].into(),
                secret: None,
                request_bytes_max: 100,
            };
            let egress = egress_config(&common, Duration::from_secs(20), 1000);
            Upstream::new(config, egress, Arc::new(SystemLookup)).unwrap()
        };
        let owners = [("everybodys", None), ("ours", Some(OURS)), ("theirs", Some(THEIRS))];
        let named = owners.map(|(name, owner)| (name.to_owned(), (owner.map(organization), upstream())));
        Self { upstreams: Arc::new(Upstreams::new(named.into())), connections }
    }

    /// What a plugin of ours with these grants is answered.
    async fn asked(&self, name: &str, grants: &[&str]) -> Result<HttpAnswer, OutsideError> {
        let reach = Reach {
            organization: organization(OURS),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            upstreams: Arc::clone(&self.upstreams),
            chain: None,
            pinned: Pinned::default(),
            now: Timestamp::default(),
            runtime: Handle::current(),
        };
        let question = HttpQuestion {
            upstream: name.to_owned(),
            method: "GET".to_owned(),
            path: "/v1".to_owned(),
            parameters: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        tokio::task::spawn_blocking(move || reach.ask_upstream(&question, deadline)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_granted_or_is_another_organizations_hears_nothing() {
    let service = Service::start().await;
    for (name, grants) in [
        ("everybodys", &["http:ours", "http", "http:", "everybodys"][..]),
        ("ours", &["http:everybodys", "http:our", "http:ours2"]),
        // The grant is there, as where the upstream was given to somebody else after the plugin was stored.
        ("theirs", &["http:theirs", "http:ours"]),
        ("gone", &["http:gone"]),
        ("\u{202e}theirs", &["http:theirs"]),
    ] {
        let refused = service.asked(name, grants).await.unwrap_err();
        assert_eq!(refused.code, FailureCode::MissingCapability, "{name}");
        assert!(refused.detail.ends_with("is not granted"), "{name}: {}", refused.detail);
        assert!(!refused.detail.contains('\u{202e}'), "{}", refused.detail);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 0);

    for name in ["everybodys", "ours"] {
        let answer = service.asked(name, &["http:everybodys", "http:ours"]).await.unwrap();
        assert_eq!(answer.unwrap().status, 204);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 2);
}
