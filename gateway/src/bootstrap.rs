//! The first start of `countersign dev`: a SoftHSM token, a demo organization, Orion bound to it, and the keys to
//! play every part. What it writes is a complete quorum, so it exists for `dev` alone, private to its user, and its
//! API keys work from loopback peers only.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use gateway_domain::{
    U256,
    actor::{Actor, OpCtx},
    approvals::{EvidenceLevel, Role},
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    credentials::{CreateApiKey, Label, create_api_key},
    entropy::draw,
    identity::Organization,
    ids::OrganizationId,
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, generate_key},
    policy::{Applies, BindingScope, Mode, Power, Requirement, UploadPlugin},
    ports::{IdentityReads as _, UnitOfWork as _},
    transactions::Kind,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    adapters::system::SystemEntropy,
    config::{Config, Secret},
    install::{InstallPlugin, install_plugin},
    wiring::Gateway,
};

/// The demo organization's id: fixed, so that a first start that was cut short finds its own beginnings.
const DEMO: OrganizationId = OrganizationId::from_uuid(uuid::uuid!("0de0c0de-0000-8000-8000-000000000001"));
const FILE: &str = "bootstrap.json";
const PIN_FILE: &str = "hsm-pin";
const TOKEN_READY: &str = "token-ready";
/// Demo policy: from one ether on, the user and an agent besides Orion.
const PEOPLE_ABOVE_WEI: u64 = 999_999_999_999_999_999;
/// Demo policy: Orion rejects more than ten ether at once and the customary burn address.
const ORION_SETTINGS: &str = concat!(
    r#"{"valueLimit":"10000000000000000000","#,
    r#""denyList":["0x000000000000000000000000000000000000dead"],"#,
    r#""newRecipientValue":"5000000000000000000"}"#
);

/// What `DIR/bootstrap.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bootstrap {
    base_url: String,
    operator_url: String,
    organization: String,
    admin_api_key: String,
    agent_api_key: String,
    arbiter_api_key: String,
    orion_api_key: String,
    relayer_address: String,
    hsm_pin: String,
    audit_key_fingerprint: String,
}

/// Whether an earlier start has finished its bootstrap.
pub(crate) fn is_complete(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

/// Whether the directory was made by `dev`; `serve` refuses such a one.
pub(crate) fn is_dev_directory(data_dir: &Path) -> bool {
    is_complete(data_dir) || data_dir.join(PIN_FILE).exists()
}

/// Makes the SoftHSM token of a dev directory, unless it exists, and points `config` at it. The caller has set
/// `SOFTHSM2_CONF` to what [`softhsm_configuration`] says.
pub(crate) fn prepare_token(config: &mut Config, data_dir: &Path) -> Result<()> {
    let pin = dev_pin(data_dir)?;
    config.hsm.pin = Some(Secret::new(pin.clone()));
    config.hsm.pin_file = None;
    if config.hsm.module.is_none() {
        config.hsm.module = Some(softhsm_module()?);
    }
    let paths = hsm::write_softhsm_config(&data_dir.join("softhsm"))?;
    config.hsm.storage_directories.0 = vec![paths.tokens.to_string_lossy().into_owned()];
    let ready = data_dir.join(TOKEN_READY);
    if ready.exists() {
        return Ok(());
    }
    // A token without the marker was never used: an earlier start died while making it.
    fs::remove_dir_all(&paths.tokens)?;
    hsm::write_softhsm_config(&data_dir.join("softhsm"))?;
    let settings = config.hsm.hsm_config(data_dir)?;
    let security_officer = hsm::Pin::new(random_text());
    hsm::provision_token(&settings, &security_officer).context("making the SoftHSM token")?;
    write_private(&ready, b"")
}

/// What `SOFTHSM2_CONF` must be for a dev directory.
pub(crate) fn softhsm_configuration(data_dir: &Path) -> PathBuf {
    data_dir.join("softhsm").join("softhsm2.conf")
}

/// Where Debian, Fedora and Homebrew put the module.
fn softhsm_module() -> Result<PathBuf> {
    let candidates = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    ];
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    found.context("libsofthsm2.so was not found: install softhsm2, or set `hsm.module`")
}

fn dev_pin(data_dir: &Path) -> Result<String> {
    let path = data_dir.join(PIN_FILE);
    match fs::read_to_string(&path) {
        Ok(pin) if !pin.is_empty() => Ok(pin),
        Ok(_) => bail!("`{}` is empty; remove the data directory and start again", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pin = random_text();
            write_private(&path, pin.as_bytes())?;
            Ok(pin)
        }
        Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
    }
}

fn random_text() -> String {
    hex::encode(draw::<16>(&SystemEntropy))
}

