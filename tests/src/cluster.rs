//! Several gateways that share one PostgreSQL database and one SoftHSM token, made by `init` and run by `serve` as an
//! operator would. SoftHSM has no locks between processes that a deployment could rely on; the tests make keys on one
//! gateway at a time.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::configuration::{self, PATIENT};
use crate::environment;
use crate::process::{Service, ending, signal};

const READY_DEADLINE: Duration = Duration::from_mins(1);
const PIN: &str = "tests-only-4711";
const LABEL: &str = "cluster";
/// What every gateway of the deployment calls itself, wherever it listens.
pub const ORIGIN: &str = "https://custody.example";

/// A deployment: its token, its database, and how many gateways it has.
pub struct Cluster {
    folder: TempDir,
    members: Vec<Member>,
    pub admin_api_key: String,
    pub organization: String,
}

struct Member {
    config: PathBuf,
    /// Settings besides the file's, as `NAME=value`.
    settings: Mutex<Vec<String>>,
}

/// A running gateway of the deployment.
pub struct Node {
    service: Service,
    client: Client,
}

impl Cluster {
    /// Initializes a deployment of `members` gateways on the database and chain, with Orion as its authority.
    pub fn initialize(
        members: usize,
        database_url: &str,
        chain: &configuration::Chain<'_>,
    ) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("countersign-cluster-").tempdir()?;
        make_token(folder.path())?;
        let rendered = configuration::render(std::slice::from_ref(chain), Some(database_url));
        let mut cluster = Cluster {
            members: (0..members)
                .map(|index| Member {
                    config: folder.path().join(format!("gateway-{index}.toml")),
                    settings: Mutex::default(),
                })
                .collect(),
            folder,
            admin_api_key: String::new(),
            organization: String::new(),
        };
        for (index, member) in cluster.members.iter().enumerate() {
            let shared = cluster.sections(index)?;
            fs::write(&member.config, format!("{rendered}\n{shared}"))?;
        }
        let made = cluster.order(0, &["init", "--organization", "cluster", "--development"])?;
        let field =
            |name: &str| made[name].as_str().map(str::to_owned).with_context(|| format!("no `{name}`"));
        (cluster.organization, cluster.admin_api_key) = (field("organization")?, field("adminApiKey")?);
        let pin = field("auditKeyFingerprint")?;
        for member in &cluster.members {
            let text = fs::read_to_string(&member.config)?;
            let text =
                text.replace("[core]\n", &format!("[core]\norganization = \"{}\"\n", cluster.organization));
            fs::write(&member.config, format!("{text}\n[audit]\nkey_fingerprint = \"{pin}\"\n"))?;
        }
        cluster.install_orion(0, &json!({}))?;
        Ok(cluster)
    }

    fn sections(&self, index: usize) -> Result<String> {
        let folder = self.folder.path().display();
        let (listen, operator) =
            (environment::free_loopback_address()?, environment::free_loopback_address()?);
        Ok(format!(
            "[core]\ndata_dir = \"{folder}/data-{index}\"\n\n[server]\nlisten = \"{listen}\"\n\
             operator_listen = \"{operator}\"\npublic_origin = \"{ORIGIN}\"\n\n[hsm]\nmodule = \"{module}\"\n\
             token_label = \"{LABEL}\"\npin = \"{PIN}\"\nlock_file = \"{folder}/hsm-start.lock\"\n\
             pin_record_file = \"{folder}/hsm-pin-record\"\nstorage_directories = [\"{folder}/tokens\"]\n\n{PATIENT}",
            module = softhsm_module()?.display(),
        ))
    }

    /// Binds Orion with these settings, which moves the policy's head. New recipients are no matter.
    pub fn install_orion(&self, index: usize, settings: &Value) -> Result<Value> {
        let mut settings = settings.clone();
        settings["newRecipient"] = "ignore".into();
        self.install(index, "orion", (&settings, &["log", "settings", "clock"]), &["--authority", "orion"])
    }

    /// Binds a guest as a gate beside Orion.
    pub fn install_gate(
        &self,
        index: usize,
        guest: &str,
        settings: &Value,
        grants: &[&str],
    ) -> Result<Value> {
        self.install(index, guest, (settings, grants), &["--gate"])
    }

    fn install(
        &self,
        index: usize,
        guest: &str,
        (settings, grants): (&Value, &[&str]),
        power: &[&str],
    ) -> Result<Value> {
        let file = self.folder.path().join(format!("{guest}-settings.json"));
        fs::write(&file, settings.to_string())?;
        let component = environment::gateway_binary()?.with_file_name(format!("../guests/{guest}.wasm"));
        let paths = [component.to_str().context("path")?, file.to_str().context("path")?];
        let mut arguments = vec!["plugin", "install", paths[0], "--name", guest, "--settings", paths[1]];
        arguments.extend(power);
        arguments.extend(grants.iter().flat_map(|grant| ["--grant", grant]));
        self.order(index, &arguments)
    }

    /// Adds sections to the configuration of every gateway.
    pub fn configure(&self, more: &str) -> Result<()> {
        for member in &self.members {
            let text = fs::read_to_string(&member.config)?;
            fs::write(&member.config, format!("{text}\n{more}"))?;
        }
        Ok(())
    }

    /// Configures a gateway for its next start; `key` as in `server.login_burst`.
    pub fn set(&self, index: usize, key: &str, value: impl Display) {
        let name = key.to_uppercase().replace('.', "__");
        let mut settings = self.members[index].settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.push(format!("COUNTERSIGN__{name}={value}"));
    }

    /// A new API key.
    pub fn api_key(&self, index: usize, label: &str) -> Result<String> {
        let made = self.order(index, &["apikey", "create", "--label", label, "--name", label])?;
        made["apiKey"].as_str().map(str::to_owned).context("no key was made")
    }

    /// Runs a command with the configuration of one gateway and returns what it answers.
    pub fn order(&self, index: usize, arguments: &[&str]) -> Result<Value> {
        let config = self.members[index].config.to_str().context("the configuration's path is not UTF-8")?;
        let output = ending(environment::gateway_binary()?)
            .env("SOFTHSM2_CONF", self.folder.path().join("softhsm2.conf"))
            .args(arguments)
            .args(["--config", config, "--json"])
            .output()?;
        ensure!(
            output.status.success(),
            "`{}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Serves, and waits until the gateway has signed its canary.
    pub async fn start(&self, index: usize) -> Result<Node> {
        let member = &self.members[index];
        let mut token = OsString::from("SOFTHSM2_CONF=");
        token.push(self.folder.path().join("softhsm2.conf"));
        let settings = member.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let command: [OsString; 4] = [
            environment::gateway_binary()?.into(),
            "serve".into(),
            "--config".into(),
            member.config.clone().into(),
        ];
        let arguments = [token].into_iter().chain(settings.into_iter().map(OsString::from)).chain(command);
        let mut service = Service::start("/usr/bin/env".as_ref(), arguments)?;
        let base_url = service.line_after("ready ", READY_DEADLINE).await?;
        Ok(Node { service, client: Client::new(&base_url) })
    }

    /// Verifies the audit log of all gateways; an error carries what the command said.
    pub fn verify_audit(&self) -> Result<()> {
        let verified = self.order(0, &["audit", "verify"])?;
        ensure!(verified["verified"] == true, "{verified}");
        Ok(())
    }
}

impl Node {
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn output(&self) -> String {
        self.service.output()
    }

    pub fn process_id(&self) -> u32 {
        self.service.process_id()
    }

    /// SIGSTOP: the process stands still until [`Node::thaw`].
    pub fn freeze(&self) -> Result<()> {
        signal(self.service.process_id(), "STOP")
    }

    pub fn thaw(&self) -> Result<()> {
        signal(self.service.process_id(), "CONT")
    }

    /// kill -9.
    pub fn kill(self) -> Result<()> {
        self.service.kill()
    }
}

fn make_token(folder: &Path) -> Result<()> {
    let tokens = folder.join("tokens");
    fs::create_dir(&tokens)?;
    let configuration = folder.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    fs::write(&configuration, text)?;
    let output = ending("softhsm2-util")
        .env("SOFTHSM2_CONF", &configuration)
        .args(["--init-token", "--free", "--label", LABEL, "--so-pin", PIN, "--pin", PIN])
        .output()
        .context("cannot run `softhsm2-util`")?;
    ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn softhsm_module() -> Result<PathBuf> {
    let candidates = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    found.context("libsofthsm2.so was not found")
}
