//! A Rust toolchain that can make components: one with the target `wasm32-unknown-unknown`, or a distribution's with
//! the standard library that `deploy/guests` has built for it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::config::user_cache_dir;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// Stack of a guest in its linear memory.
const STACK_BYTES: u32 = 65_536;
/// What a caller's environment may hold that would leak into a guest.
const CLEARED: [&str; 9] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
];

/// Programs and flags that make a component.
pub(super) struct Toolchain {
    cargo: PathBuf,
    compiler: PathBuf,
    /// Where `std` lies, if not with the compiler.
    sysroot: Option<PathBuf>,
    component_linker: PathBuf,
    module_linker: PathBuf,
}

impl Toolchain {
    pub(super) fn find() -> Result<Self> {
        let (cargo, compiler, sysroot) = compiler()?;
        let own = printed(&compiler, "sysroot")?;
        // A distribution's compiler comes without linkers; those of rustup's do as well.
        let other = printed(Path::new("rustc"), "sysroot").ok();
        let sysroots: Vec<PathBuf> = [Some(own), other].into_iter().flatten().map(PathBuf::from).collect();
        let program = |name: &str| {
            let found = sysroots.iter().find_map(|sysroot| bundled(sysroot, name));
            found.with_context(|| format!("no `{name}` beside the compiler: install Rust with rustup"))
        };
        let (component_linker, module_linker) = (program("wasm-component-ld")?, program("gcc-ld/wasm-ld")?);
        Ok(Self { cargo, compiler, sysroot, component_linker, module_linker })
    }

    /// `cargo build` for the target, its messages as JSON.
    pub(super) fn build(&self, project: &Path) -> Command {
        let mut flags = format!(
            "-C linker-flavor=wasm-ld -C link-arg=-zstack-size={STACK_BYTES} -C link-arg=--wasm-ld-path={}",
            self.module_linker.display()
        );
        if let Some(sysroot) = &self.sysroot {
            flags = format!("--sysroot {} {flags}", sysroot.display());
        }
        let mut command = Command::new(&self.cargo);
        for name in CLEARED {
            command.env_remove(name);
        }
        command
            .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
            .current_dir(project)
            .env("RUSTC", &self.compiler)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.component_linker)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
        command
    }
}

/// Cargo, compiler and, if need be, the folder of `std`.
fn compiler() -> Result<(PathBuf, PathBuf, Option<PathBuf>)> {
    let installed = PathBuf::from("rustc");
    if has_target(&installed, None) {
        return Ok(("cargo".into(), installed, None));
    }
    let distribution = PathBuf::from("/usr/bin/rustc");
    if let Some(sysroot) = built_sysroot(&distribution)
        && has_target(&distribution, Some(&sysroot))
    {
        return Ok(("/usr/bin/cargo".into(), distribution, Some(sysroot)));
    }
    bail!(
        "the Rust toolchain lacks `{TARGET}`: run `rustup target add {TARGET}`; where none can be added, run \
         `deploy/guests rust`, which builds the standard library for it once into the cache of `HOME` or `XDG_CACHE_HOME`"
    );
}

/// What `deploy/guests` keeps for a compiler.
fn built_sysroot(compiler: &Path) -> Option<PathBuf> {
    let output = clean(compiler).arg("-vV").output().ok()?;
    let key = hex::encode(Sha256::digest(&output.stdout));
    let sysroot = user_cache_dir()?.join("countersign").join(format!("sysroot-{}", &key[..16]));
    sysroot.is_dir().then_some(sysroot)
}

fn has_target(compiler: &Path, sysroot: Option<&Path>) -> bool {
    let libraries = match sysroot {
        Some(sysroot) => sysroot.join("lib/rustlib").join(TARGET).join("lib"),
        None => match printed(compiler, "target-libdir") {
            Ok(libraries) => PathBuf::from(libraries),
            Err(_) => return false,
        },
    };
    let Ok(entries) = libraries.read_dir() else { return false };
    let is_std = |name: &str| {
        name.starts_with("libstd-") && Path::new(name).extension().is_some_and(|it| it == "rlib")
    };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_std))
}

/// What the compiler prints of itself, for the target.
fn printed(compiler: &Path, what: &str) -> Result<String> {
    let output = clean(compiler).args(["--print", what, "--target", TARGET]).output();
    let output = output.with_context(|| format!("running `{}`", compiler.display()))?;
    if !output.status.success() {
        bail!("`{}` prints no `{what}`", compiler.display());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in CLEARED {
        command.env_remove(name);
    }
    command
}

/// A program among those that a toolchain brings along for its host.
fn bundled(sysroot: &Path, name: &str) -> Option<PathBuf> {
    let hosts = sysroot.join("lib/rustlib").read_dir().ok()?;
    hosts.flatten().map(|host| host.path().join("bin").join(name)).find(|path| path.is_file())
}
