//! What a command prints: text for people, or with `--json` one object for programs.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{advice, order::Answer, status::Status};
use crate::control::ControlError;

/// How a command answers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Format {
    /// Answer with JSON.
    #[arg(long)]
    json: bool,
}

impl Format {
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    pub(super) fn print_answer(self, answer: &Answer) -> Result<Status> {
        self.print(&answer.value, &answer.lines)
    }

    /// Prints the object, or the lines.
    pub(super) fn print(self, value: &Value, lines: &[String]) -> Result<Status> {
        if self.json { print_line(&value.to_string()) } else { print_lines(lines) }
    }
}

pub(super) fn print_line(line: &str) -> Result<Status> {
    print_lines(&[line.to_owned()])
}

fn print_lines(lines: &[String]) -> Result<Status> {
    let mut output = io::stdout().lock();
    for line in lines {
        writeln!(output, "{line}").context("writing to standard output")?;
    }
    output.flush().context("writing to standard output")?;
    Ok(Status::Done)
}

/// Text as it is.
pub(super) fn print_text(text: &str) -> Result<Status> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).context("writing to standard output")?;
    output.flush().context("writing to standard output")?;
    Ok(Status::Done)
}

/// Writes a line to a file that does not exist yet.
pub(super) fn write_new(path: &Path, line: &str) -> Result<()> {
    let named = || format!("writing `{}`", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).with_context(named)?;
    writeln!(file, "{line}").and_then(|()| file.sync_all()).with_context(named)
}

/// A step of long work, for people.
pub(super) fn progress(line: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{line}");
}

pub(super) fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "error: {error:#}");
    for cause in internal_causes(error) {
        let _ = writeln!(io::stderr(), "cause: {cause}");
    }
    if let Some(advice) = advice::of(error) {
        let _ = writeln!(io::stderr(), "  -> {advice}");
    }
}

/// What clients of the API are not told, but the operator is.
pub(super) fn internal_causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<gateway_domain::Error>() {
            causes.extend(error.internal_cause().map(ToString::to_string));
        }
        if let Some(ControlError::Failed(failure)) = cause.downcast_ref() {
            causes.extend_from_slice(&failure.causes);
        }
    }
    causes
}
