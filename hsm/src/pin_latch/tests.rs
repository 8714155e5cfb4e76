use super::*;

#[test]
fn records_round_trip_and_replace_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    assert_eq!(read(&path).unwrap(), None);
    for record in
        [Record::Unresolved(2), Record::Refused("C_Login returned CKR_PIN_INCORRECT".into()), Record::Cleared]
    {
        write(&path, &record).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record));
    }
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert_eq!(read(&path).unwrap(), None);
}

#[test]
fn a_damaged_record_counts_as_a_refusal() {
    for damaged in ["", "unresolved", "unresolved x", "clear", "\0"] {
        assert!(matches!(Record::decode(damaged), Record::Refused(_)), "{damaged:?}");
    }
}
