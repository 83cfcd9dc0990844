//! Numbers of all regions, made by libphonenumber (`numbers.txt`, see there), read as people write them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]

use hookswitch_message::CountryCode;
use hookswitch_routing::normalize;

const NUMBERS: &str = include_str!("numbers.txt");

struct Number {
    region: CountryCode,
    owner: CountryCode,
    code: &'static str,
    national: &'static str,
    trunk: Option<&'static str>,
    at_home: Option<&'static str>,
}

impl Number {
    fn e164(&self) -> String {
        format!("+{}{}", self.code, self.national)
    }
}

fn numbers() -> Vec<Number> {
    let given = |text| (text != "-").then_some(text);
    let lines = NUMBERS.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<_> = lines
        .map(|line| {
            let fields: [&str; 7] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
            let [region, _, owner, code, national, trunk, at_home] = fields;
            let (region, owner) = (region.parse().unwrap(), owner.parse().unwrap());
            Number { region, owner, code, national, trunk: given(trunk), at_home: given(at_home) }
        })
        .collect();
    assert!(all.len() > 2_900, "{}", all.len());
    all
}

/// A text, and the default region that it is read with.
type Written = (String, Option<CountryCode>);

/// One way of writing a number: how many of the table's numbers are refused when they are written like that, and how many
/// texts are another number in E.164 as they stand.
struct Form {
    name: &'static str,
    refused: usize,
    as_it_stands: usize,
    write: fn(&Number) -> Option<Written>,
}

const FORMS: [Form; 12] = [
    Form { name: "E.164", refused: 4, as_it_stands: 0, write: |n| Some((n.e164(), None)) },
    Form {
        name: "E.164, with a default region of its own",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((n.e164(), Some(n.region))),
    },
    Form {
        name: "international with blanks",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((format!("+{} {} {}", n.code, &n.national[..2], &n.national[2..]), None)),
    },
    Form {
        name: "as a tel: URI",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((format!("tel:+{}-{}", n.code, n.national), None)),
    },
    Form {
        name: "calling code in parentheses",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((format!("(+{}) {}", n.code, n.national), Some(n.region))),
    },
    Form {
        name: "in full-width characters",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((n.e164().chars().map(full_width).collect(), None)),
    },
    Form {
        name: "trunk prefix in parentheses",
        refused: 4,
        as_it_stands: 0,
        write: |n| Some((format!("+{} ({}) {}", n.code, n.trunk?, n.national), None)),
    },
    Form {
        name: "trunk prefix after the calling code",
        refused: 4,
        as_it_stands: 1,
        write: |n| Some((format!("+{} {}{}", n.code, n.trunk?, n.national), None)),
    },
    Form {
        name: "as formatted at home",
        refused: 13,
        as_it_stands: 0,
        write: |n| Some((n.at_home?.to_owned(), Some(n.region))),
    },
    Form {
        name: "national with its trunk prefix",
        refused: 10,
        as_it_stands: 0,
        write: |n| Some((format!("{}{}", n.trunk?, n.national), Some(n.region))),
    },
    Form {
        name: "national without a trunk prefix",
        refused: 13,
        as_it_stands: 0,
        write: |n| Some((n.national.to_owned(), Some(n.region))),
    },
    Form {
        name: "own calling code without a plus sign",
        refused: 45,
        as_it_stands: 0,
        write: |n| Some((format!("{}{}", n.code, n.national), Some(n.region))),
    },
];

/// The form of a character that stands between Chinese ones.
fn full_width(c: char) -> char {
    char::from_u32(u32::from(c) + 0xfee0).unwrap()
}

#[test]
fn no_number_of_any_region_is_read_as_another_one_however_it_is_written() {
    let (mut wrong, mut counts) = (Vec::new(), Vec::new());
    for form in FORMS {
        let (mut refused, mut as_it_stands) = (0, 0);
        for number in numbers() {
            let Some((text, region)) = (form.write)(&number) else { continue };
            match normalize(&text, region) {
                Ok(normalized) if normalized.number.as_str() == number.e164() => {
                    if normalized.country != Some(number.owner) {
                        wrong.push(format!("{}: {text} is {:?}, not {}", form.name, normalized.country, number.owner));
                    }
                }
                // What is E.164 as it stands, and a number in use, is what it says.
                Ok(normalized) if text.replace(' ', "") == normalized.number.as_str() => as_it_stands += 1,
                Ok(normalized) => {
                    wrong.push(format!("{}: {text} is read as {}", form.name, normalized.number.as_str()));
                }
                Err(_) => refused += 1,
            }
        }
        counts.push((form.name, refused, as_it_stands));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(counts, FORMS.map(|form| (form.name, form.refused, form.as_it_stands)));
}

/// A number without its plus sign may be one of the default region by chance; how many are taken for one is counted here.
#[test]
fn a_number_of_another_country_without_its_plus_sign_is_seldom_read_as_one_of_the_default_region() {
    let counts = ["US", "GB", "SE", "IN"].map(|default| {
        let region: CountryCode = default.parse().unwrap();
        let abroad = numbers().into_iter().filter(|number| number.region != region);
        let read = abroad.filter_map(|number| {
            let normalized = normalize(&format!("{}{}", number.code, number.national), Some(region)).ok()?;
            (normalized.number.as_str() != number.e164()).then_some(())
        });
        (default, read.count())
    });
    assert_eq!(counts, [("US", 226), ("GB", 54), ("SE", 126), ("IN", 453)]);
}
