//! Encrypted transactions as clients send them: messages by GnuPG, keys in the token, records on the chain.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use anyhow::{Context, Result};
use countersign_tests::client::Credential;
use countersign_tests::gateway::Gateway;
use countersign_tests::gpg::Gpg;
use countersign_tests::kubo::cid_of;
use countersign_tests::lying_node::{Gate, Lie};
use countersign_tests::main_job::text;
use countersign_tests::registry;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::control::order;
use crate::stand::{CHAIN_ID, ETHER, Stand};

const DEADLINE: Duration = Duration::from_secs(30);

/// A stand with the registry deployed, a funded relayer, and a verification service whose keys are in the token.
pub(crate) struct Sealed {
    pub(crate) stand: Stand,
    pub(crate) gateway: Gateway,
    gpg: Gpg,
    service: Value,
    escrow: Address,
}

impl Sealed {
    async fn new() -> Result<Sealed> {
        Sealed::with("").await
    }

    /// With further lines of the configuration file, the first of them keys of `[onchain_registry]`.
    pub(crate) async fn with(more: &str) -> Result<Sealed> {
        let registry = registry::configuration(CHAIN_ID);
        let stand = Stand::with_configuration(&format!("{registry}{more}")).await?;
        registry::deploy(stand.anvil.node()).await?;
        let gateway = stand.installation.start().await?;
        let relayer: Address = gateway.bootstrap.relayer_address.parse()?;
        stand.anvil.node().set_balance(relayer, U256::from(ETHER)).await?;
        let inbox = Wallet::random().address().to_string();
        let add =
            ["verification-service", "add", "--name", "Orion", "--inbox", &inbox, "--built-in", "rsa2048"];
        let service = order(&stand.installation, &add)?;
        let gpg = Gpg::new()?;
        gpg.import(text(&service, "publicKey")?)?;
        let escrow = stand.user(&gateway).await?;
        Ok(Sealed { stand, gateway, gpg, service, escrow })
    }

    pub(crate) fn relayer(&self) -> Result<Address> {
        Ok(self.gateway.bootstrap.relayer_address.parse()?)
    }

    fn plaintext(&self, request_hash: B256, to: Address, value: u128) -> String {
        json!({
            "requestHash": request_hash, "escrowAddress": self.escrow, "chainId": CHAIN_ID, "to": to,
            "value": value.to_string(), "data": "0x",
        })
        .to_string()
    }

    fn body(&self, request_hash: B256, message: &str) -> Value {
        json!({
            "encryptedPayload": message, "requestHash": request_hash, "escrowAddress": self.escrow,
            "chainId": CHAIN_ID, "executionType": 0, "ethereumAddress": self.stand.wallet.address(),
            "verificationServiceId": self.service["id"],
        })
    }

    /// A request to pay, and the message in it.
    pub(crate) fn payment(&self, request_hash: B256, to: Address, value: u128) -> Result<(Value, String)> {
        let recipient = text(&self.service, "fingerprint")?;
        let message = self.gpg.encrypt(&self.plaintext(request_hash, to, value), recipient, &[])?;
        Ok((self.body(request_hash, &message), message))
    }

    pub(crate) async fn send(&self, body: &Value) -> Result<Value> {
        let admin = Credential::ApiKey(&self.gateway.bootstrap.admin_api_key);
        self.gateway.client().post("/transactions", admin, body).await?.expect(201)
    }
}

pub(crate) fn random_hash() -> B256 {
    keccak256(Wallet::random().address())
}

#[tokio::test]
async fn a_message_by_gnupg_is_opened_in_the_token_recorded_and_executed() -> Result<()> {
    // Nobody else takes the record up, and the answer waits for it on a busy machine, too.
    let patient =
        "wait_ms = 25000\n[server]\nrequest_timeout_ms = 60000\n[limits]\nunavailable_pause_ms = 20000\n";
    let sealed = Sealed::with(patient).await?;
    let (request_hash, to) = (random_hash(), Wallet::random().address());
    let (request, message) = sealed.payment(request_hash, to, ETHER / 2)?;
    let made = sealed.send(&request).await?;
    assert_eq!(made["payloadType"], "encrypted", "{made}\n{}", sealed.gateway.output());
    assert!(made.get("to").is_none() && made.get("value").is_none(), "{made}");
    assert_eq!(text(&made, "ipfsCid")?, cid_of(message.as_bytes()));
    assert!(made["submissionTxHash"].is_string(), "{made}\n{}", sealed.gateway.output());

    let job = sealed.stand.job(&sealed.gateway);
    let executed = job.final_transaction(text(&made, "requestHash")?).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", sealed.gateway.output());
    assert_eq!(sealed.stand.anvil.node().balance(to).await?, U256::from(ETHER / 2));
    let record = registry::cid_digest(sealed.stand.anvil.node(), sealed.relayer()?, request_hash).await?;
    assert_ne!(record, B256::ZERO);

    // What was in the message is in no answer and in no log.
    assert!(!sealed.gateway.output().contains(&to.to_string()[2..]), "{}", sealed.gateway.output());
    let Sealed { stand, gateway, .. } = sealed;
    assert!(gateway.stop().await?.success());
    assert_eq!(stand.installation.verify_audit()?["verified"], true);
    Ok(())
}

