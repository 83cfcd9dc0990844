//! From what Okta calls a phone number to E.164 and a country.

use std::ops::Range;

use super::numbering_plan::{self, Fit, Region};
use hookswitch_message::{CountryCode, E164};

/// The longest text that is read; 15 digits with every kind of separator fit well.
const MAX_RAW: usize = 64;

/// A number and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// The number.
    pub number: E164,
    /// Its country; `None` for numbers that belong to none, such as satellite phones.
    pub country: Option<CountryCode>,
    code: &'static str,
}

impl Normalized {
    /// The number's digits as they are written at home, without calling code and trunk prefix.
    #[must_use]
    pub fn national(&self) -> &str {
        let digits = self.number.digits();
        digits.strip_prefix(self.code).unwrap_or(digits)
    }
}

/// Why a text cannot be normalized. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableNumber {
    /// It is not a phone number.
    #[error("not a phone number")]
    NotANumber,
    /// It has no plus sign and there is no region to read it in.
    #[error("a number without a plus sign, and no default region to read it in")]
    NoRegion,
    /// Its calling code is assigned to nobody.
    #[error("a calling code that is assigned to no country or service")]
    UnassignedCode,
    /// It has an extension, which neither a message nor a call of ours can reach.
    #[error("a number with an extension, which cannot be reached")]
    Extension,
    /// It has no plus sign, and read as a number of its region it begins like none in use.
    #[error("a number without a plus sign that begins like none of its region; write it in E.164, as in +46701234567")]
    Unfamiliar,
    /// It can be read as more than one number.
    #[error("it can be read as more than one number; write it in E.164, as in +46701234567")]
    Uncertain,
}

/// Reads a phone number: international with its plus sign, or national of `default_region` when there is none. Spaces,
/// dashes, dots, slashes and parentheses may stand between the digits, `tel:` before them. An international number that is
/// written with `00` is refused, because which digits mean "international" depends on where one is. Without a plus sign only a
/// number that begins like numbers in use is taken: what is written so may as well be another country's.
///
/// A trunk prefix may be written where it does not belong, and the calling code where it is not needed. When that leaves more
/// than one number that could be meant, none is taken: a passcode goes to nobody rather than to a stranger.
///
/// The country follows from the calling code; where several countries share one, from the digits after it. A number of a
/// shared code that no country claims counts for the largest of them. Nothing promises that the number is in use.
///
/// # Errors
/// [`UnreadableNumber`].
pub fn normalize(raw: &str, default_region: Option<CountryCode>) -> Result<Normalized, UnreadableNumber> {
    let written = Written::read(raw)?;
    let digits = if written.plus {
        international(&written)?
    } else {
        let region = default_region
            .and_then(|region| numbering_plan::region(region.as_str()))
            .ok_or(UnreadableNumber::NoRegion)?;
        national(&written, region)?
    };
    // What was found must not be read as yet another number by whoever reads it next.
    if international(&Written::plain(&digits)).as_deref() != Ok(digits.as_str()) {
        return Err(UnreadableNumber::Uncertain);
    }
    let number: E164 = format!("+{digits}").parse().map_err(|_| UnreadableNumber::NotANumber)?;
    let (code, owner) = numbering_plan::owner(&digits).ok_or(UnreadableNumber::UnassignedCode)?;
    Ok(Normalized { country: owner.parse().ok(), number, code })
}

/// The digits of a number with its plus sign, without a trunk prefix that some write after the calling code, as in
/// `+44 (0)20 …`.
fn international(written: &Written) -> Result<String, UnreadableNumber> {
    let digits = written.digits.as_str();
    if !(1..=17).contains(&digits.len()) || digits.starts_with('0') {
        return Err(UnreadableNumber::NotANumber);
    }
    let (code, _) = numbering_plan::owner(digits).ok_or(UnreadableNumber::UnassignedCode)?;
    let rest = digits.get(code.len()..).unwrap_or_default();
    let cut = without_trunk(code, rest, numbering_plan::trunks(code));
    if cut.is_empty() {
        return Ok(digits.to_owned());
    }
    // E.164 as it stands comes first: only when it says itself that its first digits do not belong to it, or when no number
    // begins like this, is it anything else.
    if written.sets_trunk_apart(code.len(), numbering_plan::trunks(code)) {
        return the_best(cut);
    }
    if numbering_plan::fit(digits) == Fit::Start {
        Ok(digits.to_owned())
    } else {
        the_best(with(cut, digits.to_owned()))
    }
}

/// The digits, calling code first, of a number as it is written in a region.
fn national(written: &Written, region: &Region) -> Result<String, UnreadableNumber> {
    let digits = written.digits.as_str();
    if digits.starts_with("00") {
        return Err(UnreadableNumber::NotANumber);
    }
    let mut readings = without_trunk(region.code, digits, region.trunks);
    if !written.sets_trunk_apart(0, region.trunks) {
        readings = with(readings, format!("{}{digits}", region.code));
        if digits.starts_with(region.code)
            && let Ok(own) = international(written)
        {
            readings = with(readings, own);
        }
    }
    // The plus sign that is not there may belong to another country's number; what numbers in use begin like is no accident.
    let best = the_best(readings)?;
    if numbering_plan::fit(&best) == Fit::Start { Ok(best) } else { Err(UnreadableNumber::Unfamiliar) }
}

