use super::*;

#[test]
fn settings_are_read() {
    let text = r#"{"upstream": "screening", "path": "/v1/review", "reviewRole": "arbiter"}"#;
    let settings = Settings::parse(text).expect("the settings are good");
    assert_eq!((settings.upstream.as_str(), settings.path.as_str()), ("screening", "/v1/review"));
}

#[test]
fn each_bad_field_is_named() {
    for (text, field) in [
        (r#"{"upstream": "", "path": "/v1"}"#, "upstream"),
        (r#"{"upstream": "a", "path": "v1"}"#, "path"),
        (r#"{"upstream": "a", "path": "/v1/{x}"}"#, "path"),
        (r#"{"upstream": "a", "path": "/v1", "reviewRole": "A"}"#, "reviewRole"),
        (r#"{"upstream": "a"}"#, ""),
        (r#"{"upstream": "a", "path": "/v1", "url": "x"}"#, ""),
    ] {
        assert_eq!(Settings::parse(text).expect_err("the settings are bad").field, field, "{text}");
    }
}
