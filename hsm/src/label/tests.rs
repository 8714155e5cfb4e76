use super::*;

fn label(kinds: &[&str]) -> KeyLabel {
    KeyLabel {
        organization: "org_1".into(),
        key_id: "key:0x7f".into(),
        purpose: "wallet".into(),
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
    }
}

#[test]
fn round_trips_with_zero_one_and_many_kinds() {
    for kinds in [&[][..], &["transaction"], &["transaction", "typed-data", "message"]] {
        let original = label(kinds);
        let encoded = original.encode().unwrap();
        assert_eq!(KeyLabel::decode(&encoded), Some(original));
    }
    assert_eq!(label(&["a", "b"]).encode().unwrap(), "cs1|org_1|key:0x7f|wallet|a,b");
}

#[test]
fn separators_and_empty_fields_cannot_be_smuggled_in() {
    for bad in ["", "a|b", "a,b", "a b", "a\u{0}", "ä"] {
        assert!(KeyLabel { organization: bad.into(), ..label(&[]) }.encode().is_err(), "{bad:?}");
        assert!(KeyLabel { kinds: vec![bad.into()], ..label(&[]) }.encode().is_err(), "{bad:?}");
    }
}

#[test]
fn longest_label_is_accepted_and_one_byte_more_refused() {
    let fixed = KeyLabel { key_id: "k".into(), ..label(&[]) }.encode().unwrap().len() - 1;
    let longest = KeyLabel { key_id: "k".repeat(LABEL_BYTES_MAX - fixed), ..label(&[]) };
    assert_eq!(longest.encode().unwrap().len(), LABEL_BYTES_MAX);
    let over = KeyLabel { key_id: "k".repeat(LABEL_BYTES_MAX - fixed + 1), ..label(&[]) };
    assert!(over.encode().is_err());
}

#[test]
fn foreign_labels_are_not_read() {
    for foreign in
        ["", "cs1", "cs2|o|k|p|", "cs1|o|k|p", "cs1|o|k|p||", "cs1||k|p|", "cs1|o|k|p|a,,b", "my key"]
    {
        assert_eq!(KeyLabel::decode(foreign), None, "{foreign:?}");
    }
}
