//! Unsigned and signed transactions: EIP-1559 (type 2) and legacy with EIP-155 replay protection.
//! Every other form is refused: legacy without a chain id can be replayed anywhere, EIP-7702 hands
//! the account over, access lists and blobs serve nothing here, and a creation has no recipient to
//! judge.

use alloy_consensus::transaction::{RlpEcdsaDecodableTx, RlpEcdsaEncodableTx};
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rlp::{Decodable, Header};

use super::signature::{ProvenSignature, Signature, SignatureError};

/// Largest signing payload and raw transaction accepted, in bytes: 128 KiB of data, the limit of
/// the API and of every public transaction pool, and room for the other fields.
pub const PAYLOAD_BYTES_MAX: usize = 129 * 1024;
/// EIP-2294: the largest chain id for which the EIP-155 `v` still fits 64 bits.
pub use gateway_domain::chain::CHAIN_ID_MAX;

const EIP1559_TYPE: u8 = 0x02;
/// First byte of every RLP list, and so of every legacy transaction.
const RLP_LIST_MIN: u8 = 0xc0;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error("`chain_id` must be between 1 and {CHAIN_ID_MAX}")]
    ChainId,
    #[error("`nonce` must be below 2^64 - 1")]
    Nonce,
    #[error("`max_priority_fee_per_gas` exceeds `max_fee_per_gas`")]
    PriorityAboveMax,
    #[error("transaction exceeds {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("transaction type `{0:#04x}` is not supported")]
    UnsupportedType(u8),
    #[error("legacy transaction carries no chain id (EIP-155)")]
    NoReplayProtection,
    #[error("transaction creates a contract instead of naming `to`")]
    Creation,
    #[error("transaction carries an access list")]
    AccessList,
    #[error("transaction is not valid RLP")]
    Rlp(#[source] alloy_rlp::Error),
    #[error("transaction is not in canonical encoding")]
    NotCanonical,
    #[error("signature is over another digest than that of the transaction")]
    OtherDigest,
    #[error("signature of the transaction is not valid")]
    Signature(#[source] SignatureError),
}

/// Price per unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GasPrice {
    Legacy { gas_price: u128 },
    Eip1559 { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
}

impl GasPrice {
    /// The most that one unit of gas can cost, in wei.
    pub fn fee_per_gas_max(&self) -> u128 {
        match *self {
            Self::Legacy { gas_price } => gas_price,
            Self::Eip1559 { max_fee_per_gas, .. } => max_fee_per_gas,
        }
    }
}

/// Everything that a signature over a transaction commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTransaction {
    pub chain_id: u64,
    pub nonce: u64,
    pub to: Address,
    /// In wei.
    pub value: U256,
    pub data: Bytes,
    pub gas_limit: u64,
    pub gas_price: GasPrice,
}

/// A transaction ready for `eth_sendRawTransaction`, its sender proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    pub raw: Bytes,
    pub hash: B256,
    pub sender: Address,
    pub signature: Signature,
}

