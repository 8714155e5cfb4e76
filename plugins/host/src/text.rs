//! Text from guests, made safe to show: it reaches terminals, pages, logs and people who approve.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

const CUT: &str = "…";

/// Foreign text in canonical composition (NFC) without characters that hide, reorder or command, and
/// at most `bytes_max` long; a cut shows as `…`. Line feeds stay, other white space becomes a space.
pub fn plain(text: &str, bytes_max: usize) -> String {
    // Most text is this, and normalizing costs more than an evaluation should.
    if text.len() <= bytes_max && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text.to_owned();
    }
    // Normalizing can make text longer but never looks back over the limit: cut first, at leisure.
    let generous = &text[..text.floor_char_boundary(bytes_max.saturating_mul(4))];
    let normal =
        if is_nfc(generous) { Cow::Borrowed(generous) } else { Cow::Owned(generous.nfc().collect()) };
    let mut plain: String = normal.chars().filter_map(shown).collect();
    if plain.len() > bytes_max || generous.len() < text.len() {
        plain.truncate(plain.floor_char_boundary(bytes_max.saturating_sub(CUT.len())));
        plain.push_str(CUT);
    }
    plain
}

/// The character to show in place of one of the guest's, if any.
fn shown(character: char) -> Option<char> {
    match character {
        '\n' => Some('\n'),
        '\t' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => Some(' '),
        _ if character.is_control() || is_invisible(character) => None,
        _ => Some(character),
    }
}

/// Bidirectional controls, zero-width characters, tags, variation selectors, fillers, interlinear marks.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests;
