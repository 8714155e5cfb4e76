//! A host, components and requests to drive it with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plugin_host::{
    CacheKey, Capability, ClaimedTransaction, CompileCommand, ComponentSource, Digest, EvaluationRequest,
    Grants, HostConfig, NoOutside, NoState, PluginHost, PreparedPlugin, VerifiedTransaction,
};
use tempfile::TempDir;
use wasmparser::{ComponentExternalKind, Parser, Payload};

/// A host with a cache of its own, which goes when this is dropped.
pub(crate) struct TestHost {
    pub(crate) host: PluginHost,
    pub(crate) config: HostConfig,
    _directory: TempDir,
}

impl TestHost {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let directory = TempDir::new().unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign-plugin-compiler"));
        let command = CompileCommand { program, arguments: Vec::new() };
        let mut config = HostConfig::new(command, directory.path().join("cache"), CacheKey::new([7; 32]));
        // Machines that run tests are busy: only tests of these bounds set tight ones.
        config.schedule.deadline = Duration::from_secs(20);
        config.compile.timeout = Duration::from_mins(10);
        config.compile.cpu_seconds = 300;
        change(&mut config);
        Self { host: PluginHost::start(&config).unwrap(), config, _directory: directory }
    }

    pub(crate) async fn prepare(&self, guest: &str) -> Arc<PreparedPlugin> {
        self.host.prepare(component(guest)).await.unwrap()
    }
}

/// A guest that `deploy/guests` has built.
pub(crate) fn component(guest: &str) -> ComponentSource {
    let program = std::env::current_exe().unwrap();
    // target/release/deps/it-..
    let target = program.ancestors().nth(3).expect("tests run from the target folder");
    let path = target.join(format!("guests/{guest}.wasm"));
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run deploy/guests", path.display()));
    source(bytes)
}

/// A component under its true digest.
pub(crate) fn source(bytes: impl Into<Arc<[u8]>>) -> ComponentSource {
    let bytes = bytes.into();
    ComponentSource { digest: Digest::of(&bytes), bytes }
}

/// The guest with one more core module in it, which runs its `start` function whenever the guest is instantiated.
pub(crate) fn with_module(guest: &str, module: &str) -> ComponentSource {
    let mut bytes = component(guest).bytes.to_vec();
    let is_module = |payload: &Payload<'_>| matches!(payload, Payload::ModuleSection { .. });
    let modules =
        Parser::new(0).parse_all(&bytes).filter(|payload| is_module(payload.as_ref().unwrap())).count();
    // Section 1 is a core module; section 2 holds one instance, made of that module without arguments.
    section(&mut bytes, 1, &wat::parse_str(module).unwrap());
    section(&mut bytes, 2, &[1, 0, u8::try_from(modules).unwrap(), 0]);
    source(bytes)
}

/// The guest with one more instance among its exports: that of a component without imports, given as text.
pub(crate) fn with_export(guest: &str, name: &str, exported: &str) -> ComponentSource {
    let mut bytes = component(guest).bytes.to_vec();
    let (components, instances) = counted(&bytes);
    // A component, an instance of it without arguments, and its export (kind 5) under a plain name and without a type.
    section(&mut bytes, 4, &wat::parse_str(exported).unwrap());
    section(&mut bytes, 5, &[1, 0, components, 0]);
    let length = u8::try_from(name.len()).expect("a name below 128 bytes has a length of one byte");
    section(&mut bytes, 11, &[&[1, 0, length], name.as_bytes(), &[5, instances, 0]].concat());
    source(bytes)
}

/// Components and instances of components that a component has at its top.
fn counted(component: &[u8]) -> (u8, u8) {
    let (mut depth, mut components, mut instances) = (0, 0, 0);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.unwrap();
        if depth == 0 {
            instances += match &payload {
                Payload::ComponentInstanceSection(made) => made.count(),
                Payload::ComponentImportSection(imports) => {
                    let kinds = imports.clone().into_iter().map(|one| one.unwrap().ty.kind());
                    kinds.map(|kind| u32::from(kind == ComponentExternalKind::Instance)).sum()
                }
                Payload::ComponentExportSection(exports) => {
                    let kinds = exports.clone().into_iter().map(|one| one.unwrap().kind);
                    kinds.map(|kind| u32::from(kind == ComponentExternalKind::Instance)).sum()
                }
                _ => 0,
            };
            components += u8::from(matches!(payload, Payload::ComponentSection { .. }));
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    (components, u8::try_from(instances).unwrap())
}

/// The guest with a custom section, which changes its digest and nothing else.
pub(crate) fn with_section(guest: &str, name: &str, contents: &[u8]) -> ComponentSource {
    let mut bytes = component(guest).bytes.to_vec();
    let length = u8::try_from(name.len()).expect("a name below 128 bytes has a length of one byte");
    section(&mut bytes, 0, &[&[length], name.as_bytes(), contents].concat());
    source(bytes)
}

/// A component that holds another.
pub(crate) fn nested(inner: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    section(&mut bytes, 4, inner);
    bytes
}

/// Appends a section: its id, its length as LEB128, its contents.
fn section(component: &mut Vec<u8>, id: u8, contents: &[u8]) {
    component.push(id);
    let mut length = contents.len();
    while length >= 0x80 {
        component.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend(contents);
}

/// A transfer under `settings`, with every capability granted.
pub(crate) fn request(settings: &str) -> EvaluationRequest {
    EvaluationRequest {
        verified: transfer(),
        claimed: ClaimedTransaction { description: Some("invoice 7".to_owned()), ..Default::default() },
        settings: settings.into(),
        grants: Grants::from_iter(Capability::ALL),
        state: Arc::new(NoState),
        outside: Arc::new(NoOutside),
        requested_at_ms: 1_800_000_000_000,
        deadline: None,
    }
}

/// One ether to a recipient that is known.
pub(crate) fn transfer() -> VerifiedTransaction {
    VerifiedTransaction {
        organization_id: "org_1".to_owned(),
        transaction_id: "tx_1".to_owned(),
        key_id: "key_1".to_owned(),
        chain: "eip155:1".to_owned(),
        kind: "transfer".to_owned(),
        sender: "0x00000000000000000000000000000000000000aa".to_owned(),
        recipient: Some("0x00000000000000000000000000000000000000bb".to_owned()),
        value: "1000000000000000000".to_owned(),
        transactions_to_recipient: 3,
        ..VerifiedTransaction::default()
    }
}
