//! Signs the heads of all audit lanes: after so many entries, after so long, and once at the end.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use gateway_domain::{
    B256, Clock, Error,
    audit::{Checkpoint, LaneHead, SignedCheckpoint},
    ids::InstanceId,
    ports::{AuditReads as _, CheckpointSigner},
};
use gateway_store::{LogChange, Store};
use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
use tokio_util::sync::CancellationToken;

use crate::config::Audit;

mod rollback;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use rollback::Rollback;

/// Makes checkpoints; one writer a database, contention is settled by the unique number.
pub(crate) struct Checkpoints {
    pub(crate) store: Arc<Store>,
    pub(crate) signer: Arc<dyn CheckpointSigner>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Audit,
    /// The last checkpoint this host saw, beside the database: start-up refuses a database behind it.
    pub(crate) anchor: PathBuf,
}

/// The log in the database is not the one that was signed: nobody knows what else of it is.
#[derive(Debug, thiserror::Error)]
enum LogFault {
    #[error("audit checkpoint {0} in the database was not signed by this gateway's key")]
    Unsigned(u64),
    #[error("audit lane {lane} ends before entry {signed}, which checkpoint {number} signed")]
    LaneCut { lane: InstanceId, signed: u64, number: u64 },
    #[error(
        "the audit log was rolled back: the database ends at checkpoint {} ({}), handed on was {} ({})",
        .end.number, .end.hash, .reached.number, .reached.hash
    )]
    RolledBack { end: Position, reached: Position },
    #[error("the database lacks checkpoint {0}")]
    Missing(u64),
    #[error("audit checkpoint {number} does not continue checkpoint {reached}")]
    Discontinued { number: u64, reached: u64 },
    #[error("checkpoints or heads of lanes in the database cannot be read: {0}")]
    Unreadable(String),
}

impl LogFault {
    /// What cannot be read is no proof of anything; a database that is away says nothing.
    fn of_read(error: Error) -> anyhow::Error {
        let Error::Inconsistency(cause) = &error else { return error.into() };
        let causes =
            std::iter::successors(Some(cause.0.as_ref() as &dyn std::error::Error), |at| at.source());
        Self::Unreadable(causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")).into()
    }
}

/// Stored checkpoints that are handed on at once.
const HAND_ON_BATCH: u32 = 500;
/// How often heads are compared while waiting for the configured number of entries.
const LOOKS_PER_INTERVAL: u32 = 10;

impl Checkpoints {
    /// Refuses a log that was cut or rolled back behind what this host saw signed.
    pub(crate) async fn check_anchor(&self) -> Result<()> {
        let Some(anchor) = read_anchor(&self.anchor)? else { return Ok(()) };
        let last = self.store.last_checkpoint().await?;
        if let Some(last) = &last {
            self.check_stored(last, &self.store.lane_heads().await?)?;
        }
        let number = last.as_ref().map_or(0, |last| last.checkpoint.number);
        if number < anchor.checkpoint.number {
            bail!(
                "the audit log was rolled back: the database ends at checkpoint {number}, this host saw {} signed",
                anchor.checkpoint.number
            );
        }
        let heads = self.store.lane_heads().await?;
        for (lane, signed) in &anchor.checkpoint.heads {
            let found = heads.get(lane).map_or(0, |head| head.sequence);
            if found < signed.sequence {
                bail!("the audit log was cut: lane {lane} ends at {found}, {} was signed", signed.sequence);
            }
        }
        Ok(())
    }

    /// A stored checkpoint is built on only if our own key signed it and the lanes reach what it says.
    fn check_stored(
        &self,
        last: &SignedCheckpoint,
        heads: &BTreeMap<InstanceId, LaneHead>,
    ) -> Result<(), LogFault> {
        self.check_signature(last)?;
        for (lane, signed) in &last.checkpoint.heads {
            if heads.get(lane).is_none_or(|head| head.sequence < signed.sequence) {
                let (signed, number) = (signed.sequence, last.checkpoint.number);
                return Err(LogFault::LaneCut { lane: *lane, signed, number });
            }
        }
        Ok(())
    }

