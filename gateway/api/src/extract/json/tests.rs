use super::*;

fn fault(text: &str) -> String {
    match Json::read(text.as_bytes(), 4) {
        Err(Failure::Malformed(fault)) => fault,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn duplicates_are_refused_at_any_depth_and_in_any_spelling() {
    for text in [
        r#"{"value":"1","value":"2"}"#,
        r#"{"value":"1","\u0076alue":"2"}"#,
        r#"{"a":{"value":1,"b":2,"value":1}}"#,
        r#"[{"value":1,"value":1}]"#,
    ] {
        assert!(fault(text).contains("duplicate field `value`"), "{text}: {}", fault(text));
    }
}

#[test]
fn what_is_not_exactly_one_json_value_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{]",
        "{}{}",
        "{} x",
        "nul",
        "NaN",
        "Infinity",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1e999",
        "'a'",
        r#"{"a":1,}"#,
        "[1,]",
        "{a:1}",
        r#"{"a"}"#,
        "// c\n{}",
        "/* c */{}",
        "\u{feff}{}",
        "\"\\ud800\"",
        "\"\\x41\"",
        "\"tab\tinside\"",
        "\"\0\"",
    ] {
        fault(text);
    }
}

#[test]
fn nesting_is_bounded() {
    assert!(Json::read(b"[[[[1]]]]", 4).is_ok());
    assert!(fault("[[[[[1]]]]]").contains("nested too deeply"));
    assert!(fault(r#"{"a":{"a":{"a":{"a":{"a":1}}}}}"#).contains("nested too deeply"));
    assert!(fault(&"[".repeat(100_000)).contains("nested too deeply"));
}

#[test]
fn other_encodings_are_refused() {
    for bytes in
        [&b"{\"a\":\"\xff\"}"[..], b"\xff\xfe{\x00}\x00", b"{\"a\":\"\xc0\xaf\"}", b"\"\xed\xa0\x80\""]
    {
        assert!(Json::read(bytes, 4).is_err(), "{bytes:?}");
    }
}

#[test]
fn values_keep_their_order_and_kind() {
    let read = Json::read(br#" {"b":[null,true,-1,1.5,18446744073709551615],"a":"\u00e4"} "#, 4).unwrap();
    let number = |text: &str| Json::Number(serde_json::from_str(text).unwrap());
    let list =
        vec![Json::Null, Json::Bool(true), number("-1"), number("1.5"), number("18446744073709551615")];
    let expected = Json::Object(vec![
        ("b".to_owned(), Json::List(list)),
        ("a".to_owned(), Json::Text("\u{e4}".to_owned())),
    ]);
    assert_eq!(read, expected);
}

#[test]
fn messages_repeat_a_foreign_name_only_in_printable_characters() {
    let text = "{\"a\\u0000\\u202e<b\":1,\"a\\u0000\\u202e<b\":2}";
    assert!(fault(text).contains("duplicate field `a<b`"), "{}", fault(text));
}
