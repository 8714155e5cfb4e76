use super::*;

fn file(text: &str) -> Result<Vec<Case>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.json");
    fs::write(&path, text).unwrap();
    read(&path)
}

#[test]
fn what_is_given_for_all_stands_beneath_what_a_case_gives() {
    let cases = file(
        r#"{"given": {"verified": {"value": "1", "chain": "eip155:5"}, "settings": {"a": 1}},
            "cases": [{"name": "one", "given": {"verified": {"value": "2"}}, "expect": {}}]}"#,
    )
    .unwrap();
    let given = Value::Object(cases[0].given.clone());
    assert_eq!(given, json!({"verified": {"value": "2", "chain": "eip155:5"}, "settings": {"a": 1}}));
}

#[test]
fn unknown_fields_of_a_file_are_refused() {
    for text in [r#"{"case": []}"#, r#"{"cases": [{"name": "one", "expected": {}}]}"#, "[]", ""] {
        assert!(file(text).is_err(), "{text}");
    }
}

#[test]
fn an_expectation_that_no_outcome_has_is_named() {
    let Err(error) = file(r#"{"cases": [{"name": "one", "expect": {"verdct": "approve"}}]}"#) else {
        panic!("it was read");
    };
    let said = error.to_string();
    assert!(said.starts_with("case `one`: there is no `expect.verdct`; there are verdict, "), "{said}");
}

#[test]
fn bytes_may_be_written_as_text_or_json() {
    let value =
        json!([{"body": {"text": "ok"}}, {"body": {"json": {"a": 1}}}, {"text": 1}, {"text": "a", "b": 1}]);
    let expected =
        json!([{"body": "6f6b"}, {"body": hex::encode(r#"{"a":1}"#)}, {"text": 1}, {"text": "a", "b": 1}]);
    assert_eq!(with_bytes(value), expected);
}
