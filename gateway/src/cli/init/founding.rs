//! The file that names the first operators.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use gateway_domain::{
    founding::FoundCharter,
    operators::{NewOperator, OperatorKey, OperatorRole, check_founding},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    approvals_required: u32,
    operator: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    roles: BTreeSet<OperatorRole>,
    /// A PEM file, seen from the folder of this one.
    public_key: String,
}

/// With the keys that the file names. What no charter can be is refused here, before a token is made for it.
pub(in crate::cli) fn read(path: &Path) -> Result<FoundCharter> {
    let reading = |path: &Path| format!("reading `{}`", path.display());
    let text = fs::read_to_string(path).with_context(|| reading(path))?;
    let file: File = toml::from_str(&text).with_context(|| reading(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let operators = file.operator.into_iter().map(|Entry { name, roles, public_key }| {
        let path = folder.join(public_key);
        let pem = fs::read_to_string(&path).with_context(|| reading(&path))?;
        let public_key =
            OperatorKey::from_pem(&pem).with_context(|| format!("the key in `{}`", path.display()))?;
        Ok(NewOperator { name, public_key, roles })
    });
    let operators = operators.collect::<Result<Vec<_>>>()?;
    check_founding(&operators, file.approvals_required)
        .with_context(|| format!("the charter in `{}`", path.display()))?;
    Ok(FoundCharter { operators, approvals_required: file.approvals_required })
}
