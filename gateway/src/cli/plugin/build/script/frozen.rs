//! What JavaScript answers the same for ever in a component: without WASI, the compiler's own run is the last that had a
//! clock or chance.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// What is written, and what it does.
const FROZEN: [(&str, &str); 4] = [
    ("Date.now()", "answers the time of this build, for ever: the transaction's is `clock`'s `nowMs()`"),
    ("new Date()", "answers the time of this build, for ever: the transaction's is `clock`'s `nowMs()`"),
    ("performance.now()", "traps, for nothing passes: the transaction's time is `clock`'s `nowMs()`"),
    ("Math.random()", "answers the same numbers in every evaluation: judge without chance"),
];

/// A warning for each line of the project's own sources that has such a call.
pub(super) fn named(project: &Path, main: &str) -> Result<Vec<String>> {
    let folder = Path::new(main).parent().unwrap_or(Path::new(""));
    let mut warnings = Vec::new();
    for path in sources(&project.join(folder))? {
        let bytes = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let shown = path.strip_prefix(project).unwrap_or(&path).display();
        for (number, line) in text.lines().enumerate() {
            let calls = FROZEN.iter().filter(|(call, _)| line.contains(call));
            warnings.extend(calls.map(|(call, does)| format!("{shown}:{}: `{call}` {does}", number + 1)));
        }
    }
    Ok(warnings)
}

/// In the order of their names; what was installed, and folders elsewhere that are linked to, are not the project's own.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("listing `{}`", folder.display());
    let entries = fs::read_dir(folder).with_context(listing)?;
    let mut paths: Vec<_> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().with_context(listing)?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let is_script = path.extension().is_some_and(|extension| extension == "js" || extension == "mjs");
        if path.is_file() && is_script {
            found.push(path);
        } else if path.is_dir()
            && !path.is_symlink()
            && !path.ends_with("node_modules")
            && !path.ends_with("target")
        {
            found.append(&mut sources(&path)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
