//! What the project promises about itself: who may depend on whom, sizes, names, links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::environment::root;
use countersign_tests::process::ending;
use serde_json::Value;

const FILE_LINES_MAX: usize = 500;

/// What each crate of ours may depend on inside the project, and what it must never reach directly.
const ARROW: &[(&str, &[&str], &[&str])] = &[
    ("gateway-domain", &[], &["axum", "sqlx", "wasmtime", "cryptoki", "reqwest", "hyper"]),
    ("gateway-chains", &["gateway-domain"], &["axum", "sqlx", "wasmtime", "cryptoki"]),
    ("gateway-clients", &["gateway-domain"], &["axum", "sqlx", "wasmtime", "cryptoki"]),
    ("gateway-ipfs", &["gateway-domain", "gateway-clients"], &["axum", "sqlx", "wasmtime", "cryptoki"]),
    ("gateway-openpgp", &["gateway-domain"], &["axum", "sqlx", "wasmtime", "cryptoki", "reqwest"]),
    ("gateway-api", &["gateway-domain", "gateway-chains"], &["sqlx", "wasmtime", "cryptoki", "reqwest"]),
    ("gateway-store", &["gateway-domain"], &["axum", "wasmtime", "cryptoki", "reqwest"]),
    ("hsm", &["gateway-domain"], &["axum", "sqlx", "wasmtime", "reqwest"]),
    ("plugin-host", &["gateway-domain"], &["axum", "sqlx", "cryptoki", "reqwest", "wasmtime-wasi"]),
];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "deploy",
    "gateway",
    "hsm",
    "migrations",
    "plugins",
    "tests",
    "wit",
];
const DOTFILES: &[&str] =
    &[".ci", ".clippy.toml", ".deny.toml", ".gitignore", ".rustfmt.toml", ".typos.toml"];

const SOURCE: &[&str] = &["rs", "toml", "sql", "wit", "md", "sh", "yaml", "yml", "json", ""];

#[test]
fn crates_depend_only_along_the_arrow() {
    let metadata = ending("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let direct: BTreeMap<&str, BTreeSet<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), shipped_dependencies(package)))
        .collect();

    for (name, allowed, forbidden) in ARROW {
        let dependencies = &direct[name];
        let ours: BTreeSet<&str> =
            dependencies.iter().filter(|name| direct.contains_key(*name)).copied().collect();
        let surplus: Vec<_> = ours.difference(&allowed.iter().copied().collect()).copied().collect();
        assert!(surplus.is_empty(), "`{name}` must not depend on {surplus:?}");
        let foreign: Vec<_> = forbidden.iter().filter(|banned| dependencies.contains(*banned)).collect();
        assert!(foreign.is_empty(), "`{name}` must not depend on {foreign:?}");
    }
}

fn shipped_dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter().filter(|one| one["kind"] != "dev").map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn families_never_import_families() {
    let families = ["core", "envoy", "axon", "subwallet", "fordefi", "operator"];
    for family in families {
        for file in files(&root().join("gateway/api/src").join(family)) {
            let text = read(&file);
            for other in families.iter().filter(|other| **other != family) {
                let import = format!("crate::{other}::");
                assert!(!text.contains(&import), "{} imports `{import}`", shown(&file));
            }
        }
    }
}

#[test]
fn only_the_wiring_names_concrete_adapters() {
    for file in files(&root().join("gateway/src")) {
        if file.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let in_wiring = file.starts_with(root().join("gateway/src/wiring"))
            || file.file_name().is_some_and(|name| name == "wiring.rs");
        if in_wiring {
            continue;
        }
        let text = read(&file);
        assert!(!text.contains("wasmtime::"), "{} names wasmtime", shown(&file));
        assert!(!text.contains("cryptoki::"), "{} names cryptoki", shown(&file));
        assert!(!text.contains("sqlx::"), "{} names sqlx", shown(&file));
    }
}

#[test]
fn no_source_file_is_longer_than_the_budget() {
    let long: Vec<String> = sources()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs" || extension == "sql"))
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, file)| format!("{}: {lines}", shown(&file)))
        .collect();
    assert!(long.is_empty(), "longer than {FILE_LINES_MAX} lines: {long:#?}");
}

