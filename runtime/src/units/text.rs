//! Text that somebody else gave, a guest or a server: bounded, and without characters that could steer a terminal or
//! break a line.

/// The longest code that a failure has, in bytes.
pub const MAX_CODE: usize = 64;
/// The longest message that a failure has, in bytes.
pub const MAX_MESSAGE: usize = 2 << 10;

/// At most `max` bytes of a text, control characters left out.
pub fn clean(text: &str, max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max));
    for character in text.chars() {
        let character = if matches!(character, '\n' | '\t') { ' ' } else { character };
        if character.is_control() || is_bidi(character) {
            continue;
        }
        if clean.len() + character.len_utf8() > max {
            break;
        }
        clean.push(character);
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// A code fit to be a label: letters, digits, `-`, `_` and `.`; anything else becomes `-`.
pub fn code(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let code: String = text.chars().take(MAX_CODE).map(plain).collect();
    if code.is_empty() { "unnamed".to_owned() } else { code }
}

/// Characters that change the direction of what follows.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_at_a_character() {
        assert_eq!(clean("aé\u{7}b\ncé", 6), "aéb c");
        assert_eq!(clean("\u{202e}abc  ", 10), "abc");
    }

    #[test]
    fn a_code_is_a_label() {
        assert_eq!(code("too large!\n"), "too-large--");
        assert_eq!(code(""), "unnamed");
        assert_eq!(code(&"x".repeat(1000)).len(), MAX_CODE);
    }
}
