//! What a plugin revision holds, as the commands take it that sign for one, store one or install one.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;
use clap::Args;

use super::workbench::{ComponentArgument, settings_text};

/// What an author signs for, and what is stored under that signature.
#[derive(Debug, Args)]
pub(in crate::cli) struct RevisionArguments {
    #[command(flatten)]
    component: ComponentArgument,
    /// Name it is to be bound under.
    #[arg(long)]
    name: String,
    /// JSON file of settings; without it, `{}`.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Capability to grant, such as `state`, `http:UPSTREAM` or `chain:METHOD`; repeat for several.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
}

/// The same with its files read.
pub(in crate::cli) struct RevisionContents {
    pub(in crate::cli) name: String,
    pub(in crate::cli) component: Vec<u8>,
    pub(in crate::cli) settings: String,
    pub(in crate::cli) grants: BTreeSet<String>,
}

impl RevisionArguments {
    /// Reads the files here: paths are this process's, and so is the right to read them.
    pub(in crate::cli) fn read(self) -> Result<RevisionContents> {
        Ok(RevisionContents {
            component: self.component.read()?,
            settings: settings_text(self.settings.as_deref())?,
            name: self.name,
            grants: BTreeSet::from_iter(self.grants),
        })
    }
}
