use super::*;

#[test]
fn times_are_utc_with_milliseconds() {
    assert_eq!(time(Timestamp::from_unix_micros(1_767_607_261_234_567)), "2026-01-05T10:01:01.234Z");
    assert_eq!(time(Timestamp::from_unix_micros(0)), "1970-01-01T00:00:00.000Z");
}

#[test]
fn foreign_text_cannot_hide_or_reorder_what_it_says() {
    assert_eq!(
        prose("pay \u{202e}0001\u{202c} to\u{0}\u{7} A\u{200b}da\r\nnow\t!"),
        "pay 0001 to Ada\nnow\t!"
    );
    assert_eq!(prose(&"x".repeat(30_000)).len(), 20_000);
}

#[test]
fn shares_read_as_they_were_given() {
    assert_eq!(serde_json::to_string(&share(950_000)).unwrap(), "0.95");
    assert_eq!(serde_json::to_string(&share(1_000_000)).unwrap(), "1.0");
    assert_eq!(serde_json::to_string(&share(0)).unwrap(), "0.0");
}
