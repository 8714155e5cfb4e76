//! Questions to the chain's nodes, all of one evaluation at one block.

use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use gateway_domain::{
    Address, B256,
    chain::{BlockRef, ChainState, NodeError, NodeRejection, StateRead},
};
use plugin_host::{
    ChainAnswer, ChainFailure, ChainMethod, ChainQuestion, FailureCode, OutsideError, PinnedBlock,
};

use super::Reach;
use crate::grants::Granted;

/// The block of one evaluation, once it is known.
#[derive(Default)]
pub(crate) struct Pinned(Mutex<Option<BlockRef>>);

impl Reach {
    pub(crate) fn ask_chain(
        &self,
        question: &ChainQuestion,
        deadline: Instant,
    ) -> Result<ChainAnswer, OutsideError> {
        let read = match question {
            ChainQuestion::Pinned => None,
            ChainQuestion::Read { method, parameters } => {
                if !Granted::of(&self.grants).method(*method) {
                    let detail = format!("the method `{}` is not granted", method.as_str());
                    return Err(OutsideError::new(FailureCode::MissingCapability, detail));
                }
                Some(state_read(*method, parameters)?)
            }
        };
        let Some(chain) = &self.chain else { return Ok(ChainAnswer::Failure(ChainFailure::Unavailable)) };
        let asked = async {
            let block = self.pinned_block(chain.as_ref(), deadline).await?;
            match &read {
                None => Ok(ChainAnswer::Block(shown(&block))),
                Some(read) => chain.read(&block, read).await.map(ChainAnswer::Value),
            }
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout_at(deadline.into(), asked).await });
        Ok(match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(NodeError::Rejected(NodeRejection::Reverted))) => {
                ChainAnswer::Failure(ChainFailure::Reverted)
            }
            Ok(Err(NodeError::Rejected(_))) => ChainAnswer::Failure(ChainFailure::Refused),
            Ok(Err(NodeError::Unavailable(_) | NodeError::WrongChain)) | Err(_) => {
                ChainAnswer::Failure(ChainFailure::Unavailable)
            }
        })
    }

    /// The newest block when the evaluation first asks, and that block from then on.
    async fn pinned_block(&self, chain: &dyn ChainState, deadline: Instant) -> Result<BlockRef, NodeError> {
        let known = *self.pinned.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = known {
            return Ok(block);
        }
        // A node that hangs leaves the others half of the time, for the question itself.
        let patience = deadline.saturating_duration_since(Instant::now()) / 2;
        let block = chain.newest_block(self.now, patience).await?;
        Ok(*self.pinned.0.lock().unwrap_or_else(PoisonError::into_inner).insert(block))
    }
}

fn shown(block: &BlockRef) -> PinnedBlock {
    PinnedBlock { number: block.number, hash: format!("{:#x}", block.hash), timestamp: block.timestamp }
}

fn state_read(method: ChainMethod, parameters: &[String]) -> Result<StateRead, OutsideError> {
    let malformed = |rule: &str| refused(format!("`{}`: {rule}", method.as_str()));
    let address = |text: &String| hexadecimal::<Address>(text, 40).ok_or_else(|| malformed(ADDRESS));
    Ok(match (method, parameters) {
        (ChainMethod::GetBalance, [of]) => StateRead::Balance(address(of)?),
        (ChainMethod::GetTransactionCount, [of]) => StateRead::TransactionCount(address(of)?),
        (ChainMethod::GetCode, [of]) => StateRead::Code(address(of)?),
        (ChainMethod::GetStorageAt, [of, slot]) => StateRead::Storage {
            address: address(of)?,
            slot: hexadecimal::<B256>(slot, 64)
                .ok_or_else(|| malformed("a slot is `0x` and 64 hexadecimal digits"))?,
        },
        (ChainMethod::Call, [to, data]) => {
            let bytes = data.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
            let data = bytes.ok_or_else(|| malformed("data are `0x` and pairs of hexadecimal digits"))?;
            StateRead::Call { to: address(to)?, data }
        }
        _ => return Err(malformed("too few or too many parameters")),
    })
}

const ADDRESS: &str = "an address is `0x` and 40 hexadecimal digits";

fn hexadecimal<T: FromStr>(text: &str, digits: usize) -> Option<T> {
    let is_whole = text.strip_prefix("0x").is_some_and(|rest| rest.len() == digits);
    text.parse().ok().filter(|_| is_whole)
}

fn refused(detail: String) -> OutsideError {
    OutsideError::new(FailureCode::ChainRefused, detail)
}

#[cfg(test)]
mod tests;
