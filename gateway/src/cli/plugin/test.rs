//! `countersign plugin test`: cases against a component.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plugin_host::{CounterName, EvaluationRecord, HostCall};
use serde_json::{Map, Value, json};

use super::{
    cases::{self, Case, EXPECTED},
    workbench::{ComponentArgument, Loaded, Workbench, too_late},
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
        let files = read_all(case_files(&self.cases)?)?;
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let (mut passed, mut failed, mut values, mut lines) = (0, 0, Vec::new(), Vec::new());
        for (file, cases) in files {
            progress(&format!("cases of {}", file.display()));
            for case in cases {
                let Ran { differences, note } = run_case(&workbench, &loaded, &case).await?;
                let (count, word) =
                    if differences.is_empty() { (&mut passed, "ok") } else { (&mut failed, "FAILED") };
                *count += 1;
                lines.push(format!("{word:<6} {}", case.name));
                lines.extend(differences.iter().flat_map(Difference::lines));
                lines.extend(note.iter().map(|note| format!("         note: {note}")));
                let differences: Vec<Value> = differences.iter().map(Difference::value).collect();
                values.push(json!({
                    "name": case.name, "file": file, "differences": differences, "note": note,
                }));
            }
        }
        lines.push(format!("{passed} passed, {failed} failed"));
        let value = json!({ "passed": passed, "failed": failed, "cases": values });
        self.format.print(&value, &lines)?;
        Ok(if failed == 0 { Status::Done } else { Status::Unverified })
    }
}

/// What came of a case.
struct Ran {
    differences: Vec<Difference>,
    /// That a gateway would not have waited so long.
    note: Option<String>,
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

async fn run_case(workbench: &Workbench, loaded: &Loaded, case: &Case) -> Result<Ran> {
    let given = case.record(&loaded.plugin)?;
    let began = Instant::now();
    let answer = workbench.host.evaluate(&loaded.plugin, given.repeat()).await;
    let note = too_late(began.elapsed(), workbench.gateway_deadline);
    let record = match &answer {
        Ok(evaluation) => Some(&evaluation.record),
        Err(failure) => failure.record.as_deref(),
    };
    let mut differences = compare(&case.expect, &cases::found(&answer));
    differences.extend(unasked(&given, record));
    Ok(Ran { differences, note })
}

/// What is given for questions that were not asked: a plugin that no longer asks decides by less than it did, and one that
/// asks for another name finds nothing there.
fn unasked(given: &EvaluationRecord, made: Option<&EvaluationRecord>) -> Vec<Difference> {
    let keys = |record: &EvaluationRecord| -> Vec<String> {
        record.state_reads.iter().map(|read| read.key.clone()).collect()
    };
    let counters = |record: &EvaluationRecord| -> Vec<String> {
        let named = |counter: &CounterName| format!("{} in {} s", counter.name, counter.window_seconds);
        record.counter_reads.iter().map(|read| named(&read.counter)).collect()
    };
    let left = |of: &dyn Fn(&EvaluationRecord) -> Vec<String>| -> Vec<String> {
        let asked = made.map(of).unwrap_or_default();
        of(given).into_iter().filter(|name| !asked.contains(name)).collect()
    };
    // In their order, for the same question may be asked twice.
    let calls = given.host_calls.iter().skip(made.map_or(0, |made| made.host_calls.len()));
    let fields = [
        ("state_reads", left(&keys)),
        ("counter_reads", left(&counters)),
        ("host_calls", calls.map(HostCall::asked).collect()),
    ];
    let difference = |(field, left): (&str, Vec<String>)| Difference {
        field: field.to_owned(),
        expected: left.iter().map(|asked| plugin_host::plain(asked, 400)).collect(),
        found: Some(Value::String("the plugin did not ask".to_owned())),
    };
    fields.into_iter().filter(|(_, left)| !left.is_empty()).map(difference).collect()
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
    // A failure that nobody expected is no pass, even where all that was expected is there.
    if !expected.contains_key("failure") && found.contains_key("failure") {
        let found = format!("{}: {}", found["failure"], found["detail"]);
        differences.push(Difference {
            field: "failure".to_owned(),
            expected: Value::Null,
            found: Some(Value::String(found)),
        });
    }
    differences
}

/// The cases of every file. A run that could not fail proves nothing, and is none.
fn read_all(files: Vec<PathBuf>) -> Result<Vec<(PathBuf, Vec<Case>)>> {
    let mut read = Vec::with_capacity(files.len());
    for file in files {
        let cases = cases::read(&file)?;
        if let Some(empty) = cases.iter().find(|case| case.expect.is_empty()) {
            let (name, shown) = (&empty.name, file.display());
            bail!(
                "case `{name}` of `{shown}` expects nothing: `expect` must name one at least of {}",
                EXPECTED.join(", ")
            );
        }
        read.push((file, cases));
    }
    if read.iter().all(|(_, cases)| cases.is_empty()) {
        let files: Vec<String> = read.iter().map(|(file, _)| format!("`{}`", file.display())).collect();
        bail!("there are no cases to run: {} must hold one at least", files.join(", "));
    }
    Ok(read)
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
