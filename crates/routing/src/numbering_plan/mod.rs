//! The world's numbering plans, cut down to what routing asks: whose number is this, and how is it written at home.
//!
//! The tables in `data.rs` are computed from libphonenumber's metadata by `tests/foreign/numbers.py`. The crates that carry
//! the whole of it take 14 to 30 MB of memory once a few countries were parsed, more than a gateway may have in all; these
//! tables are read-only pages of the binary and need none.
//!
//! A number is not checked to exist: new ranges are opened all the time, and the carrier knows them before a table does. The
//! tables only decide which of several readings of a text is the number that its writer meant.

#[rustfmt::skip]
mod data;

use data::{CODES, REGIONS};

/// How a region writes its numbers.
#[derive(Debug)]
pub(super) struct Region {
    /// ISO 3166-1 alpha-2.
    id: &'static str,
    /// Calling code.
    pub(super) code: &'static str,
    /// What may be written before a national number at home and is left out abroad, the longest first.
    pub(super) trunks: &'static [&'static str],
    /// Bit `n` is set when national numbers may have `n` digits.
    lengths: u32,
    /// By length: ranges of the first three digits of numbers in use.
    starts: &'static [(u8, &'static [(u16, u16)])],
}

/// How well digits fit a region's plan as a whole national number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// No number has that many digits.
    No,
    /// Some number has that many digits; none that is known begins like this.
    Length,
    /// Numbers of that length are known to begin like this.
    Start,
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

/// What may be written before a national number of a calling code.
pub(super) fn trunks(code: &str) -> &'static [&'static str] {
    let main = CODES.binary_search_by(|known| known.digits.cmp(code)).ok().and_then(|at| CODES.get(at));
    main.and_then(|main| region(main.main)).map_or(&[], |region| region.trunks)
}

/// How well the digits of an international number fit the plan of the region that they belong to. What belongs to no country
/// has no plan, and fits.
pub(super) fn fit(digits: &str) -> Fit {
    let Some((code, owner)) = owner(digits) else { return Fit::No };
    let national = digits.get(code.len()..).unwrap_or_default();
    region(owner).map_or(Fit::Start, |region| region.fit(national))
}

impl Region {
    fn fit(&self, national: &str) -> Fit {
        let length = u8::try_from(national.len()).unwrap_or(u8::MAX);
        if self.lengths.checked_shr(u32::from(length)).is_none_or(|bits| bits & 1 == 0) {
            return Fit::No;
        }
        let start = national.get(..3).and_then(|start| start.parse::<u16>().ok());
        let known = self.starts.iter().find(|(of, _)| *of == length).map_or(&[][..], |(_, ranges)| *ranges);
        let is_known = start.is_some_and(|start| known.iter().any(|(first, last)| (*first..=*last).contains(&start)));
        if is_known { Fit::Start } else { Fit::Length }
    }
}
