//! Guests of which one function does something else than its author wrote: what no compiler would make.

use std::ops::Range;

use plugin_host::ComponentSource;
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

use crate::guests::{component, source};

/// Bytes before the first section: magic, version, layer.
const HEADER: usize = 8;
const MODULE: u8 = 1;
const CODE: u8 = 10;

/// `hello` with another body for the function that its own module exports under `export`. `function` is a whole WAT
/// function of the same type; a memory of its own stands for the guest's.
pub(crate) fn with_body(export: &str, function: &str) -> ComponentSource {
    with_bodies(&[(export, function)])
}

/// The same for several functions.
pub(crate) fn with_bodies(bodies: &[(&str, &str)]) -> ComponentSource {
    let mut bytes = component("hello").bytes.to_vec();
    for (export, function) in bodies {
        bytes = with_body_in(&bytes, export, |_| format!("(memory 1) {function}"));
    }
    source(bytes)
}

/// The same with a function of the contract that the body may call as `$host`: the one that `limiter` imports to read its
/// settings, which is given an address for them.
pub(crate) fn with_body_that_calls_the_host(export: &str, function: &str) -> ComponentSource {
    let limiter = component("limiter").bytes;
    let patched = with_body_in(&limiter, export, |module| {
        let before = host_function(module, "/settings@");
        let others: String = (0..before).map(|_| "(import \"\" \"\" (func))").collect();
        format!("{others} (import \"\" \"host\" (func $host (param i32))) (memory 1) {function}")
    });
    source(patched)
}

/// For each function of the contract that a guest imports a guest whose `evaluate` calls it with words of the transaction's
/// data as they come, a word of text and a number lying where they may point to, and gives up after that.
pub(crate) fn callers_of_the_host(guest: &str) -> Vec<(String, ComponentSource)> {
    let (bytes, export) = (component(guest).bytes, contract_export("#evaluate"));
    let module = sections(&bytes).into_iter().find_map(|(id, _, contents)| {
        let module = &bytes[contents];
        (id == MODULE && exports(module).iter().any(|(name, _)| *name == export)).then_some(module)
    });
    let functions = host_functions(module.expect("a guest exports `evaluate`")).into_iter().enumerate();
    let of_contract = functions.filter(|(_, (name, _))| name.starts_with("countersign:"));
    let caller = |(before, (name, called)): (usize, (String, FuncType))| {
        let others: String = (0..before).map(|_| "(import \"\" \"\" (func))").collect();
        let typed = |keyword: &str, types: &[ValType]| {
            types.iter().map(|one| format!("({keyword} {one})")).collect::<Vec<_>>().concat()
        };
        let (parameters, results) = (typed("param", called.params()), typed("result", called.results()));
        let words: Vec<_> = (called.params().iter().enumerate())
            .map(|(at, kind)| format!("({kind}.load offset={} (i32.const 65792))", 4 * at))
            .collect();
        let words = words.concat();
        let drops = "drop ".repeat(called.results().len());
        let text = format!(
            "{others} (import \"\" \"host\" (func $host {parameters} {results})) (memory 1) \
             (func (param i32) (result i32) (i64.store (i32.const 65536) (i64.const 0x6f6c6c6568)) \
             (i64.store (i32.const 65544) (i64.const 0x3534333231)) \
             (memory.copy (i32.const 65792) (i32.load offset=100 (local.get 0)) (i32.load offset=104 (local.get 0))) \
             {words} (call $host) {drops} unreachable)"
        );
        (name, source(with_body_in(&bytes, &export, |_| text.clone())))
    };
    of_contract.map(caller).collect()
}

/// `module_of` is given the module and writes the text of one whose only function is the new body.
fn with_body_in(bytes: &[u8], export: &str, module_of: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let patched = sections(bytes).into_iter().find_map(|(id, whole, contents)| {
        let module = &bytes[contents];
        let is_exported = id == MODULE && exports(module).iter().any(|(name, _)| name == export);
        let module = is_exported.then(|| patch(module, export, &module_of(module)))??;
        Some([&bytes[..whole.start], &section(MODULE, &module), &bytes[whole.end..]].concat())
    });
    patched.unwrap_or_else(|| panic!("no module of the guest exports `{export}`"))
}

/// The index of the first function that a module imports from an interface.
fn host_function(module: &[u8], interface: &str) -> usize {
    let found = host_functions(module).iter().position(|(name, _)| name.contains(interface));
    found.unwrap_or_else(|| panic!("the module imports nothing of `{interface}`"))
}

/// The functions that a module imports, each under interface and name, in their order.
fn host_functions(module: &[u8]) -> Vec<(String, FuncType)> {
    let (mut types, mut found) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(Result::unwrap));
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports().map(Result::unwrap) {
                    if let TypeRef::Func(kind) = import.ty {
                        found.push((
                            format!("{}#{}", import.module, import.name),
                            types[kind as usize].clone(),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    found
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

/// Locals and instructions of the only function in a module's text.
fn body(function: &str) -> Vec<u8> {
    let module = wat::parse_str(format!("(module {function})")).unwrap();
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
