//! The example file and the reference, made from the declarations of the keys.

use std::fmt::Write as _;

use super::{
    Audit, Chain, Core, Database, Egress, Fireblocks, Hsm, Ipfs, Limits, OnchainRegistry, OpenPgp, Outbox,
    PluginUpstream, Plugins, Privy, Server, Telemetry, VerificationService,
    section::{KeyDescription, Section},
};

const EXAMPLE_HEAD: &str = "\
# Every key of Countersign with its default. Made by `countersign config-reference --example`.
#
# A key that is commented out has the value shown; one marked \"no default\" shows an example.
# The environment overrides the file: COUNTERSIGN__SECTION__KEY, such as COUNTERSIGN__SERVER__LISTEN.
";

const REFERENCE_HEAD: &str = "\
# Configuration

Made by `countersign config-reference` from the declarations in `gateway/src/config/`; do not edit.

One TOML file, named by `--config`. Every key can be left out. The environment overrides the file:
`COUNTERSIGN__SECTION__KEY`, such as `COUNTERSIGN__SERVER__LISTEN`; arrays are written with commas; tables that
repeat can only be set in the file. The command line overrides both. An unknown key is an error.
Secrets can be read from a file: `pin_file` instead of `pin`. Units stand last in a key's name.
";

/// One section with its keys.
struct Described {
    path: &'static str,
    repeats: bool,
    about: String,
    keys: Vec<KeyDescription>,
}

fn described<S: Section>() -> Described {
    Described { path: S::PATH, repeats: false, about: S::about(), keys: S::describe() }
}

/// All sections in the order of the file.
fn sections() -> Vec<Described> {
    vec![
        described::<Core>(),
        described::<Server>(),
        described::<Database>(),
        described::<Hsm>(),
        described::<Plugins>(),
        Described { repeats: true, ..described::<PluginUpstream>() },
        Described { repeats: true, ..described::<Chain>() },
        described::<Egress>(),
        described::<Fireblocks>(),
        described::<Privy>(),
        described::<OpenPgp>(),
        described::<Ipfs>(),
        described::<OnchainRegistry>(),
        Described { repeats: true, ..described::<VerificationService>() },
        described::<Limits>(),
        described::<Outbox>(),
        described::<Audit>(),
        described::<Telemetry>(),
    ]
}

/// `deploy/config.example.toml`: every key, commented out.
pub(crate) fn example_file() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for section in sections() {
        let header =
            if section.repeats { format!("# [[{}]]", section.path) } else { format!("[{}]", section.path) };
        let _ = write!(text, "\n{}{header}\n", wrapped("# ", &section.about));
        let mut table = section.path;
        for key in &section.keys {
            if key.section != table {
                table = key.section;
                let _ = write!(text, "\n[{table}]\n");
            }
            let _ = write!(text, "\n{}# {} = {}\n", wrapped("# ", &meaning(key)), key.key, shown(key));
        }
    }
    text
}

/// `deploy/CONFIGURATION.md`.
pub(crate) fn reference_page() -> String {
    let mut text = REFERENCE_HEAD.to_owned();
    for section in sections() {
        let path =
            if section.repeats { format!("[[{}]]", section.path) } else { format!("[{}]", section.path) };
        let _ = write!(text, "\n## `{path}`\n\n{}\n", section.about);
        let _ = write!(text, "\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
        for key in &section.keys {
            let prefix = key.section.strip_prefix(section.path).unwrap_or_default();
            let name = format!("{prefix}.{}", key.key);
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                name.trim_start_matches('.'),
                key.kind,
                key.default.as_ref().map_or_else(|| "none".to_owned(), |default| format!("`{default}`")),
                range(key),
                key.meaning,
            );
        }
    }
    text
}

fn meaning(key: &KeyDescription) -> String {
    let mut meaning = key.meaning.clone();
    let range = range(key);
    if !range.is_empty() {
        let _ = write!(meaning, " Range: {range}.");
    }
    if key.default.is_none() {
        meaning.push_str(" No default.");
    }
    meaning
}

fn range(key: &KeyDescription) -> String {
    match &key.range {
        None => String::new(),
        Some(range) if *range.end() == u64::MAX => format!("from {}", range.start()),
        Some(range) => format!("{} to {}", range.start(), range.end()),
    }
}

fn shown(key: &KeyDescription) -> &str {
    key.example.or(key.default.as_deref()).expect("every key has a default or an example")
}

/// Lines of at most 100 characters, each after `prefix`.
fn wrapped(prefix: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = prefix.to_owned();
    for word in text.split_whitespace() {
        if line.len() > prefix.len() && line.len() + word.len() > 100 {
            let _ = writeln!(lines, "{}", line.trim_end());
            prefix.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    let _ = writeln!(lines, "{}", line.trim_end());
    lines
}
