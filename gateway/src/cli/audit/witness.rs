//! Checkpoints that were kept outside the database: the witness file and the host's anchor.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, ErrorKind},
    path::Path,
};

use anyhow::{Context as _, Result};
use gateway_domain::audit::{AuditFinding, SignedCheckpoint};

use super::finding::Finding;

/// A witness line longer than this is not one.
const LINE_BYTES_MAX: usize = 16 << 20;

/// What a witness file says, and which of its lines say nothing.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) checkpoints: Vec<SignedCheckpoint>,
    pub(super) findings: Vec<Finding>,
}

/// Reads JSON lines. A last line without its end was cut short by a crash and is left out.
pub(super) fn read(path: &Path) -> Result<Witness> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Witness::default()),
        Err(error) => return Err(error).with_context(|| format!("reading the witness `{}`", path.display())),
    };
    let mut witness = Witness::default();
    let mut lines = BufReader::new(file);
    for number in 1_u64.. {
        let mut line = Vec::new();
        lines
            .read_until(b'\n', &mut line)
            .with_context(|| format!("reading the witness `{}`", path.display()))?;
        if line.pop() != Some(b'\n') {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(checkpoint) if line.len() <= LINE_BYTES_MAX => witness.checkpoints.push(checkpoint),
            _ => witness
                .findings
                .push(Finding::new("unreadable", format!("the witness: line {number} is no checkpoint"))),
        }
    }
    Ok(witness)
}

/// Checkpoints of the witness that the database lacks or contradicts. The signature counts, so that a witness that
/// somebody else wrote proves nothing against the log.
pub(super) fn compare(
    witnessed: &[SignedCheckpoint],
    stored: &[SignedCheckpoint],
    is_genuine: impl Fn(&SignedCheckpoint) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in witnessed {
        let number = seen.checkpoint.number;
        let found = stored.binary_search_by_key(&number, |signed| signed.checkpoint.number);
        let agrees = found.is_ok_and(|index| stored[index].checkpoint == seen.checkpoint);
        if agrees {
            continue;
        }
        findings.push(if is_genuine(seen) {
            AuditFinding::Witness { number }.into()
        } else {
            Finding::new(
                "witness-forged",
                format!("the witness: checkpoint {number} is not signed by the pinned key"),
            )
        });
    }
    findings
}
