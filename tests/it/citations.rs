//! Documents that cite tests cite tests that exist, and defaults that are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::environment::root;

const HOST: &str = "plugins/host";
const ATTACKS: usize = 30;

/// Under which words `SECURITY.md` cites tests, and where those lie.
const PLACES: &[(&str, &[&str])] = &[
    ("it", &["tests/it"]),
    ("api", &["gateway/api/tests/it", "gateway/api/src"]),
    ("store", &["gateway/store/tests/it", "gateway/store/src"]),
    ("domain", &["gateway/domain/src"]),
    ("hsm", &["hsm/tests/it", "hsm/src"]),
    ("plugins", &["plugins/host/tests/it", "plugins/host/src"]),
    ("chains", &["gateway/chains/src"]),
    ("clients", &["gateway/clients/src"]),
    ("openpgp", &["gateway/openpgp/tests/it", "gateway/openpgp/src"]),
    ("countersign", &["gateway/src"]),
];

/// A source file: the modules that its path names, and its text.
struct Source {
    modules: Vec<String>,
    text: String,
}

impl Source {
    /// Whether the modules follow one another somewhere in the path.
    fn is_in(&self, modules: &[&str]) -> bool {
        modules.is_empty() || self.modules.windows(modules.len()).any(|part| part == modules)
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn holds_test(text: &str, name: &str) -> bool {
    [format!("fn {name}("), format!("fn {name}<")].iter().any(|head| text.contains(head))
}

/// Cells of the rows of all tables, headings included.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Links whose text is code: the text and the target.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("[`").skip(1).filter_map(|rest| {
        let (shown, rest) = rest.split_once("`](")?;
        Some((shown, rest.split_once(')')?.0))
    })
}

#[test]
fn the_plugin_hosts_page_links_to_tests_that_exist() {
    let page = read(&root().join(HOST).join("README.md"));
    let mut cited = 0;
    for (shown, target) in links(&page) {
        let path = root().join(HOST).join(target);
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let (module, test) = shown.rsplit_once("::").unwrap_or(("", shown));
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(module.is_empty() || module == stem, "`{shown}` is said to be in `{target}`");
        assert!(holds_test(&read(&path), test), "there is no `{test}` in `{target}`");
        cited += 1;
    }
    let without_links = page
        .split("[`")
        .fold(String::new(), |text, part| text + part.split_once("`](").map_or(part, |(_, rest)| rest));
    let unlinked: Vec<_> =
        quoted(&without_links).filter(|name| name.contains("::") && !name.contains(' ')).collect();
    assert!(unlinked.is_empty(), "named without a link: {unlinked:#?}");
    assert!(cited > 100, "only {cited} tests were found on the page: is it read rightly?");
}

#[test]
fn every_attack_of_the_matrix_has_a_test() {
    let page = read(&root().join(HOST).join("README.md"));
    let matrix = page.split_once("## Hostile guests").expect("the page has the matrix").1;
    let rows: Vec<_> = rows(matrix).skip(1).collect();
    let numbers: BTreeSet<usize> = rows.iter().filter_map(|cells| cells[0].parse().ok()).collect();
    assert_eq!(numbers, (1..=ATTACKS).collect());
    for cells in rows {
        assert_eq!(cells.len(), 6, "{cells:?}");
        assert!(links(cells[5]).next().is_some(), "no test: {cells:?}");
    }
}

/// Keys with the defaults that the generated page has.
fn defaults() -> BTreeMap<String, String> {
    let page = read(&root().join("deploy/CONFIGURATION.md"));
    let mut section = "";
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## `") {
            section = title.trim_matches(|letter| "[]`".contains(letter));
        }
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if let ["", key, _, default, ..] = cells[..] {
            found.insert(format!("{section}.{key}"), default.to_owned());
        }
    }
    found
}

/// A number as people write it; nothing for what is told in words.
fn number(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "days" => 86_400,
        _ => return None,
    };
    Some(digits.replace(',', "").parse::<u64>().ok()? * factor)
}

#[test]
fn the_plugin_hosts_page_tells_keys_and_defaults_as_they_are() {
    let (page, defaults) = (read(&root().join(HOST).join("README.md")), defaults());
    let mut compared = 0;
    for cells in rows(&page) {
        let (keys, told) = match cells[..] {
            [key, default, _, _] if key.starts_with('`') && !key.contains("_total") => (key, default),
            [_, _, limit, default, _, _] if limit.starts_with('`') => (limit, default),
            _ => continue,
        };
        for (key, told) in keys.split(", ").zip(told.split(", ")) {
            let key = key.trim_matches('`');
            if key.starts_with('[') {
                continue;
            }
            let key = if key.contains('.') { key.to_owned() } else { format!("plugins.{key}") };
            let default = defaults.get(&key).unwrap_or_else(|| panic!("there is no key `{key}`"));
            if let Some(told) = number(told) {
                assert_eq!(default.replace('_', ""), told.to_string(), "the default of `{key}`");
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "only {compared} defaults were compared: is the page read rightly?");
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        let folder = root().join(folder);
        let mut open: Vec<PathBuf> = vec![folder.clone()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let named = path.strip_prefix(&folder).unwrap().with_extension("");
                let modules = named.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                found.push(Source { modules, text: read(&path) });
            }
        }
    }
    found
}

/// `module::*` and `module` are all tests of a module; `test` alone is looked for in the whole place.
fn exists(sources: &[Source], cited: &str) -> bool {
    let mut modules: Vec<&str> = cited.split("::").collect();
    if modules.last() == Some(&"*") {
        modules.pop();
        return sources.iter().any(|source| source.is_in(&modules) && source.text.contains("fn "));
    }
    if sources.iter().any(|source| source.is_in(&modules)) {
        return true;
    }
    let test = modules.pop().unwrap_or_default();
    sources.iter().any(|source| source.is_in(&modules) && holds_test(&source.text, test))
}

/// In the last column of its tables, words between backticks are tests, and words before them say where.
#[test]
fn the_rules_of_security_are_attacked_by_tests_that_exist() {
    let places: BTreeMap<&str, Vec<Source>> =
        PLACES.iter().map(|(name, folders)| (*name, sources(folders))).collect();
    let page = read(&root().join("gateway/SECURITY.md"));
    let mut cited = 0;
    for cells in rows(&page).filter(|cells| cells.len() == 4 && cells[3] != "test") {
        let (rule, mut place, before) = (cells[0], None, cited);
        for (number, part) in cells[3].split('`').enumerate() {
            if number % 2 == 0 {
                let words = part.split(|letter: char| !letter.is_alphanumeric());
                place = words.filter_map(|word| places.get_key_value(word)).next_back().or(place);
                continue;
            }
            let (name, sources) = place.unwrap_or_else(|| panic!("{rule}: `{part}` is cited of nowhere"));
            assert!(exists(sources, part), "{rule}: there is no `{part}` in `{name}`");
            cited += 1;
        }
        assert!(cited > before, "{rule} {} has no test", cells[1]);
    }
    assert!(cited > 200, "only {cited} tests were found on the page: is it read rightly?");
}
