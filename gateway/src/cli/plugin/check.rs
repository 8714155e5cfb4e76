//! `countersign plugin check`: what a gateway would say of a component, without one.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use plugin_host::{Capability, Description, LargeLimits, PreparedPlugin};
use serde_json::json;

use self::schema::Schema;
use super::workbench::{ComponentArgument, Loaded, Workbench, diagnosis, settings_text};
use crate::{
    cli::{output::Format, status::Status},
    grants::Granted,
};

mod schema;

/// The one interface that a gateway calls.
const POLICY: &str = "countersign:policy/policy@";

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    component: ComponentArgument,
    /// JSON file of settings to check with it.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Capability that is to be granted, as `plugin install` takes it; repeat for several. Checks that they are enough.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
    #[command(flatten)]
    format: Format,
}

/// What was found: a fault stands in the way of installing, a remark does not.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    remarks: Vec<String>,
}

impl Check {
    pub(super) async fn run(self) -> Result<Status> {
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let plugin = &loaded.plugin;
        let description = workbench.host.describe(plugin).await;
        let description = description.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
        let mut findings = Findings::default();
        findings.remarks.extend(remarks(&loaded));
        findings.faults.extend(missing_grants(plugin, &self.grants));
        self.check_settings(&workbench, &loaded, &description, &mut findings).await?;
        self.tell(&loaded, &description, &findings)
    }

    /// The schema, its examples, and the settings that were given: each by what the plugin itself says of them.
    async fn check_settings(
        &self,
        workbench: &Workbench,
        loaded: &Loaded,
        description: &Description,
        findings: &mut Findings,
    ) -> Result<()> {
        let mut asked = Vec::new();
        match Schema::read(&description.settings_schema) {
            Ok(schema) => {
                findings.faults.extend(schema.faults.iter().map(|fault| format!("settings schema: {fault}")));
                findings.remarks.extend(schema.remark());
                let examples = schema.examples.iter().enumerate();
                asked.extend(examples.map(|(index, example)| {
                    (format!("settings schema: example {index}"), example.to_string())
                }));
            }
            Err(fault) => findings.faults.push(format!("settings schema: {fault}")),
        }
        if let Some(path) = &self.settings {
            asked.push(("settings".to_owned(), settings_text(Some(path))?));
        }
        for (what, text) in asked {
            match workbench.host.validate_settings(&loaded.plugin, &text).await {
                Ok(problems) => {
                    let fault =
                        |one: &plugin_host::SettingsProblem| format!("{what}: `{}` {}", one.field, one.rule);
                    findings.faults.extend(problems.iter().map(fault));
                }
                Err(failure) => findings.faults.push(format!("{what}: {}", diagnosis(&failure))),
            }
        }
        Ok(())
    }

    fn tell(&self, loaded: &Loaded, description: &Description, findings: &Findings) -> Result<Status> {
        let plugin = &loaded.plugin;
        let wanted: Vec<Capability> = plugin.required().iter().collect();
        let Findings { faults, remarks } = findings;
        let value = json!({
            "digest": plugin.digest().to_string(), "bytes": loaded.bytes, "contract": plugin.contract_version(),
            "imports": plugin.imports(), "exports": plugin.exports(),
            "name": description.name, "version": description.version, "summary": description.summary,
            "settingsSchema": description.settings_schema, "wantedCapabilities": wanted,
            "faults": faults, "remarks": remarks,
        });
        let mut lines = vec![
            format!("plugin        {} {}", description.name, description.version),
            format!("summary       {}", description.summary),
            format!("SHA-256       {}", plugin.digest()),
            format!("size          {} bytes", loaded.bytes),
            format!("contract      countersign:policy@{}", plugin.contract_version()),
            format!("capabilities  {}", grants_of(&wanted)),
        ];
        lines.extend(plugin.imports().iter().map(|name| format!("imports       {}", plain(name))));
        lines.extend(plugin.exports().iter().map(|name| format!("exports       {}", plain(name))));
        lines.extend(remarks.iter().map(|remark| format!("note          {remark}")));
        lines.extend(faults.iter().map(|fault| format!("FAULT         {fault}")));
        self.format.print(&value, &lines)?;
        Ok(if faults.is_empty() { Status::Done } else { Status::Unverified })
    }
}

fn plain(name: &str) -> String {
    plugin_host::plain(name, 200)
}

fn remarks(loaded: &Loaded) -> Vec<String> {
    let mut remarks = Vec::new();
    let large = LargeLimits::default();
    if loaded.bytes >= large.component_bytes {
        remarks.push(format!(
            "the component is large: it takes seconds to compile, once, and gets {} MiB of memory instead of 16; \
             operators may refuse that by `plugins.component_bytes_max`",
            large.memory_bytes >> 20
        ));
    }
    let unused = loaded.plugin.exports().iter().filter(|name| !name.starts_with(POLICY));
    remarks.extend(unused.map(|name| format!("nobody calls the export `{}`", plain(name))));
    remarks
}

/// What the component imports and the grants that were named leave out; all is well when none were named.
fn missing_grants(plugin: &PreparedPlugin, named: &[String]) -> Vec<String> {
    if named.is_empty() {
        return Vec::new();
    }
    let granted = Granted::of(&named.iter().cloned().collect()).capabilities();
    let missing = plugin.required().missing_from(granted);
    let fault = |capability: Capability| {
        format!(
            "the component imports `{capability}`, which is not among the grants: add `{}`, or do not use it",
            grants_of(&[capability])
        )
    };
    missing.map(fault).collect()
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