/// Creates, never opens: whoever could plant the file must not choose its owner or readers.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("new-{}", hex::encode(draw::<4>(&SystemEntropy))));
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let mut file = file.with_context(|| format!("creating `{}`", temporary.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path).with_context(|| format!("writing `{}`", path.display()))
}

/// Completes a dev directory, or brings the addresses in its file up to date. Returns the demo organization.
pub(crate) async fn ensure(gateway: &Gateway, orion: &Path) -> Result<OrganizationId> {
    let file = gateway.data_dir.path().join(FILE);
    let bootstrap = if is_complete(gateway.data_dir.path()) {
        let text = fs::read(&file).with_context(|| format!("reading `{}`", file.display()))?;
        let stored: Bootstrap =
            serde_json::from_slice(&text).with_context(|| format!("reading `{}`", file.display()))?;
        Bootstrap { base_url: base_url(gateway), operator_url: operator_url(gateway), ..stored }
    } else {
        first_start(gateway, orion).await?
    };
    write_private(&file, &serde_json::to_vec_pretty(&bootstrap)?)?;
    Ok(DEMO)
}

async fn first_start(gateway: &Gateway, orion: &Path) -> Result<Bootstrap> {
    let ctx = || local_operator(gateway);
    if gateway.store.organization(DEMO).await?.is_none() {
        create_organization(gateway, &ctx()).await?;
    }
    let component = fs::read(orion).with_context(|| {
        format!(
            "reading the Orion component `{}`; build it with `./deploy/guests`, or name it with --orion",
            orion.display()
        )
    })?;
    let install = InstallPlugin {
        plugin: UploadPlugin {
            plugin: "orion".to_owned(),
            component,
            settings: ORION_SETTINGS.to_owned(),
            grants: BTreeSet::from(["log".to_owned(), "settings".to_owned(), "clock".to_owned()]),
            signature: None,
        },
        mode: Mode::Enforce,
        power: Power::Authority(Role::Orion),
        scope: BindingScope {
            kinds: BTreeSet::from([Kind::Transaction]),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults: BTreeSet::new(),
        },
        floor: Some(vec![
            people(Role::User, EvidenceLevel::Request),
            people(Role::Agent, EvidenceLevel::Bearer),
        ]),
    };
    install_plugin(gateway, &ctx(), install).await.context("installing Orion")?;
    let relayer = GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Relayer,
        kinds: BTreeSet::new(),
        vault: None,
    };
    let relayer =
        generate_key(&ctx(), &gateway.services, relayer, None).await.context("making the relayer key")?;
    Ok(Bootstrap {
        base_url: base_url(gateway),
        operator_url: operator_url(gateway),
        organization: DEMO.to_string(),
        admin_api_key: api_key(gateway, Label::Admin).await?,
        agent_api_key: api_key(gateway, Label::Agent).await?,
        arbiter_api_key: api_key(gateway, Label::Arbiter).await?,
        orion_api_key: api_key(gateway, Label::Orion).await?,
        relayer_address: relayer.address.context("a secp256k1 key has an address")?.to_string(),
        hsm_pin: dev_pin(gateway.data_dir.path())?,
        audit_key_fingerprint: gateway.fingerprint(),
    })
}

async fn create_organization(gateway: &Gateway, ctx: &OpCtx) -> Result<()> {
    let name = "demo".to_owned();
    let organization = Organization { id: DEMO, name, frozen: false, version: 1, created_at: ctx.now };
    let event =
        AuditEvent::new(ctx, "organization.created", format!("organization {DEMO}"), json!({"name": "demo"}));
    let sealed = gateway.services.sealer.seal(organization);
    gateway.store.commit(ChangeSet::new(event).write(Write::InsertOrganization(sealed))).await?;
    Ok(())
}

fn people(role: Role, evidence: EvidenceLevel) -> Requirement {
    Requirement { role, count: 1, evidence, applies: Applies::AboveValue(U256::from(PEOPLE_ABOVE_WEI)) }
}

async fn api_key(gateway: &Gateway, label: Label) -> Result<String> {
    let name = format!("demo {}", label.as_str());
    let request = CreateApiKey {
        label,
        name,
        principal: None,
        expires_at: None,
        dev_only: true,
        verification_service: None,
    };
    let (_, text) = create_api_key(&local_operator(gateway), &gateway.services, request).await?;
    Ok(text.reveal().to_string())
}

fn local_operator(gateway: &Gateway) -> OpCtx {
    OpCtx {
        organization: DEMO,
        actor: Actor::LocalOperator,
        source: None,
        request_id: "bootstrap".to_owned(),
        now: gateway.services.clock.now(),
    }
}

fn base_url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.config.server.listen)
}

fn operator_url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.config.server.operator_listen)
}
