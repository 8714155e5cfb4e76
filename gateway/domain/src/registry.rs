//! The registry contract: where OpenPGP keys and encrypted payloads are put on record, on chain.
//!
//! A [`Relay`] is one call to it by the organization's relayer key. The key has a purpose of its own and signs nothing
//! but [`RelayOrder`]s, which are made only of bytes that were decoded and found to be such a call.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    chain::{ChainId, PayloadCodec, PayloadInvalid, Pricing},
    clock::Timestamp,
    error::Result,
    ids::{KeyId, OrganizationId, PrincipalId, RelayId, TransactionId},
    keys::KeyRecord,
    openpgp::Fingerprint,
    quota::UserQuota,
    sealed::{RowVersion, Sealable, Sealed},
    transactions::{Ceilings, Intent, IntentMismatch, Kind},
};

mod relay;

pub(crate) use relay::{CALLS_USED_UP, calls_left};
pub use relay::{Purpose, RelayProgress, carry_relay, require_registry};

/// The contract and what a call to it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryTarget {
    pub chain: ChainId,
    pub address: Address,
    /// Ceiling for gas of one call. Default 200,000.
    pub gas_max: u64,
    /// Ceiling for the fee per gas, also of what outbids a stuck call, base units. Default 100 gwei.
    pub fee_per_gas_max: u128,
    /// OpenPGP keys that an organization, and a user, may put on record. Default 10,000 and 20.
    pub keys: UserQuota,
    /// Calls within a day: an organization's, of these in the names of users who enrolled themselves, and one user's.
    /// Default 1,000, a fifth of them, and 100.
    pub calls: UserQuota,
    /// How long a request waits for its record to be on chain before it answers. Default 20 s.
    pub wait: Duration,
}

/// What the contract is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum RegistryCall {
    Register {
        account: Address,
        fingerprint: Fingerprint,
    },
    Submit {
        request_hash: B256,
        /// The SHA-256 digest inside the payload's CID.
        cid_digest: B256,
        verification_service: u32,
    },
}

/// How many calls may be made, each of which costs gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayQuota {
    pub calls: UserQuota,
    /// Whether the user enrolled themselves, and so has only a share of the organization's calls.
    pub self_registered: bool,
    /// Calls that were made later than this count.
    pub since: Timestamp,
}

/// How many calls were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    pub organization: u64,
    /// In the names of users who enrolled themselves.
    pub self_registered: u64,
    /// In the name of the user who was asked about.
    pub user: u64,
}

impl RelayQuota {
    /// Whether another call may be made after so many.
    pub fn has_room(&self, made: RelayCounts) -> bool {
        let share = self.calls.organization.self_registered_max;
        made.organization < u64::from(self.calls.organization.max)
            && (!self.self_registered || made.self_registered < u64::from(share))
            && made.user < u64::from(self.calls.per_user_max)
    }
}

/// One call, from its nonce to its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    pub id: RelayId,
    pub organization: OrganizationId,
    pub key: KeyId,
    /// In whose name it is made.
    pub user: PrincipalId,
    pub chain: ChainId,
    /// The relayer's address.
    pub address: Address,
    pub registry: Address,
    pub call: RegistryCall,
    pub nonce: u64,
    pub pricing: Pricing,
    #[serde(with = "hex::serde")]
    pub payload: Vec<u8>,
    pub digest: B256,
    pub outcome: RelayOutcome,
    /// Hashes of signed bids that a higher one replaced, oldest first; any of them may be the one that is mined.
    pub outbid: Vec<B256>,
    /// When the present bid was made.
    pub bid_at: Timestamp,
    pub version: u64,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum RelayOutcome {
    /// Stored before it is signed.
    Prepared,
    /// The first signature of this bid that was stored; it may be sent again and again.
    Signed {
        #[serde(with = "hex::serde")]
        raw: Vec<u8>,
        hash: B256,
    },
    /// On chain with the chain's confirmations.
    Recorded { hash: B256, block: u64 },
    /// Never signed, and never will be: its nonce is free. The configuration or the relayer key has changed.
    Abandoned,
    /// On chain and without effect, or replaced by something else with its nonce.
    Failed { hash: B256, reason: RelayFailure },
}

