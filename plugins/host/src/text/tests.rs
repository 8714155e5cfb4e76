use super::plain;

#[test]
fn ordinary_text_passes_unchanged() {
    assert_eq!(plain("Überweisung an 0xabc:\nerlaubt", 100), "Überweisung an 0xabc:\nerlaubt");
}

#[test]
fn terminal_and_bidirectional_controls_are_stripped() {
    assert_eq!(plain("\u{1b}[31mred\u{202e}lanif\u{2066}\u{7}\u{9b}", 100), "[31mredlanif");
}

#[test]
fn zero_width_and_tag_characters_are_stripped() {
    assert_eq!(plain("a\u{200b}b\u{feff}c\u{e0041}d\u{ad}", 100), "abcd");
}

#[test]
fn line_separators_and_tabs_become_spaces() {
    assert_eq!(plain("a\tb\r\nc\u{2028}d", 100), "a b \nc d");
}

#[test]
fn decomposed_letters_are_composed() {
    assert_eq!(plain("e\u{301}", 100), "é");
}

#[test]
fn a_cut_is_shown_and_respects_limit_and_characters() {
    let cut = plain(&"ä".repeat(100), 21);
    assert_eq!(cut, format!("{}…", "ä".repeat(9)));
    assert!(cut.len() <= 21);
}

#[test]
fn text_far_beyond_the_limit_is_cut_even_if_all_of_its_start_is_stripped() {
    assert_eq!(plain(&"\u{1b}".repeat(1000), 10), "…");
}
