//! Text by others that people will read (threat T27).

/// Whether the character neither hides nor reorders what people read. Line breaks and tabs are plain.
pub fn is_plain(character: char) -> bool {
    let steers = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    !steers && (!character.is_control() || matches!(character, '\n' | '\t'))
}

/// [`is_plain`], and within one line: for names.
pub fn is_plain_in_line(character: char) -> bool {
    is_plain(character) && !character.is_control()
}
