use std::error::Error as _;

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::*;
use crate::evm::rpc::lying_node::{Answer, LyingNode};

async fn chain_id_reason(answer: Answer) -> NodeRejection {
    let node = LyingNode::start(vec![answer]).await;
    let reason = node.client().chain_id().await.unwrap_err().reason;
    node.requests.await.unwrap();
    reason
}

#[tokio::test]
async fn requests_carry_the_documented_parameters() {
    let hash = B256::repeat_byte(0xab);
    let address = Address::repeat_byte(0x35);
    let node = LyingNode::start(vec![
        Answer::result(&json!("0x7a69")),
        Answer::result(&json!("0x5")),
        Answer::result(&json!("0x0")),
        Answer::result(&json!("0x5208")),
        Answer::result(&json!(null)),
        Answer::result(&json!(null)),
    ])
    .await;
    let client = node.client();
    assert_eq!(client.chain_id().await.unwrap(), 31_337);
    assert_eq!(client.transaction_count(address, CountTag::Pending).await.unwrap(), 5);
    assert_eq!(client.balance(address).await.unwrap(), U256::ZERO);
    let call = CallRequest { from: address, to: address, value: U256::from(255), data: vec![1, 2].into() };
    assert_eq!(client.estimate_gas(&call).await.unwrap(), 21_000);
    assert_eq!(client.transaction_receipt(hash).await.unwrap(), None);
    assert_eq!(client.block(BlockTag::Number(16)).await.unwrap(), None);

    let hex_address = "0x3535353535353535353535353535353535353535";
    let requests = node.requests.await.unwrap();
    let seen: Vec<_> = requests.iter().map(|request| (&request["method"], &request["params"])).collect();
    let estimated = json!([{"from": hex_address, "to": hex_address, "value": "0xff", "data": "0x0102"}]);
    let expected = [
        (json!("eth_chainId"), json!([])),
        (json!("eth_getTransactionCount"), json!([hex_address, "pending"])),
        (json!("eth_getBalance"), json!([hex_address, "latest"])),
        (json!("eth_estimateGas"), estimated),
        (json!("eth_getTransactionReceipt"), json!([format!("0x{}", "ab".repeat(32))])),
        (json!("eth_getBlockByNumber"), json!(["0x10", false])),
    ];
    assert_eq!(seen, expected.iter().map(|(method, params)| (method, params)).collect::<Vec<_>>());
    assert!(requests.windows(2).all(|pair| pair[0]["id"] != pair[1]["id"]));
}

#[tokio::test]
async fn a_contract_is_asked_within_its_gas_at_a_block() {
    let (account, block) = (Address::repeat_byte(0x35), B256::repeat_byte(0xab));
    let answers = [json!("0x1626ba7e"), json!("0x"), json!("0x1"), json!("1626"), json!(null), json!({})];
    let node = LyingNode::start(answers.iter().map(Answer::result).collect()).await;
    let client = node.client();
    let call =
        CallRequest { from: Address::ZERO, to: account, value: U256::ZERO, data: vec![0x16, 0x26].into() };
    let ask = || client.call_contract(&call, 50_000, block);
    assert_eq!(ask().await.unwrap().to_vec(), [0x16, 0x26, 0xba, 0x7e]);
    assert!(ask().await.unwrap().is_empty());
    for _ in 2..answers.len() {
        assert_eq!(ask().await.unwrap_err().reason, NodeRejection::Malformed);
    }
    let requests = node.requests.await.unwrap();
    assert_eq!(requests[0]["method"], "eth_call");
    let zero = format!("0x{}", "00".repeat(20));
    let (to, hash) = (format!("0x{}", "35".repeat(20)), format!("0x{}", "ab".repeat(32)));
    let call = json!({"from": zero, "to": to, "value": "0x0", "data": "0x1626", "gas": "0xc350"});
    assert_eq!(requests[0]["params"], json!([call, {"blockHash": hash, "requireCanonical": true}]));
}

#[tokio::test]
async fn replies_out_of_protocol_are_malformed() {
    for body in [
        "",
        "<html>",
        "[]",
        r#"{"jsonrpc":"2.0","id":ID}"#,
        r#"{"jsonrpc":"1.0","id":ID,"result":"0x1"}"#,
        r#"{"id":ID,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":999999,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":"ID","result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":"0x1","result":"0x2"}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":"0x1","error":{"code":1,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":1}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":"0x10000000000000000"}"#,
        r#"{"jsonrpc":"2.0","id":ID,"error":{"message":"no code"}}"#,
    ] {
        assert_eq!(chain_id_reason(Answer::body(body)).await, NodeRejection::Malformed, "{body}");
    }
}

