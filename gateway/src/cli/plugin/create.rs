//! `countersign plugin new`: a project that builds at once. The SDK and the contract of this very gateway go into it,
//! so that it needs nothing of ours from anywhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;

pub(super) use self::template::CONTRACT;
use self::template::Language;
use crate::cli::{output::Format, status::Status};

mod template;

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Name of the plugin and of its folder: 1 to 40 of `a-z`, `0-9`, `-`, with a letter first.
    #[arg(value_parser = parse_name)]
    name: String,
    /// Language of the project.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    #[command(flatten)]
    format: Format,
}

impl New {
    pub(super) fn run(&self) -> Result<Status> {
        let folder = PathBuf::from(&self.name);
        if folder.exists() {
            bail!("`{}` exists already", folder.display());
        }
        for (path, text) in self.lang.files(&self.name) {
            write(&folder.join(path), &text)?;
        }
        let mut lines = vec![format!("{}/ is a plugin that abstains. Next:", self.name)];
        lines.extend(self.lang.preparation().map(|preparation| format!("  {preparation}")));
        lines.extend([
            format!("  countersign plugin build {}", self.name),
            "  countersign plugin check COMPONENT        with the path that `build` prints".to_owned(),
            format!("  countersign plugin test COMPONENT {}/cases", self.name),
        ]);
        self.format.print(&json!({ "folder": folder, "name": self.name }), &lines)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let writing = || format!("writing `{}`", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(writing)?;
    }
    fs::write(path, text).with_context(writing)
}

fn parse_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let valid = (1..=40).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(allowed);
    if valid {
        Ok(text.to_owned())
    } else {
        Err("1 to 40 of `a-z`, `0-9`, `-`, with a letter first".to_owned())
    }
}

#[cfg(test)]
mod tests;
