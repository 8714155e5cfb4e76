//! `countersign doctor`: examines a deployment that is not running, part by part, and names each fault with what to
//! do about it.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use gateway_domain::{mac::MacKeys, sealed::Sealer};
use gateway_store::{pending_migrations, sealed_secrets, sweep_database};
use hsm::{Hsm, HsmError, State};
use serde_json::json;

use super::{advice, output::Format, place::Place, status::Status};
use crate::{
    config::Config,
    data_dir::DataDir,
    nodes,
    system_keys::{self, Absent, Epochs, SystemKeys},
    wiring,
};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    place: Place,
    /// Allow one more log-in after a wrong PIN. Put the PIN right first: a token locks itself after a few wrong ones.
    #[arg(long)]
    clear_pin_latch: bool,
    #[command(flatten)]
    format: Format,
}

/// One part that was examined.
struct Finding {
    part: String,
    fault: Option<Fault>,
    facts: Vec<String>,
}

struct Fault {
    cause: String,
    advice: &'static str,
    status: Status,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<Status> {
        let (config, data_dir) = self.place.lock()?;
        let settings = config.hsm.hsm_config(data_dir.path())?;
        if self.clear_pin_latch {
            hsm::clear_pin_latch(&settings.pin_record_path)?;
        }
        let mut findings = vec![database(&config).await];
        match Hsm::start(settings).await {
            Ok(hsm) => {
                findings.push(token(&hsm).await);
                findings.extend(keys_and_rows(&hsm, &config).await);
                hsm.shutdown().await;
            }
            Err(error) => findings.push(Finding::faulty("token", &error)),
        }
        findings.extend(chains(&config).await?);
        drop::<DataDir>(data_dir);
        self.report(&findings)
    }

    fn report(&self, findings: &[Finding]) -> Result<Status> {
        let mut lines = Vec::new();
        for finding in findings {
            let word = if finding.fault.is_some() { "FAULT" } else { "ok" };
            lines.push(format!("{word:<6}{}", finding.part));
            lines.extend(finding.facts.iter().map(|fact| format!("      {fact}")));
            if let Some(fault) = &finding.fault {
                lines.push(format!("      {}", fault.cause));
                lines.push(format!("      -> {}", fault.advice));
            }
        }
        let parts: Vec<_> = findings
            .iter()
            .map(|finding| {
                let fault = finding.fault.as_ref();
                json!({
                    "part": finding.part, "ok": fault.is_none(), "facts": finding.facts,
                    "cause": fault.map(|fault| &fault.cause), "advice": fault.map(|fault| fault.advice),
                })
            })
            .collect();
        self.format.print(&json!({ "parts": parts }), &lines)?;
        let first = findings.iter().find_map(|finding| finding.fault.as_ref());
        Ok(first.map_or(Status::Done, |fault| fault.status))
    }
}

impl Finding {
    fn sound(part: impl Into<String>, facts: Vec<String>) -> Self {
        Self { part: part.into(), fault: None, facts }
    }

    fn faulty(part: &str, error: &HsmError) -> Self {
        let latched =
            matches!(error, HsmError::PinLatched(_) | HsmError::Unavailable { state: State::PinLatched, .. });
        let status = if latched { Status::PinLatched } else { Status::Failed };
        Self::with_fault(part, Fault { cause: error.to_string(), advice: advice::of_hsm(error), status })
    }

    fn with_fault(part: impl Into<String>, fault: Fault) -> Self {
        Self { part: part.into(), fault: Some(fault), facts: Vec::new() }
    }
}

async fn database(config: &Config) -> Finding {
    let failed = |cause: String, advice| {
        Finding::with_fault("database", Fault { cause, advice, status: Status::Failed })
    };
    let url = match config.database.store_config() {
        Ok(store) => store.url,
        Err(error) => return failed(error.to_string(), "set `database.url` or `database.url_file`"),
    };
    match pending_migrations(&url).await {
        Ok(pending) if pending.is_empty() => {
            Finding::sound("database", vec!["all migrations are applied".to_owned()])
        }
        Ok(pending) => {
            failed(format!("{} migrations are pending", pending.len()), "run `countersign migrate`")
        }
        Err(error) => {
            let advice = advice::of_store(&error)
                .unwrap_or("check that the server runs, and address and password in `database.url`");
            failed(format!("{:#}", anyhow::Error::from(error)), advice)
        }
    }
}

