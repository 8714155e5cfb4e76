//! `countersign audit export`: JSON lines, checkpoints first, then every lane.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Args;
use gateway_store::AuditArchive;
use serde_json::json;

use crate::cli::{output::progress, place::Place, status::Status};

const PAGE: u32 = 2000;
const PROGRESS_ENTRIES: u64 = 50_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    place: Place,
    /// File to make; without it, standard output. An existing file is kept.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self) -> Result<Status> {
        let config = self.place.load()?;
        let archive = AuditArchive::open(&config.database.store_config()?.url).await?;
        let mut output: Box<dyn Write> = match &self.output {
            Some(path) => {
                let file =
                    File::create_new(path).with_context(|| format!("creating `{}`", path.display()))?;
                Box::new(BufWriter::new(file))
            }
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let copied = copy(&archive, &mut output).await;
        archive.close().await;
        let entries = copied?;
        progress(&format!("{entries} entries copied"));
        Ok(Status::Done)
    }
}

async fn copy(archive: &AuditArchive, output: &mut dyn Write) -> Result<u64> {
    let mut number = 0;
    loop {
        let page = archive.checkpoints(number, PAGE).await?;
        let Some(last) = page.last() else { break };
        number = last.checkpoint.number;
        for checkpoint in &page {
            writeln!(output, "{}", json!({ "checkpoint": checkpoint }))?;
        }
    }
    let mut entries: u64 = 0;
    for lane in archive.lanes().await?.into_keys() {
        let mut sequence = 0;
        loop {
            let page = archive.entries(lane, sequence, PAGE).await?;
            let Some(last) = page.last() else { break };
            sequence = last.sequence;
            for entry in &page {
                writeln!(output, "{}", json!({ "entry": entry }))?;
                entries += 1;
                if entries.is_multiple_of(PROGRESS_ENTRIES) {
                    progress(&format!("{entries} entries copied"));
                }
            }
        }
    }
    output.flush()?;
    Ok(entries)
}
