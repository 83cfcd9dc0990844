//! Whether a text that somebody else wrote repeats what must not be repeated.

use super::E164;

/// So many digits of a number's end are enough to know it.
const TAIL: usize = 7;
/// A national number shorter than this is too likely to stand in an id by chance.
const SHORTEST_NATIONAL: usize = 4;

/// Whether a text holds the passcode, or so much of the number that it could be called: whole, as it is dialled at home, or
/// its last digits. Separators and the case of letters make no difference.
#[must_use]
pub fn quotes(text: &str, code: &str, number: &E164, national: &str) -> bool {
    let (text, digits) = (bare(text), number.digits());
    let tail = digits.get(digits.len().saturating_sub(TAIL)..).unwrap_or(digits);
    let code = bare(code);
    (!code.is_empty() && text.contains(&code))
        || text.contains(tail)
        || (national.len() >= SHORTEST_NATIONAL && text.contains(national))
}

/// What is left without separators.
fn bare(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passcode_or_a_number_is_found_however_it_is_written() {
        let number = "+46701740605".parse().unwrap();
        for text in [
            "id-493817",
            "493 817",
            "4-9-3-8-1-7",
            "to-46701740605",
            "%2B46701740605",
            "0701740605",
            "070-174 06 05",
            "+46 (70) 174.06.05",
            "msg_1740605_x",
        ] {
            assert!(quotes(text, "493817", &number, "701740605"), "{text}");
        }
        assert!(quotes("code=AB-12C", "ab12c", &number, "701740605"));
        for text in ["SM49a38e17c", "attempts=1;code=21211", "740605", "49381", ""] {
            assert!(!quotes(text, "493817", &number, "701740605"), "{text}");
        }
        assert!(!quotes("id", "--", &number, "701740605"), "a passcode of separators alone is in no text");
    }

    #[test]
    fn a_short_national_number_is_found_and_one_of_three_digits_is_ignored() {
        let number = "+24762889".parse().unwrap();
        assert!(quotes("x62889", "11111", &number, "62889"));
        assert!(!quotes("x889", "11111", &number, "889"));
    }
}