async fn token(hsm: &Hsm) -> Finding {
    let facts = match hsm.doctor_facts().await {
        Ok(facts) => facts,
        Err(error) => return Finding::faulty("token", &error),
    };
    let mut lines = vec![
        format!("library   {}", facts.library),
        format!("token     {} ({}, serial {})", facts.token_label, facts.token_model, facts.token_serial),
        format!("flags     {}", facts.token_flags.join(", ")),
        format!("mechanisms {}", facts.mechanisms.len()),
    ];
    let mut broken = None;
    for (algorithm, outcome) in &facts.self_tests {
        let outcome = match outcome {
            Ok(()) => "signs".to_owned(),
            Err(cause) => {
                broken.get_or_insert_with(|| format!("{algorithm:?}: {cause}"));
                format!("does not sign: {cause}")
            }
        };
        lines.push(format!("{:<10}{outcome}", format!("{algorithm:?}").to_lowercase()));
    }
    let fault = broken.map(|cause| Fault {
        cause,
        advice: "the token lacks this algorithm or its storage is full; keys of it cannot be made",
        status: Status::Failed,
    });
    Finding { part: "token".to_owned(), fault, facts: lines }
}

/// The gateway's own keys, and with them every sealed row.
async fn keys_and_rows(hsm: &Hsm, config: &Config) -> Vec<Finding> {
    match own_keys(hsm, config).await {
        Ok(keys) => {
            let fingerprint = system_keys::fingerprint(&keys.checkpoint);
            let facts = vec![format!("audit key fingerprint {fingerprint}"), who_decides(&keys).to_owned()];
            let sound = Finding::sound("keys", facts);
            vec![sound, secrets(hsm, config).await, rows(config, keys.sealing).await]
        }
        Err(error) => vec![Finding::with_fault(
            "keys",
            Fault {
                cause: format!("{error:#}"),
                advice: "this is not the token that `countersign init` prepared: check `hsm.token_label` and \
                         `hsm.token_serial`, or restore the token together with the database",
                status: Status::Failed,
            },
        )],
    }
}

/// As the token remembers the founding.
fn who_decides(keys: &SystemKeys) -> &'static str {
    if keys.is_chartered {
        "operators decide together what can be signed"
    } else if keys.is_development {
        "FOR DEVELOPMENT: no operators; plugins are taken unsigned, and commands on this machine decide alone"
    } else {
        "neither operators nor development: nothing is signed where the database holds no charter"
    }
}

async fn own_keys(hsm: &Hsm, config: &Config) -> Result<SystemKeys> {
    let keys = system_keys::load(hsm, Absent::Refuse, &Epochs::default()).await?;
    system_keys::require_sealing_key(hsm, config.core.key_epochs().secrets).await?;
    Ok(keys)
}

/// What a key of the token seals to be read back, judged as a gateway does that starts.
async fn secrets(hsm: &Hsm, config: &Config) -> Finding {
    let failed =
        |cause, advice| Finding::with_fault("secrets", Fault { cause, advice, status: Status::Failed });
    let sealed = match config.database.store_config() {
        Ok(store) => sealed_secrets(&store).await,
        Err(error) => return failed(error.to_string(), "put the database right first"),
    };
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => {
            let cause = format!("{:#}", anyhow::Error::from(error));
            return failed(cause, "put the database right first");
        }
    };
    let facts =
        sealed.iter().map(|(epoch, count)| format!("{count} sealed under rotation {epoch}")).collect();
    match system_keys::refuse_unopened_secrets(hsm, sealed, &config.core.key_epochs().secrets).await {
        Ok(()) => Finding::sound("secrets", facts),
        Err(error) => failed(
            format!("{error:#}"),
            "no gateway starts while a secret could be opened by nobody, and none is lost by that",
        ),
    }
}

async fn rows(config: &Config, sealing: MacKeys) -> Finding {
    let failed = |cause, advice| Finding::with_fault("rows", Fault { cause, advice, status: Status::Failed });
    let swept = match config.database.store_config() {
        Ok(store) => sweep_database(&store, Arc::new(Sealer::new(sealing))).await,
        Err(error) => return failed(error.to_string(), "put the database right first"),
    };
    match swept {
        Ok(sweep) if sweep.findings.is_empty() => {
            Finding::sound("rows", vec![format!("{} rows are as the audit log says", sweep.rows)])
        }
        Ok(sweep) => failed(
            sweep.findings.join("\n      "),
            "somebody wrote the database without the gateway, or it was restored in part: nothing is signed until it \
             is restored whole, together with its audit log",
        ),
        Err(error) => {
            let advice = advice::of_store(&error).unwrap_or(
                "the rows were not compared: put the database right first, or raise `database.sweep_timeout_seconds`",
            );
            failed(format!("{:#}", anyhow::Error::from(error)), advice)
        }
    }
}

/// A gateway starts without its nodes; what it signs waits for them.
async fn chains(config: &Config) -> Result<Vec<Finding>> {
    let (chains, _) = wiring::chains(config)?;
    let mut findings = Vec::new();
    for chain in chains.values() {
        let part = format!("chain {}", chain.id);
        findings.push(match nodes::fault(chain).await {
            None => Finding::sound(part, vec!["the node answers".to_owned()]),
            Some(cause) => {
                Finding::with_fault(part, Fault { cause, advice: nodes::ADVICE, status: Status::Failed })
            }
        });
    }
    Ok(findings)
}