impl UnsignedTransaction {
    /// The signing payload: EIP-2718 type byte and RLP list, or the nine EIP-155 items.
    pub fn encode(&self) -> Result<Vec<u8>, TransactionError> {
        self.validate()?;
        let encoded = match self.gas_price {
            GasPrice::Legacy { gas_price } => self.to_legacy(gas_price).encoded_for_signing(),
            GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas } => {
                self.to_eip1559(max_fee_per_gas, max_priority_fee_per_gas).encoded_for_signing()
            }
        };
        if encoded.len() > PAYLOAD_BYTES_MAX { Err(TransactionError::TooLarge) } else { Ok(encoded) }
    }

    /// keccak256 of [`Self::encode`]: the digest that the key signs.
    pub fn signing_digest(&self) -> Result<B256, TransactionError> {
        self.encode().map(keccak256)
    }

    /// Reads a signing payload. Succeeds only for the exact bytes that [`Self::encode`] would give.
    pub fn decode(payload: &[u8]) -> Result<Self, TransactionError> {
        let mut rest = body_of(payload)?;
        let decoded = if payload.first() == Some(&EIP1559_TYPE) {
            Self::from_eip1559(TxEip1559::decode(&mut rest).map_err(TransactionError::Rlp)?)?
        } else {
            Self::from_legacy(decode_eip155_payload(&mut rest)?)?
        };
        if decoded.encode()? == payload { Ok(decoded) } else { Err(TransactionError::NotCanonical) }
    }

    /// Reads a raw signed transaction, recovers its sender and refuses any other encoding of it.
    pub fn decode_signed(raw: &[u8]) -> Result<(Self, SignedTransaction), TransactionError> {
        let mut rest = body_of(raw)?;
        let (transaction, found) = if raw.first() == Some(&EIP1559_TYPE) {
            let (inner, found) =
                TxEip1559::rlp_decode_with_signature(&mut rest).map_err(TransactionError::Rlp)?;
            (Self::from_eip1559(inner)?, found)
        } else {
            let (inner, found) =
                TxLegacy::rlp_decode_with_signature(&mut rest).map_err(TransactionError::Rlp)?;
            (Self::from_legacy(inner)?, found)
        };
        let digest = transaction.signing_digest()?;
        let proven = Signature::new(found.r(), found.s(), found.v())
            .and_then(|signature| signature.prove(digest))
            .map_err(TransactionError::Signature)?;
        let signed = transaction.assemble(&proven)?;
        if *signed.raw == *raw { Ok((transaction, signed)) } else { Err(TransactionError::NotCanonical) }
    }

    /// Joins payload and signature; the signature must be proven over this very payload.
    pub fn assemble(&self, proven: &ProvenSignature) -> Result<SignedTransaction, TransactionError> {
        if proven.digest() != self.signing_digest()? {
            return Err(TransactionError::OtherDigest);
        }
        let signature = proven.signature();
        let encoded_signature =
            alloy_primitives::Signature::new(signature.r(), signature.s(), signature.y_parity());
        let mut raw = Vec::new();
        match self.gas_price {
            GasPrice::Legacy { gas_price } => {
                self.to_legacy(gas_price).eip2718_encode(&encoded_signature, &mut raw);
            }
            GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas } => {
                self.to_eip1559(max_fee_per_gas, max_priority_fee_per_gas)
                    .eip2718_encode(&encoded_signature, &mut raw);
            }
        }
        Ok(SignedTransaction { hash: keccak256(&raw), raw: raw.into(), sender: proven.signer(), signature })
    }

    fn validate(&self) -> Result<(), TransactionError> {
        if self.chain_id == 0 || self.chain_id > CHAIN_ID_MAX {
            return Err(TransactionError::ChainId);
        }
        // EIP-2681.
        if self.nonce == u64::MAX {
            return Err(TransactionError::Nonce);
        }
        match self.gas_price {
            GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas }
                if max_priority_fee_per_gas > max_fee_per_gas =>
            {
                Err(TransactionError::PriorityAboveMax)
            }
            GasPrice::Legacy { .. } | GasPrice::Eip1559 { .. } => Ok(()),
        }
    }

    fn to_legacy(&self, gas_price: u128) -> TxLegacy {
        TxLegacy {
            chain_id: Some(self.chain_id),
            nonce: self.nonce,
            gas_price,
            gas_limit: self.gas_limit,
            to: TxKind::Call(self.to),
            value: self.value,
            input: self.data.clone(),
        }
    }

    fn to_eip1559(&self, max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: TxKind::Call(self.to),
            value: self.value,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: self.data.clone(),
        }
    }

    fn from_eip1559(inner: TxEip1559) -> Result<Self, TransactionError> {
        if !inner.access_list.is_empty() {
            return Err(TransactionError::AccessList);
        }
        Ok(Self {
            chain_id: inner.chain_id,
            nonce: inner.nonce,
            to: recipient(inner.to)?,
            value: inner.value,
            data: inner.input,
            gas_limit: inner.gas_limit,
            gas_price: GasPrice::Eip1559 {
                max_fee_per_gas: inner.max_fee_per_gas,
                max_priority_fee_per_gas: inner.max_priority_fee_per_gas,
            },
        })
    }

    fn from_legacy(inner: TxLegacy) -> Result<Self, TransactionError> {
        Ok(Self {
            chain_id: inner.chain_id.ok_or(TransactionError::NoReplayProtection)?,
            nonce: inner.nonce,
            to: recipient(inner.to)?,
            value: inner.value,
            data: inner.input,
            gas_limit: inner.gas_limit,
            gas_price: GasPrice::Legacy { gas_price: inner.gas_price },
        })
    }
}

/// Checks size and type and strips the EIP-2718 type byte.
fn body_of(bytes: &[u8]) -> Result<&[u8], TransactionError> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(TransactionError::TooLarge);
    }
    match bytes.split_first() {
        None => Err(TransactionError::Rlp(alloy_rlp::Error::InputTooShort)),
        Some((&EIP1559_TYPE, rest)) => Ok(rest),
        Some((&first, _)) if first >= RLP_LIST_MIN => Ok(bytes),
        Some((&other, _)) => Err(TransactionError::UnsupportedType(other)),
    }
}

/// The nine items of an EIP-155 payload: six fields, chain id, zero, zero.
fn decode_eip155_payload(buffer: &mut &[u8]) -> Result<TxLegacy, TransactionError> {
    let mut items = Header::decode_bytes(buffer, true).map_err(TransactionError::Rlp)?;
    let mut inner = TxLegacy::rlp_decode_fields(&mut items).map_err(TransactionError::Rlp)?;
    if items.is_empty() {
        return Err(TransactionError::NoReplayProtection);
    }
    inner.chain_id = Some(u64::decode(&mut items).map_err(TransactionError::Rlp)?);
    // The two zeros and the absence of more are settled by the comparison with our own encoding.
    Ok(inner)
}

fn recipient(kind: TxKind) -> Result<Address, TransactionError> {
    match kind {
        TxKind::Call(to) => Ok(to),
        TxKind::Create => Err(TransactionError::Creation),
    }
}

#[cfg(test)]
mod tests;
