//! `countersign openapi`.

use anyhow::{Result, anyhow};
use clap::Args;
use gateway_api::openapi::{Family, openapi};

use super::{output, status::Status};

#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// The API family.
    #[arg(default_value = "core")]
    family: String,
}

impl Openapi {
    pub(super) fn run(self) -> Result<Status> {
        let family = Family::from_name(&self.family).ok_or_else(|| {
            let names: Vec<_> = Family::ALL.iter().map(|family| family.name()).collect();
            anyhow!("`{}` is not an API family; there are: {}", self.family, names.join(", "))
        })?;
        output::print_text(&openapi(family))
    }
}
