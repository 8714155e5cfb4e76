use serde_json::{Value, json};

use super::{described, next, placed};

fn binding(name: &str, mode: &str) -> Value {
    revision(name, mode, name)
}

fn revision(name: &str, mode: &str, revision: &str) -> Value {
    json!({"id": "x", "plugin": name, "revision": revision, "mode": mode})
}

fn places(bindings: &[Value]) -> Vec<String> {
    bindings.iter().map(|one| format!("{} {}", one["revision"], one["mode"]).replace('"', "")).collect()
}

fn names(bindings: &[Value]) -> Vec<&str> {
    bindings.iter().filter_map(|binding| binding["plugin"].as_str()).collect()
}

#[test]
fn a_plugin_keeps_its_place_unless_it_is_told_another() {
    let present = || vec![binding("a", "enforce"), binding("b", "enforce"), binding("c", "enforce")];
    let again = placed(present(), revision("b", "enforce", "b2"), None).unwrap();
    assert_eq!((names(&again), &again[1]["revision"]), (vec!["a", "b", "c"], &json!("b2")));
    assert_eq!(names(&placed(present(), binding("d", "shadow"), None).unwrap()), ["a", "b", "c", "d"]);
    assert_eq!(names(&placed(present(), binding("d", "shadow"), Some("b")).unwrap()), ["a", "d", "b", "c"]);
    assert_eq!(names(&placed(present(), binding("c", "enforce"), Some("a")).unwrap()), ["c", "a", "b"]);
    let error = placed(present(), binding("d", "shadow"), Some("e")).unwrap_err();
    assert!(error.to_string().contains("no other plugin `e`"));
    assert!(placed(present(), binding("b", "enforce"), Some("b")).is_err());
}

#[test]
fn a_shadow_stands_beside_what_is_enforced_until_it_is_enforced_itself() {
    let enforced = || vec![binding("a", "enforce"), binding("b", "enforce")];
    let staged = placed(enforced(), revision("a", "shadow", "a2"), None).unwrap();
    assert_eq!(places(&staged), ["a enforce", "b enforce", "a2 shadow"]);
    let other = placed(staged.clone(), revision("a", "shadow", "a3"), Some("b")).unwrap();
    assert_eq!(places(&other), ["a enforce", "a3 shadow", "b enforce"]);
    let promoted = placed(staged.clone(), revision("a", "enforce", "a2"), None).unwrap();
    assert_eq!(places(&promoted), ["a2 enforce", "b enforce"]);
    let patched = placed(staged, revision("a", "enforce", "a4"), None).unwrap();
    assert_eq!(places(&patched), ["a4 enforce", "b enforce", "a2 shadow"]);
    let alone = vec![binding("b", "enforce"), binding("c", "shadow"), binding("d", "enforce")];
    assert_eq!(places(&placed(alone, binding("c", "enforce"), None).unwrap())[1], "c enforce");
}

#[test]
fn the_next_policy_keeps_the_floor_and_names_what_it_replaces() {
    let present = json!({"revision": 4, "floor": {"initiator_may_vote": true}, "bindings": []});
    let change = next(Some(&present), vec![binding("a", "enforce")]);
    assert_eq!((&change["replaces"], &change["floor"]), (&json!(4), &present["floor"]));
    assert_eq!(change["bindings"], json!([{"revision": "a", "mode": "enforce"}]));
    assert_eq!(next(None, Vec::new())["replaces"], 0);
}

#[test]
fn a_revoked_revision_is_marked_where_the_policy_is_shown() {
    let bindings = [revision("a", "enforce", "a1"), revision("b", "enforce", "b1")];
    let policy = json!({"revision": 4, "bindings": bindings, "revoked": ["b1"]});
    let lines = described(&policy, &std::collections::BTreeMap::new());
    let line = |name: &str| lines.iter().find(|line| line.contains(name)).unwrap();
    assert!(line("b1").contains("REVOKED, denies") && !line("a1").contains("REVOKED"), "{lines:?}");
}
