use super::*;

fn faults(text: &str) -> Vec<String> {
    Schema::read(text).unwrap().faults
}

#[test]
fn schemas_of_the_project_have_no_faults() {
    for text in [
        "{}",
        include_str!("../../../../../../plugins/http-review/src/settings.schema.json"),
        include_str!("../../../../../../plugins/velocity/src/settings.schema.json"),
        include_str!("../../../../../../plugins/orion/src/settings/schema.json"),
    ] {
        assert_eq!(faults(text), [""; 0], "{text}");
    }
}

#[test]
fn each_fault_is_named_with_its_place_and_rule() {
    for (text, fault) in [
        (r#"{"type": "objekt"}"#, "`/type` must be a type"),
        (r#"{"properties": {"a": {"type": []}}}"#, "`/properties/a/type` must be a type"),
        (r#"{"properties": []}"#, "`/properties` must be an object of schemas"),
        (r#"{"properties": {"a": 1}}"#, "`/properties/a` must be a schema"),
        (r#"{"items": {"required": "a"}}"#, "`/items/required` must be a list of names"),
        (r#"{"anyOf": [{"minLength": -1}]}"#, "`/anyOf/0/minLength` must be a whole number"),
        (r#"{"allOf": []}"#, "`/allOf` must be a list of schemas"),
        (r#"{"examples": {}}"#, "`/examples` must be a list"),
    ] {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{text}: {found:?}");
    }
}

#[test]
fn what_is_no_schema_at_all_is_refused() {
    assert!(Schema::read("[]").unwrap_err().contains("must be a JSON object"));
    assert!(Schema::read("{").unwrap_err().contains("is not JSON"));
}

#[test]
fn endless_nesting_is_a_fault() {
    let text = format!("{}{{}}{}", r#"{"not":"#.repeat(40), "}".repeat(40));
    assert!(faults(&text)[0].ends_with("is nested too deeply"));
}

#[test]
fn an_example_is_missed_where_there_are_settings() {
    assert!(Schema::read("{}").unwrap().remark().is_none());
    assert!(Schema::read(r#"{"type": "object"}"#).unwrap().remark().is_some());
    assert!(Schema::read(r#"{"type": "object", "examples": [{}]}"#).unwrap().remark().is_none());
}
