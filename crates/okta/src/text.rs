//! Text from outside made fit for a condition, an event or a log: bounded, one line, free of the secrets we sent.

/// Shown instead of a secret that an answer echoed.
const HIDDEN: &str = "[secret]";

/// A secret shorter than this is not searched for piecewise: it would match everywhere.
const SHORTEST_PART: usize = 4;

/// Makes `text` one printable line of at most `max` characters. Whatever is not printable becomes a space.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut kept = 0;
    for word in text.split(|c: char| c.is_whitespace() || !printable(c)).filter(|w| !w.is_empty()) {
        for c in (kept > 0).then_some(' ').into_iter().chain(word.chars()) {
            if kept + 1 == max {
                out.push('…');
                return out;
            }
            out.push(c);
            kept += 1;
        }
    }
    out
}

/// [`one_line`] after every occurrence of `secrets`, whole or the part after a scheme such as `Basic`, is hidden.
pub(crate) fn without_secrets(text: &str, secrets: &[&str], max: usize) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        clean = clean.replace(secret, HIDDEN);
        for part in secret.split_whitespace().skip(1).filter(|p| p.len() >= SHORTEST_PART) {
            clean = clean.replace(part, HIDDEN);
        }
    }
    one_line(&clean, max)
}

/// Neither a control character nor one that reorders or hides its neighbours in a terminal.
fn printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_becomes_one_bounded_line() {
        assert_eq!(one_line("a\u{1b}[31m\r\n  b\u{202e}c", 80), "a [31m b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("ab cd", 6), "ab cd");
    }

    #[test]
    fn an_echoed_secret_is_hidden_whole_and_without_its_scheme() {
        let text = "bad value 'Basic c2VjcmV0' or c2VjcmV0";
        assert_eq!(without_secrets(text, &["Basic c2VjcmV0"], 200), "bad value '[secret]' or [secret]");
    }
}
