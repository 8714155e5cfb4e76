//! `countersign verification-service add | list | enable | disable`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use gateway_domain::{
    Address,
    actor::OpCtx,
    keys::KeyAlgorithm,
    ports::VerificationReads as _,
    verification::{
        AddVerificationService, ServiceKey, VerificationService, add_verification_service,
        set_verification_service_active,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::wiring::Gateway;

#[derive(Debug, Subcommand)]
pub(super) enum VerificationServiceCommand {
    /// Add a service: one outside with its public key, or the gateway itself with keys made in the token.
    Add(Add),
    /// List the organization's services.
    List(List),
    /// Let clients choose a service.
    Enable(Switch),
    /// Let clients choose a service no longer; what was sent to it stays.
    Disable(Switch),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name for people, 1 to 100 characters; the user id of a built-in service's key.
    #[arg(long)]
    name: String,
    /// Address of the service's inbox on chain.
    #[arg(long, value_name = "ADDRESS")]
    inbox: Address,
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct KeySource {
    /// File that holds the service's armored public key.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Makes the service's RSA keys in the token: payloads for it are decrypted and judged by this gateway.
    #[arg(long, value_name = "SIZE", value_enum)]
    built_in: Option<RsaSize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RsaSize {
    Rsa2048,
    Rsa4096,
}

/// What the gateway is told to add.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NewService {
    name: String,
    inbox: Address,
    description: Option<String>,
    /// Absent for a built-in service.
    public_key: Option<String>,
    algorithm: KeyAlgorithm,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Switch {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Number of the service, as `list` shows it.
    id: u32,
    #[command(flatten)]
    format: Format,
}

impl VerificationServiceCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let switch = |id, active| Act::SwitchVerificationService { id, active };
        let (place, act, format) = match self {
            Self::Add(add) => {
                let new = add.new_service()?;
                (add.place, Act::AddVerificationService(new), add.format)
            }
            Self::List(List { place, format }) => (place, Act::ListVerificationServices, format),
            Self::Enable(Switch { place, id, format }) => (place, switch(id, true), format),
            Self::Disable(Switch { place, id, format }) => (place, switch(id, false), format),
        };
        format.print_answer(&place.order(act).await?)
    }
}

impl Add {
    fn new_service(&self) -> Result<NewService> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))
        };
        Ok(NewService {
            name: self.name.clone(),
            inbox: self.inbox,
            description: self.description.clone(),
            public_key: self.key.public_key.as_ref().map(read).transpose()?,
            algorithm: match self.key.built_in {
                Some(RsaSize::Rsa2048) => KeyAlgorithm::Rsa2048,
                Some(RsaSize::Rsa4096) | None => KeyAlgorithm::Rsa4096,
            },
        })
    }
}

pub(super) async fn add(gateway: &Gateway, ctx: &OpCtx, new: NewService) -> Result<Answer> {
    let key = match new.public_key {
        Some(armored) => ServiceKey::Outside(armored),
        None => ServiceKey::BuiltIn(new.algorithm),
    };
    let request =
        AddVerificationService { name: new.name, inbox: new.inbox, description: new.description, key };
    let service = add_verification_service(ctx, &gateway.services, request).await?;
    Ok(Answer { value: described(&service), lines: vec![line(&service)] })
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
    let services = gateway.store.verification_services(ctx.organization).await?;
    let values: Vec<_> = services.iter().map(|service| described(service)).collect();
    let lines = services.iter().map(|service| line(service)).collect();
    Ok(Answer { value: json!({ "verificationServices": values }), lines })
}

pub(super) async fn switch(gateway: &Gateway, ctx: &OpCtx, id: u32, active: bool) -> Result<Answer> {
    let service = set_verification_service_active(ctx, &gateway.services, id, active).await?;
    Ok(Answer { value: described(&service), lines: vec![line(&service)] })
}

fn line(service: &VerificationService) -> String {
    let state = if service.active { "active" } else { "disabled" };
    let place = if service.built_in.is_some() { "built-in" } else { "outside" };
    let name = plugin_host::plain(&service.name, 100);
    format!("{:<4} {state:<8} {place:<8} {}  {}  {name}", service.id, service.fingerprint, service.inbox)
}

fn described(service: &VerificationService) -> Value {
    let mut told = json!({
        "id": service.id, "name": service.name, "inbox": service.inbox, "active": service.active,
        "fingerprint": service.fingerprint, "publicKey": service.public_key, "builtIn": service.built_in.is_some(),
        "description": service.description, "createdAtMicros": service.created_at,
    });
    if let Some(until) = service.usable_until {
        told["usableUntilMicros"] = json!(until);
    }
    told
}
