//! What the sandbox knows of telephone numbers: E.164's syntax, a few calling codes for faults
//! by country, and how a number may be shown in a log.

use serde::{Deserialize, Serialize};

/// Calling codes of the countries the demonstration speaks of. A country outside the table is
/// named by its prefix (`+256`).
const CALLING_CODES: [(&str, &str); 22] = [
    ("AU", "+61"),
    ("BR", "+55"),
    ("CA", "+1"),
    ("CH", "+41"),
    ("CU", "+53"),
    ("DE", "+49"),
    ("DK", "+45"),
    ("EE", "+372"),
    ("ES", "+34"),
    ("FI", "+358"),
    ("FR", "+33"),
    ("GB", "+44"),
    ("IN", "+91"),
    ("IT", "+39"),
    ("JP", "+81"),
    ("LT", "+370"),
    ("LV", "+371"),
    ("NL", "+31"),
    ("NO", "+47"),
    ("PL", "+48"),
    ("SE", "+46"),
    ("US", "+1"),
];

/// Whether `number` is E.164 with its plus: a first digit other than zero, 7 to 15 digits in all.
pub(crate) fn is_e164(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+') else {
        return false;
    };
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

/// A number as a log may show it: its first three and its last two characters.
pub(crate) fn masked(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    if chars.len() < 8 {
        return "…".to_owned();
    }
    let head: String = chars[..3].iter().collect();
    let tail: String = chars[chars.len() - 2..].iter().collect();
    format!("{head}…{tail}")
}

/// The two-letter country of a number, where the table has exactly one for its calling code.
pub(crate) fn country_of(number: &str) -> Option<&'static str> {
    let mut found = CALLING_CODES.iter().filter(|(_, code)| number.starts_with(code));
    match (found.next(), found.next()) {
        (Some((country, _)), None) => Some(country),
        (Some(_), Some(_)) => Some("US"),
        _ => None,
    }
}

/// The calling code of a number, digits only, where the table has it.
pub(crate) fn calling_code_of(number: &str) -> Option<&'static str> {
    CALLING_CODES.iter().find(|(_, code)| number.starts_with(code)).map(|(_, code)| code.trim_start_matches('+'))
}

/// The numbers a fault is about: those under one prefix such as `+46`.
///
/// Read from a prefix or from a two-letter country of the small table. Countries that share a
/// calling code (US and CA) cannot be told apart.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Area(String);

impl std::fmt::Debug for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A prefix may be as long as a whole number, which no log may show.
        if self.0.len() < 8 { f.write_str(&self.0) } else { f.write_str(&masked(&self.0)) }
    }
}

impl Area {
    /// Whether the number lies in the area.
    #[must_use]
    pub fn contains(&self, number: &str) -> bool {
        number.starts_with(&self.0)
    }
}

/// Why a word does not name an [`Area`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a prefix such as +46 nor one of the countries the sandbox knows")]
pub struct UnknownArea(String);

impl TryFrom<String> for Area {
    type Error = UnknownArea;

    fn try_from(word: String) -> Result<Self, UnknownArea> {
        word.parse()
    }
}

impl std::str::FromStr for Area {
    type Err = UnknownArea;

    fn from_str(word: &str) -> Result<Self, UnknownArea> {
        if let Some(digits) = word.strip_prefix('+')
            && (1..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            return Ok(Self(word.to_owned()));
        }
        CALLING_CODES
            .iter()
            .find(|(country, _)| country.eq_ignore_ascii_case(word))
            .map(|(_, code)| Self((*code).to_owned()))
            .ok_or_else(|| UnknownArea(word.chars().take(16).collect()))
    }
}

impl From<Area> for String {
    fn from(area: Area) -> Self {
        area.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e164_wants_a_plus_a_leading_digit_and_at_most_fifteen_digits() {
        assert!(is_e164("+46701234567"));
        for bad in ["46701234567", "+0701234567", "+4670 1234567", "+1234567890123456", "+123", ""] {
            assert!(!is_e164(bad), "{bad}");
        }
    }

    #[test]
    fn an_area_is_a_country_of_the_table_or_a_prefix() {
        let sweden: Area = "SE".parse().unwrap();
        assert!(sweden.contains("+46701234567"));
        assert!(!sweden.contains("+4570123456"));
        let prefix: Area = "+256".parse().unwrap();
        assert!(prefix.contains("+256701234567"));
        assert!("XX".parse::<Area>().is_err());
        assert!("+".parse::<Area>().is_err());
        let one: Area = "+46701234567".parse().unwrap();
        assert_eq!(format!("{sweden:?} {one:?}"), "+46 +46…67");
    }

    #[test]
    fn a_masked_number_keeps_neither_its_middle_nor_a_short_number() {
        assert_eq!(masked("+46701234567"), "+46…67");
        assert_eq!(masked("+461234"), "…");
    }
}
