use super::*;

#[test]
fn calls_that_answer_the_same_for_ever_are_named_with_their_lines() {
    let project = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "src/plugin.js",
            "import { late } from './rules/late.js';\nconst now = Date.now() + Math.random();\n",
        ),
        ("src/rules/late.js", "export const late = (at) => new Date(at) < 1 || new Date();"),
        ("src/node_modules/other.js", "Date.now()"),
        ("src/notes.txt", "Date.now()"),
        ("test/plugin.test.js", "Date.now()"),
    ] {
        let path = project.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // Neither text that is none nor a folder within itself is in the way of a warning.
    fs::write(project.path().join("src/bytes.js"), b"\xff").unwrap();
    std::os::unix::fs::symlink(".", project.path().join("src/again")).unwrap();
    let warnings = named(project.path(), "src/plugin.js").unwrap();
    assert_eq!(
        warnings,
        [
            "src/plugin.js:2: `Date.now()` answers the time of this build, for ever: the transaction's is `clock`'s \
             `nowMs()`",
            "src/plugin.js:2: `Math.random()` answers the same numbers in every evaluation: judge without chance",
            "src/rules/late.js:1: `new Date()` answers the time of this build, for ever: the transaction's is `clock`'s \
             `nowMs()`",
        ]
    );
    assert!(named(project.path(), "lib/plugin.js").is_err());
}