    fn check_signature(&self, stored: &SignedCheckpoint) -> Result<(), LogFault> {
        if stored.public_key != self.signer.public_key() || !verifies(stored, stored.checkpoint.hash()) {
            return Err(LogFault::Unsigned(stored.checkpoint.number));
        }
        Ok(())
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let look = self.config.checkpoint_interval() / LOOKS_PER_INTERVAL;
        let mut looks = 0;
        let mut handed_on = None;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(look) => {}
            }
            looks += 1;
            let due = stop.is_cancelled() || looks >= LOOKS_PER_INTERVAL;
            match self.look(due, &mut handed_on).await {
                Ok(true) => looks = 0,
                Ok(false) if due => looks = 0,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "no audit checkpoint could be signed");
                }
            }
        }
    }

    /// The look that comes before any permit.
    pub(crate) async fn first_look(&self) {
        if let Err(error) = self.look(false, &mut None).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the audit log could not be looked at; no permit is given yet"
            );
        }
    }

    /// Signs as [`Self::sign_if`] does, and has the store give no permit for as long as the log is not the one that was
    /// signed. What only keeps this look from telling, as a database that is away, changes nothing about it.
    async fn look(&self, due: bool, handed_on: &mut Option<Position>) -> Result<bool> {
        let signed = self.sign_if(due, handed_on).await;
        let fault = match &signed {
            Ok(_) => None,
            Err(error) => match error.downcast_ref::<LogFault>() {
                Some(fault) => Some(fault.to_string()),
                None => return signed,
            },
        };
        if self.store.set_log_fault(fault.as_deref()) == LogChange::Fault {
            metrics::counter!("countersign_audit_faults_total").increment(1);
            tracing::error!(fault, "the audit log is not the one that was signed; no permit is given");
        }
        signed
    }

    /// Signs if anything is unsigned and either `due` or more than the configured number of entries are. `handed_on` is
    /// the last checkpoint that witness and anchor have; absent until they have been looked at.
    async fn sign_if(&self, due: bool, handed_on: &mut Option<Position>) -> Result<bool> {
        // In this order: what another gateway signs in between reaches further than heads that were read before.
        let last = self.store.last_checkpoint().await.map_err(LogFault::of_read)?;
        let heads = self.store.lane_heads().await.map_err(LogFault::of_read)?;
        if let Some(last) = &last {
            self.check_stored(last, &heads)?;
        }
        self.hand_on(last.as_ref(), handed_on).await.context("handing checkpoints on")?;
        let signed = last.as_ref().map(|last| &last.checkpoint.heads);
        let unsigned = unsigned_entries(&heads, signed);
        if unsigned == 0 || (!due && unsigned < self.config.checkpoint_entries) {
            return Ok(false);
        }
        let checkpoint = Checkpoint {
            number: last.as_ref().map_or(1, |last| last.checkpoint.number + 1),
            previous: last.as_ref().map_or(B256::ZERO, |last| last.checkpoint.hash()),
            at: self.clock.now(),
            heads,
        };
        let signature = self.signer.sign_checkpoint(&checkpoint).await?;
        let signed = SignedCheckpoint { checkpoint, public_key: self.signer.public_key(), signature };
        self.store.insert_checkpoint(&signed).await.context("storing the checkpoint")?;
        self.hand_on(Some(&signed), handed_on).await.context("handing the checkpoint on")?;
        metrics::gauge!("countersign_audit_unsigned_entries").set(0.0);
        Ok(true)
    }

    /// Brings witness and anchor up to `last`, the last stored checkpoint: also what was stored before a crash, a full
    /// disk or another gateway's turn kept it from them, so that the witness has no gap.
    async fn hand_on(&self, last: Option<&SignedCheckpoint>, handed_on: &mut Option<Position>) -> Result<()> {
        let mut reached = match *handed_on {
            Some(reached) => reached,
            None => self.found_handed_on()?,
        };
        let end = last.map_or(Position::START, Position::of);
        if end.number < reached.number || (end.number == reached.number && end.hash != reached.hash) {
            return Err(LogFault::RolledBack { end, reached }.into());
        }
        while reached.number < end.number {
            let batch = self.store.checkpoints(reached.number, HAND_ON_BATCH).await;
            let batch = batch.map_err(LogFault::of_read)?;
            if batch.is_empty() {
                return Err(LogFault::Missing(reached.number + 1).into());
            }
            for stored in &batch {
                self.check_continues(stored, reached)?;
                if let Some(path) = &self.config.witness_file {
                    witness::append(path, stored)?;
                }
                reached = Position::of(stored);
                *handed_on = Some(reached);
            }
            // After the witness: what the anchor has, the witness has.
            write_anchor(&self.anchor, &batch[batch.len() - 1])?;
        }
        *handed_on = Some(reached);
        Ok(())
    }

    /// What the witness ends with. One that is new, or was rotated, goes on where the anchor stands.
    fn found_handed_on(&self) -> Result<Position> {
        let witnessed = self.config.witness_file.as_deref().map(witness::last).transpose()?.flatten();
        let found = match witnessed {
            Some(witnessed) => Some(witnessed),
            None => read_anchor(&self.anchor)?,
        };
        Ok(found.as_ref().map_or(Position::START, Position::of))
    }

    /// Nothing is handed on that this gateway's key did not sign, or that does not continue what was handed on before.
    fn check_continues(&self, stored: &SignedCheckpoint, reached: Position) -> Result<(), LogFault> {
        self.check_signature(stored)?;
        let Checkpoint { number, previous, .. } = stored.checkpoint;
        if number != reached.number + 1 || previous != reached.hash {
            return Err(LogFault::Discontinued { number, reached: reached.number });
        }
        Ok(())
    }
}

/// How far the checkpoints have been handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    number: u64,
    hash: B256,
}

impl Position {
    /// Before the first checkpoint.
    const START: Self = Self { number: 0, hash: B256::ZERO };

    fn of(signed: &SignedCheckpoint) -> Self {
        Self { number: signed.checkpoint.number, hash: signed.checkpoint.hash() }
    }
}

fn unsigned_entries(
    heads: &BTreeMap<InstanceId, LaneHead>,
    signed: Option<&BTreeMap<InstanceId, LaneHead>>,
) -> u64 {
    let signed_to = |lane| signed.and_then(|signed| signed.get(lane)).map_or(0, |head| head.sequence);
    heads.iter().map(|(lane, head)| head.sequence.saturating_sub(signed_to(lane))).sum()
}

fn write_anchor(path: &Path, signed: &SignedCheckpoint) -> Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        std::fs::File::create(&temporary).with_context(|| format!("anchor `{}`", temporary.display()))?;
    file.write_all(&serde_json::to_vec(signed)?)?;
    file.sync_all()?;
    Ok(std::fs::rename(&temporary, path)?)
}

pub(crate) fn read_anchor(path: &Path) -> Result<Option<SignedCheckpoint>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("anchor `{}`", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("anchor `{}`", path.display())),
    }
}

/// Whether the signature over `hash` is by the public key beside it.
pub(crate) fn verifies(signed: &SignedCheckpoint, hash: B256) -> bool {
    let (Ok(key), Ok(signature)) =
        (VerifyingKey::from_sec1_bytes(&signed.public_key.0), Signature::from_slice(&signed.signature))
    else {
        return false;
    };
    key.verify_prehash(hash.as_slice(), &signature).is_ok()
}
