//! Displays text from outside safely.

use std::fmt;

/// Displays text from outside (table names, error messages) on a terminal or in a log. Control and
/// formatting characters, which could move the cursor or reorder the line, are written as escapes.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || is_formatting(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

/// Characters that are invisible or change the direction of the text after them.
fn is_formatting(character: char) -> bool {
    matches!(character,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        let shown = Escaped("a\u{1b}[31mb\u{202e}c\nd").to_string();
        assert_eq!(shown, "a\\u{1b}[31mb\\u{202e}c\\u{a}d");
    }

    #[test]
    fn ordinary_text_stays_unchanged() {
        assert_eq!(Escaped("orders-2025_é.x").to_string(), "orders-2025_é.x");
    }
}