#[test]
fn modules_have_names_of_their_own() {
    for file in sources() {
        let name = file.file_name().unwrap().to_string_lossy();
        assert_ne!(name, "mod.rs", "{}: use `name.rs` beside `name/`", shown(&file));
        for vague in ["utils.rs", "util.rs", "helpers.rs", "common.rs", "manager.rs", "misc.rs"] {
            assert_ne!(name, vague, "{}: name it by what it does", shown(&file));
        }
    }
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    // Spelled in two halves, so that this file does not find itself.
    let anywhere = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["#[ign", "ore"],
    ];
    for file in sources().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = read(&file);
        for mark in anywhere.map(|halves| halves.concat()) {
            assert!(!text.contains(&mark), "{} contains `{mark}`", shown(&file));
        }
        if is_test(&file) {
            let nap = ["sl", "eep("].concat();
            assert!(!text.contains(&nap), "{} naps: wait on a condition instead", shown(&file));
        }
    }
}

#[test]
fn no_file_names_a_registry_or_a_machine() {
    let registries = [
        ["crates", ".io"],
        ["registry.npm", "js"],
        ["pypi", ".org"],
        ["deb.deb", "ian"],
        ["index.cra", "tes"],
    ];
    let machines = [["/ro", "ot/"], ["/wo", "rk/"], ["/ho", "me/"]];
    for file in sources() {
        let text = read(&file);
        for mark in registries.iter().chain(&machines).map(|halves| halves.concat()) {
            assert!(!text.contains(&mark), "{} contains `{mark}`", shown(&file));
        }
    }
}

#[test]
fn top_level_is_the_users() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let ignored = name == ".git" || name == "target";
        let known = TOP_LEVEL.contains(&name.as_str()) || DOTFILES.contains(&name.as_str());
        assert!(known || ignored, "`{name}` does not belong to the top level");
    }
    for name in TOP_LEVEL.iter().chain(DOTFILES) {
        assert!(root().join(name).exists(), "`{name}` is missing");
    }
}

#[test]
fn links_between_documents_resolve() {
    for file in sources().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = read(&file);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(file.parent().unwrap().join(path).exists(), "{} links to `{target}`", shown(&file));
        }
    }
}

#[test]
fn twin_migrations_have_the_same_names() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = root().join("migrations").join(engine);
        files(&folder).map(|file| file.strip_prefix(&folder).unwrap().display().to_string()).collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty(), "there are no migrations");
    assert_eq!(sqlite, postgres);
}

#[test]
fn crates_without_foreign_interfaces_forbid_unsafe_code() {
    for crate_root in [
        "gateway/domain/src/lib.rs",
        "gateway/chains/src/lib.rs",
        "gateway/ipfs/src/lib.rs",
        "gateway/openpgp/src/lib.rs",
        "gateway/api/src/lib.rs",
        "gateway/store/src/lib.rs",
        "gateway/src/main.rs",
    ] {
        let text = read(&root().join(crate_root));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{crate_root} does not forbid unsafe code");
    }
}

/// Every text file of ours, without build results.
fn sources() -> impl Iterator<Item = PathBuf> {
    files(root()).filter(|file| {
        let extension =
            file.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        SOURCE.contains(&extension.as_str()) && file.file_name().is_none_or(|name| name != "Cargo.lock")
    })
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                // In a linked working tree `.git` is a file.
                _ if name == ".git" => {}
                true if name == "target" => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found.into_iter()
}

fn is_test(file: &Path) -> bool {
    let path = shown(file);
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

fn read(file: &Path) -> String {
    String::from_utf8(fs::read(file).unwrap()).unwrap_or_else(|_| panic!("{} is not UTF-8", shown(file)))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
