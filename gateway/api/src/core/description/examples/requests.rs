//! What clients send.

use serde_json::{Value, json};

use super::{
    ESCROW, Examples, MEMBER_KEY, PUBLIC_KEY, RECIPIENT, REQUEST_HASH, SIGNATURE, TRANSACTION_HASH, WALLET,
    one,
};

const SIGN_IN: &str = "gateway.example wants you to sign in with your Ethereum account:\n\
    0x70997970C51812dc3A010C7d01b50e0d17dc79C8\n\nSign in\n\nURI: https://gateway.example\nVersion: 1\nChain ID: 1\n\
    Nonce: k3Jd92LsQ0pXvB7nW5tYc8RfH1mZ4gAe\nIssued At: 2026-01-05T10:00:00Z";
const SIGN_IN_SIGNATURE: &str = "0x86313ed272969f4b1ffc695facfeb1fd2eefd7d03c494f076a79884216aec93c62688d3b30aede8a147\
                                 e8368697d5d67d2090eb29899a2297e0699d23b5569891c";
pub(super) const REFRESH_TOKEN: &str = "rt_b2xkIHRva2VucyBlbmQgdGhlIHdob2xlIHNlc3Npb24";
const MESSAGE: &str = include_str!("message.asc");
pub(super) const QUORUM: &str = "jx8v1c2q4w0m7t5r9y3k6z1d";

/// Examples of a request body, by the name of its schema.
pub(super) fn of(schema: &str) -> Option<Examples> {
    if schema == "CreateTransactionDto" {
        return Some(vec![("encrypted", encrypted()), ("trusted", trusted())]);
    }
    login(schema).or_else(|| people(schema)).or_else(|| vendors(schema)).or_else(|| services(schema)).map(one)
}

fn login(schema: &str) -> Option<Value> {
    let body = match schema {
        "GenerateNonceDto" => json!({"ethereumAddress": WALLET, "chainId": 1}),
        "VerifySiweDto" => json!({"message": SIGN_IN, "signature": SIGN_IN_SIGNATURE}),
        "RefreshTokenDto" => json!({"refreshToken": REFRESH_TOKEN}),
        _ => return None,
    };
    Some(body)
}

fn people(schema: &str) -> Option<Value> {
    let body = match schema {
        "CreateUserDto" => json!({
            "ethereumAddress": WALLET, "displayName": "Ada", "email": "ada@example.com",
        }),
        "CreateUserApiKeyDto" => json!({"name": "trading bot", "expiresAt": "2031-01-01T00:00:00Z"}),
        "RegisterKeysDto" => json!({"signature": SIGNATURE, "pgpPublicKey": PUBLIC_KEY}),
        "UpdateSettingsDto" => json!({
            "executionType": 2, "requireArbiter": true, "orionConfidenceThreshold": 0.9, "approvalTtlSeconds": 3600,
        }),
        "CreateApprovalDto" => json!({"approved": true}),
        _ => return None,
    };
    Some(body)
}

fn encrypted() -> Value {
    json!({
        "encryptedPayload": MESSAGE, "requestHash": REQUEST_HASH, "escrowAddress": ESCROW, "chainId": 1,
        "executionType": 2, "ethereumAddress": WALLET, "verificationServiceId": 1, "userSignature": SIGNATURE,
    })
}

fn trusted() -> Value {
    json!({
        "escrowAddress": ESCROW, "to": RECIPIENT, "value": "250000000000000000", "data": "0x", "chainId": 1,
        "executionType": 0, "note": "invoice 7",
    })
}

fn vendors(schema: &str) -> Option<Value> {
    let body = match schema {
        "UpdatePrivyQuorumDto" => json!({
            "quorumId": QUORUM, "displayName": "Execution Quorum", "p256PublicKey": MEMBER_KEY,
        }),
        "RegisterPrivyQuorumDto" => json!({
            "type": "agent", "navaAgent": false, "displayName": "Agent Quorum", "p256PublicKey": MEMBER_KEY,
        }),
        "CreateQuorumDto" => json!({
            "displayName": "Arbiter Quorum", "ethereumAddress": WALLET, "privyUserId": "did:privy:cm3np4u9j001rc8b73seqmqqk",
        }),
        "GenerateCsrDto" => json!({
            "commonName": "My Organization", "organization": "My Org", "country": "US", "recreate": false,
        }),
        "CompleteIntegrationDto" => json!({
            "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox",
            "region": "US",
        }),
        "CreateFireblocksTransactionDto" => json!({
            "escrowAddress": ESCROW, "to": RECIPIENT, "value": "1000000000000000000", "data": "0x",
            "requestHash": REQUEST_HASH, "type": "execution",
        }),
        _ => return None,
    };
    Some(body)
}

fn services(schema: &str) -> Option<Value> {
    let body = match schema {
        "UpdateTeeProofDto" => json!({
            "teeProof": "BAACAIEAAAAAAAAAk5pyM/ecTKmUCg2zlX8GB+qs", "teeType": "tdx", "measurement": "0x2f6c61b4",
            "reportData": REQUEST_HASH, "signedAt": "2026-01-05T10:00:01Z",
        }),
        "UpdateSettlementDto" => json!({
            "status": "settled", "settlementTxHash": TRANSACTION_HASH, "chainId": 1, "blockNumber": 21_557_766,
            "gasUsed": "21000", "settledAt": "2026-01-05T10:05:00Z",
        }),
        _ => return None,
    };
    Some(body)
}
