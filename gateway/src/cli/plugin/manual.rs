//! `countersign plugin manual`: the contract with plugins as one page, made of the comments in its WIT.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use wit_parser::{Docs, Function, Interface, Resolve, SourceMap, Type, TypeDef, TypeDefKind, TypeId};

use super::create::CONTRACT;
use crate::cli::{output::print_text, status::Status};

/// The order for readers: what comes in and goes out, who exports what, then the capabilities by name.
const FIRST: [&str; 2] = ["types", "policy"];

#[derive(Debug, Args)]
pub(in crate::cli) struct Manual {}

impl Manual {
    pub(super) fn run() -> Result<Status> {
        print_text(&text()?)
    }
}

/// The whole manual, as Markdown.
fn text() -> Result<String> {
    let resolve = contract()?;
    let (_, package) = resolve.packages.iter().next().context("the contract has a package")?;
    let mut page = Page { resolve: &resolve, text: String::new() };
    page.line(&format!("# {}\n", package.name));
    page.line(
        "What a plugin is given, what it answers, and what it may ask: the comments of [`wit/`](README.md) as one \
         page, written by `countersign plugin manual`.\n",
    );
    let world = package.worlds.values().next().context("the contract has a world")?;
    page.documented(&resolve.worlds[*world].docs);
    let interface = |name: &str| package.interfaces.get(name).map(|id| &resolve.interfaces[*id]);
    let others = package.interfaces.keys().map(String::as_str).filter(|name| !FIRST.contains(name));
    for name in FIRST.into_iter().chain(others) {
        page.interface(name, interface(name).context("the contract has its interfaces")?);
    }
    Ok(page.text)
}

fn contract() -> Result<Resolve> {
    let mut sources = SourceMap::default();
    for (path, text) in CONTRACT {
        sources.push_str(path, text);
    }
    let group = sources.parse().map_err(|(_, error)| anyhow!("the contract does not parse: {error:?}"))?;
    let mut resolve = Resolve::default();
    resolve.push_group(group).map_err(|error| anyhow!("the contract does not resolve: {error:?}"))?;
    Ok(resolve)
}

struct Page<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Comments are Markdown already.
    fn documented(&mut self, docs: &Docs) {
        if let Some(text) = &docs.contents {
            self.line(&format!("{}\n", text.trim_end()));
        }
    }

    fn interface(&mut self, name: &str, interface: &Interface) {
        self.line(&format!("## `{name}`\n"));
        self.documented(&interface.docs);
        for function in interface.functions.values() {
            self.function(function);
        }
        for (name, id) in &interface.types {
            self.definition(name, *id);
        }
    }

    fn function(&mut self, function: &Function) {
        let parameter =
            |parameter: &wit_parser::Param| format!("{}: {}", parameter.name, self.named(&parameter.ty));
        let parameters: Vec<String> = function.params.iter().map(parameter).collect();
        let result = function.result.as_ref().map(|result| format!(" -> {}", self.named(result)));
        let signature = format!("{}({}){}", function.name, parameters.join(", "), result.unwrap_or_default());
        self.line(&format!("### `{signature}`\n"));
        self.documented(&function.docs);
    }

    fn definition(&mut self, name: &str, id: TypeId) {
        let TypeDef { kind, docs, .. } = &self.resolve.types[id];
        let members: Vec<(String, &Docs)> = match kind {
            // Taken over from another interface, where it is explained.
            TypeDefKind::Type(Type::Id(_)) => return,
            TypeDefKind::Record(record) => {
                let member = |field: &wit_parser::Field| format!("{}: {}", field.name, self.named(&field.ty));
                record.fields.iter().map(|field| (member(field), &field.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                let member = |case: &wit_parser::Case| match &case.ty {
                    Some(payload) => format!("{}({})", case.name, self.named(payload)),
                    None => case.name.clone(),
                };
                variant.cases.iter().map(|case| (member(case), &case.docs)).collect()
            }
            TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|case| (case.name.clone(), &case.docs)).collect()
            }
            other => {
                let meaning = self.spelled(other);
                self.line(&format!("### type `{name} = {meaning}`\n"));
                return self.documented(docs);
            }
        };
        let mut list = String::new();
        for (member, docs) in members {
            let meaning = docs.contents.as_deref().unwrap_or_default().trim().replace('\n', "\n  ");
            // Writing to a string does not fail.
            let _ = writeln!(list, "- `{member}`: {meaning}");
        }
        self.line(&format!("### {} `{name}`\n", kind.as_str()));
        self.documented(docs);
        self.line(&list);
    }

    fn named(&self, of: &Type) -> String {
        match of {
            Type::Id(id) => {
                let TypeDef { name, kind, .. } = &self.resolve.types[*id];
                name.clone().unwrap_or_else(|| self.spelled(kind))
            }
            simple => format!("{simple:?}").to_lowercase(),
        }
    }

    fn spelled(&self, kind: &TypeDefKind) -> String {
        let optional =
            |of: &Option<Type>| of.as_ref().map_or_else(|| "_".to_owned(), |found| self.named(found));
        match kind {
            TypeDefKind::Option(of) => format!("option<{}>", self.named(of)),
            TypeDefKind::List(of) => format!("list<{}>", self.named(of)),
            TypeDefKind::Tuple(tuple) => {
                let parts: Vec<String> = tuple.types.iter().map(|part| self.named(part)).collect();
                format!("tuple<{}>", parts.join(", "))
            }
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", optional(&result.ok), optional(&result.err))
            }
            TypeDefKind::Type(of) => self.named(of),
            other => other.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
