//! The check itself: checkpoints against the pinned key, lanes against the checkpoints, both against the witness.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use gateway_domain::{
    audit::{AuditEntry, LaneHead, LaneVerifier, SignedCheckpoint, verify_checkpoint_chain},
    ids::InstanceId,
};
use gateway_store::{AuditArchive, StoreError};
use serde::Serialize;

use crate::checkpoints::verifies;

use super::{finding::Finding, fingerprint, witness};

/// Rows read at once.
const PAGE: u32 = 2000;
/// Entries between two reports of progress.
const PROGRESS_ENTRIES: u64 = 50_000;

#[cfg(test)]
mod tests;

/// What an auditor brings.
pub(super) struct Evidence {
    /// Fingerprint of the key that signs checkpoints.
    pub(super) pinned: String,
    /// Checkpoints that were kept outside the database, and what was wrong with them.
    pub(super) witness: witness::Witness,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) entries: u64,
    pub(super) lanes: usize,
    pub(super) checkpoints: usize,
    /// Checkpoints kept outside the database that were compared.
    pub(super) witnessed: usize,
    /// Entries that the last good checkpoint covers.
    pub(super) signed_to: u64,
    /// Entries after it.
    pub(super) unsigned: u64,
    pub(super) verified: bool,
    pub(super) findings: Vec<Finding>,
}

/// Checks the whole log; `progress` is told how many entries have been read.
pub(super) async fn check(
    archive: &AuditArchive,
    evidence: Evidence,
    mut progress: impl FnMut(u64),
) -> Result<Report> {
    let Evidence { pinned, witness } = evidence;
    let mut findings = witness.findings;
    // Checkpoints before lanes: what is written meanwhile lies behind both.
    let stored = checkpoints(archive, &mut findings).await?;
    let is_pinned = |signed: &SignedCheckpoint| fingerprint(&signed.public_key.0) == pinned;
    let is_genuine =
        |signed: &SignedCheckpoint| is_pinned(signed) && verifies(signed, signed.checkpoint.hash());
    let trusted = trusted_prefix(&stored, is_pinned, &mut findings);
    findings.extend(witness::compare(&witness.checkpoints, &stored, is_genuine));

    let heads = archive.lanes().await?;
    let signed_heads = trusted.last().map(|last| &last.checkpoint.heads);
    let mut lanes: BTreeSet<InstanceId> =
        heads.keys().chain(signed_heads.into_iter().flat_map(BTreeMap::keys)).copied().collect();
    // An entry is one whether or not a head row leads to it.
    lanes.extend(archive.lanes_with_entries().await?);
    let (mut entries, mut walked) = (0, BTreeMap::new());
    for lane in &lanes {
        let mut walk = Walk { archive, lane: *lane, read: 0, last: None };
        walk.run(trusted, heads.get(lane), &mut findings, &mut |read| progress(entries + read)).await?;
        entries += walk.read;
        walked.insert(*lane, walk.last);
    }
    check_ends(&archive.lanes().await?, &walked, &mut findings);
    let signed_to: u64 = signed_heads.into_iter().flat_map(BTreeMap::values).map(|head| head.sequence).sum();
    Ok(Report {
        entries,
        lanes: lanes.len(),
        checkpoints: stored.len(),
        witnessed: witness.checkpoints.len(),
        signed_to,
        unsigned: entries.saturating_sub(signed_to),
        verified: findings.is_empty(),
        findings,
    })
}

async fn checkpoints(
    archive: &AuditArchive,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SignedCheckpoint>, StoreError> {
    let mut stored: Vec<SignedCheckpoint> = Vec::new();
    loop {
        let after = stored.last().map_or(0, |last| last.checkpoint.number);
        match archive.checkpoints(after, PAGE).await {
            Ok(page) if page.is_empty() => return Ok(stored),
            Ok(mut page) => stored.append(&mut page),
            Err(error) => {
                findings.push(Finding::of_unreadable("a checkpoint", error)?);
                return Ok(stored);
            }
        }
    }
}

/// The checkpoints up to the first fault; everything after it proves nothing.
fn trusted_prefix<'a>(
    stored: &'a [SignedCheckpoint],
    is_pinned: impl Fn(&SignedCheckpoint) -> bool,
    findings: &mut Vec<Finding>,
) -> &'a [SignedCheckpoint] {
    let Err(fault) = verify_checkpoint_chain(stored, &is_pinned, verifies) else { return stored };
    findings.push(fault.into());
    let good = (0..stored.len())
        .take_while(|last| verify_checkpoint_chain(&stored[..=*last], &is_pinned, verifies).is_ok())
        .count();
    &stored[..good]
}

/// One lane, read from its first entry.
struct Walk<'a> {
    archive: &'a AuditArchive,
    lane: InstanceId,
    read: u64,
    last: Option<LaneHead>,
}

impl Walk<'_> {
    async fn run(
        &mut self,
        trusted: &[SignedCheckpoint],
        head: Option<&LaneHead>,
        findings: &mut Vec<Finding>,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut verifier = Some(LaneVerifier::new(self.lane, trusted));
        let mut after = 0;
        loop {
            let page = match self.archive.entries(self.lane, after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    findings.push(Finding::of_unreadable(&format!("lane {}", self.lane), error)?);
                    return Ok(());
                }
            };
            let Some(last) = page.last() else { break };
            after = last.sequence;
            for entry in &page {
                self.take(entry, head, &mut verifier, findings);
                if self.read.is_multiple_of(PROGRESS_ENTRIES) {
                    progress(self.read);
                }
            }
        }
        if let Some(Err(fault)) = verifier.map(LaneVerifier::finish) {
            findings.push(fault.into());
        }
        Ok(())
    }

    /// After a lane's first fault its entries are only counted: nothing after it can be trusted or blamed.
    fn take(
        &mut self,
        entry: &AuditEntry,
        head: Option<&LaneHead>,
        verifier: &mut Option<LaneVerifier>,
        findings: &mut Vec<Finding>,
    ) {
        self.read += 1;
        self.last = Some(entry.head());
        let Some(walking) = verifier else { return };
        // The head row holds the one stored hash of a lane.
        let stored = head
            .filter(|head| head.sequence == entry.sequence)
            .map_or_else(|| entry.hash(), |head| head.hash);
        if let Err(fault) = walking.entry(entry, stored) {
            findings.push(fault.into());
            *verifier = None;
        }
    }
}

/// A lane must end where its head row says, except for what was written while it was read.
fn check_ends(
    heads: &BTreeMap<InstanceId, LaneHead>,
    walked: &BTreeMap<InstanceId, Option<LaneHead>>,
    findings: &mut Vec<Finding>,
) {
    for (lane, last) in walked {
        let found = last.map_or(0, |last| last.sequence);
        let stated = heads.get(lane).map_or(0, |head| head.sequence);
        if found > stated {
            findings.push(Finding::new(
                "head-behind",
                format!("lane {lane}: has entry {found}, but its head row names {stated}"),
            ));
        }
    }
}