/// Why a call had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayFailure {
    Reverted,
    NonceTaken,
}

/// Leave to sign one call with the relayer key. Not clonable, not deserializable; made by [`RelayOrder::of`] alone.
#[derive(Debug)]
pub struct RelayOrder {
    key: KeyId,
    digest: B256,
}

/// Why bytes are no call that the relayer may sign.
#[derive(Debug, thiserror::Error)]
pub enum RelayMismatch {
    #[error("the payload does not decode")]
    Payload(#[from] PayloadInvalid),
    #[error(transparent)]
    Call(#[from] IntentMismatch),
    #[error("the {0} of the stored call is not what it must be")]
    Stored(&'static str),
}

/// Signs registry calls with the relayer key, and nothing else.
#[async_trait]
pub trait RelayerSigner: Send + Sync {
    /// 65 bytes as [`crate::ports::Signer`] gives them, verified.
    async fn sign_relay(&self, order: &RelayOrder, key: &Sealed<KeyRecord>) -> Result<[u8; 65]>;
}

impl RelayOrder {
    /// Checks that the stored bytes are a call of the configured contract, without value, within the ceilings, that
    /// says what the relay's row says.
    pub fn of(
        relay: &Relay,
        target: &RegistryTarget,
        codec: &dyn PayloadCodec,
    ) -> Result<Self, RelayMismatch> {
        if relay.registry != target.address || relay.chain != target.chain {
            return Err(RelayMismatch::Stored("contract"));
        }
        let intent = relay.intent(target);
        let projection = codec.decode(&relay.payload)?;
        intent.admits(&projection)?;
        if projection.nonce != relay.nonce {
            return Err(RelayMismatch::Stored("nonce"));
        }
        let encoded = codec.encode(&intent, relay.nonce, &relay.pricing)?;
        if encoded.bytes != relay.payload || encoded.digest != relay.digest {
            return Err(RelayMismatch::Stored("digest"));
        }
        Ok(Self { key: relay.key, digest: relay.digest })
    }

    pub fn key(&self) -> KeyId {
        self.key
    }

    pub fn digest(&self) -> B256 {
        self.digest
    }
}

impl Relay {
    /// The call in the form that codecs and nodes take.
    pub(crate) fn intent(&self, target: &RegistryTarget) -> Intent {
        call_intent((self.organization, self.id), (self.key, self.address), &self.call, target)
    }
}

pub(crate) fn call_intent(
    (organization, relay): (OrganizationId, RelayId),
    (key, from): (KeyId, Address),
    call: &RegistryCall,
    target: &RegistryTarget,
) -> Intent {
    let total = U256::from(target.gas_max).saturating_mul(U256::from(target.fee_per_gas_max));
    Intent {
        organization,
        transaction: TransactionId::from_uuid(relay.uuid()),
        key,
        chain: target.chain,
        kind: Kind::Transaction,
        from,
        to: Some(target.address),
        value: U256::ZERO,
        data: call.data(),
        ceilings: Ceilings { gas: target.gas_max, fee_per_gas: target.fee_per_gas_max, total },
        vendor_account: None,
    }
}

impl RegistryCall {
    /// Call data by the contract's ABI.
    pub fn data(&self) -> Vec<u8> {
        let (signature, words) = match self {
            Self::Register { account, fingerprint } => {
                let mut padded = B256::ZERO;
                padded[..20].copy_from_slice(&fingerprint.0);
                ("register(address,bytes20)", vec![account.into_word(), padded])
            }
            Self::Submit { request_hash, cid_digest, verification_service } => (
                "submit(bytes32,bytes32,uint32)",
                vec![*request_hash, *cid_digest, B256::from(U256::from(*verification_service))],
            ),
        };
        let selector = keccak256(signature);
        let words = words.iter().flat_map(|word| word.0);
        selector[..4].iter().copied().chain(words).collect()
    }
}

impl RelayOutcome {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Signed { .. } => "signed",
            Self::Recorded { .. } => "recorded",
            Self::Abandoned => "abandoned",
            Self::Failed { .. } => "failed",
        }
    }
}

impl RelayFailure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::NonceTaken => "nonce_taken",
        }
    }
}

impl Sealable for Relay {
    const TABLE: &'static str = "relays";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

#[cfg(test)]
mod tests;
