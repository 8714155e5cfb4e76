//! `countersign doctor`: examines a deployment that is not running, part by part, and names each fault with what to
//! do about it.

use anyhow::Result;
use clap::Args;
use gateway_store::pending_migrations;
use hsm::{Hsm, HsmError, State};
use serde_json::json;

use super::{output::Format, place::Place, status::Status};
use crate::{
    config::Config,
    data_dir::DataDir,
    system_keys::{self, Absent, FIRST_TOKEN_EPOCH},
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
    part: &'static str,
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
                findings.push(system_keys(&hsm).await);
                hsm.shutdown().await;
            }
            Err(error) => findings.push(Finding::faulty("token", &error)),
        }
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
    fn sound(part: &'static str, facts: Vec<String>) -> Self {
        Self { part, fault: None, facts }
    }

    fn faulty(part: &'static str, error: &HsmError) -> Self {
        let latched =
            matches!(error, HsmError::PinLatched(_) | HsmError::Unavailable { state: State::PinLatched, .. });
        let status = if latched { Status::PinLatched } else { Status::Failed };
        Self::with_fault(part, Fault { cause: error.to_string(), advice: advice(error), status })
    }

    fn with_fault(part: &'static str, fault: Fault) -> Self {
        Self { part, fault: Some(fault), facts: Vec::new() }
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
            let error = anyhow::Error::from(error);
            failed(
                format!("{error:#}"),
                "check that the server runs, and address and password in `database.url`",
            )
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
    Finding { part: "token", fault, facts: lines }
}

async fn system_keys(hsm: &Hsm) -> Finding {
    match system_keys::load(hsm, Absent::Refuse, FIRST_TOKEN_EPOCH).await {
        Ok(keys) => {
            let fingerprint = system_keys::fingerprint(&keys.checkpoint);
            Finding::sound("keys", vec![format!("audit key fingerprint {fingerprint}")])
        }
        Err(error) => Finding::with_fault(
            "keys",
            Fault {
                cause: format!("{error:#}"),
                advice: "this is not the token that `countersign init` prepared: check `hsm.token_label` and \
                         `hsm.token_serial`, or restore the token together with the database",
                status: Status::Failed,
            },
        ),
    }
}

/// By return code first, for it says most.
fn advice(error: &HsmError) -> &'static str {
    if let HsmError::PinLatched(_) | HsmError::Unavailable { state: State::PinLatched, .. } = error {
        return "correct `hsm.pin` or `hsm.pin_file`, then run `countersign doctor --clear-pin-latch` once; if the \
                token has locked the PIN, its security officer must reset it first";
    }
    let text = error.to_string();
    let known = [
        ("CKR_TOKEN_NOT_PRESENT", "put the token in, or start the service that provides it"),
        (
            "CKR_TOKEN_NOT_RECOGNIZED",
            "the slot holds something that this module cannot use: check `hsm.module`",
        ),
        ("CKR_USER_PIN_NOT_INITIALIZED", "have the token's security officer set a user PIN"),
        ("CKR_DEVICE_ERROR", "the device reports a fault: look into its own log, then restart it"),
        ("CKR_DEVICE_REMOVED", "reconnect the device"),
        ("CKR_DEVICE_MEMORY", "the token is full: retire and destroy unused keys, or use another token"),
        ("CKR_HOST_MEMORY", "this machine is out of memory"),
        (
            "CKR_GENERAL_ERROR",
            "the module failed without saying why: check its own configuration and permissions",
        ),
        (
            "CKR_FUNCTION_FAILED",
            "the module failed without saying why: check its own configuration and permissions",
        ),
        ("CKR_ARGUMENTS_BAD", "the module wants other initialization: check `hsm.init_string`"),
        ("CKR_CRYPTOKI_ALREADY_INITIALIZED", "another part of this process uses the module"),
        ("CKR_SESSION_COUNT", "the token allows fewer sessions: lower `hsm.session_threads`"),
    ];
    if let Some((_, advice)) = known.iter().find(|(code, _)| text.contains(code)) {
        return advice;
    }
    match error {
        HsmError::TokenNotFound { .. } => {
            "check `hsm.token_label` against what the module lists; a SoftHSM token also \
                                           needs SOFTHSM2_CONF in the environment"
        }
        HsmError::Doubtful(_) => {
            "the token answers but its canary key is missing: it is not the token that \
                                  `countersign init` prepared"
        }
        HsmError::File { .. } => "check owner and permissions of `core.data_dir` and of the files in it",
        HsmError::DeadlineExceeded { .. } | HsmError::Busy { .. } => {
            "the token answers too slowly: check its load"
        }
        _ => "check `hsm.module`, and that this user may load it",
    }
}