#[tokio::test]
async fn answer_over_the_limit_is_refused() {
    let endless = Answer::body(format!(r#"{{"jsonrpc":"2.0","id":ID,"result":"{}"}}"#, "0".repeat(5_000)));
    assert_eq!(chain_id_reason(endless).await, NodeRejection::Malformed);
}

#[tokio::test]
async fn http_statuses_are_told_apart() {
    for (status, reason) in [
        ("500 Internal Server Error", NodeRejection::Unavailable),
        ("503 Service Unavailable", NodeRejection::Unavailable),
        ("429 Too Many Requests", NodeRejection::Unavailable),
        ("401 Unauthorized", NodeRejection::Other),
        ("404 Not Found", NodeRejection::Other),
    ] {
        let answer = Answer { status, ..Answer::body("no") };
        assert_eq!(chain_id_reason(answer).await, reason, "{status}");
        let unearned = Answer { status, ..Answer::result(&json!("0x1")) };
        assert_eq!(chain_id_reason(unearned).await, reason, "{status} with result");
        let explained = Answer { status, ..Answer::error(-32000, "nonce too low") };
        assert_eq!(chain_id_reason(explained).await, NodeRejection::NonceTooLow, "{status} with error");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = LyingNode::start(vec![Answer::result(&json!("0x1"))]).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let header = format!("location: http://{}/\r\n", target.address);
        let answer = Answer { status, header, body: String::new() };
        assert_eq!(chain_id_reason(answer).await, NodeRejection::Other, "{status}");
    }
    assert!(!target.requests.is_finished());
    target.requests.abort();
}

#[tokio::test]
async fn refusals_keep_upstream_text_out_of_display() {
    let node = LyingNode::start(vec![Answer::error(-32000, "nonce too low: secret detail")]).await;
    let error = node.client().send_raw_transaction(&[1]).await.unwrap_err();
    assert_eq!(error.reason, NodeRejection::NonceTooLow);
    assert_eq!(error.to_string(), "node call `eth_sendRawTransaction` failed: nonce is already used");
    assert!(error.source().unwrap().to_string().contains("secret detail"));
}

#[tokio::test]
async fn absent_node_is_unavailable_and_its_url_stays_hidden() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = HttpEvmRpc::new(&format!("http://{address}/v3/secret-key"), RpcLimits::default()).unwrap();
    let error = client.chain_id().await.unwrap_err();
    assert_eq!(error.reason, NodeRejection::Unavailable);
    assert!(!format!("{error:?} {client:?}").contains("secret-key"));
}

#[tokio::test]
async fn silent_node_meets_the_deadline() {
    // Accepted by the kernel's backlog, never answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = RpcLimits { call_timeout: Duration::from_millis(50), ..RpcLimits::default() };
    let client = HttpEvmRpc::new(&format!("http://{}", listener.local_addr().unwrap()), limits).unwrap();
    assert_eq!(client.chain_id().await.unwrap_err().reason, NodeRejection::Unavailable);
}

#[tokio::test]
async fn node_that_takes_no_connection_meets_its_own_deadline() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the backlog is full, the kernel answers no more.
    let mut held = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        held.push(stream.unwrap());
    }
    let limits = RpcLimits {
        connect_timeout: Duration::from_millis(50),
        call_timeout: Duration::from_hours(1),
        ..RpcLimits::default()
    };
    let client = HttpEvmRpc::new(&format!("http://{address}"), limits).unwrap();
    let asked = timeout(Duration::from_secs(20), client.chain_id()).await.expect("in time");
    assert_eq!(asked.unwrap_err().reason, NodeRejection::Unavailable);
}

#[tokio::test]
async fn broadcast_checks_the_hash_it_is_told() {
    let raw = [2, 3, 4];
    let honest = format!("0x{}", hex::encode(keccak256(raw)));
    let lie = format!("0x{}", "11".repeat(32));
    let node = LyingNode::start(vec![Answer::result(&json!(honest)), Answer::result(&json!(lie))]).await;
    let client = node.client();
    assert_eq!(client.send_raw_transaction(&raw).await.unwrap(), keccak256(raw));
    assert_eq!(client.send_raw_transaction(&raw).await.unwrap_err().reason, NodeRejection::Malformed);
    assert_eq!(node.requests.await.unwrap()[0]["params"], json!(["0x020304"]));
}