/// Readings of national digits that begin with a trunk prefix, each without it.
fn without_trunk(code: &str, digits: &str, trunks: &[&str]) -> Vec<String> {
    let cut = trunks.iter().filter_map(|trunk| digits.strip_prefix(trunk));
    cut.map(|rest| format!("{code}{rest}")).collect()
}

fn with(mut readings: Vec<String>, one: String) -> Vec<String> {
    readings.push(one);
    readings
}

/// The reading that fits its plan best, unless another fits it as well.
fn the_best(mut readings: Vec<String>) -> Result<String, UnreadableNumber> {
    readings.sort_unstable();
    readings.dedup();
    let best = readings.iter().map(|digits| numbering_plan::fit(digits)).max().unwrap_or(Fit::No);
    if best == Fit::No {
        return Err(UnreadableNumber::NotANumber);
    }
    readings.retain(|digits| numbering_plan::fit(digits) == best);
    if readings.len() > 1 {
        Err(UnreadableNumber::Uncertain)
    } else {
        readings.pop().ok_or(UnreadableNumber::NotANumber)
    }
}

/// What is written where a phone number is expected.
#[derive(Debug)]
struct Written {
    plus: bool,
    digits: String,
    /// Which of the digits stand in the first pair of parentheses.
    apart: Option<Range<usize>>,
}

impl Written {
    fn read(raw: &str) -> Result<Self, UnreadableNumber> {
        if raw.len() > MAX_RAW {
            return Err(UnreadableNumber::NotANumber);
        }
        let text = raw.trim_matches(is_invisible);
        let is_uri = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
        let text = text.get(4..).filter(|_| is_uri).map_or(text, |rest| rest.trim_start_matches(is_invisible));
        let text = text.strip_prefix('(').filter(|rest| rest.starts_with(is_plus)).unwrap_or(text);
        let (plus, text) = text.strip_prefix(is_plus).map_or((false, text), |rest| (true, rest));
        let end = text.find(|c| digit(c).is_none() && !is_separator(c)).unwrap_or(text.len());
        let (text, rest) = text.split_at(end);
        if !rest.is_empty() {
            return Err(if is_extension(rest) { UnreadableNumber::Extension } else { UnreadableNumber::NotANumber });
        }
        let (mut digits, mut opened, mut apart) = (String::new(), None, None);
        for c in text.chars() {
            match c {
                '(' | '[' | '（' | '［' => opened = opened.or(Some(digits.len())),
                ')' | ']' | '）' | '］' => apart = apart.or(opened.map(|at| at..digits.len())),
                c => digits.extend(digit(c)),
            }
        }
        Ok(Self { plus, digits, apart })
    }

    /// An international number with nothing but its digits.
    fn plain(digits: &str) -> Self {
        Self { plus: true, digits: digits.to_owned(), apart: None }
    }

    /// Whether a trunk prefix stands in parentheses at that place: whoever writes that says that it is not always dialled.
    fn sets_trunk_apart(&self, at: usize, trunks: &[&str]) -> bool {
        let apart = self.apart.clone().filter(|apart| apart.start == at).and_then(|apart| self.digits.get(apart));
        apart.is_some_and(|apart| trunks.contains(&apart))
    }
}

/// Whether a character shows nothing: a blank, a mark of the direction of writing, or a place where a line may break.
const fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

const fn is_plus(c: char) -> bool {
    matches!(c, '+' | '＋')
}

/// The decimal digit that a character is: as in ASCII, as wide as a Chinese character, or in one of the two Arabic forms.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => '0',
        '０'..='９' => '０',
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

/// Whether a character may stand between digits and means nothing. Numbers that were copied from a document bring dashes and
/// blanks of their own.
const fn is_separator(c: char) -> bool {
    let is_bracket = matches!(c, '(' | ')' | '[' | ']' | '（' | '）' | '［' | '］');
    let is_dash = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | 'ー' | '－');
    let is_blank = matches!(c, ' ' | '\t' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\u{3000}');
    is_bracket || is_dash || is_blank || matches!(c, '.' | '/') || (is_invisible(c) && !c.is_whitespace())
}

/// Whether what follows a number is an extension of it, in the ways that people and RFC 3966 write one.
fn is_extension(rest: &str) -> bool {
    let rest = rest.to_ascii_lowercase();
    let rest = rest.trim_start_matches([';', ',', ' ']);
    let number = ["extension", "extn", "ext", "x", "#"].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
    let number = number.trim_start_matches(['.', ':', '=', ' ']).trim_end_matches(['#', ' ']);
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
