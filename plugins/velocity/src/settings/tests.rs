use super::*;

fn problems(settings: &str) -> Vec<String> {
    let problems = Settings::parse(settings).expect_err("the settings are bad");
    problems.iter().map(|problem| format!("{}: {}", problem.field, problem.rule)).collect()
}

#[test]
fn settings_are_read() {
    let text = r#"{"limits": [{"name": "daily", "windowSeconds": 86400, "per": "recipient", "maxCount": "3",
        "maxAmount": "100", "token": "0x00000000000000000000000000000000000000CC"}], "reviewRole": "arbiter"}"#;
    let settings = Settings::parse(text).expect("the settings are good");
    assert_eq!(settings.limits[0].per, Scope::Recipient);
    assert_eq!(settings.limits[0].token.as_deref(), Some("0x00000000000000000000000000000000000000cc"));
}

#[test]
fn every_problem_is_named_with_its_field() {
    let text = r#"{"limits": [
        {"name": "A", "windowSeconds": 0, "per": "key", "maxCount": "-1", "token": "0xcc"},
        {"name": "A", "windowSeconds": 1, "per": "key"}
    ], "reviewRole": ""}"#;
    assert_eq!(
        problems(text),
        [
            "limits[0].name: must be 1 to 32 of `a-z`, `0-9`, `_`, `-`, `.`",
            "limits[0].windowSeconds: must be at least 1",
            "limits[0].maxCount: must be decimal digits, as text",
            "limits[0].token: must be `0x` and 40 hexadecimal digits",
            "limits[1].name: must be 1 to 32 of `a-z`, `0-9`, `_`, `-`, `.`",
            "limits[1].maxAmount: or `maxCount` must be given",
            "limits[1].name: must differ from the others",
            "reviewRole: must be 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`",
        ]
    );
    assert_eq!(problems(r#"{"limits": []}"#), ["limits: must hold 1 to 16 limits"]);
}

#[test]
fn unknown_and_repeated_fields_are_refused() {
    for text in ["", "[]", "{}", r#"{"limits": [], "limit": 1}"#, r#"{"limits": [], "limits": []}"#] {
        assert_eq!(problems(text).len(), 1, "{text}");
    }
}