#[tokio::test]
async fn block_of_another_number_is_malformed() {
    let hash = format!("0x{}", "11".repeat(32));
    let block = json!({"number": "0x2", "hash": hash, "parentHash": hash, "timestamp": "0x1"});
    let node = LyingNode::start(vec![Answer::result(&block), Answer::result(&block)]).await;
    let client = node.client();
    let error = client.block(BlockTag::Number(3)).await.unwrap_err();
    assert_eq!(error.reason, NodeRejection::Malformed);
    assert_eq!(client.block(BlockTag::Latest).await.unwrap().unwrap().number, 2);
}

#[tokio::test]
async fn fee_quote_follows_the_block_and_survives_a_missing_tip_method() {
    let hash = format!("0x{}", "11".repeat(32));
    let legacy = json!({"number": "0x2", "hash": hash, "parentHash": hash, "timestamp": "0x1"});
    let mut dynamic = legacy.clone();
    dynamic["baseFeePerGas"] = json!("0x7");
    let node = LyingNode::start(vec![
        Answer::result(&legacy),
        Answer::result(&json!("0x9")),
        Answer::result(&dynamic),
        Answer::result(&json!("0x3")),
        Answer::result(&dynamic),
        Answer::error(-32601, "Method not found"),
        Answer::result(&json!(null)),
    ])
    .await;
    let client = node.client();
    assert_eq!(client.fee_quote().await.unwrap(), FeeQuote::Legacy { gas_price: 9 });
    let quote = FeeQuote::Eip1559 { base_fee: 7, priority_fee: 3 };
    assert_eq!(client.fee_quote().await.unwrap(), quote);
    let quote = FeeQuote::Eip1559 { base_fee: 7, priority_fee: 0 };
    assert_eq!(client.fee_quote().await.unwrap(), quote);
    assert_eq!(client.fee_quote().await.unwrap_err().reason, NodeRejection::Malformed);
}

#[test]
fn other_urls_are_refused() {
    for url in ["", "node.example", "ftp://node.example", "unix:/run/node.sock", "file:///etc/hosts"] {
        assert!(matches!(HttpEvmRpc::new(url, RpcLimits::default()), Err(RpcSetupError::Url)), "{url}");
    }
}

#[tokio::test]
async fn state_is_asked_for_by_the_hash_of_its_block() {
    let (address, slot, hash) = (Address::repeat_byte(0x35), B256::repeat_byte(1), B256::repeat_byte(0xab));
    let node = LyingNode::start(vec![
        Answer::result(&json!("0x5")),
        Answer::result(&json!("0xABcd")),
        Answer::result(&json!(format!("0x{}", "00".repeat(32)))),
        Answer::result(&json!("0x")),
        Answer::result(&json!("0xabc")),
        Answer::error(3, "execution reverted"),
    ])
    .await;
    let client = node.client();
    let read = async |what: StateRead| client.read_state(&what, hash).await;
    assert_eq!(read(StateRead::Balance(address)).await.unwrap(), "0x5");
    assert_eq!(read(StateRead::Code(address)).await.unwrap(), "0xabcd");
    assert_eq!(read(StateRead::Storage { address, slot }).await.unwrap().len(), 66);
    let call = StateRead::Call { to: address, data: vec![1, 2] };
    assert_eq!(read(call.clone()).await.unwrap(), "0x");
    assert_eq!(read(call.clone()).await.unwrap_err().reason, NodeRejection::Malformed);
    assert_eq!(read(call).await.unwrap_err().reason, NodeRejection::ExecutionReverted);

    let requests = node.requests.await.unwrap();
    let block = json!({"blockHash": format!("0x{}", "ab".repeat(32)), "requireCanonical": true});
    let hex_address = format!("0x{}", "35".repeat(20));
    assert_eq!(requests[0]["params"], json!([hex_address, block]));
    assert_eq!(requests[2]["params"], json!([hex_address, format!("0x{}", "01".repeat(32)), block]));
    assert_eq!(requests[3]["params"], json!([{"to": hex_address, "data": "0x0102"}, block]));
}
