//! `countersign plugin check`: what a gateway would say of a component, without one.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use plugin_host::Capability;
use serde_json::{Value, json};

use super::workbench::{ComponentArgument, Workbench, diagnosis, settings_text};
use crate::cli::{output::Format, status::Status};

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    component: ComponentArgument,
    /// JSON file of settings to check with it.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(super) async fn run(self) -> Result<Status> {
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let plugin = &loaded.plugin;
        let description = workbench.host.describe(plugin).await;
        let description = description.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
        let mut faults = Vec::new();
        faults.extend(schema_fault(&description.settings_schema));
        if let Some(path) = &self.settings {
            let text = settings_text(Some(path))?;
            match workbench.host.validate_settings(plugin, &text).await {
                Ok(problems) => {
                    faults
                        .extend(problems.iter().map(|one| format!("settings: `{}` {}", one.field, one.rule)));
                }
                Err(failure) => faults.push(format!("settings: {}", diagnosis(&failure))),
            }
        }
        let wanted: Vec<Capability> = plugin.required().iter().collect();
        let value = json!({
            "digest": plugin.digest().to_string(), "bytes": loaded.bytes, "contract": plugin.contract_version(),
            "name": description.name, "version": description.version, "summary": description.summary,
            "settingsSchema": description.settings_schema, "wantedCapabilities": wanted, "faults": faults,
        });
        let mut lines = vec![
            format!("plugin        {} {}", description.name, description.version),
            format!("summary       {}", description.summary),
            format!("SHA-256       {}", plugin.digest()),
            format!("size          {} bytes", loaded.bytes),
            format!("contract      countersign:policy@{}", plugin.contract_version()),
            format!("capabilities  {}", grants_of(&wanted)),
        ];
        lines.extend(faults.iter().map(|fault| format!("FAULT         {fault}")));
        self.format.print(&value, &lines)?;
        Ok(if value["faults"].as_array().is_some_and(Vec::is_empty) {
            Status::Done
        } else {
            Status::Unverified
        })
    }
}

/// The schema is shown to operators and never evaluated, so it only has to be readable.
fn schema_fault(schema: &str) -> Option<String> {
    match serde_json::from_str::<Value>(schema) {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some("settings schema: it must be a JSON object, such as `{}`".to_owned()),
        Err(error) => Some(format!("settings schema: it is not JSON: {error}")),
    }
}

/// The arguments of `plugin install` that grant what the component imports.
fn grants_of(wanted: &[Capability]) -> String {
    let grant = |capability: &Capability| match capability {
        Capability::Http => "--grant http:UPSTREAM".to_owned(),
        Capability::Chain => "--grant chain:METHOD".to_owned(),
        other => format!("--grant {other}"),
    };
    if wanted.is_empty() { "none".to_owned() } else { wanted.iter().map(grant).collect::<Vec<_>>().join(" ") }
}
