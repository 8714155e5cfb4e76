//! What the gateway answers, when nothing is wrong.

use serde_json::{Value, json};

use super::{
    CREATED_AT, ESCROW, Examples, FINGERPRINT, MEMBER_KEY, PUBLIC_KEY, RECIPIENT, REQUEST_HASH, SIGNATURE,
    TRANSACTION_HASH, UPDATED_AT, WALLET, one,
    requests::{QUORUM, REFRESH_TOKEN},
};

pub(super) const CERTIFICATE_REQUEST: &str = include_str!("certificate_request.pem");
const USER: &str = "5c0f2b1e-8d34-4a6b-9c7d-1e2f3a4b5c6d";
const KEY: &str = "9a2e4c6b-1d3f-4b5a-8c7e-6f5d4c3b2a19";
const INTENT_HASH: &str = "0x1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9";

/// Examples of an answer's body, by the name of its schema.
pub(super) fn of(schema: &str) -> Option<Examples> {
    if schema == "ApprovalResponse" {
        return Some(vec![("apiKey", key_approval("PENDING")), ("wallet", wallet_approval("APPROVED"))]);
    }
    app(schema)
        .or_else(|| people(schema))
        .or_else(|| transactions(schema))
        .or_else(|| vendors(schema))
        .map(one)
}

fn app(schema: &str) -> Option<Value> {
    let body = match schema {
        "HelloResponse" => json!({"message": "Hello", "service": "gateway", "version": "1.0"}),
        "HealthResponse" => json!({
            "status": "ok", "version": "1.0", "uptimeSeconds": 86_400, "checks": {"database": "up"},
        }),
        "Unhealthy" => json!({
            "status": "error", "version": "1.0", "uptimeSeconds": 86_400, "checks": {"database": "down"},
        }),
        "NonceResponse" => json!({
            "nonce": "k3Jd92LsQ0pXvB7nW5tYc8RfH1mZ4gAe", "issuedAt": CREATED_AT,
            "expiresAt": "2026-01-05T10:05:00.000Z",
        }),
        "TokenResponse" => json!({
            "accessToken": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI1YzBmMmIxZSJ9.c2lnbmF0dXJl",
            "refreshToken": REFRESH_TOKEN, "tokenType": "Bearer", "expiresIn": 900, "refreshExpiresIn": 2_592_000,
            "user": user(),
        }),
        "ValidateTokenResponse" => json!({
            "valid": true, "userId": USER, "ethereumAddress": WALLET, "sessionId": KEY,
            "expiresAt": "2026-01-05T10:15:00.000Z",
        }),
        "VerificationServiceResponse" => json!({
            "id": 1, "name": "orion", "inbox": RECIPIENT, "pgpPublicKey": PUBLIC_KEY, "pgpFingerprint": FINGERPRINT,
            "active": true, "createdAt": CREATED_AT, "updatedAt": CREATED_AT,
        }),
        _ => return None,
    };
    Some(body)
}

fn user() -> Value {
    json!({
        "id": USER, "ethereumAddress": WALLET, "escrowAddress": ESCROW, "displayName": "Ada",
        "email": "ada@example.com", "createdAt": CREATED_AT, "updatedAt": CREATED_AT,
    })
}

fn user_key() -> Value {
    json!({
        "id": KEY, "name": "trading bot", "keyPrefix": "ck_user_4hRt7Kq2Zx9B", "label": "user",
        "scopes": ["transactions:create:own", "transactions:approve:own", "transactions:read:own"],
        "expiresAt": "2031-01-01T00:00:00.000Z", "isActive": true, "createdAt": CREATED_AT,
    })
}

/// `record` with further members.
fn with(mut record: Value, more: &Value) -> Value {
    if let (Some(record), Some(more)) = (record.as_object_mut(), more.as_object()) {
        record.extend(more.clone());
    }
    record
}

fn people(schema: &str) -> Option<Value> {
    let body = match schema {
        "UserResponse" => user(),
        "UserApiKeyResponse" => user_key(),
        "UserApiKeyCreatedResponse" => with(
            user_key(),
            &json!({"key": "ck_user_4hRt7Kq2Zx9B_dGhlIHdob2xlIGtleSBpcyBzaG93biBvbmx5IG9uY2U"}),
        ),
        "RegisterKeysResponse" => json!({
            "pgpFingerprint": FINGERPRINT, "ethereumAddress": WALLET, "status": "registered",
            "registrationTxHash": TRANSACTION_HASH, "registeredAt": UPDATED_AT,
        }),
        "UserProfileResponse" => json!({
            "userId": USER, "ethereumAddress": WALLET, "escrowAddress": ESCROW, "pgpPublicKey": PUBLIC_KEY,
            "pgpFingerprint": FINGERPRINT, "registered": true, "registrationStatus": "registered",
            "registrationTxHash": TRANSACTION_HASH, "apiKeys": [user_key()],
        }),
        "SettingsResponse" => json!({
            "ethereumAddress": WALLET, "executionType": 2, "chainId": 1, "escrowAddress": ESCROW,
            "executionProvider": "hsm", "agentProvider": "hsm", "verificationServiceId": 1, "requireArbiter": true,
            "orionConfidenceThreshold": 0.9, "approvalTtlSeconds": 3600, "privyQuorums": {"execution": quorum()},
            "updatedAt": UPDATED_AT,
        }),
        _ => return None,
    };
    Some(body)
}

