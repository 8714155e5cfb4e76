//! `countersign config-reference`: makes the two files that document the configuration.

use anyhow::Result;
use clap::Args;

use super::{output, status::Status};
use crate::config::reference;

#[derive(Debug, Args)]
pub(super) struct ConfigReference {
    /// The example file instead of the page.
    #[arg(long)]
    example: bool,
}

impl ConfigReference {
    pub(super) fn run(self) -> Result<Status> {
        output::print_text(&if self.example {
            reference::example_file()
        } else {
            reference::reference_page()
        })
    }
}
