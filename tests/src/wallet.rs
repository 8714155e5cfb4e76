//! A person's wallet: a secp256k1 key on the client's side and the three signature forms of the core
//! family. Written from the contract, independently of the gateway's code.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain, sol};
use anyhow::{Context, Result};
use k256::ecdsa::{RecoveryId, Signature, SigningKey};
use sha2::{Digest, Sha256};

sol! {
    struct Request {
        string origin;
        string method;
        string path;
        bytes32 bodyHash;
        uint256 timestamp;
    }

    struct Approval {
        string origin;
        string organization;
        string transactionId;
        bytes32 requestHash;
        bytes32 intentHash;
        bool approved;
        uint256 expires;
    }
}

/// What forms 1 and 2 sign about one HTTP request.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    pub origin: &'a str,
    pub method: &'a str,
    /// Path with query, as sent.
    pub path: &'a str,
    pub body: &'a [u8],
    /// Seconds since the epoch.
    pub timestamp: u64,
}

pub struct Wallet {
    key: SigningKey,
    address: Address,
}

impl Wallet {
    pub fn random() -> Wallet {
        loop {
            // All but one in 2^128 of the candidates are valid keys.
            if let Ok(key) = SigningKey::from_slice(&rand::random::<[u8; 32]>()) {
                let point = key.verifying_key().to_encoded_point(false);
                let address = Address::from_raw_public_key(&point.as_bytes()[1..]);
                return Wallet { key, address };
            }
        }
    }

    /// The secret as 64 hexadecimal digits, for other people's software.
    pub fn secret(&self) -> String {
        hex::encode(self.key.to_bytes())
    }

    pub fn address(&self) -> Address {
        self.address
    }

    /// Form 1: `personal_sign` (ERC-191) over six lines.
    pub fn sign_request(&self, request: &SignedRequest<'_>) -> Result<[u8; 65]> {
        let text = [
            "gateway-core-v1",
            request.origin,
            request.method,
            request.path,
            &hex::encode(Sha256::digest(request.body)),
            &request.timestamp.to_string(),
        ]
        .join("\n");
        self.sign_text(&text)
    }

    /// `personal_sign` (ERC-191).
    pub fn sign_text(&self, text: &str) -> Result<[u8; 65]> {
        let mut message = format!("\x19Ethereum Signed Message:\n{}", text.len()).into_bytes();
        message.extend_from_slice(text.as_bytes());
        self.sign(keccak256(message))
    }

    /// Form 2: EIP-712 `Request`.
    pub fn sign_typed_request(&self, chain_id: u64, request: &SignedRequest<'_>) -> Result<[u8; 65]> {
        let typed = Request {
            origin: request.origin.to_owned(),
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            bodyHash: B256::from_slice(&Sha256::digest(request.body)),
            timestamp: U256::from(request.timestamp),
        };
        self.sign(typed.eip712_signing_hash(&domain(chain_id)))
    }

    /// Form 3: EIP-712 `Approval`, evidence level `signed`.
    pub fn sign_approval(&self, chain_id: u64, approval: &Approval) -> Result<[u8; 65]> {
        self.sign(approval.eip712_signing_hash(&domain(chain_id)))
    }

    /// Low-s signature with v 27 or 28.
    pub fn sign(&self, digest: B256) -> Result<[u8; 65]> {
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice())?;
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        Ok(bytes)
    }
}

/// The other signature that verifies over the same digest: s in the upper half, v flipped.
pub fn malleate(signature: &[u8; 65]) -> Result<[u8; 65]> {
    let parsed = Signature::from_slice(&signature[..64])?;
    let flipped = Signature::from_scalars(parsed.r().to_bytes(), (-*parsed.s()).to_bytes())?;
    let recovery = RecoveryId::from_byte(signature[64] - 27).context("v is neither 27 nor 28")?;
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&flipped.to_bytes());
    bytes[64] = 27 + (recovery.to_byte() ^ 1);
    Ok(bytes)
}

/// The `requestHash` that a client may compute itself.
pub fn request_hash(transfer: &(Address, Address, U256), data: &[u8], chain_id: u64, nonce: u64) -> B256 {
    let (escrow, to, value) = *transfer;
    keccak256((escrow, to, value, keccak256(data), U256::from(chain_id), U256::from(nonce)).abi_encode())
}

fn domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: "gateway-core", version: "1", chain_id: chain_id, }
}
