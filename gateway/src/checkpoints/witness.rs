//! The witness file: one checkpoint a line, appended and synced, never rewritten.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use gateway_domain::audit::SignedCheckpoint;

/// Read from the end at once; doubled until it holds a whole line.
const TAIL_BYTES: u64 = 64 << 10;

/// The last whole line. What a crash left of a line after it is cut off, so that the next one begins on its own.
pub(super) fn last(path: &Path) -> Result<Option<SignedCheckpoint>> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| named(path)),
    };
    let length = file.metadata().with_context(|| named(path))?.len();
    let Some((line, end)) = last_line(&mut file, length).with_context(|| named(path))? else {
        file.set_len(0).with_context(|| named(path))?;
        return Ok(None);
    };
    if end < length {
        tracing::warn!(bytes = length - end, "cut a line off the witness that a crash had left unfinished");
        file.set_len(end).with_context(|| named(path))?;
    }
    let last = serde_json::from_slice(&line);
    Ok(Some(last.with_context(|| format!("the last line of {} is no checkpoint", named(path)))?))
}

/// Appends, and returns once it is durable.
pub(super) fn append(path: &Path, signed: &SignedCheckpoint) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).with_context(|| named(path))?;
    let mut line = serde_json::to_vec(signed)?;
    line.push(b'\n');
    file.write_all(&line).with_context(|| named(path))?;
    file.sync_data().with_context(|| named(path))
}

/// The last line that has its end, and the offset behind it.
fn last_line(file: &mut File, length: u64) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let mut tail = TAIL_BYTES;
    loop {
        let start = length.saturating_sub(tail);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length - start).read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let before = end.and_then(|end| bytes[..end].iter().rposition(|byte| *byte == b'\n'));
        match (before, end) {
            (Some(before), Some(end)) => {
                return Ok(Some((bytes[before + 1..end].to_vec(), start + as_u64(end) + 1)));
            }
            (None, Some(end)) if start == 0 => {
                return Ok(Some((bytes[..end].to_vec(), as_u64(end) + 1)));
            }
            (_, None) if start == 0 => return Ok(None),
            _ => tail *= 2,
        }
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn named(path: &Path) -> String {
    format!("the witness `{}`", path.display())
}
