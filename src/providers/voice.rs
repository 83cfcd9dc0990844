//! What a voice says, and TwiML, the markup that makes a call say it.

use zeroize::Zeroize;

use crate::message::Secret;

/// Language of what [`spell`] writes, as a BCP 47 tag.
pub const LANGUAGE: &str = "en-US";

/// What a call says for a passcode: English, one character at a time with a pause after each, all of it twice, because
/// nobody writes down a code on first hearing. Characters that cannot be spoken are left out.
#[must_use]
pub fn spell(passcode: &str) -> Secret<String> {
    let mut spoken = String::new();
    for character in passcode.chars().filter(|c| c.is_ascii_alphanumeric()) {
        if !spoken.is_empty() {
            spoken.push_str(", ");
        }
        spoken.push(character.to_ascii_uppercase());
    }
    let text = format!("Your verification code is: {spoken}. Once again, your code is: {spoken}. Goodbye.");
    spoken.zeroize();
    Secret::new(text)
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
