//! Wallets that are contracts (ERC-1271), against real code on a real node, with a lying one beside it (T9).

use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::contract_wallet::ContractWallet;
use countersign_tests::environment::{rfc3339_now, unix_seconds};
use countersign_tests::gpg::Gpg;
use countersign_tests::lying_node::Lie;
use countersign_tests::main_job::text;
use countersign_tests::registry;
use countersign_tests::wait;
use countersign_tests::wallet::{SignedRequest, Wallet};
use gateway_chains::evm::signature::personal_message_hash;
use reqwest::Method;
use serde_json::{Value, json};

use crate::control::order;
use crate::encrypted::random_hash;
use crate::stand::{CHAIN_ID, ETHER, Stand, request_hash};

const DEADLINE: Duration = Duration::from_secs(30);

const TAKEN: &str = "\n[core.contract_accounts]\nenabled = true\n";
const YES: &str = "0x1626ba7e00000000000000000000000000000000000000000000000000000000";

/// A login by `account` that `signer` signed, with further bytes behind the signature.
async fn log_in(client: &Client, account: Address, signer: &Wallet, more: usize) -> Result<Reply> {
    let issued = client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.expect(200)?;
    let (nonce, origin, now) = (text(&issued, "nonce")?, client.origin(), rfc3339_now());
    let domain = origin.split_once("://").context("an origin has a scheme")?.1;
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{account}\n\n\nURI: {origin}\nVersion: 1\n\
         Chain ID: {CHAIN_ID}\nNonce: {nonce}\nIssued At: {now}"
    );
    let signature = [signer.sign_text(&message)?.as_slice(), &vec![0x5a; more]].concat();
    let body = json!({"message": message, "signature": hex(&signature)});
    client.post("/auth/siwe/verify", Credential::Nobody, &body).await
}

/// A request of `account` that `signer` signed: form 2 with a chain id, else form 1.
async fn send_signed(
    client: &Client,
    (account, signer): (Address, &Wallet),
    (method, path, body): (Method, &str, &[u8]),
    typed: bool,
) -> Result<Reply> {
    let timestamp = unix_seconds();
    let request = SignedRequest { origin: client.origin(), method: method.as_str(), path, body, timestamp };
    let signature =
        if typed { signer.sign_typed_request(CHAIN_ID, &request)? } else { signer.sign_request(&request)? };
    let signature = hex(&[signature.as_slice(), &[0x5a; 300]].concat());
    let account = account.to_string();
    let credential = Credential::Signature(&account, &signature, Some(timestamp));
    client.send(method, path, credential, body.to_vec(), &[]).await
}

async fn own_record(client: &Client, account: Address, signer: &Wallet, typed: bool) -> Result<Reply> {
    let path = format!("/users/{account}");
    send_signed(client, (account, signer), (Method::GET, &path, b""), typed).await
}

