//! Projects in JavaScript and Python: an interpreter goes into the component, and the project's sources into that.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{cli::output::progress, config::user_cache_dir};

mod frozen;

/// The world that a project's `wit/` names.
const WORLD: &str = "plugin";
/// Tried with 18 and 20; 16 cannot load the compiler.
const NODE_MAJOR_MIN: u32 = 18;
/// With these, componentize-js leaves out every import of WASI.
const FEATURES: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// A project of scripts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Script {
    JavaScript { name: String, main: String },
    Python { name: String },
}

impl Script {
    /// The project of a folder, if its manifest is there.
    pub(super) fn find(project: &Path) -> Result<Option<Self>> {
        let path = project.join("package.json");
        if path.is_file() {
            let manifest: Value = serde_json::from_str(&read(&path)?)
                .with_context(|| format!("`{}` is not JSON", path.display()))?;
            let main = manifest["main"].as_str().unwrap_or("src/plugin.js").to_owned();
            let name = file_name(manifest["name"].as_str(), &path)?;
            return Ok(Some(Self::JavaScript { name, main }));
        }
        let path = project.join("pyproject.toml");
        if !path.is_file() {
            return Ok(None);
        }
        let manifest: toml::Table =
            read(&path)?.parse().with_context(|| format!("`{}` is not TOML", path.display()))?;
        let name = manifest.get("project").and_then(|project| project.get("name")?.as_str());
        Ok(Some(Self::Python { name: file_name(name, &path)? }))
    }

    /// Compiles and answers the component's path, which appears there whole or not at all.
    pub(super) fn build(&self, project: &Path) -> Result<PathBuf> {
        let (Self::JavaScript { name, .. } | Self::Python { name }) = self;
        if let Self::JavaScript { main, .. } = self {
            frozen::named(project, main)?.iter().for_each(|warning| progress(warning));
        }
        let folder = project.join("target");
        fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
        let unfinished = format!("target/{name}.unfinished");
        let mut compiler = self.compiler(project, &unfinished)?;
        compiler.current_dir(project).stdin(Stdio::null()).stdout(io::stderr());
        let program = compiler.get_program().to_owned();
        let status = compiler.status().with_context(|| format!("running `{}`", program.display()))?;
        if !status.success() {
            bail!("`{}` ended with {status}; its complaint is above", program.display());
        }
        let component = folder.join(format!("{name}.wasm"));
        let (unfinished, finished) = (project.join(unfinished), component.display());
        fs::rename(unfinished, &component).with_context(|| format!("writing `{finished}`"))?;
        Ok(component)
    }

    fn compiler(&self, project: &Path, output: &str) -> Result<Command> {
        match self {
            Self::JavaScript { main, .. } => {
                require_node(printed_version("node").as_deref())?;
                let places = ["node_modules/.bin/componentize-js"; 2];
                let compiler = program(project, places, "componentize-js").with_context(|| {
                    format!("there is no `componentize-js`: run `npm ci` in `{}`", project.display())
                })?;
                let mut command = Command::new(compiler);
                command.args([main, "--wit", "wit", "--world-name", WORLD, "--out", output]);
                command.args(FEATURES.iter().flat_map(|feature| ["--disable", feature]));
                Ok(command)
            }
            Self::Python { .. } => {
                let places = [".venv/bin/componentize-py", "python/bin/componentize-py"];
                let compiler = program(project, places, "componentize-py").with_context(|| {
                    format!(
                        "there is no `componentize-py`: run `python3 -m venv .venv && .venv/bin/pip install \
                         --require-hashes --requirement requirements.txt` in `{}`",
                        project.display()
                    )
                })?;
                let mut command = Command::new(compiler);
                command.args(["--quiet", "--wit-path", "wit", "--world", WORLD, "componentize", "plugin"]);
                command.args(["--python-path", "src", "--stub-wasi", "--output", output]);
                Ok(command)
            }
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))
}

/// A name that becomes a file's.
fn file_name(name: Option<&str>, manifest: &Path) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match name {
        Some(name) if !name.is_empty() && name.bytes().all(allowed) => Ok(name.to_owned()),
        _ => bail!("`{}` needs a `name` of letters, digits, `-` and `_`", manifest.display()),
    }
}

/// A compiler: the project's own, the one that `deploy/setup guests` fetched, or whichever is on the path.
fn program(project: &Path, [own, fetched]: [&str; 2], name: &str) -> Option<PathBuf> {
    let toolchains = user_cache_dir().map(|cache| cache.join("countersign/guest-toolchains"));
    let places = [fs::canonicalize(project.join(own)).ok(), toolchains.map(|folder| folder.join(fetched))];
    let found = places.into_iter().flatten().find(|place| place.is_file());
    found.or_else(|| runs(name).then(|| PathBuf::from(name)))
}

fn runs(program: &str) -> bool {
    printed_version(program).is_some()
}

/// What a program on the path says of its version; none where there is no such program.
fn printed_version(program: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// An older one does not load the compiler.
fn require_node(version: Option<&str>) -> Result<()> {
    let Some(version) = version else {
        bail!("there is no `node`: install Node.js {NODE_MAJOR_MIN} or newer, with npm");
    };
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= NODE_MAJOR_MIN) {
        return Ok(());
    }
    bail!("`node` on the path is `{version}`: Node.js {NODE_MAJOR_MIN} or newer compiles JavaScript")
}

#[cfg(test)]
mod tests;
