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
    for (text, region) in
        [("0114359996", "US"), ("0685800738", "WS"), ("447911123456", "SE"), ("9876543210", "US"), ("9876543210", "GB")]
    {
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
