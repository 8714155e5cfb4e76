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
    let setup = include_str!("../../../../../deploy/setup");
    let package: serde_json::Value =
        serde_json::from_str(include_str!("../template/javascript/package.json.txt")).unwrap();
    for (name, version) in package["devDependencies"].as_object().unwrap() {
        let pinned = format!("{name}@{}", version.as_str().unwrap());
        assert!(setup.contains(&pinned), "{pinned}");
    }
    let project: toml::Table = include_str!("../template/python/pyproject.toml.txt").parse().unwrap();
    let pinned = project["dependency-groups"]["dev"][0].as_str().unwrap();
    assert!(setup.contains(pinned), "{pinned}");
    assert!(Language::Python.preparation().unwrap().contains(pinned));
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
