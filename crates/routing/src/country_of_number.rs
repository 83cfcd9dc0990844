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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn country(text: &str) -> CountryCode {
        text.parse().unwrap()
    }

    fn normalized(raw: &str, region: Option<&str>) -> Result<(String, String), UnreadableNumber> {
        normalize(raw, region.map(country)).map(|normalized| {
            (
                normalized.number.as_str().to_owned(),
                normalized.country.map_or_else(String::new, |country| country.to_string()),
            )
        })
    }

    #[test]
    fn a_shared_calling_code_is_distinguished_by_the_digits_after_it() {
        for (number, expected) in [
            ("+14155552671", "US"),
            ("+16135550123", "CA"),
            ("+18765551234", "JM"),
            ("+16585551234", "JM"),
            ("+12735550123", "CA"),
            ("+17875551234", "PR"),
            ("+12425551234", "BS"),
            ("+18005551234", "US"),
            ("+15005550006", "US"),
            ("+79161234567", "RU"),
            ("+77011234567", "KZ"),
            ("+77172123456", "KZ"),
            ("+447400123456", "GB"),
            ("+442079460018", "GB"),
            ("+447781123456", "GG"),
            ("+447911123456", "GG"),
            ("+447911223456", "GB"),
            ("+447797123456", "JE"),
            ("+447624123456", "IM"),
            ("+4740612345", "NO"),
            ("+4779123456", "SJ"),
            ("+358401234567", "FI"),
            ("+3581812345678", "AX"),
            ("+390669812345", "VA"),
            ("+393123456789", "IT"),
            ("+61412345678", "AU"),
            ("+61891641234", "CX"),
            ("+61891621234", "CC"),
            ("+212650123456", "MA"),
            ("+262692123456", "RE"),
            ("+262639012345", "YT"),
            ("+59995181234", "CW"),
            ("+5993181234", "BQ"),
            ("+46701234567", "SE"),
        ] {
            assert_eq!(normalized(number, None), Ok((number.into(), expected.into())), "{number}");
        }
    }

    #[test]
    fn a_number_of_a_shared_code_that_nobody_claims_counts_for_the_largest_country() {
        for (number, expected) in [("+15550100123", "US"), ("+71234567890", "RU"), ("+449999999999", "GB")] {
            assert_eq!(
                normalize(number, None).map(|normalized| normalized.country),
                Ok(Some(country(expected))),
                "{number}"
            );
        }
    }

    #[test]
    fn a_satellite_phone_has_a_number_and_no_country() {
        assert_eq!(normalized("+881612345678", None), Ok(("+881612345678".into(), String::new())));
        assert_eq!(normalized("+80012345678", None), Ok(("+80012345678".into(), String::new())));
    }

    #[test]
    fn a_calling_code_that_nobody_has_is_distinguished_from_what_is_no_number() {
        for number in ["+999123456789", "+2101234567890", "+9995550100"] {
            assert_eq!(normalized(number, Some("SE")), Err(UnreadableNumber::UnassignedCode), "{number}");
        }
        for text in [
            "",
            "+",
            "++46701234567",
            "+46",
            "+0701234567",
            "46+701234567",
            "+4670123456x",
            "+४६७०१२३४५६७",
            "+467012345678901234",
            "0046701234567",
            "tel:0701234567;phone-context=+46",
            "(++46) 701234567",
            "07",
            "070123456789012",
            "+46 70 123 45 67                                                          ",
        ] {
            assert_eq!(normalized(text, Some("SE")), Err(UnreadableNumber::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn separators_and_a_trunk_prefix_are_taken_away() {
        for (raw, region, expected) in [
            (" +46 70-123 45 67 ", None, "+46701234567"),
            ("+44 (0)20 7946 0018", None, "+442079460018"),
            ("+1 (415) 555-2671", None, "+14155552671"),
            ("070-123 45 67", Some("SE"), "+46701234567"),
            ("701234567", Some("SE"), "+46701234567"),
            ("(415) 555-2671", Some("US"), "+14155552671"),
            ("1 415 555 2671", Some("US"), "+14155552671"),
            ("613 555 0123", Some("US"), "+16135550123"),
            ("8 (916) 123-45-67", Some("RU"), "+79161234567"),
            ("+375 (8) 017 378-73-32", None, "+375173787332"),
            ("+375 8 017 378-73-32", None, "+375173787332"),
            ("8 017 378-73-32", Some("BY"), "+375173787332"),
            ("+44 (020) 7946 0018", None, "+442079460018"),
            ("+36 (06) 1 234 5678", None, "+3612345678"),
            ("919876543210", Some("IN"), "+919876543210"),
            ("9198765432", Some("IN"), "+919198765432"),
            ("46 70-123 45 67", Some("SE"), "+46701234567"),
            ("44 (0)20 7946 0018", Some("GB"), "+442079460018"),
            ("+1\u{a0}(415)\u{a0}555\u{2011}2671", None, "+14155552671"),
            ("\u{202a}+46 70 123 45 67\u{202c}", None, "+46701234567"),
            ("\u{2066}+46\u{200b}70\u{ad}1234567\u{2069}\u{feff}", None, "+46701234567"),
            ("(+44) (0)20 7946 0018", None, "+442079460018"),
            ("(+46)70\u{2212}123\u{3000}45\t67", None, "+46701234567"),
            ("＋４６７０１２３４５６７", None, "+46701234567"),
            ("+٤٦٧٠١٢٣٤٥٦٧", None, "+46701234567"),
            ("۰۷۰۱۲۳۴۵۶۷", Some("SE"), "+46701234567"),
            ("tel:+46-70-123-45-67", None, "+46701234567"),
            ("TEL:070-1234567", Some("SE"), "+46701234567"),
            ("800 123 45 67", Some("RU"), "+78001234567"),
            ("06 698 12345", Some("IT"), "+390669812345"),
            ("090-1234-5678", Some("JP"), "+819012345678"),
        ] {
            assert_eq!(normalized(raw, region).map(|(number, _)| number), Ok(expected.into()), "{raw}");
        }
    }

    #[test]
    fn a_number_with_an_extension_is_distinguished_from_what_is_no_number() {
        for extension in
            [" ext. 12", ";ext=12", " x12", "x 12", " extn:12", ",,12#", " #12", " extension 12", "EXT12", ";12"]
        {
            assert_eq!(
                normalized(&format!("+46701740605{extension}"), None),
                Err(UnreadableNumber::Extension),
                "{extension}"
            );
        }
        for rest in [" ext", "x", "#", ";", " or +46701740606", "ext12a", "e12"] {
            assert_eq!(normalized(&format!("+46701740605{rest}"), None), Err(UnreadableNumber::NotANumber), "{rest}");
        }
    }

    #[test]
    fn the_national_number_is_what_is_left_without_the_calling_code() {
        for (number, national) in
            [("+46701740605", "701740605"), ("+14155552671", "4155552671"), ("+881612345678", "612345678")]
        {
            assert_eq!(normalize(number, None).unwrap().national(), national);
        }
    }

    #[test]
    fn a_national_number_needs_a_region_with_a_numbering_plan() {
        assert_eq!(normalized("9876543210", None), Err(UnreadableNumber::NoRegion));
        assert_eq!(normalized("9876543210", Some("XX")), Err(UnreadableNumber::NoRegion));
    }

    #[test]
    fn a_number_without_a_plus_sign_is_taken_only_when_numbers_in_use_begin_like_it() {
        for (text, region) in [
            ("0114359996", "US"),
            ("0685800738", "WS"),
            ("447911123456", "SE"),
            ("9876543210", "US"),
            ("9876543210", "GB"),
        ] {
            assert_eq!(normalized(text, Some(region)), Err(UnreadableNumber::Unfamiliar), "{text} in {region}");
        }
        let international = normalized("+1 987 654 3210", Some("US")).map(|(number, _)| number);
        assert_eq!(international, Ok("+19876543210".into()), "with a plus sign it is what it says");
    }

    #[test]
    fn of_two_numbers_that_could_be_meant_none_is_taken_unless_parentheses_say_which() {
        for (raw, region, meant) in [
            ("+43 0 100234", None, Err(UnreadableNumber::Uncertain)),
            ("+43 (0) 100234", None, Ok("+43100234")),
            ("+93 0 10023456", None, Ok("+93010023456")),
            ("+93 (0) 10023456", None, Err(UnreadableNumber::NotANumber)),
            ("0 100234", Some("AT"), Err(UnreadableNumber::Uncertain)),
            ("(0) 100234", Some("AT"), Err(UnreadableNumber::Unfamiliar)),
        ] {
            let meant = meant.map(str::to_owned);
            assert_eq!(normalized(raw, region).map(|(number, _)| number), meant, "{raw}");
        }
    }

    #[test]
    fn as_much_text_is_read_as_a_number_with_every_separator_needs() {
        let padded = |length: usize| format!("{:>length$}", "+46701740605");
        assert!(normalized(&padded(MAX_RAW), None).is_ok());
        assert_eq!(normalized(&padded(MAX_RAW + 1), None), Err(UnreadableNumber::NotANumber));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_normalized_or_refused_and_never_panics(raw in ".{0,80}", region in "[A-Z]{2}") {
            if let Ok(normalized) = normalize(&raw, Some(country(&region))) {
                prop_assert_eq!(normalize(normalized.number.as_str(), None), Ok(normalized));
            }
        }

        #[test]
        fn what_resembles_a_number_is_normalized_or_refused_and_never_panics(raw in r"[+]?[0-9 ()./-]{0,24}", region in "[A-Z]{2}") {
            if let Ok(normalized) = normalize(&raw, Some(country(&region))) {
                prop_assert_eq!(normalize(normalized.number.as_str(), None), Ok(normalized));
            }
        }
    }
}
