//! The world's numbering plans, cut down to what routing asks: whose number is this, and how is it written at home.
//!
//! The tables in `data.rs` are computed from libphonenumber's metadata (see `generate.rs`). The crates that carry the whole
//! of it take 14 to 30 MB of memory once a few countries were parsed, more than a gateway may have in all; these tables are
//! read-only pages of the binary and need none.
//!
//! A number is not checked to exist: new ranges are opened all the time, and the carrier knows them before a table does.

#[rustfmt::skip]
mod data;
#[cfg(test)]
mod generate;

use data::{CODES, REGIONS};

/// How a region writes its numbers.
#[derive(Debug)]
pub(super) struct Region {
    /// ISO 3166-1 alpha-2.
    pub(super) id: &'static str,
    /// Calling code.
    pub(super) code: &'static str,
    /// Digits written before a national number at home and left out abroad; empty where there are none.
    trunk: &'static str,
    /// National numbers may begin with the same digits: bit `d` is set when the digit `d` may follow them there.
    trunk_then: u16,
    /// Bit `n` is set when national numbers may have `n` digits.
    lengths: u32,
}

/// Who uses a calling code.
#[derive(Debug)]
struct Code {
    /// One to three digits.
    digits: &'static str,
    /// The region of numbers that no prefix claims; empty for codes of no country, such as satellite networks.
    main: &'static str,
    /// Beginnings of national numbers that belong to other regions, none of them the beginning of another.
    prefixes: &'static [(&'static str, &'static str)],
}

/// The region by its code, when it has a numbering plan.
pub(super) fn region(id: &str) -> Option<&'static Region> {
    REGIONS.binary_search_by(|region| region.id.cmp(id)).ok().and_then(|at| REGIONS.get(at))
}

/// The calling code that digits begin with, and the region they belong to; empty when that is no country. `None` when no
/// such code is assigned.
pub(super) fn owner(digits: &str) -> Option<(&'static str, &'static str)> {
    let code = (1..=3).find_map(|len| {
        let start = digits.get(..len)?;
        CODES.binary_search_by(|code| code.digits.cmp(start)).ok().and_then(|at| CODES.get(at))
    })?;
    let national = digits.get(code.digits.len()..)?;
    let claimed = code.prefixes.iter().find(|(prefix, _)| national.starts_with(prefix));
    Some((code.digits, claimed.map_or(code.main, |(_, region)| region)))
}

impl Region {
    /// A number as it is dialled from abroad, without the trunk prefix that people write at home.
    ///
    /// Where a number may begin with the trunk digits itself, the digit after them and its length tell whether they are one.
    /// What remains is read the same when it is read again.
    pub(super) fn without_trunk<'a>(&self, mut digits: &'a str) -> &'a str {
        while let Some(rest) = digits.strip_prefix(self.trunk) {
            if self.trunk.is_empty() || !self.may_have(rest.len()) || self.is_whole(digits, rest) {
                break;
            }
            digits = rest;
        }
        digits
    }

    /// Whether digits that begin like a trunk prefix are a national number as they stand.
    fn is_whole(&self, digits: &str, rest: &str) -> bool {
        let next = rest.bytes().next().map_or(0, |digit| u32::from(digit.wrapping_sub(b'0')));
        self.trunk_then.checked_shr(next).is_some_and(|bits| bits & 1 == 1) && self.may_have(digits.len())
    }

    /// Whether national numbers of this length exist.
    pub(super) fn may_have(&self, len: usize) -> bool {
        u32::try_from(len).is_ok_and(|len| self.lengths.checked_shr(len).is_some_and(|bits| bits & 1 == 1))
    }
}
