use super::*;

/// The guests' own manifests say which libraries the SDK is built with.
#[test]
fn manifest_of_the_copied_sdk_names_the_libraries_of_the_original() {
    let workspace: toml::Table = include_str!("../../../../../plugins/Cargo.toml").parse().unwrap();
    let original: toml::Table = include_str!("../../../../../plugins/sdk/Cargo.toml").parse().unwrap();
    let copy: toml::Table = template::SDK_MANIFEST.parse().unwrap();
    let names = |manifest: &toml::Table| -> Vec<String> {
        manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&copy), names(&original));
    for name in names(&copy) {
        assert_eq!(copy["dependencies"][&name], workspace["workspace"]["dependencies"][&name], "{name}");
    }
    assert_eq!(copy["package"]["name"], original["package"]["name"]);
    assert_eq!(copy["package"]["edition"], workspace["workspace"]["package"]["edition"]);
}

#[test]
fn every_file_of_the_sdk_and_of_the_contract_goes_along() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["plugins/sdk/src", "wit/1.0"] {
        for entry in root.join(folder).read_dir().unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            let mut copied = template::SDK.iter().chain(&CONTRACT);
            assert!(copied.any(|(copied, _)| *copied == path), "`{path}` stays behind");
        }
    }
}

#[test]
fn each_language_finds_the_contract_where_its_toolchain_looks() {
    for (language, place) in [
        (Language::Rust, "countersign/wit/1.0/policy.wit"),
        (Language::Js, "wit/deps/countersign-policy/policy.wit"),
        (Language::Python, "wit/deps/countersign-policy/policy.wit"),
    ] {
        let files = language.files("spend-limit");
        assert!(files.iter().any(|(path, _)| path == place), "{language:?}");
        assert!(files.iter().all(|(_, text)| !text.contains("\"NAME\"")), "{language:?}");
    }
}

/// Guests of the project and projects of authors are compiled by the same compilers.
#[test]
fn templates_pin_the_compilers_that_setup_fetches() {
    let package = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let template = package(include_str!("../template/javascript/package.json.txt"));
    let fetched = package(include_str!("../../../../../deploy/guest-toolchains/package.json"));
    assert_eq!(template["devDependencies"], fetched["devDependencies"]);
    assert_eq!(template["version"], fetched["version"]);
    let project: toml::Table = include_str!("../template/python/pyproject.toml.txt").parse().unwrap();
    let pinned = project["dependency-groups"]["dev"][0].as_str().unwrap();
    assert!(template::REQUIREMENTS.contains(&format!("\n{pinned} \\\n    --hash=sha256:")), "{pinned}");
}

/// npm compares each package with its hash, and asks whatever registry it is configured for.
#[test]
fn lock_has_a_hash_for_every_package_and_names_no_place() {
    let lock: serde_json::Value = serde_json::from_str(template::LOCK).unwrap();
    for (path, package) in lock["packages"].as_object().unwrap() {
        assert_eq!(package.get("resolved"), None, "{path}");
        assert!(path.is_empty() || package["integrity"].as_str().unwrap().starts_with("sha512-"), "{path}");
    }
    let files = Language::Js.files("spend-limit");
    let (_, written) = files.iter().find(|(path, _)| path == "package-lock.json").unwrap();
    let written: serde_json::Value = serde_json::from_str(written).unwrap();
    assert_eq!(
        (&written["name"], &written["packages"][""]["name"]),
        (&"spend-limit".into(), &"spend-limit".into())
    );
}

#[test]
fn names_are_those_of_crates_and_of_bindings() {
    for name in ["a", "spend-limit", "a1"] {
        assert!(parse_name(name).is_ok(), "{name}");
    }
    for name in ["", "1a", "-a", "A", "a_b", "../a", "a b", &"a".repeat(41)] {
        assert!(parse_name(name).is_err(), "{name}");
    }
}
