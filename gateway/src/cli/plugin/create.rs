//! `countersign plugin new`: a project that builds at once. The SDK and the contract of this very gateway go into it,
//! so that it needs nothing of ours from anywhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{output::Format, status::Status};

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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    Rust,
}

/// Files of the project that are written for it; `NAME` stands for its name.
const OWN: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    ("cases/first.json", include_str!("template/first.json")),
    ("README.md", include_str!("template/README.md.txt")),
    (".gitignore", "target/\n"),
];

macro_rules! copied {
    ($($path:literal),+ $(,)?) => {
        [$((concat!("countersign/", $path), include_str!(concat!("../../../../", $path)))),+]
    };
}

/// Files of ours that go along as they are.
const COPIED: [(&str, &str); 7] = copied![
    "plugins/sdk/src/lib.rs",
    "plugins/sdk/src/arena.rs",
    "plugins/sdk/src/outcome.rs",
    "plugins/sdk/src/panic.rs",
    "wit/0.1/types.wit",
    "wit/0.1/capabilities.wit",
    "wit/0.1/policy.wit",
];

/// The SDK's manifest, made to stand without the guests' workspace.
const SDK_MANIFEST: &str = include_str!("template/sdk.toml.txt");

impl New {
    pub(super) fn run(&self) -> Result<Status> {
        let folder = PathBuf::from(&self.name);
        let Language::Rust = self.lang;
        if folder.exists() {
            bail!("`{}` exists already", folder.display());
        }
        let sdk = ("countersign/plugins/sdk/Cargo.toml", SDK_MANIFEST);
        for (path, text) in OWN.iter().chain(&COPIED).chain([&sdk]) {
            write(&folder.join(path), &text.replace("NAME", &self.name))?;
        }
        let lines = vec![
            format!("{}/ is a plugin that abstains. Next:", self.name),
            format!("  countersign plugin build {}", self.name),
            "  countersign plugin check COMPONENT        with the path that `build` prints".to_owned(),
            format!("  countersign plugin test COMPONENT {}/cases", self.name),
        ];
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
