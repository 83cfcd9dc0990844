//! What a voice says, and TwiML, the markup that makes a call say it.

use zeroize::Zeroize;

use hookswitch_message::Secret;

/// Language of what [`spell`] writes, as a BCP 47 tag.
pub const LANGUAGE: &str = "en-US";

/// What separates the parts of a passcode for the eye, and is not typed.
const SEPARATORS: &[char] = &['-', '.', ' '];

/// What a call says for a passcode: English, one character at a time with a pause after each, all of it twice, because
/// nobody writes down a code on first hearing. `None` when nothing would be said, or something would be left out that has
/// to be typed.
#[must_use]
pub fn spell(passcode: &str) -> Option<Secret<String>> {
    let mut spoken = String::new();
    for character in passcode.chars().filter(|character| !SEPARATORS.contains(character)) {
        if !character.is_ascii_alphanumeric() {
            spoken.zeroize();
            return None;
        }
        if !spoken.is_empty() {
            spoken.push_str(", ");
        }
        spoken.push(character.to_ascii_uppercase());
    }
    if spoken.is_empty() {
        return None;
    }
    let text = format!("Your verification code is: {spoken}. Once again, your code is: {spoken}. Goodbye.");
    spoken.zeroize();
    Some(Secret::new(text))
}

/// TwiML that says a text. Characters that XML 1.0 has no place for are left out.
pub(super) fn twiml(text: &str) -> String {
    let mut xml = format!("<Response><Say language=\"{LANGUAGE}\">");
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => xml.push(character),
            _ => {}
        }
    }
    xml.push_str("</Say></Response>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passcode_is_said_one_character_at_a_time_and_twice() {
        let text = "Your verification code is: 1, 2, B. Once again, your code is: 1, 2, B. Goodbye.";
        assert_eq!(spell("12-b").unwrap().expose(), text);
    }

    #[test]
    fn a_passcode_that_would_be_said_in_part_or_not_at_all_is_not_said() {
        for passcode in ["", "-", "***", "12#4", "12ö4", "١٢٣"] {
            assert_eq!(spell(passcode), None, "{passcode}");
        }
    }
}
