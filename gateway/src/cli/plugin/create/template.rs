//! The files of a new project, by language.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Language {
    Rust,
    Js,
    Python,
}

/// A path and its text.
pub(in crate::cli::plugin) type File = (&'static str, &'static str);

/// Files that are written for every project; `NAME` stands for its name.
const OF_ALL: [File; 1] = [("cases/first.json", include_str!("../template/first.json"))];

const RUST: [File; 6] = [
    // Cargo leaves out what the project does not use.
    ("Cargo.lock", include_str!("../../../../../plugins/Cargo.lock")),
    ("Cargo.toml", include_str!("../template/rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("../template/rust/lib.rs.txt")),
    ("countersign/plugins/sdk/Cargo.toml", SDK_MANIFEST),
    (
        "README.md",
        concat!(
            include_str!("../template/rust/README.md.txt"),
            include_str!("../template/installing.md.txt"),
            include_str!("../template/cases.md.txt")
        ),
    ),
    (".gitignore", "target/\n"),
];

/// The SDK's manifest, made to stand without the guests' workspace.
pub(super) const SDK_MANIFEST: &str = include_str!("../template/rust/sdk.toml.txt");

const JS: [File; 8] = [
    ("package.json", include_str!("../template/javascript/package.json.txt")),
    ("package-lock.json", LOCK),
    ("src/plugin.js", include_str!("../template/javascript/plugin.js.txt")),
    ("src/judge.js", include_str!("../template/javascript/judge.js.txt")),
    ("test/judge.test.js", include_str!("../template/javascript/judge.test.js.txt")),
    ("wit/world.wit", WORLD),
    (
        "README.md",
        concat!(
            include_str!("../template/javascript/README.md.txt"),
            include_str!("../template/installing.md.txt"),
            include_str!("../template/cases.md.txt")
        ),
    ),
    (".gitignore", "target/\nnode_modules/\n"),
];

const PYTHON: [File; 8] = [
    ("requirements.txt", REQUIREMENTS),
    ("pyproject.toml", include_str!("../template/python/pyproject.toml.txt")),
    ("src/plugin.py", include_str!("../template/python/plugin.py.txt")),
    ("src/rules.py", include_str!("../template/python/rules.py.txt")),
    ("tests/test_rules.py", include_str!("../template/python/test_rules.py.txt")),
    ("wit/world.wit", WORLD),
    (
        "README.md",
        concat!(
            include_str!("../template/python/README.md.txt"),
            include_str!("../template/installing.md.txt"),
            include_str!("../template/cases.md.txt")
        ),
    ),
    (".gitignore", "target/\n.venv/\n__pycache__/\n"),
];

/// Every package of the compilers with its hash, as `deploy/setup guests` fetches them.
pub(super) const LOCK: &str = include_str!("../../../../../deploy/guest-toolchains/package-lock.json");
pub(super) const REQUIREMENTS: &str = include_str!("../../../../../deploy/guest-toolchains/requirements.txt");
/// The name that the lock has there.
const LOCK_NAME: &str = "\"countersign-guest-toolchains\"";

const WORLD: &str = include_str!("../template/world.wit.txt");

macro_rules! copied {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../", $path)))),+]
    };
}

/// The SDK for Rust, as it is.
pub(super) const SDK: [File; 5] = copied![
    "plugins/sdk/src/lib.rs",
    "plugins/sdk/src/arena.rs",
    "plugins/sdk/src/failure.rs",
    "plugins/sdk/src/outcome.rs",
    "plugins/sdk/src/panic.rs",
];

/// The contract, as it is.
pub(in crate::cli::plugin) const CONTRACT: [File; 3] =
    copied!["wit/1.0/types.wit", "wit/1.0/capabilities.wit", "wit/1.0/policy.wit"];
const CONTRACT_FOLDER: &str = "wit/1.0/";

/// A template's text for a project; in the lock, `NAME` may be part of a hash.
fn named(path: &str, text: &str, name: &str) -> String {
    match path {
        "Cargo.lock" => text.to_owned(),
        "package-lock.json" => text.replace(LOCK_NAME, &format!("\"{name}\"")),
        _ => text.replace("NAME", name),
    }
}

impl Language {
    /// Every file of a project, by its path there.
    pub(super) fn files(self, name: &str) -> Vec<(String, String)> {
        let own: &[File] = match self {
            Self::Rust => &RUST,
            Self::Js => &JS,
            Self::Python => &PYTHON,
        };
        let own = own.iter().chain(&OF_ALL).map(|(path, text)| ((*path).to_owned(), named(path, text, name)));
        let sdk: &[File] = if self == Self::Rust { &SDK } else { &[] };
        let copied = sdk.iter().chain(&CONTRACT).map(|(path, text)| (self.place(path), (*text).to_owned()));
        own.chain(copied).collect()
    }

    /// Where a file of ours goes: Rust has the folders as they are here, other toolchains look for packages in one place.
    fn place(self, path: &str) -> String {
        match path.strip_prefix(CONTRACT_FOLDER) {
            Some(file) if self != Self::Rust => format!("wit/deps/countersign-policy/{file}"),
            _ => format!("countersign/{path}"),
        }
    }

    /// What has to be done before the first build.
    pub(super) const fn preparation(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Js => Some(
                "npm ci                                    the compiler, unless it is in the cache of `deploy/setup guests`",
            ),
            Self::Python => Some(
                "python3 -m venv .venv && .venv/bin/pip install --require-hashes --requirement requirements.txt    likewise",
            ),
        }
    }
}
