//! The harness does what the other tests believe it does.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::Result;
use countersign_tests::anvil::Anvil;
use countersign_tests::environment::unix_seconds;
use countersign_tests::fault_proxy::{FaultProxy, Link};
use countersign_tests::lying_node::{Gate, Lie, LyingNode};
use countersign_tests::node::Node;
use countersign_tests::postgres::Postgres;
use countersign_tests::process::Service;
use countersign_tests::wallet::{Approval, SignedRequest, Wallet, malleate, request_hash};
use gateway_chains::evm::eip712;
use gateway_chains::evm::message::request_text;
use gateway_chains::evm::signature::{Signature, SignatureError, recover_personal};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stand::CHAIN_ID;

const DEADLINE: Duration = Duration::from_secs(10);

fn parse(signature: &[u8; 65]) -> Result<Signature, SignatureError> {
    Signature::parse(&format!("0x{}", hex::encode(signature)))
}

#[test]
fn the_gateways_own_code_recovers_the_wallet_from_all_three_forms() -> Result<()> {
    let wallet = Wallet::random();
    let origin = "http://127.0.0.1:8080";
    let timestamp = unix_seconds();
    let signed = SignedRequest { origin, method: "POST", path: "/users?x=1", body: b"{}", timestamp };
    let body_hash = B256::from_slice(&Sha256::digest(b"{}"));
    let request = eip712::Request { origin, method: "POST", path: "/users?x=1", body_hash, timestamp };

    let personal = parse(&wallet.sign_request(&signed)?)?;
    assert_eq!(recover_personal(request_text(&request)?.as_bytes(), &personal)?, wallet.address());

    let typed = parse(&wallet.sign_typed_request(CHAIN_ID, &signed)?)?;
    assert_eq!(typed.recover(eip712::request_signing_hash(&request, CHAIN_ID))?, wallet.address());

    let (request_hash, intent_hash) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let approval = Approval {
        origin: origin.into(),
        organization: "org".into(),
        transactionId: "tx".into(),
        requestHash: request_hash,
        intentHash: intent_hash,
        approved: true,
        expires: U256::from(timestamp),
    };
    let theirs = eip712::Approval {
        origin,
        organization: "org",
        transaction_id: "tx",
        request_hash,
        intent_hash,
        approved: true,
        expires: timestamp,
    };
    let signature = wallet.sign_approval(CHAIN_ID, &approval)?;
    let digest = eip712::approval_signing_hash(&theirs, CHAIN_ID);
    assert_eq!(parse(&signature)?.recover(digest)?, wallet.address());
    assert!(parse(&malleate(&signature)?).is_err(), "a high s passes");
    Ok(())
}

#[test]
fn both_sides_compute_the_same_request_hash() {
    let (escrow, to, value) = (Address::repeat_byte(1), Address::repeat_byte(2), U256::from(3));
    assert_eq!(
        request_hash(&(escrow, to, value), &[4, 5], 6, 7),
        gateway_domain::transactions::request_hash(escrow, Some(to), value, &[4, 5], 6, U256::from(7))
    );
}

#[tokio::test]
async fn a_lying_node_lies_on_request_and_remembers() -> Result<()> {
    let anvil = Anvil::start(CHAIN_ID).await?;
    let liar = LyingNode::start(anvil.node().url()).await?;
    let through = Node::new(liar.url());
    let ask = || through.call("eth_chainId", json!([]));
    assert_eq!(ask().await?, "0x7a69");
    liar.lie("eth_chainId", Lie::Answer(json!("0x1")));
    assert_eq!(ask().await?, "0x1");
    liar.lie("eth_chainId", Lie::Alter(|id| json!([id])));
    assert_eq!(ask().await?, json!(["0x7a69"]));
    liar.lie("eth_chainId", Lie::Refuse { code: -32_000, message: "no" });
    assert!(ask().await.is_err());
    liar.lie("eth_chainId", Lie::Unavailable);
    assert!(ask().await.is_err());

    liar.lie("anvil_mine", Lie::DoAndRefuse { code: -32_000, message: "no" });
    assert!(through.mine(3).await.is_err());
    assert_eq!(anvil.node().call("eth_blockNumber", json!([])).await?, "0x3");

    let gate = Gate::new();
    liar.lie("eth_chainId", Lie::HoldBefore(gate.clone()));
    let (answer, ()) = tokio::join!(ask(), async {
        gate.reached().await;
        gate.release();
    });
    assert_eq!(answer?, "0x7a69");
    liar.tell_the_truth("eth_chainId");
    assert_eq!(liar.calls("eth_chainId").len(), 6);
    Ok(())
}

#[tokio::test]
async fn a_fault_proxy_stalls_and_cuts() -> Result<()> {
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address: SocketAddr = echo.local_addr()?;
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    });
    let proxy = FaultProxy::start(address).await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    let mut byte = [0];
    stream.write_all(b"a").await?;
    stream.read_exact(&mut byte).await?;

    proxy.set(Link::Stalled);
    // The proxy notices before it copies anything more.
    tokio::task::yield_now().await;
    stream.write_all(b"b").await?;
    let stalled = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut byte)).await;
    assert!(stalled.is_err(), "a byte came through");
    proxy.set(Link::Up);
    stream.read_exact(&mut byte).await?;
    assert_eq!(&byte, b"b");

    proxy.set(Link::Cut);
    assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
    server.abort();
    Ok(())
}

#[tokio::test]
async fn a_dropped_service_is_gone() -> Result<()> {
    let shell = OsStr::new("/bin/sh");
    let mut service = Service::start(shell, ["-c", "echo up; read forever </dev/zero"])?;
    service.line_after("up", DEADLINE).await?;
    let folder = format!("/proc/{}", service.process_id());
    assert!(Path::new(&folder).exists());
    drop(service);
    assert!(!Path::new(&folder).exists());
    Ok(())
}

#[tokio::test]
async fn a_service_that_ends_early_shows_its_output() -> Result<()> {
    let mut service = Service::start(OsStr::new("/bin/sh"), ["-c", "echo the reason >&2"])?;
    let error = service.line_after("ready ", DEADLINE).await.unwrap_err().to_string();
    service.says("the reason", DEADLINE).await?;
    assert!(error.contains("ended before"), "{error}");
    Ok(())
}

#[tokio::test]
async fn every_test_gets_an_empty_database() -> Result<()> {
    let (one, other) = (Postgres::create().await?, Postgres::create().await?);
    assert_ne!(one.url(), other.url());
    let mut connection = sqlx::PgConnection::connect(one.url()).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(tables, 0);
    Ok(())
}
