//! Phone numbers in E.164.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A number in E.164 form: `+`, then 7 to 15 digits, the first not zero. Whether it exists or is valid for its country
/// is not promised here; `routing` finds the country.
///
/// `Debug` and `Display` show the masked form; [`E164::as_str`] gives the number for the call to the provider.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Zeroize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

/// Why a text is not an E.164 number. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 number: a plus sign and 7 to 15 digits are expected")]
pub struct InvalidNumber;

impl E164 {
    /// The whole number, with its plus sign.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number's digits, without the plus sign.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// Enough to distinguish two people while reading a log, too little to call either: the first three characters and
    /// the last two.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}…{}", &self.0[..3], &self.0[self.0.len() - 2..])
    }
}

impl FromStr for E164 {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').ok_or(InvalidNumber)?;
        let well_formed =
            (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidNumber) }
    }
}

impl TryFrom<String> for E164 {
    type Error = InvalidNumber;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_shows_only_its_ends() {
        let number: E164 = "+46701234567".parse().unwrap();
        assert_eq!(format!("{number} {number:?}"), "+46…67 +46…67");
        assert_eq!((number.as_str(), number.digits()), ("+46701234567", "46701234567"));
    }

    #[test]
    fn what_is_not_e164_is_refused() {
        for text in
            ["", "+", "46701234567", "+0701234567", "+12345", "+1234567890123456", "+4670 123 45", "+467012345６7"]
        {
            assert_eq!(text.parse::<E164>(), Err(InvalidNumber), "{text:?}");
        }
    }
}
