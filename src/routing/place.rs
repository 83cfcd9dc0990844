//! From what Okta calls a phone number to E.164 and a country.

use super::plan;
use crate::message::{CountryCode, E164};

/// The longest text that is looked at; 15 digits with every kind of separator fit well.
const MAX_RAW: usize = 64;

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

/// Reads a phone number: international with its plus sign, or national of `default_region` when there is none. Spaces,
/// dashes, dots, slashes and parentheses may stand between the digits. An international number that is written with `00`
/// is refused, because which digits mean "international" depends on where one is.
///
/// The country follows from the calling code; where several countries share one, from the digits after it. A number of a
/// shared code that no country claims counts for the largest of them. Nothing promises that the number is in use.
///
/// # Errors
/// [`Unplaceable`].
pub fn place(raw: &str, default_region: Option<CountryCode>) -> Result<Placed, Unplaceable> {
    let digits = digits(raw).ok_or(Unplaceable::NotANumber)?;
    let international = if raw.trim_start().starts_with('+') {
        international(&digits)?
    } else {
        let region = default_region.and_then(|region| plan::region(region.as_str())).ok_or(Unplaceable::NoRegion)?;
        let national = region.without_trunk(&digits);
        if digits.starts_with("00") || !region.may_have(national.len()) {
            return Err(Unplaceable::NotANumber);
        }
        international(&format!("{}{national}", region.code))?
    };
    let number: E164 = international.parse().map_err(|_| Unplaceable::NotANumber)?;
    let (_, owner) = plan::owner(number.digits()).ok_or(Unplaceable::UnassignedCode)?;
    Ok(Placed { country: owner.parse().ok(), number })
}

/// A number with its plus sign, without the trunk prefix that some write after the calling code, as in `+44 (0)20 …`.
fn international(digits: &str) -> Result<String, Unplaceable> {
    if !(7..=17).contains(&digits.len()) || digits.starts_with('0') {
        return Err(Unplaceable::NotANumber);
    }
    let (code, owner) = plan::owner(digits).ok_or(Unplaceable::UnassignedCode)?;
    let written = digits.get(code.len()..).ok_or(Unplaceable::NotANumber)?;
    let national = plan::region(owner).map_or(written, |region| region.without_trunk(written));
    if national == written {
        return Ok(format!("+{digits}"));
    }
    // Without the trunk prefix the number may be another region's of the same code.
    international(&format!("{code}{national}"))
}

/// The digits of a text that is written like a phone number.
fn digits(raw: &str) -> Option<String> {
    let text = raw.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let written_like_one = raw.len() <= MAX_RAW
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')'));
    written_like_one.then(|| text.chars().filter(char::is_ascii_digit).collect())
}

#[cfg(test)]
mod tests {
    use phonenumber::{Mode, metadata::DATABASE};
    use proptest::prelude::*;

    use super::*;

    fn country(text: &str) -> CountryCode {
        text.parse().unwrap()
    }

    fn placed(raw: &str, region: Option<&str>) -> Result<(String, String), Unplaceable> {
        place(raw, region.map(country)).map(|placed| {
            (placed.number.as_str().to_owned(), placed.country.map_or_else(String::new, |country| country.to_string()))
        })
    }

    #[test]
    fn a_shared_calling_code_is_told_apart_by_the_digits_after_it() {
        for (number, expected) in [
            ("+14155552671", "US"),
            ("+16135550123", "CA"),
            ("+18765551234", "JM"),
            ("+16585551234", "JM"),
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
            assert_eq!(placed(number, None), Ok((number.into(), expected.into())), "{number}");
        }
    }

    #[test]
    fn a_number_of_a_shared_code_that_nobody_claims_counts_for_the_largest_country() {
        for (number, expected) in [("+15550100123", "US"), ("+71234567890", "RU"), ("+440000000001", "GB")] {
            assert_eq!(place(number, None).map(|placed| placed.country), Ok(Some(country(expected))), "{number}");
        }
    }

    #[test]
    fn a_satellite_phone_has_a_number_and_no_country() {
        assert_eq!(placed("+881612345678", None), Ok(("+881612345678".into(), String::new())));
        assert_eq!(placed("+80012345678", None), Ok(("+80012345678".into(), String::new())));
    }

