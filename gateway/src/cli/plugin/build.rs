//! `countersign plugin build`: a component from a project in Rust, JavaScript or Python.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plugin_host::Digest;
use serde_json::{Value, json};

use self::script::Script;
use super::toolchain::Toolchain;
use crate::cli::{
    output::{Format, progress},
    status::Status,
};

mod script;

#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// Folder of the project.
    #[arg(value_name = "PROJECT", default_value = ".")]
    project: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Build {
    pub(super) async fn run(self) -> Result<Status> {
        let built = tokio::task::spawn_blocking(move || {
            let components = build(&self.project)?;
            print(&components, self.format)
        });
        built.await.context("building")?
    }
}

fn print(components: &[PathBuf], format: Format) -> Result<Status> {
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for path in components {
        let bytes = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
        let digest = Digest::of(&bytes).to_string();
        values.push(json!({ "path": path, "bytes": bytes.len(), "digest": digest }));
        lines.push(format!("{}  {} bytes  SHA-256 {digest}", path.display(), bytes.len()));
    }
    format.print(&json!({ "components": values }), &lines)
}

/// Answers the components of the project's own sources. Compilers tell people what they do.
fn build(project: &Path) -> Result<Vec<PathBuf>> {
    progress(&format!("building {}", project.display()));
    if project.join("Cargo.toml").is_file() {
        return build_crates(project);
    }
    let built = Script::find(project)?.map(|script| script.build(project));
    let Some(built) = built else {
        bail!(
            "`{}` holds no `Cargo.toml`, `package.json` or `pyproject.toml`: write a project with `countersign plugin \
             new`; components of other toolchains go straight to `countersign plugin check`",
            project.display()
        )
    };
    Ok(vec![built?])
}

fn build_crates(project: &Path) -> Result<Vec<PathBuf>> {
    let mut cargo = Toolchain::find()?.build(project);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("running cargo")?;
    if !output.status.success() {
        bail!("cargo ended with {}; its complaint is above", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let components: Vec<PathBuf> = messages.lines().filter_map(component_of).collect();
    if components.is_empty() {
        bail!("the project makes no component: its library needs `crate-type = [\"cdylib\"]`");
    }
    Ok(components)
}

/// The component that one of cargo's messages tells of, if it does.
fn component_of(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}
