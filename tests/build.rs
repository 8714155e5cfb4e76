//! Makes a component of a core module that no toolchain of ours has seen, as `wasm-tools component embed` and `wasm-tools
//! component new` do it for whoever compiled one.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const MODULE: &str = "it/operators/limit.wat";
const CONTRACT: &str = "../wit/1.0";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={MODULE}");
    println!("cargo::rerun-if-changed={CONTRACT}");
    let mut module = wat::parse_file(MODULE)?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(CONTRACT)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    #[expect(clippy::disallowed_methods, reason = "a build script has no other way to learn where to write")]
    let folder = env::var_os("OUT_DIR").context("cargo names no `OUT_DIR`")?;
    fs::write(Path::new(&folder).join("limit.wasm"), component).context("writing the component")
}