/// The command blocks its thread while the gateway asks the nodes, which run in others.
fn enrol(stand: &Stand, account: Address) -> Result<Value> {
    let (account, chain) = (account.to_string(), format!("eip155:{CHAIN_ID}"));
    order(&stand.installation, &["contract-account", "enrol", &account, "--chain", &chain])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_wallet_logs_in_and_votes_by_what_its_code_says() -> Result<()> {
    let stand = Stand::with_a_second_node(TAKEN).await?;
    let (owner, stranger) = (Wallet::random(), Wallet::random());
    let contract = ContractWallet::deploy(stand.anvil.node(), owner.address()).await?;
    let account = contract.address();
    let gateway = stand.installation.start().await?;
    let client = gateway.client();

    log_in(client, account, &owner, 0).await?.expect(401)?;
    own_record(client, account, &owner, false).await?.expect(400)?;
    assert!(stand.node.calls("eth_call").is_empty(), "nobody is asked about an address that is not enrolled");
    assert_eq!(text(&enrol(&stand, account)?, "contractChain")?, format!("eip155:{CHAIN_ID}"));
    let listed = order(&stand.installation, &["contract-account", "list"])?;
    assert_eq!(listed["contractAccounts"][0]["ethereumAddress"], json!(account));

    log_in(client, account, &stranger, 0).await?.expect(401)?;
    let tokens = log_in(client, account, &owner, 2000).await?.expect(200)?;
    own_record(client, account, &stranger, false).await?.expect(401)?;
    for typed in [false, true] {
        let user = own_record(client, account, &owner, typed).await?.expect(200)?;
        assert_eq!(user, tokens["user"]);
    }
    let session = Credential::Token(text(&tokens, "accessToken")?);
    let settings = client.send(Method::PUT, "/settings", session, b"{}".to_vec(), &[]).await?.expect(200)?;
    let escrow = text(&settings, "escrowAddress")?.parse()?;
    stand.fund(escrow).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let job = stand.job(&gateway);
    let path = format!("/transactions/{}/approvals", request_hash(&proposed));
    let vote = (Method::POST, path.as_str(), br#"{"approved":true}"#.as_slice());
    let voted = send_signed(client, (account, &owner), vote, false).await?.expect(201)?;
    assert_eq!(text(&voted, "ethereumAddress")?, account.to_string());
    let last = job.approve_as_agent(request_hash(&proposed)).await?.expect(201)?;
    assert_eq!(text(&last, "transactionStatus")?, "APPROVED");
    stand.finish(gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_one_lying_node_nor_what_is_not_final_changes_who_owns_a_contract() -> Result<()> {
    let stand = Stand::with_a_second_node(TAKEN).await?;
    let (owner, heir) = (Wallet::random(), Wallet::random());
    let contract = ContractWallet::deploy(stand.anvil.node(), owner.address()).await?;
    let account = contract.address();
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    enrol(&stand, account)?;

    stand.node.lie("eth_call", Lie::Answer(json!(YES)));
    log_in(client, account, &heir, 0).await?.expect(401)?;
    own_record(client, account, &heir, false).await?.expect(401)?;
    for lie in
        [Lie::Unavailable, Lie::Refuse { code: -32603, message: "internal" }, Lie::Answer(json!("yes"))]
    {
        stand.node.lie("eth_call", lie);
        let away = log_in(client, account, &owner, 0).await?;
        assert_eq!(away.message()?, "the chain of the contract account is unavailable");
        away.expect(503)?;
    }
    stand.node.tell_the_truth("eth_call");
    stand.node.lie("eth_getBlockByNumber", Lie::Alter(another_block));
    log_in(client, account, &owner, 0).await?.expect(503)?;
    stand.node.tell_the_truth("eth_getBlockByNumber");

    contract.set_owner(heir.address()).await?;
    log_in(client, account, &heir, 0).await?.expect(401)?;
    log_in(client, account, &owner, 0).await?.expect(200)?;
    contract.finalize().await?;
    log_in(client, account, &owner, 0).await?.expect(401)?;
    log_in(client, account, &heir, 0).await?.expect(200)?;
    stand.finish(gateway).await
}

/// The same block with another hash.
fn another_block(mut block: Value) -> Value {
    block["hash"] = json!(format!("0x{}", "12".repeat(32)));
    block
}

/// An address that has a key and, since EIP-7702, code of a contract with another owner. Whose key it is signs for nothing,
/// and one lying node makes nobody its owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_contract_signs_for_its_openpgp_key_and_for_payloads_and_the_bare_key_for_nothing() -> Result<()> {
    let stand = Stand::with_a_second_node(&format!("{}{TAKEN}", registry::configuration(CHAIN_ID))).await?;
    let (node, owner, account) = (stand.anvil.node(), Wallet::random(), stand.wallet.address());
    registry::deploy(node).await?;
    let contract = ContractWallet::deploy(node, owner.address()).await?;
    contract.inhabit(account, owner.address()).await?;
    let gateway = stand.installation.start().await?;
    let (client, relayer) = (gateway.client(), gateway.bootstrap.relayer_address.parse()?);
    node.set_balance(relayer, U256::from(ETHER)).await?;
    enrol(&stand, account)?;
    let tokens = log_in(client, account, &owner, 0).await?.expect(200)?;
    let token = Credential::Token(text(&tokens, "accessToken")?);
    let gpg = Gpg::new()?;
    let key = gpg.generate("wallet@example.org")?;
    let register = async |signature: &[u8]| {
        let body = json!({"pgpPublicKey": key, "signature": hex(signature)});
        client.post("/user-api-keys/register", token, &body).await
    };
    let (bare, signed) = (stand.wallet.sign_text(&key)?, owner.sign_text(&key)?);
    let signed = [signed.as_slice(), &[0x5a; 300]].concat();
    register(&bare).await?.expect(400)?;
    stand.node.lie("eth_call", Lie::Answer(json!(YES)));
    register(&bare).await?.expect(400)?;
    stand.node.lie("eth_call", Lie::Unavailable);
    register(&signed).await?.expect(503)?;
    stand.node.tell_the_truth("eth_call");
    let made = register(&signed).await?.expect(201)?;
    assert_eq!(made["ethereumAddress"], json!(account.to_string()), "{made}");
    wait::until("the key to be on record", DEADLINE, async || {
        node.mine(1).await?;
        let profile = client.get("/user-api-keys/profile", token).await?.expect(200)?;
        Ok((profile["registrationStatus"] == "registered").then_some(()))
    })
    .await?;
    let record = registry::fingerprint(node, relayer, account).await?;
    assert_eq!(hex::encode_upper(&record[..20]), gpg.fingerprint("wallet@example.org")?);

    let settings = client.send(Method::PUT, "/settings", token, b"{}".to_vec(), &[]).await?.expect(200)?;
    let (folder, inbox) = (tempfile::tempdir()?, Wallet::random().address().to_string());
    let file = folder.path().join("service.asc");
    std::fs::write(&file, &key)?;
    let add = ["verification-service", "add", "--name", "Orion", "--inbox", &inbox, "--public-key"];
    let service = order(&stand.installation, &[&add[..], &[file.to_str().context("path")?]].concat())?;
    let request_hash = random_hash();
    let mut payload = json!({
        "encryptedPayload": gpg.encrypt("{}", "wallet@example.org", &[])?, "requestHash": request_hash,
        "escrowAddress": settings["escrowAddress"], "chainId": CHAIN_ID, "ethereumAddress": account,
        "verificationServiceId": service["id"],
    });
    let digest = personal_message_hash(request_hash.as_slice());
    for (signer, status) in [(&stand.wallet, 400), (&owner, 201)] {
        payload["userSignature"] = json!(hex(&signer.sign(digest)?));
        client.post("/transactions", stand.job(&gateway).admin(), &payload).await?.expect(status)?;
    }
    stand.finish(gateway).await
}

/// A wallet that takes any signature for its own makes everybody its owner.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_code_and_a_contract_that_takes_anything() -> Result<()> {
    let stand = Stand::with_a_second_node(TAKEN).await?;
    let owner = Wallet::random();
    let contract = ContractWallet::deploy(stand.anvil.node(), owner.address()).await?;
    // Its code is: PUSH4 the magic value, PUSH1 224, SHL, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN.
    let careless = stand.anvil.node().deploy("0x6d631626ba7e60e01b5f5260205ff35f52600e6012f3").await?;
    contract.finalize().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let refused = enrol(&stand, careless).unwrap_err().to_string();
    assert!(refused.contains("takes a signature that nobody made"), "{refused}");
    // There a key could sign, and does not count.
    enrol(&stand, stand.wallet.address())?;
    log_in(client, stand.wallet.address(), &stand.wallet, 0).await?.expect(401)?;
    stand.finish(gateway).await
}

/// A contract that fails has refused; its nodes are not away.
#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_reverts_halts_or_runs_for_ever_refuses() -> Result<()> {
    let stand = Stand::with_a_second_node(TAKEN).await?;
    let (node, owner) = (stand.anvil.node(), Wallet::random());
    // REVERT; INVALID; a byte that is no instruction; a jump to nowhere; a loop that never ends.
    let codes = ["0x5f5ffd", "0xfe", "0x0c", "0x5f56", "0x5b5f56"];
    let accounts: Vec<Address> = codes.iter().map(|_| Wallet::random().address()).collect();
    for (code, account) in codes.iter().zip(&accounts) {
        node.call("anvil_setCode", json!([account, code])).await?;
    }
    ContractWallet::deploy(node, owner.address()).await?;
    let gateway = stand.installation.start().await?;
    for (code, account) in codes.iter().zip(&accounts) {
        enrol(&stand, *account).with_context(|| format!("enrolling {code}"))?;
        let reply = log_in(gateway.client(), *account, &owner, 0).await?;
        reply.expect(401).with_context(|| format!("{code} says no"))?;
    }
    stand.finish(gateway).await
}
