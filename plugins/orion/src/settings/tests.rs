use super::{Effect, Settings};

fn problems(text: &str) -> Vec<(String, String)> {
    let problems = Settings::parse(text).expect_err("the settings are bad");
    problems.into_iter().map(|problem| (problem.field, problem.rule)).collect()
}

#[test]
fn an_empty_object_means_the_defaults() {
    assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
}

#[test]
fn addresses_are_compared_in_lower_case() {
    let settings = Settings::parse(&format!(r#"{{"denyList":["0x{}"]}}"#, "Ab".repeat(20))).unwrap();
    assert_eq!(settings.deny_list, [format!("0x{}", "ab".repeat(20))]);
}

#[test]
fn effects_are_read_by_name() {
    let settings = Settings::parse(r#"{"burn":"ignore","newRecipient":"reject"}"#).unwrap();
    assert_eq!((settings.burn, settings.new_recipient), (Effect::Ignore, Effect::Reject));
}

#[test]
fn every_bad_field_is_named_with_its_rule() {
    let text = r#"{"valueLimit":5,"denyList":["0x1"],"newRecipient":"maybe","approveAt":1000001,"speed":1}"#;
    let expected = [
        ("valueLimit", "must be a decimal amount in the smallest unit, as text without leading zeros"),
        ("denyList[0]", "must be `0x` and 40 hexadecimal digits"),
        ("newRecipient", "must be `ignore`, `doubt` or `reject`"),
        ("approveAt", "must be a whole number of parts per million, 0 to 1000000"),
        ("speed", "is not a setting of Orion"),
    ];
    assert_eq!(problems(text), expected.map(|(field, rule)| (field.to_owned(), rule.to_owned())));
}

#[test]
fn thresholds_may_not_cross() {
    assert_eq!(problems(r#"{"approveAt":1,"rejectBelow":2}"#)[0].0, "rejectBelow");
}

#[test]
fn repeated_fields_and_other_documents_are_refused() {
    for text in ["", "[]", "null", r#"{"chains":[],"chains":["eip155:1"]}"#, "{} {}"] {
        assert_eq!(problems(text)[0].0, "", "{text}");
    }
}
