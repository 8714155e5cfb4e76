//! The domain's payload coding for EVM chains, over the types of this module.

use alloy_primitives::{Address, B256};
use gateway_domain::{
    chain::{
        ApprovalText, ChainId, DecodedArgument, DecodedCall, GasFee, PayloadCodec, PayloadInvalid, Pricing,
        Projection, SignedPayload, SigningPayload,
    },
    transactions::{Intent, Kind},
};

use super::{
    calldata, eip712,
    signature::Signature,
    transaction::{GasPrice, UnsignedTransaction},
};

/// Encodes and decodes EIP-1559 and EIP-155 payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvmCodec;

impl PayloadCodec for EvmCodec {
    fn encode(
        &self,
        intent: &Intent,
        nonce: u64,
        pricing: &Pricing,
    ) -> Result<SigningPayload, PayloadInvalid> {
        if intent.kind != Kind::Transaction {
            return Err(PayloadInvalid(format!("kind `{}` has no EVM transaction", intent.kind.as_str())));
        }
        let Some(to) = intent.to else {
            return Err(PayloadInvalid("contract creation is not supported".to_owned()));
        };
        let transaction = UnsignedTransaction {
            chain_id: intent.chain.number(),
            nonce,
            to,
            value: intent.value,
            data: intent.data.clone().into(),
            gas_limit: pricing.gas_limit,
            gas_price: pricing.fee.into(),
        };
        let bytes = transaction.encode().map_err(invalid)?;
        let digest = transaction.signing_digest().map_err(invalid)?;
        Ok(SigningPayload { bytes, digest })
    }

    fn decode(&self, bytes: &[u8]) -> Result<Projection, PayloadInvalid> {
        let transaction = UnsignedTransaction::decode(bytes).map_err(invalid)?;
        Ok(Projection {
            chain: ChainId::eip155(transaction.chain_id).map_err(invalid)?,
            nonce: transaction.nonce,
            to: Some(transaction.to),
            value: transaction.value,
            data: transaction.data.to_vec(),
            gas_limit: transaction.gas_limit,
            max_fee_per_gas: transaction.gas_price.fee_per_gas_max(),
        })
    }

    fn assemble(
        &self,
        bytes: &[u8],
        signature: &[u8; 65],
        from: Address,
    ) -> Result<SignedPayload, PayloadInvalid> {
        let transaction = UnsignedTransaction::decode(bytes).map_err(invalid)?;
        let digest = transaction.signing_digest().map_err(invalid)?;
        let signature = Signature::from_bytes(signature).map_err(invalid)?;
        let proven = signature.verify(digest, from).map_err(invalid)?;
        let signed = transaction.assemble(&proven).map_err(invalid)?;
        Ok(SignedPayload { raw: signed.raw.to_vec(), hash: signed.hash })
    }

    fn decode_call(&self, data: &[u8]) -> Option<DecodedCall> {
        let call = calldata::decode(data).ok().flatten()?;
        let kinds = parameter_kinds(call.signature);
        let arguments = call.arguments.into_iter().zip(kinds).map(|(argument, kind)| DecodedArgument {
            name: argument.name.to_owned(),
            kind: kind.to_owned(),
            value: argument.value,
        });
        Some(DecodedCall { function: call.signature.to_owned(), arguments: arguments.collect() })
    }

    fn recover_approval(&self, approval: &ApprovalText, signature: &[u8]) -> Result<Address, PayloadInvalid> {
        let bytes =
            signature.try_into().map_err(|_| PayloadInvalid("a signature has 65 bytes".to_owned()))?;
        let signature = Signature::from_bytes(bytes).map_err(invalid)?;
        signature.recover(approval_digest(approval)).map_err(invalid)
    }
}

/// The types in a signature such as `approve(address,uint256)`; none of the known ones nests a tuple.
fn parameter_kinds(signature: &str) -> impl Iterator<Item = &str> {
    let list = signature.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
    list.split(',')
}

/// The digest that a wallet signs for an EIP-712 `Approval`.
pub fn approval_digest(approval: &ApprovalText) -> B256 {
    let fields = eip712::Approval {
        origin: &approval.origin,
        organization: &approval.organization,
        transaction_id: &approval.transaction,
        request_hash: approval.request_hash,
        intent_hash: approval.intent_hash,
        approved: approval.approved,
        expires: approval.expires,
    };
    eip712::approval_signing_hash(&fields, approval.domain_chain)
}

impl From<GasFee> for GasPrice {
    fn from(fee: GasFee) -> Self {
        match fee {
            GasFee::Legacy { gas_price } => Self::Legacy { gas_price },
            GasFee::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
                Self::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas }
            }
        }
    }
}

impl From<GasPrice> for GasFee {
    fn from(price: GasPrice) -> Self {
        match price {
            GasPrice::Legacy { gas_price } => Self::Legacy { gas_price },
            GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas } => {
                Self::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
            }
        }
    }
}

fn invalid(error: impl std::error::Error) -> PayloadInvalid {
    PayloadInvalid(error.to_string())
}

#[cfg(test)]
mod tests;