#[tokio::test]
async fn a_record_that_could_not_be_sent_is_made_after_a_crash() -> Result<()> {
    let mut sealed = Sealed::new().await?;
    let request_hash = random_hash();
    let recipient = text(&sealed.service, "fingerprint")?;
    let plaintext = sealed.plaintext(request_hash, Wallet::random().address(), 2 * ETHER);
    let message = sealed.gpg.encrypt(&plaintext, recipient, &["--compress-algo", "zlib"])?;
    sealed.stand.node.lie("eth_sendRawTransaction", Lie::Unavailable);
    let made = sealed.send(&sealed.body(request_hash, &message)).await?;
    assert_eq!(made["status"], "PENDING", "{made}");
    assert!(made.get("submissionTxHash").is_none(), "{made}");

    let relayer = sealed.relayer()?;
    sealed.gateway.kill()?;
    sealed.stand.node.tell_the_truth("eth_sendRawTransaction");
    sealed.gateway = sealed.stand.installation.start().await?;
    let node = sealed.stand.anvil.node();
    wait::until("the record to be on chain", DEADLINE, async || {
        let digest = registry::cid_digest(node, relayer, request_hash).await?;
        Ok((digest != B256::ZERO).then_some(()))
    })
    .await?;
    let again = sealed.send(&sealed.body(request_hash, &message)).await?;
    assert_eq!(again["id"], made["id"]);
    assert_eq!(node.transaction_count(relayer).await?, U256::from(1), "one record, whatever happened");
    Ok(())
}

/// How a call of the gateway to its node is held.
type Hold = fn(Arc<Gate>) -> Lie;

/// Signed and not sent, sent and not answered, on the chain and not seen: whoever repeats the request finds it, and its
/// record is made once.
#[tokio::test]
async fn a_gateway_that_is_killed_while_it_records_makes_one_record() -> Result<()> {
    // What is held, and what the chain has of the relayer by then.
    let holds: [(&str, Hold, u64); 3] = [
        ("eth_sendRawTransaction", Lie::HoldBefore, 0),
        ("eth_sendRawTransaction", Lie::HoldAfter, 1),
        ("eth_getTransactionReceipt", Lie::HoldAfter, 1),
    ];
    for (method, hold, on_chain) in holds {
        let mut sealed = Sealed::new().await?;
        let (request_hash, relayer) = (random_hash(), sealed.relayer()?);
        let (body, _) = sealed.payment(request_hash, Wallet::random().address(), 2 * ETHER)?;
        let gate = Gate::new();
        let node = sealed.stand.anvil.node();
        sealed.stand.node.lie(method, hold(gate.clone()));
        // The receipt is asked for before anything is sent as well, which goes on. The node answers before it mines.
        let sent = || !sealed.stand.node.calls("eth_sendRawTransaction").is_empty();
        let held = timeout(DEADLINE, async {
            gate.reached().await;
            while !sent() {
                gate.release();
                gate.reached().await;
            }
            wait::until("the chain to have what was sent", DEADLINE, async || {
                let count = node.transaction_count(relayer).await?;
                Ok((count == U256::from(on_chain)).then_some(()))
            })
            .await
        });
        tokio::pin!(held);
        let held = tokio::select! {
            held = &mut held => held,
            _ = sealed.send(&body) => held.await,
        };
        held.context("the call was not made")??;
        sealed.gateway.kill()?;
        sealed.stand.node.tell_the_truth(method);
        sealed.gateway = sealed.stand.installation.start().await?;
        let made = sealed.send(&body).await?;
        assert_eq!(made["status"], "PENDING", "{method}: {made}");
        let node = sealed.stand.anvil.node();
        wait::until("the record to be on chain and known", DEADLINE, async || {
            let digest = registry::cid_digest(node, relayer, request_hash).await?;
            let told = sealed.send(&body).await?;
            Ok((digest != B256::ZERO && told["submissionTxHash"].is_string()).then_some(()))
        })
        .await
        .with_context(|| sealed.gateway.output())?;
        assert_eq!(node.transaction_count(relayer).await?, U256::from(1), "{method}: one record");
    }
    Ok(())
}

#[tokio::test]
async fn a_bomb_and_a_stolen_message_end_rejected_and_unpublished() -> Result<()> {
    let sealed = Sealed::new().await?;
    let recipient = text(&sealed.service, "fingerprint")?;
    let bomb =
        sealed.gpg.encrypt(&" ".repeat(20_000_000), recipient, &["--compress-algo", "zlib", "-z", "9"])?;
    let request_hash = random_hash();
    let made = sealed.send(&sealed.body(request_hash, &bomb)).await?;
    assert_eq!(made["failureReason"], "payload_invalid: it is too long");
    assert!(made.get("submissionTxHash").is_none());

    let (named, used) = (random_hash(), random_hash());
    let message = sealed.gpg.encrypt(&sealed.plaintext(named, sealed.escrow, 1), recipient, &[])?;
    let stolen = sealed.send(&sealed.body(used, &message)).await?;
    assert_eq!(stolen["failureReason"], "payload_invalid: its requestHash is not the request's");
    let relayer = sealed.relayer()?;
    assert_eq!(sealed.stand.anvil.node().transaction_count(relayer).await?, U256::ZERO);
    Ok(())
}
