use serde_json::{Value, json};

use super::{next, placed};

fn binding(name: &str, mode: &str) -> Value {
    json!({"id": "x", "plugin": name, "revision": name, "mode": mode})
}

fn names(bindings: &[Value]) -> Vec<&str> {
    bindings.iter().filter_map(|binding| binding["plugin"].as_str()).collect()
}

#[test]
fn a_plugin_keeps_its_place_unless_it_is_told_another() {
    let present = || vec![binding("a", "enforce"), binding("b", "enforce"), binding("c", "enforce")];
    let again = placed(present(), binding("b", "shadow"), None).unwrap();
    assert_eq!((names(&again), &again[1]["mode"]), (vec!["a", "b", "c"], &json!("shadow")));
    assert_eq!(names(&placed(present(), binding("d", "shadow"), None).unwrap()), ["a", "b", "c", "d"]);
    assert_eq!(names(&placed(present(), binding("d", "shadow"), Some("b")).unwrap()), ["a", "d", "b", "c"]);
    assert_eq!(names(&placed(present(), binding("c", "shadow"), Some("a")).unwrap()), ["c", "a", "b"]);
    let error = placed(present(), binding("d", "shadow"), Some("e")).unwrap_err();
    assert!(error.to_string().contains("no plugin `e`"));
}

#[test]
fn the_next_policy_keeps_the_floor_and_names_what_it_replaces() {
    let present = json!({"revision": 4, "floor": {"initiator_may_vote": true}, "bindings": []});
    let change = next(Some(&present), vec![binding("a", "enforce")]);
    assert_eq!((&change["replaces"], &change["floor"]), (&json!(4), &present["floor"]));
    assert_eq!(change["bindings"], json!([{"revision": "a", "mode": "enforce"}]));
    assert_eq!(next(None, Vec::new())["replaces"], 0);
}
