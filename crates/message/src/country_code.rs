//! Countries by their ISO 3166-1 alpha-2 code.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Two upper-case letters. Whether the code is assigned is not checked here: `routing` knows the countries that have a
/// numbering plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode([u8; 2]);

/// Why a text is not a country code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a country code: two upper-case letters such as SE are expected (ISO 3166-1 alpha-2)")]
pub struct InvalidCountry;

impl CountryCode {
    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for CountryCode {
    type Err = InvalidCountry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Self([*a, *b])),
            _ => Err(InvalidCountry),
        }
    }
}

impl TryFrom<String> for CountryCode {
    type Error = InvalidCountry;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CountryCode> for String {
    fn from(country: CountryCode) -> Self {
        country.as_str().to_owned()
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JsonSchema for CountryCode {
    fn schema_name() -> Cow<'static, str> {
        "CountryCode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_upper_case_letters_are_a_country() {
        assert_eq!("SE".parse::<CountryCode>().map(|c| c.to_string()), Ok("SE".into()));
        for text in ["", "S", "se", "SWE", "S1", "ÅÄ"] {
            assert_eq!(text.parse::<CountryCode>(), Err(InvalidCountry), "{text:?}");
        }
    }

    #[test]
    fn a_schema_says_what_a_country_is_inline_because_kubernetes_follows_no_reference() {
        let schema = schemars::schema_for!(Vec<CountryCode>);
        assert_eq!(schema.get("items").unwrap()["pattern"], "^[A-Z]{2}$");
    }
}