fn key_vote() -> Value {
    json!({
        "id": KEY, "approved": true, "type": "orion", "apiKeyId": USER, "label": "orion", "confidence": 0.95,
        "analysis": "destination known, amount within limits", "requestHash": REQUEST_HASH, "createdAt": UPDATED_AT,
    })
}

fn wallet_vote() -> Value {
    json!({
        "id": KEY, "approved": true, "type": "user", "ethereumAddress": WALLET, "signature": SIGNATURE,
        "createdAt": UPDATED_AT,
    })
}

fn key_approval(status: &str) -> Value {
    with(key_vote(), &json!({"transactionStatus": status}))
}

fn wallet_approval(status: &str) -> Value {
    with(wallet_vote(), &json!({"transactionStatus": status}))
}

fn metadata() -> Value {
    json!({
        "requestHash": REQUEST_HASH, "confidence": 0.95, "analysis": "destination known, amount within limits",
        "createdAt": UPDATED_AT, "updatedAt": UPDATED_AT,
    })
}

fn transactions(schema: &str) -> Option<Value> {
    let body = match schema {
        "TransactionResponse" => json!({
            "id": "0d1c2b3a-4f5e-4d6c-8b7a-9e8f7d6c5b4a", "requestHash": REQUEST_HASH, "ethereumAddress": WALLET,
            "escrowAddress": ESCROW, "chainId": 1, "executionType": 0, "status": "EXECUTED", "payloadType": "trusted",
            "to": RECIPIENT, "value": "250000000000000000", "data": "0x", "executionTxHash": TRANSACTION_HASH,
            "approvals": [wallet_vote()], "apiKeyApprovals": [key_vote()], "orionMetadata": metadata(),
            "createdAt": CREATED_AT, "updatedAt": UPDATED_AT,
        }),
        "ApprovalStatusResponse" => json!({
            "transactionId": "0d1c2b3a-4f5e-4d6c-8b7a-9e8f7d6c5b4a", "organization": USER,
            "requestHash": REQUEST_HASH, "intentHash": INTENT_HASH, "status": "PENDING", "executionType": 2,
            "user": false, "agent": false, "arbiter": false, "orion": true, "required": ["agent", "orion"],
            "rejectedBy": [],
        }),
        "OrionMetadataResponse" => with(
            metadata(),
            &json!({
                "settlement": {
                    "status": "settled", "settlementTxHash": TRANSACTION_HASH, "chainId": 1, "blockNumber": 21_557_766,
                    "gasUsed": "21000", "settledAt": "2026-01-05T10:05:00.000Z",
                },
            }),
        ),
        _ => return None,
    };
    Some(body)
}

fn quorum() -> Value {
    json!({
        "id": KEY, "type": "execution", "quorumId": QUORUM, "displayName": "Execution Quorum",
        "p256PublicKey": MEMBER_KEY, "authorizationThreshold": 1, "isStatic": false, "createdAt": CREATED_AT,
        "updatedAt": CREATED_AT,
    })
}

fn vendors(schema: &str) -> Option<Value> {
    let body = match schema {
        "PrivyQuorumResponse" => quorum(),
        "DeletedResponse" => json!({"deleted": true, "type": "execution"}),
        "FireblocksCsrResponse" => json!({
            "type": "execution", "csr": CERTIFICATE_REQUEST, "keyId": KEY,
            "publicKeyFingerprint": "9f2b6c1d0e5a4873b6d2c4f18a9e07d35b1c6f2e8d4a0937c5e6b1f2d3a4c5b6",
            "status": "csr_generated", "createdAt": CREATED_AT,
        }),
        "FireblocksIntegrationResponse" => json!({
            "type": "execution", "status": "active", "csr": CERTIFICATE_REQUEST, "keyId": KEY, "vaultAccountId": "0",
            "environment": "sandbox", "region": "US", "apiKeyLast4": "5555", "lastValidatedAt": UPDATED_AT,
            "createdAt": CREATED_AT, "updatedAt": UPDATED_AT,
        }),
        "FireblocksValidationResponse" => json!({"valid": true, "checkedAt": UPDATED_AT, "httpStatus": 200}),
        "FireblocksConfigResponse" => json!({
            "type": "execution", "ethereumAddress": WALLET, "apiKey": "11111111-2222-4333-8444-555555555555",
            "vaultAccountId": "0", "environment": "sandbox", "region": "US",
            "baseUrl": "https://fireblocks.example", "keyId": KEY, "status": "active",
        }),
        "FireblocksTransactionResponse" => json!({
            "id": "3f1d8e52-6b7c-4a90-8d2e-5c4b3a291807", "status": "SUBMITTED", "externalTxId": REQUEST_HASH,
            "requestHash": REQUEST_HASH, "type": "execution",
        }),
        _ => return None,
    };
    Some(body)
}
