//! `countersign plugin test`: cases against a component.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    cases::{self, Case},
    workbench::{ComponentArgument, Loaded, Workbench},
};
use crate::cli::{
    output::{Format, progress},
    status::Status,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    component: ComponentArgument,
    /// Files of cases, or folders of them.
    #[arg(value_name = "CASES", default_value = "cases")]
    cases: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Test {
    pub(super) async fn run(self) -> Result<Status> {
        let files = case_files(&self.cases)?;
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let (mut passed, mut failed, mut values, mut lines) = (0, 0, Vec::new(), Vec::new());
        for file in files {
            progress(&format!("cases of {}", file.display()));
            for case in cases::read(&file)? {
                let differences = differences(&workbench, &loaded, &case).await?;
                let (count, word) =
                    if differences.is_empty() { (&mut passed, "ok") } else { (&mut failed, "FAILED") };
                *count += 1;
                lines.push(format!("{word:<6} {}", case.name));
                lines.extend(differences.iter().flat_map(Difference::lines));
                let differences: Vec<Value> = differences.iter().map(Difference::value).collect();
                values.push(json!({ "name": case.name, "file": file, "differences": differences }));
            }
        }
        lines.push(format!("{passed} passed, {failed} failed"));
        let value = json!({ "passed": passed, "failed": failed, "cases": values });
        self.format.print(&value, &lines)?;
        Ok(if failed == 0 { Status::Done } else { Status::Unverified })
    }
}

/// A field that is not as expected.
struct Difference {
    field: String,
    expected: Value,
    /// Absent where the outcome has no such field.
    found: Option<Value>,
}

impl Difference {
    fn lines(&self) -> Vec<String> {
        let found = self.found.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        vec![
            format!("         {}", self.field),
            format!("           - {}", self.expected),
            format!("           + {}", plugin_host::plain(&found, 4000)),
        ]
    }

    fn value(&self) -> Value {
        json!({ "field": self.field, "expected": self.expected, "found": self.found })
    }
}

async fn differences(workbench: &Workbench, loaded: &Loaded, case: &Case) -> Result<Vec<Difference>> {
    let request = case.request(&loaded.plugin)?;
    let found = cases::found(&workbench.host.evaluate(&loaded.plugin, request).await);
    if case.expect.is_empty() {
        bail!("case `{}` expects nothing", case.name);
    }
    Ok(compare(&case.expect, &found))
}

fn compare(expected: &Map<String, Value>, found: &Map<String, Value>) -> Vec<Difference> {
    let differs = |(field, value): &(&String, &Value)| found.get(*field) != Some(*value);
    let mut differences: Vec<_> = expected
        .iter()
        .filter(differs)
        .map(|(field, expected)| Difference {
            field: field.clone(),
            expected: expected.clone(),
            found: found.get(field).cloned(),
        })
        .collect();
    // A failure that nobody expected says more than the fields that are missing for it.
    if !differences.is_empty() && !expected.contains_key("failure") && found.contains_key("failure") {
        let found = format!("{}: {}", found["failure"], found["detail"]);
        differences.push(Difference {
            field: "failure".to_owned(),
            expected: Value::Null,
            found: Some(Value::String(found)),
        });
    }
    differences
}

/// Every `.json` of a folder, in the order of the names.
fn case_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let reading = || format!("reading `{}`", path.display());
        let mut inside = Vec::new();
        for entry in path.read_dir().with_context(reading)? {
            let file = entry.with_context(reading)?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    if files.is_empty() {
        bail!("there are no cases: write a `.json` file of them, as `countersign plugin new` does");
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