    #[test]
    fn a_calling_code_that_nobody_has_is_told_from_what_is_no_number() {
        for number in ["+999123456789", "+2101234567890", "+9995550100"] {
            assert_eq!(placed(number, Some("SE")), Err(Unplaceable::UnassignedCode), "{number}");
        }
        for text in [
            "",
            "+",
            "++46701234567",
            "+46",
            "+0701234567",
            "46+701234567",
            "+4670123456x",
            "+46701234567;ext=1",
            "+٤٦٧٠١٢٣٤٥٦٧",
            "+467012345678901234",
            "0046701234567",
            "tel:+46701234567",
            "07",
            "070123456789012",
            "+46 70 123 45 67                                                          ",
        ] {
            assert_eq!(placed(text, Some("SE")), Err(Unplaceable::NotANumber), "{text:?}");
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
            ("800 123 45 67", Some("RU"), "+78001234567"),
            ("06 698 12345", Some("IT"), "+390669812345"),
            ("090-1234-5678", Some("JP"), "+819012345678"),
        ] {
            assert_eq!(placed(raw, region).map(|(number, _)| number), Ok(expected.into()), "{raw}");
        }
    }

    #[test]
    fn a_national_number_needs_a_region_with_a_numbering_plan() {
        assert_eq!(placed("9876543210", None), Err(Unplaceable::NoRegion));
        assert_eq!(placed("9876543210", Some("XX")), Err(Unplaceable::NoRegion));
    }

    /// Every example number in libphonenumber's metadata.
    fn examples() -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for metadata in DATABASE.iter().filter(|metadata| metadata.id() != "001") {
            let all = metadata.descriptors();
            for descriptor in [all.mobile(), all.fixed_line(), all.toll_free(), all.voip()].into_iter().flatten() {
                if let Some(example) = descriptor.example() {
                    let trunk = metadata.national_prefix().unwrap_or_default();
                    found.push((
                        metadata.id().to_owned(),
                        format!("+{}{example}", metadata.country_code()),
                        format!("{trunk}{example}"),
                    ));
                }
            }
        }
        found
    }

    #[test]
    fn every_example_number_of_every_country_is_read_in_both_its_forms() {
        let examples = examples();
        assert!(examples.len() > 700, "{}", examples.len());
        let mut wrong = Vec::new();
        for (region, number, national) in examples {
            let found = place(&number, None).unwrap_or_else(|problem| panic!("{region} {number}: {problem}"));
            assert_eq!(found.number.as_str(), number, "{region}");
            let at_home = place(&national, Some(country(&region)));
            // Freephone numbers of Belarus begin with its trunk digit and have the length of other numbers with it.
            if region != "BY" && at_home.as_ref().map(|placed| placed.number.as_str()) != Ok(number.as_str()) {
                wrong.push((region, number, national));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_trunk_prefix_written_twice_is_taken_away_whole() {
        assert_eq!(placed("+49 00 30 901820", None), placed("+49 30 901820", None));
        assert_eq!(place("+49000000", None), Err(Unplaceable::NotANumber));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_placed_or_refused_and_never_panics(raw in ".{0,80}", region in "[A-Z]{2}") {
            if let Ok(placed) = place(&raw, Some(country(&region))) {
                prop_assert_eq!(place(placed.number.as_str(), None), Ok(placed));
            }
        }

        #[test]
        fn what_looks_like_a_number_is_placed_or_refused_and_never_panics(raw in r"[+]?[0-9 ()./-]{0,24}", region in "[A-Z]{2}") {
            if let Ok(placed) = place(&raw, Some(country(&region))) {
                prop_assert_eq!(place(placed.number.as_str(), None), Ok(placed));
            }
        }

        #[test]
        fn a_valid_number_of_a_shared_code_has_the_country_that_libphonenumber_gives(
            code in prop::sample::select(vec!["1", "7", "44", "47", "39", "61", "212", "262", "290", "358", "590", "599"]),
            national in "[1-9][0-9]{5,9}",
        ) {
            let number = format!("+{code}{national}");
            let Ok(parsed) = phonenumber::parse(None, &number) else { return Ok(()) };
            let same = parsed.format().mode(Mode::E164).to_string() == number;
            if let (true, true, Some(expected)) = (same, parsed.is_valid(), parsed.country().id()) {
                let found = place(&number, None).ok().and_then(|placed| placed.country).map(|c| c.to_string());
                prop_assert_eq!(found, Some(expected.as_ref().to_owned()), "{}", number);
            }
        }
    }
}
