//! A plugin host for authors: no gateway, no token and no database.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plugin_host::{
    CacheKey, CompileCommand, ComponentSource, Digest, EvaluationFailure, FailureCode, HostConfig,
    PluginHost, PreparedPlugin,
};
use tempfile::TempDir;

use crate::{cli::output::progress, wiring::COMPILE_COMMAND};

mod shelf;

/// The first eight bytes of a WebAssembly binary: magic, version and layer.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A component, as authors' commands take it.
#[derive(Debug, Args)]
pub(in crate::cli) struct ComponentArgument {
    /// The component, made by whatever toolchain.
    #[arg(value_name = "COMPONENT")]
    path: PathBuf,
}

/// The sandbox with its default limits.
pub(super) struct Workbench {
    pub(super) host: PluginHost,
    /// For how long a gateway that says nothing else waits; here it may take longer.
    pub(super) gateway_deadline: Duration,
    /// Of compiled code, where there is no lasting one.
    _directory: Option<TempDir>,
}

/// A component on the workbench.
pub(super) struct Loaded {
    pub(super) plugin: Arc<PreparedPlugin>,
    pub(super) bytes: usize,
}

impl Workbench {
    pub(super) fn open(change: impl FnOnce(&mut HostConfig)) -> Result<Self> {
        let program =
            env::current_exe().context("finding this program's own path, to compile plugins with")?;
        let command = CompileCommand { program, arguments: vec![COMPILE_COMMAND.into()] };
        let (folder, key, directory) = if let Some((folder, key)) = shelf::open() {
            (folder, key, None)
        } else {
            let directory = tempfile::tempdir().context("making a directory for compiled code")?;
            (directory.path().join("cache"), CacheKey::new(rand::random()), Some(directory))
        };
        let mut config = HostConfig::new(command, folder, key);
        let gateway_deadline = config.schedule.deadline;
        // An author's machine may be busy; what took too long for a gateway is noted.
        config.schedule.deadline = Duration::from_secs(10);
        config.compile.timeout = Duration::from_mins(10);
        config.compile.cpu_seconds = 300;
        change(&mut config);
        let host = PluginHost::start(&config).context("starting the plugin host")?;
        Ok(Self { host, gateway_deadline, _directory: directory })
    }

    pub(super) async fn load(&self, argument: &ComponentArgument) -> Result<Loaded> {
        let component = argument.read()?;
        let bytes = component.len();
        progress(&format!("compiling {bytes} bytes"));
        let source = ComponentSource { digest: Digest::of(&component), bytes: component.into() };
        let prepared = self.host.prepare(source).await;
        let plugin = prepared.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
        Ok(Loaded { plugin, bytes })
    }
}

impl ComponentArgument {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let shown = self.path.display();
        let bytes = fs::read(&self.path).with_context(|| format!("reading `{shown}`"))?;
        if bytes.is_empty() {
            bail!("`{shown}` is empty: the build that should have written it did not end well");
        }
        if bytes.starts_with(CORE_MODULE) {
            bail!(
                "`{shown}` is a core module and not a component: link with `wasm-component-ld`, as `countersign \
                 plugin build` does, or run `wasm-tools component new {shown} -o component.wasm`"
            );
        }
        if !bytes.starts_with(COMPONENT) {
            bail!(
                "`{shown}` is not a WebAssembly component: give the binary `.wasm` file that the toolchain writes, not \
                 text (`.wat`) and not precompiled code (`.cwasm`)"
            );
        }
        Ok(bytes)
    }
}

/// What to tell of an evaluation that took so long, if a gateway would have denied it for that.
pub(super) fn too_late(took: Duration, deadline: Duration) -> Option<String> {
    let told = || {
        let (took, deadline) = (took.as_millis(), deadline.as_millis());
        format!(
            "it took {took} ms here; a gateway denies what takes longer than {deadline} ms (`plugins.deadline_ms`)"
        )
    };
    (took > deadline).then(told)
}

/// The failure and, where there is something to do about it, what.
pub(super) fn diagnosis(failure: &EvaluationFailure) -> String {
    let advice = match failure.code {
        FailureCode::UnsupportedContract => {
            "the component must export `countersign:policy/policy` of a version that this gateway has: build it \
             against `wit/1.0`, and do not change the types there"
        }
        FailureCode::InstanceLimit => {
            "the component holds more instances, memories or tables than a gateway takes by default; see \
             `plugins.instances_max`, `plugins.memories_max` and `plugins.table_elements_max`"
        }
        FailureCode::CompileFailed => "validate it with `wasm-tools validate`, and see that it is complete",
        FailureCode::ComponentTooLarge => "strip it, or leave out what it does not need",
        FailureCode::Abort => "the guest panicked, or ran out of memory; its last line of log says more",
        FailureCode::Timeout => "the guest did not end: `describe` and `validate-settings` take microseconds",
        _ => return failure.to_string(),
    };
    format!("{failure}\n  -> {advice}")
}

/// JSON text of a file of settings, or `{}`.
pub(super) fn settings_text(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok("{}".to_owned()) };
    fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))
}
