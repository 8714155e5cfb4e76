//! The main job as its clients see it, step by step: the demo walks through it once, the tests stop,
//! kill and lie between its steps.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Credential, Reply, hex};
use crate::environment;
use crate::gateway::Bootstrap;
use crate::wait;
use crate::wallet::{Approval, Wallet};

/// Long enough for a restart and a lease of a dead predecessor to run out.
pub const FINAL_DEADLINE: Duration = Duration::from_mins(1);
const APPROVAL_SECONDS: u64 = 600;

/// A gateway's client with the credentials of the people and services around it.
pub struct MainJob<'a> {
    pub client: &'a Client,
    pub bootstrap: &'a Bootstrap,
    pub wallet: &'a Wallet,
    pub chain_id: u64,
}

/// A trusted transaction as its creator describes it.
#[derive(Clone, Copy)]
pub struct Transfer {
    pub escrow: Address,
    pub to: Address,
    pub value: U256,
    /// With a nonce the client computes the `requestHash` and may repeat the request.
    pub request_nonce: Option<u64>,
}

impl Transfer {
    pub fn body(&self, chain_id: u64) -> Value {
        let mut body = json!({
            "escrowAddress": self.escrow,
            "to": self.to,
            "value": self.value.to_string(),
            "chainId": chain_id,
        });
        if let Some(nonce) = self.request_nonce {
            body["requestNonce"] = json!(nonce.to_string());
            body["requestHash"] = json!(self.request_hash(chain_id, nonce));
        }
        body
    }

    pub fn request_hash(&self, chain_id: u64, nonce: u64) -> B256 {
        crate::wallet::request_hash(&(self.escrow, self.to, self.value), &[], chain_id, nonce)
    }
}

impl MainJob<'_> {
    /// Enrols the wallet's owner; the answer carries the escrow address that the HSM made.
    pub async fn create_user(&self) -> Result<Address> {
        let body = json!({"ethereumAddress": self.wallet.address(), "displayName": "Ada"});
        let user =
            self.client.post("/users", self.admin(), &body).await?.expect(201).context("POST /users")?;
        escrow_of(&user)
    }

    /// The user's escrow address, if the user exists.
    pub async fn find_user(&self) -> Result<Option<Address>> {
        let reply = self.client.get(&format!("/users/{}", self.wallet.address()), self.admin()).await?;
        match reply.status {
            404 => Ok(None),
            _ => Ok(Some(escrow_of(&reply.expect(200)?)?)),
        }
    }

    /// Logs the wallet in (ERC-4361); the answer is the access token.
    pub async fn log_in(&self) -> Result<String> {
        let asked =
            self.client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.expect(200)?;
        let origin = self.client.origin();
        let domain = origin.split("://").last().context("an origin without a host")?;
        let message = format!(
            "{domain} wants you to sign in with your Ethereum account:\n{}\n\n\nURI: {origin}\nVersion: 1\n\
             Chain ID: {}\nNonce: {}\nIssued At: {}",
            self.wallet.address(),
            self.chain_id,
            text(&asked, "nonce")?,
            text(&asked, "issuedAt")?,
        );
        let signature = hex(&self.wallet.sign_text(&message)?);
        let body = json!({"message": message, "signature": signature});
        let told = self.client.post("/auth/siwe/verify", Credential::Nobody, &body).await?.expect(200)?;
        Ok(text(&told, "accessToken")?.to_owned())
    }

    pub async fn propose(&self, transfer: &Transfer) -> Result<Reply> {
        self.client.post("/transactions", self.admin(), &transfer.body(self.chain_id)).await
    }

    /// Form 3: the user's signature over what the gateway says that it will sign.
    pub async fn approve_as_user(&self, request_hash: &str) -> Result<Reply> {
        let status = self.approval_status(request_hash).await?;
        let approval = self.approval_of(&status, true)?;
        let signature = hex(&self.wallet.sign_approval(self.chain_id, &approval)?);
        self.send_signed_approval(request_hash, &approval, &signature).await
    }

    pub fn approval_of(&self, status: &Value, approved: bool) -> Result<Approval> {
        Ok(Approval {
            origin: self.client.origin().to_owned(),
            organization: text(status, "organization")?.to_owned(),
            transactionId: text(status, "transactionId")?.to_owned(),
            requestHash: text(status, "requestHash")?.parse()?,
            intentHash: text(status, "intentHash")?.parse()?,
            approved,
            expires: U256::from(environment::unix_seconds() + APPROVAL_SECONDS),
        })
    }

    pub async fn send_signed_approval(
        &self,
        request_hash: &str,
        approval: &Approval,
        signature: &str,
    ) -> Result<Reply> {
        let address = self.wallet.address().to_string();
        let expires = approval.expires.to_string();
        let body = serde_json::to_vec(&json!({"approved": approval.approved}))?;
        self.client
            .send(
                reqwest::Method::POST,
                &format!("/transactions/{request_hash}/approvals"),
                Credential::Signature(&address, signature, None),
                body,
                &[("x-ethereum-expires", &expires)],
            )
            .await
    }

    pub async fn approve_as_agent(&self, request_hash: &str) -> Result<Reply> {
        self.vote(request_hash, &self.bootstrap.agent_api_key, true).await
    }

    pub async fn vote(&self, request_hash: &str, key: &str, approved: bool) -> Result<Reply> {
        let path = format!("/transactions/{request_hash}/approvals");
        self.client.post(&path, Credential::ApiKey(key), &json!({"approved": approved})).await
    }

    pub async fn approval_status(&self, request_hash: &str) -> Result<Value> {
        let path = format!("/transactions/{request_hash}/approval-status");
        self.client.get(&path, self.admin()).await?.expect(200)
    }

    /// The transaction as GET /transactions/users/{ethereumAddress} lists it.
    pub async fn transaction(&self, request_hash: &str) -> Result<Option<Value>> {
        let path = format!("/transactions/users/{}", self.wallet.address());
        let list = self.client.get(&path, self.admin()).await?.expect(200)?;
        let list = list.as_array().context("the list of transactions is no array")?;
        Ok(list.iter().find(|transaction| transaction["requestHash"] == request_hash).cloned())
    }

    /// Waits until the transaction is EXECUTED, REJECTED or FAILED.
    pub async fn final_transaction(&self, request_hash: &str) -> Result<Value> {
        wait::until("the transaction to end", FINAL_DEADLINE, async || {
            let transaction = self.transaction(request_hash).await?;
            Ok(transaction
                .filter(|found| matches!(found["status"].as_str(), Some("EXECUTED" | "REJECTED" | "FAILED"))))
        })
        .await
    }

    pub fn admin(&self) -> Credential<'_> {
        Credential::ApiKey(&self.bootstrap.admin_api_key)
    }
}

/// A text field that must be there.
pub fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str> {
    object[field].as_str().with_context(|| format!("no text `{field}` in {object}"))
}

/// Fails unless exactly these of the required roles have not approved yet.
pub fn ensure_outstanding(status: &Value, roles: &[&str]) -> Result<()> {
    let required = status["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut outstanding: Vec<&str> = required.filter(|role| status[*role] != true).collect();
    outstanding.sort_unstable();
    ensure!(
        outstanding == roles,
        "expected the outstanding roles {roles:?}, got {outstanding:?} of {status}"
    );
    Ok(())
}

fn escrow_of(user: &Value) -> Result<Address> {
    Ok(text(user, "escrowAddress")?.parse()?)
}
