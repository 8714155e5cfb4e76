use super::*;

fn project(manifest: &str, text: &str) -> Result<Option<Script>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(manifest), text).unwrap();
    Script::find(folder.path())
}

#[test]
fn a_manifest_tells_the_language_and_the_name() {
    let found = project("package.json", r#"{"name": "limit", "main": "main.js"}"#).unwrap();
    assert_eq!(found, Some(Script::JavaScript { name: "limit".to_owned(), main: "main.js".to_owned() }));
    let found = project("pyproject.toml", "[project]\nname = \"limit\"\n").unwrap();
    assert_eq!(found, Some(Script::Python { name: "limit".to_owned() }));
    assert_eq!(project("setup.py", "").unwrap(), None);
}

#[test]
fn a_name_that_would_leave_its_folder_is_refused() {
    for (manifest, text) in [
        ("package.json", r#"{"name": "../limit"}"#),
        ("package.json", "{}"),
        ("pyproject.toml", "[project]\nname = \"a/b\"\n"),
        ("pyproject.toml", "[tool]\n"),
    ] {
        let refused = project(manifest, text).unwrap_err().to_string();
        assert!(refused.contains("needs a `name` of letters, digits"), "{refused}");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_named() {
    for (manifest, text) in [("package.json", "{"), ("pyproject.toml", "=")] {
        assert!(project(manifest, text).unwrap_err().to_string().contains(manifest), "{manifest}");
    }
}

#[test]
fn an_old_node_is_refused_with_its_version() {
    for fit in ["v18.20.4", "v20.20.2", "v24.0.0"] {
        assert!(require_node(Some(fit)).is_ok(), "{fit}");
    }
    for (version, shown) in
        [(Some("v16.20.2"), "`v16.20.2`"), (Some("garbage"), "`garbage`"), (None, "no `node`")]
    {
        let refused = require_node(version).unwrap_err().to_string();
        assert!(refused.contains(shown) && refused.contains("Node.js 18 or newer"), "{refused}");
    }
}
