//! A token that hangs until only a new process can reach it again: the gateway ends by itself, and says why.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::gateway::Installation;
use countersign_tests::process::{Service, ending};
use countersign_tests::wait;
use tokio::io::{AsyncBufReadExt, BufReader};

const DEADLINE: Duration = Duration::from_mins(1);
const RESTART_REQUIRED: i32 = 6;
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// One thread that does not come back is one too many.
const CONFIGURATION: &str = r#"
[hsm]
module = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
canary_interval_ms = 100
canary_timeout_ms = 10000
quiesce_timeout_ms = 10000
stuck_threads_max = 0
"#;

/// In front of a module, so that the process it is loaded into does not come to its end by itself.
const HOLDING: &str =
    "#include <unistd.h>\n__attribute__((destructor)) static void hold(void) { for (;;) pause(); }\n";

/// The installation's token behind a p11-kit server, which can be stopped like a machine on a network.
struct TokenServer {
    process: Child,
    socket: PathBuf,
}

impl TokenServer {
    async fn start(data_dir: &Path, softhsm_configuration: &Path) -> Result<TokenServer> {
        let socket = data_dir.join("p11-kit.socket");
        let process = Command::new("/usr/libexec/p11-kit/p11-kit-server")
            .args(["--foreground", "--provider", SOFTHSM, "--name"])
            .arg(&socket)
            .arg("pkcs11:token=countersign-dev")
            .env("SOFTHSM2_CONF", softhsm_configuration)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        let server = TokenServer { process, socket };
        wait::until("the token's server to listen", DEADLINE, async || {
            Ok(server.socket.exists().then_some(()))
        })
        .await?;
        Ok(server)
    }

    /// To the server and the process it forked for the connection.
    fn signal(&self, name: &str) -> Result<()> {
        let group = format!("-{}", self.process.id());
        ensure!(Command::new("kill").args(["-s", name, "--", &group]).status()?.success());
        Ok(())
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        let _ = self.signal("KILL");
        let _ = self.process.wait();
    }
}

/// Starts the gateway on the installation, with its token behind `server`.
fn start(data_dir: &Path, server: &TokenServer) -> Result<tokio::process::Child> {
    let config = data_dir.join("through-server.toml");
    fs::write(&config, CONFIGURATION)?;
    let listen = ["--listen", "--operator-listen"]
        .map(|option| Ok([option.to_owned(), environment::free_loopback_address()?.to_string()]))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    tokio::process::Command::new(environment::gateway_binary()?)
        .args(["dev", "--data-dir"])
        .arg(data_dir)
        .arg("--config")
        .arg(&config)
        .args(listen.concat())
        .env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", server.socket.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the gateway")
}

#[tokio::test]
async fn a_gateway_whose_token_hangs_ends_to_be_started_anew() -> Result<()> {
    let installation = Installation::new("")?;
    assert!(installation.start().await?.stop().await?.success());
    let data_dir = installation.data_dir();
    let server = TokenServer::start(&data_dir, &data_dir.join("softhsm/softhsm2.conf")).await?;
    let mut gateway = start(&data_dir, &server)?;
    let mut lines = BufReader::new(gateway.stdout.take().context("the output is piped")?).lines();
    let ready = tokio::time::timeout(DEADLINE, lines.next_line()).await??;
    assert!(ready.is_some_and(|line| line.starts_with("ready ")));

    server.signal("STOP")?;
    let ended = tokio::time::timeout(DEADLINE, gateway.wait()).await??;
    assert_eq!(ended.code(), Some(RESTART_REQUIRED));
    server.signal("CONT")?;
    assert!(installation.start().await?.stop().await?.success());
    Ok(())
}

/// What modules do when a process ends is not to be relied on: the gateway and its commands end whatever it is.
#[tokio::test]
async fn a_module_that_does_not_let_go_of_its_process_does_not_keep_it() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    let (source, module) = (deployment.path("holding.c"), deployment.path("holding.so"));
    fs::write(&source, HOLDING)?;
    let folder = Path::new(&deployment.module).parent().context("the module lies in no folder")?;
    let mut cc = ending("cc");
    cc.args(["-shared", "-fPIC", "-Wl,--no-as-needed", "-o"]).arg(&module).arg(&source);
    let compiled = cc.arg(&deployment.module).arg(format!("-Wl,-rpath,{}", folder.display())).output()?;
    ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    deployment.module = module.to_str().context("path")?.to_owned();

    let mut gateway = Service::start("/usr/bin/env".as_ref(), deployment.serving()?)?;
    gateway.line_after("ready ", DEADLINE).await?;
    ensure!(gateway.terminate(DEADLINE).await?.success());
    ensure!(deployment.run(&["key", "list"])?.status.success());
    deployment.server = "listen = \"0.0.0.0:0\"\n".to_owned();
    deployment.fails(&["serve"], 1)?;
    Ok(())
}
