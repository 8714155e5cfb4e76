//! Components that `deploy/guests` has built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::environment;

/// Where a guest lies.
pub fn path(name: &str) -> Result<PathBuf> {
    Ok(environment::gateway_binary()?.with_file_name(format!("../guests/{name}.wasm")))
}

/// Writes a component that does the same as a guest and is another one: a custom section tells them apart.
pub fn numbered(name: &str, number: u8, folder: &Path) -> Result<String> {
    let mut component = fs::read(path(name)?)?;
    // Id 0, five bytes: a name of three, and the number.
    component.extend([0, 5, 3, b'n', b'o', b'.', number]);
    let path = folder.join(format!("{name}-{number}.wasm"));
    fs::write(&path, component)?;
    Ok(path.to_str().context("the folder's path is not UTF-8")?.to_owned())
}
