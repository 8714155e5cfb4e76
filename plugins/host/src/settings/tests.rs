use super::{Settings, SettingsFault};

fn fault(text: &str) -> Option<SettingsFault> {
    Settings::from(text).fault().cloned()
}

#[test]
fn a_key_that_is_given_twice_is_named_wherever_it_is() {
    let twice = |name: &str| Some(SettingsFault::KeyTwice(name.to_owned()));
    for (text, found) in [
        (r#"{"limit":"1","limit":"2"}"#, twice("limit")),
        (r#"{"a":[{"b":{"limit":1,"c":null,"limit":1}}]}"#, twice("limit")),
        // The same key in other letters of JSON.
        (r#"{"limit":1,"\u006cimit":2}"#, twice("limit")),
        (r#"{"":1,"":2}"#, twice("")),
        (r#"{"a":{"x":1},"b":{"x":1}}"#, None),
        (r#"{"a":1.5,"b":true,"c":[-1,"x"]}"#, None),
        ("0", None),
    ] {
        assert_eq!(fault(text), found, "{text}");
    }
}

#[test]
fn what_is_no_json_is_a_fault_of_its_own() {
    for text in ["", "count", "{", r#"{"a":1}{"#, "{\"a\":1,}", &"[".repeat(1_000)] {
        assert!(matches!(fault(text), Some(SettingsFault::NotJson(_))), "{text}");
    }
}

#[test]
fn json_that_only_some_languages_read_is_a_fault_however_plugins_read_it() {
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for text in [r#""\ud800""#, r#"{"\udfff":1}"#, r#"{"a":1e999,"b":1,"b":2}"#, &deep] {
        assert!(matches!(fault(text), Some(SettingsFault::NotForAll(_))), "{text}: {:?}", fault(text));
    }
    assert_eq!(fault(r#""\ud83d\ude00""#), None);
}
