use super::Recent;

#[test]
fn beyond_its_number_the_one_not_asked_for_longest_goes() {
    let mut recent = Recent::new(2);
    recent.insert(1, "one");
    recent.insert(2, "two");
    assert_eq!(recent.get(1), Some("one"));
    recent.insert(3, "three");
    assert_eq!((recent.get(1), recent.get(2), recent.get(3)), (Some("one"), None, Some("three")));
    recent.insert(3, "again");
    assert_eq!((recent.get(1), recent.get(3)), (Some("one"), Some("again")), "replacing makes no room");
}
