//! A database that was brought back on purpose lacks checkpoints that were handed on: going on without them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use gateway_domain::{
    audit::{LogEnd, SignedCheckpoint},
    ports::AuditReads as _,
};

use super::{Checkpoints, read_anchor, witness, write_anchor};

/// The log in the database is not the one that was handed on.
#[derive(Debug)]
pub(crate) struct Rollback {
    /// The furthest checkpoint that witness or anchor have and the database has not.
    pub(crate) lost: LogEnd,
    /// Where the database ends.
    pub(crate) end: LogEnd,
}

impl Checkpoints {
    /// What was given up, if anything was. A database whose own end does not hold is not one to go on from.
    pub(crate) async fn rollback(&self) -> Result<Option<Rollback>> {
        let end = self.store.last_checkpoint().await?;
        if let Some(end) = &end {
            self.check_stored(end, &self.store.lane_heads().await?)?;
        }
        let witnessed = self.config.witness_file.as_deref().map(witness::last).transpose()?.flatten();
        let handed_on = [witnessed, read_anchor(&self.anchor)?].into_iter().flatten();
        let mut lost: Option<LogEnd> = None;
        for handed_on in handed_on.map(|signed| LogEnd::of(&signed.checkpoint)) {
            let is_further = lost.is_none_or(|lost| lost.number < handed_on.number);
            if is_further && self.stored(handed_on.number).await?.0 != handed_on {
                lost = Some(handed_on);
            }
        }
        let end = end.map_or(LogEnd::START, |end| LogEnd::of(&end.checkpoint));
        Ok(lost.map(|lost| Rollback { lost, end }))
    }

    /// The stored checkpoint of that number; the start, if there is none.
    pub(crate) async fn stored(&self, number: u64) -> Result<(LogEnd, Option<SignedCheckpoint>)> {
        let Some(before) = number.checked_sub(1) else { return Ok((LogEnd::START, None)) };
        let stored = self.store.checkpoints(before, 1).await?.pop();
        let stored = stored.filter(|stored| stored.checkpoint.number == number);
        Ok((stored.as_ref().map_or(LogEnd::START, |stored| LogEnd::of(&stored.checkpoint)), stored))
    }

    /// Has witness and anchor go on from `kept`. The witness so far is kept under another name, which is answered.
    pub(crate) fn go_on_from(
        &self,
        lost: LogEnd,
        kept: Option<&SignedCheckpoint>,
    ) -> Result<Option<PathBuf>> {
        let given_up = match &self.config.witness_file {
            Some(path) => put_aside(path, lost)?,
            None => None,
        };
        // After the witness: it is the anchor that still tells what was lost, should this be cut off in between.
        match kept {
            Some(kept) => write_anchor(&self.anchor, kept)?,
            None => {
                unless_absent(fs::remove_file(&self.anchor)).context("removing the anchor")?;
            }
        }
        Ok(given_up)
    }
}

fn put_aside(path: &Path, lost: LogEnd) -> Result<Option<PathBuf>> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    let hash = &format!("{:x}", lost.hash)[..8];
    name.push(format!(".given-up-at-{}-{hash}", lost.number));
    let aside = path.with_file_name(name);
    let renamed = unless_absent(fs::rename(path, &aside));
    let renamed = renamed.with_context(|| format!("renaming the witness `{}`", path.display()))?;
    Ok(renamed.map(|()| aside))
}

fn unless_absent(done: io::Result<()>) -> io::Result<Option<()>> {
    match done {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
