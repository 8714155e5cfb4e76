use super::*;

#[test]
fn one_late_evaluation_among_many_is_noted() {
    let millis = |number| Duration::from_millis(number);
    let late = Times::of(vec![millis(700), millis(1), millis(2)]);
    let note = too_late(late.longest(), millis(500)).unwrap();
    assert!(
        note.starts_with("it took 700 ms here; a gateway denies what takes longer than 500 ms"),
        "{note}"
    );
    assert_eq!(too_late(Times::of(vec![millis(500)]).longest(), millis(500)), None);
}
