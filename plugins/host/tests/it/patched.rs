//! Guests of which one function does something else than its author wrote: what no compiler would make.

use std::ops::Range;

use plugin_host::ComponentSource;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use crate::guests::{component, source};

/// Bytes before the first section: magic, version, layer.
const HEADER: usize = 8;
const MODULE: u8 = 1;
const CODE: u8 = 10;

/// `hello` with another body for the function that its own module exports under `export`. `function` is a whole WAT
/// function of the same type; a memory of its own stands for the guest's.
pub(crate) fn with_body(export: &str, function: &str) -> ComponentSource {
    let bytes = component("hello").bytes;
    let patched = sections(&bytes).into_iter().find_map(|(id, whole, contents)| {
        let module = (id == MODULE).then(|| patch(&bytes[contents], export, function))??;
        Some([&bytes[..whole.start], &section(MODULE, &module), &bytes[whole.end..]].concat())
    });
    source(patched.unwrap_or_else(|| panic!("no module of `hello` exports `{export}`")))
}

/// The name under which `hello` exports a function of the contract.
pub(crate) fn contract_export(suffix: &str) -> String {
    let bytes = component("hello").bytes;
    let names = sections(&bytes).into_iter().filter(|(id, ..)| *id == MODULE);
    let mut names = names.flat_map(|(_, _, contents)| exports(&bytes[contents]));
    let found = names.find(|(name, _)| name.starts_with("countersign:") && name.ends_with(suffix));
    found.unwrap_or_else(|| panic!("`hello` exports nothing that ends with `{suffix}`")).0
}

fn patch(module: &[u8], export: &str, function: &str) -> Option<Vec<u8>> {
    let (_, index) = exports(module).into_iter().find(|(name, _)| name == export)?;
    let (mut imported, mut bodies) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports();
                imported = imports.filter(|one| matches!(one.as_ref().unwrap().ty, TypeRef::Func(_))).count();
            }
            Payload::CodeSectionEntry(body) => bodies.push(module[body.range()].to_vec()),
            _ => {}
        }
    }
    bodies[index as usize - imported] = body(function);
    let mut code = leb(bodies.len());
    for body in bodies {
        code.extend([leb(body.len()), body].concat());
    }
    let (_, whole, _) = sections(module).into_iter().find(|(id, ..)| *id == CODE)?;
    Some([&module[..whole.start], &section(CODE, &code), &module[whole.end..]].concat())
}

fn exports(module: &[u8]) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(exports) = payload.unwrap() {
            let exports = exports.into_iter().map(|export| export.unwrap());
            let functions = exports.filter(|export| export.kind == ExternalKind::Func);
            found.extend(functions.map(|export| (export.name.to_owned(), export.index)));
        }
    }
    found
}

/// Locals and instructions of a function in text.
fn body(function: &str) -> Vec<u8> {
    let module = wat::parse_str(format!("(module (memory 1) {function})")).unwrap();
    let entry = Parser::new(0).parse_all(&module).find_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(module[body.range()].to_vec()),
        _ => None,
    });
    entry.expect("the text holds a function")
}

/// Every section: its id, all of it, and its contents.
fn sections(bytes: &[u8]) -> Vec<(u8, Range<usize>, Range<usize>)> {
    let (mut at, mut found) = (HEADER, Vec::new());
    while at < bytes.len() {
        let (start, id) = (at, bytes[at]);
        at += 1;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = bytes[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((id, start..at + length, at..at + length));
        at += length;
    }
    found
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], leb(contents.len()).as_slice(), contents].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}
