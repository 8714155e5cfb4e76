//! Checking the log without the gateway: chains of hashes, and checkpoints whose key the auditor pinned.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use crate::{
    audit::{AuditEntry, LaneHead, SignedCheckpoint},
    ids::InstanceId,
};

/// Something wrong with the log; each names the row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditFinding {
    #[error("lane {lane}: entry {expected} is missing; {found} follows")]
    Gap { lane: InstanceId, expected: u64, found: u64 },
    #[error("lane {lane}: entry {sequence} does not continue entry {}", .sequence - 1)]
    Broken { lane: InstanceId, sequence: u64 },
    #[error("lane {lane}: entry {sequence} was changed; checkpoint {checkpoint} signed another hash")]
    Changed { lane: InstanceId, sequence: u64, checkpoint: u64 },
    #[error("lane {lane}: ends at entry {found}, but checkpoint {checkpoint} signed {signed}")]
    RolledBack { lane: InstanceId, found: u64, signed: u64, checkpoint: u64 },
    #[error("lane {lane}: entry {sequence} has a hash column that is not its hash")]
    Forged { lane: InstanceId, sequence: u64 },
    #[error("checkpoint {expected} is missing; {found} follows")]
    CheckpointGap { expected: u64, found: u64 },
    #[error("checkpoint {number} does not continue the one before")]
    CheckpointBroken { number: u64 },
    #[error("checkpoint {number} is signed by another key than the pinned one")]
    ForeignKey { number: u64 },
    #[error("checkpoint {number} has a signature that does not verify")]
    BadSignature { number: u64 },
    #[error("checkpoint {number} is behind the one before in lane {lane}")]
    CheckpointRegress { number: u64, lane: InstanceId },
    #[error("the witness holds checkpoint {number}, which the database lacks or contradicts")]
    Witness { number: u64 },
}

/// Walks one lane from its first entry.
#[derive(Debug)]
pub struct LaneVerifier {
    lane: InstanceId,
    head: Option<LaneHead>,
    /// Signed heads still to be met, by sequence.
    expected: BTreeMap<u64, (B256, u64)>,
}

impl LaneVerifier {
    /// `checkpoints` must have passed [`verify_checkpoint_chain`].
    pub fn new(lane: InstanceId, checkpoints: &[SignedCheckpoint]) -> Self {
        let mut expected = BTreeMap::new();
        for signed in checkpoints {
            if let Some(head) = signed.checkpoint.heads.get(&lane) {
                expected.entry(head.sequence).or_insert((head.hash, signed.checkpoint.number));
            }
        }
        Self { lane, head: None, expected }
    }

    /// Takes the next row: the entry and the hash stored beside it.
    pub fn entry(&mut self, entry: &AuditEntry, stored_hash: B256) -> Result<(), AuditFinding> {
        let lane = self.lane;
        let expected = self.head.map_or(1, |head| head.sequence + 1);
        if entry.sequence != expected {
            return Err(AuditFinding::Gap { lane, expected, found: entry.sequence });
        }
        if entry.previous != self.head.map_or(B256::ZERO, |head| head.hash) || entry.lane != lane {
            return Err(AuditFinding::Broken { lane, sequence: entry.sequence });
        }
        let head = entry.head();
        if let Some((hash, checkpoint)) = self.expected.remove(&entry.sequence)
            && hash != head.hash
        {
            return Err(AuditFinding::Changed { lane, sequence: entry.sequence, checkpoint });
        }
        if stored_hash != head.hash {
            return Err(AuditFinding::Forged { lane, sequence: entry.sequence });
        }
        self.head = Some(head);
        Ok(())
    }

    /// Call after the last row; returns the lane's head.
    pub fn finish(self) -> Result<Option<LaneHead>, AuditFinding> {
        match self.expected.last_key_value() {
            Some((signed, (_, checkpoint))) => Err(AuditFinding::RolledBack {
                lane: self.lane,
                found: self.head.map_or(0, |head| head.sequence),
                signed: *signed,
                checkpoint: *checkpoint,
            }),
            None => Ok(self.head),
        }
    }
}

/// Checks that checkpoints follow one another, never step back, and are signed by the pinned key. `verifies`
/// checks a P-256 signature over a hash; `is_pinned` compares a public key with the auditor's fingerprint.
pub fn verify_checkpoint_chain(
    checkpoints: &[SignedCheckpoint],
    is_pinned: impl Fn(&SignedCheckpoint) -> bool,
    verifies: impl Fn(&SignedCheckpoint, B256) -> bool,
) -> Result<(), AuditFinding> {
    let mut previous: Option<&SignedCheckpoint> = None;
    for signed in checkpoints {
        let checkpoint = &signed.checkpoint;
        let number = checkpoint.number;
        let expected = previous.map_or(1, |earlier| earlier.checkpoint.number + 1);
        if number != expected {
            return Err(AuditFinding::CheckpointGap { expected, found: number });
        }
        if !is_pinned(signed) {
            return Err(AuditFinding::ForeignKey { number });
        }
        if !verifies(signed, checkpoint.hash()) {
            return Err(AuditFinding::BadSignature { number });
        }
        if checkpoint.previous != previous.map_or(B256::ZERO, |earlier| earlier.checkpoint.hash()) {
            return Err(AuditFinding::CheckpointBroken { number });
        }
        for (lane, head) in previous.iter().flat_map(|earlier| &earlier.checkpoint.heads) {
            if checkpoint.heads.get(lane).is_none_or(|later| later.sequence < head.sequence) {
                return Err(AuditFinding::CheckpointRegress { number, lane: *lane });
            }
        }
        previous = Some(signed);
    }
    Ok(())
}
