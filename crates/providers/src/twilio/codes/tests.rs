//! Every code against what others wrote of it: Twilio's dictionary as it was read for these tests, and a table of our own
//! research, with the reasons where the adapter differs.

use super::*;
use crate::{
    Adapter as _, Outcome, ProviderAnswer, Refusal,
    codes::{CodeText, Says},
    twilio::{AccountCredential, Twilio},
};
use hookswitch_gateway_config::twilio::TwilioOptions;

fn twilio() -> Twilio {
    let secret = "s3cret".into();
    let credential =
        AccountCredential { account_sid: "AC0123456789abcdef0123456789abcdef", api_key_sid: None, secret: &secret };
    Twilio::new(&credential, "https://api.twilio.com", &[], &TwilioOptions::default()).unwrap()
}

fn answer(status: u16, body: &str) -> ProviderAnswer {
    ProviderAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

fn refused(class: Class, code: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.into(), retry_after_s: None })
}

/// Classes of codes as Twilio's dictionary of 2026 describes them, written apart from the adapter's table.
fn dictionary() -> Vec<(Class, Vec<u32>)> {
    vec![
        (
            Class::PermanentDestination,
            vec![13_223, 21_202, 21_211, 21_217, 21_265, 21_268, 21_610, 21_614, 21_635, 30_630, 60_205],
        ),
        (
            Class::UnreachableHere,
            vec![
                13_224, 14_111, 21_214, 21_219, 21_266, 21_608, 30_003, 30_004, 30_005, 30_006, 60_006, 60_008, 60_202,
                60_203, 60_212, 60_229, 60_331, 63_003, 63_035, 63_036, 572_002, 572_005, 573_002, 573_005,
            ],
        ),
        (
            ACCOUNT,
            vec![
                10_001, 20_003, 20_005, 20_008, 20_101, 20_104, 20_107, 20_151, 20_160, 20_403, 21_470, 21_471, 21_472,
                21_609, 30_002, 60_204, 60_206,
            ],
        ),
        (
            SENDER,
            vec![
                // Of a key or an account that may do one thing and not another: calls, say, and no messages.
                10_005, 20_006, 20_010, 70_051, 21_210, 21_212, 21_213, 21_267, 21_401, 21_601, 21_603, 21_606, 21_607,
                21_612, 21_616, 21_657, 21_659, 21_660, 21_661, 21_662, 21_663, 21_668, 21_701, 21_702, 21_703, 21_704,
                21_705, 21_708, 21_709, 21_711, 21_712, 21_910, 30_018, 30_024, 30_029, 30_030, 30_032, 30_033, 30_034,
                30_035, 30_037, 30_040, 30_041, 30_042, 30_043, 30_620, 30_700, 60_201, 60_214, 60_223, 60_224, 60_227,
                60_228, 60_252, 60_408, 63_002, 63_007, 63_008,
            ],
        ),
        (COUNTRY, vec![13_227, 21_203, 21_215, 21_408, 60_220, 60_226, 60_605]),
        (
            Class::Throttled,
            vec![
                10_004, 14_107, 20_429, 21_611, 22_005, 30_001, 30_022, 30_023, 30_027, 30_454, 60_728, 63_017, 63_018,
                63_038,
            ],
        ),
        (
            Class::Transient,
            vec![
                20_409, 20_500, 20_503, 20_504, 21_730, 22_001, 30_008, 30_017, 30_020, 30_021, 30_036, 30_500, 60_005,
                63_009, 63_010, 63_012,
            ],
        ),
        (Class::FraudBlocked, vec![30_450, 30_453, 30_485, 60_410, 60_412]),
        (Class::MessageRejected, vec![21_602, 21_618, 21_619, 30_007, 30_019, 30_044]),
        (Class::MessageTooLong, vec![21_617]),
        // Each stands for several reasons, some of them ours.
        (Class::Unknown, vec![13_225, 20_404, 21_216, 60_200, 60_238, 60_413]),
    ]
}

#[test]
fn every_code_of_the_dictionary_has_its_class_whatever_the_status() {
    for (class, codes) in dictionary() {
        for code in codes {
            for status in [400, 401, 403, 404, 429, 500, 503] {
                let body = format!(r#"{{"code":{code},"message":"m","more_info":"i","status":{status}}}"#);
                let outcome = twilio().outcome(&answer(status, &body));
                assert_eq!(outcome, refused(class, &code.to_string()), "{code} with {status}");
            }
        }
    }
}

#[test]
fn who_stopped_waiting_is_believed_only_with_a_reason_of_twilios() {
    let unclear = Outcome::Ambiguous { cause: "unknown" };
    for status in [408, 409, 499, 502, 504, 524] {
        for (class, codes) in dictionary() {
            for code in codes {
                let expected = match (class, code, status) {
                    (Class::Transient | Class::Unknown, _, _) => unclear.clone(),
                    _ => refused(class, &code.to_string()),
                };
                let body = format!(r#"{{"code":{code},"status":{status}}}"#);
                assert_eq!(twilio().outcome(&answer(status, &body)), expected, "{code} with {status}");
            }
        }
        for body in [r#"{"code":99999,"status":502}"#, r#"{"code":21999}"#, r#"{"code":30410,"status":400}"#] {
            assert_eq!(twilio().outcome(&answer(status, body)), unclear, "{body} with {status}");
        }
    }
    let failed = r#"{"sid":"SM1","status":"failed","error_code":30410}"#;
    assert_eq!(twilio().outcome(&answer(201, failed)), unclear, "the network may have delivered it");
}

#[test]
fn every_listed_code_is_in_the_dictionary_of_these_tests() {
    let known: Vec<u32> = dictionary().into_iter().flat_map(|(_, codes)| codes).collect();
    let mut unclear = Vec::new();
    for listed in CODES.codes {
        let CodeText::Numbers(first, last) = listed.code else { panic!("{listed:?}") };
        match listed.says {
            Says::Unclear => unclear.push(first),
            // of a row the first and the last stand for all
            Says::Refused(_) => assert!(known.contains(&first) && known.contains(&last), "{listed:?}"),
        }
    }
    assert_eq!(unclear, [30_410]);
}

#[test]
fn a_code_between_two_that_are_listed_is_not() {
    for code in [0, 10_000, 21_264, 21_700, 21_706, 60_207, 573_006, u32::MAX] {
        assert_eq!(CODES.number(code), None, "{code}");
    }
}

/// What the research says, and where the adapter says something else: the code, what it says, and why.
#[test]
fn the_classes_are_those_of_the_research_or_differ_for_a_reason() {
    let research = [
        (
            NUMBER,
            vec![
                21_211, 21_214, 21_217, 21_401, 21_421, 21_604, 21_610, 21_614, 21_612, 21_202, 13_223, 13_224, 60_200,
                60_205, 30_005, 30_006, 30_004, 30_003,
            ],
        ),
        (ACCOUNT, vec![20_003, 10_001, 20_005, 20_403, 21_608, 21_219, 30_002]),
        (
            SENDER,
            vec![
                21_212, 21_603, 21_606, 21_210, 21_657, 21_701, 21_702, 21_703, 21_704, 21_705, 60_223, 30_018, 30_024,
                30_032, 30_033, 30_034,
            ],
        ),
        (COUNTRY, vec![21_408, 21_215, 13_227, 21_203, 60_605, 60_220]),
        (
            Class::Throttled,
            vec![20_429, 14_107, 21_611, 10_004, 63_038, 60_203, 60_207, 60_212, 30_001, 30_022, 30_023, 30_027],
        ),
        (Class::Transient, vec![20_500, 20_503, 21_730, 21_619, 30_008, 30_017, 30_410]),
        (Class::FraudBlocked, vec![21_216, 13_225, 60_410, 60_238, 60_413, 30_450]),
        (Class::MessageRejected, vec![21_602, 21_617, 21_618, 30_007, 30_019]),
    ];
    let here = Says::Refused(Class::UnreachableHere);
    let unknown = Says::Refused(Class::Unknown);
    let differs: [(&[u32], Option<Says>, &str); 12] = [
        (&[13_224, 21_214, 30_003, 30_004, 30_005, 30_006], Some(here), "another provider may have another way there"),
        (&[21_401, 21_612], Some(Says::Refused(SENDER)), "the dictionary's causes are about the sender"),
        (&[21_421], None, "answered when numbers are bought, never to a message"),
        (&[21_604], None, "every message has a number"),
        (&[60_200], Some(unknown), "the parameter need not be the number"),
        (&[21_608, 21_219], Some(here), "one number of a trial account, whose other numbers work"),
        (&[60_203, 60_212], Some(here), "one number's limit says nothing of the account"),
        (&[60_207], None, "answered when limits are set up"),
        (&[21_619], Some(Says::Refused(Class::MessageRejected)), "the text is what cannot be recorded"),
        (&[30_410], Some(Says::Unclear), "the network may have delivered it"),
        (&[21_216, 13_225, 60_238, 60_413], Some(unknown), "also for reasons that are not fraud"),
        (&[21_617], Some(Says::Refused(Class::MessageTooLong)), "nobody takes a longer text"),
    ];
    for (class, codes) in research {
        for code in codes {
            let other = differs.iter().find(|(codes, _, _)| codes.contains(&code));
            let (expected, because) =
                other.map_or((Some(Says::Refused(class)), "as researched"), |(_, says, why)| (*says, *why));
            assert_eq!(CODES.number(code), expected, "{code}: {because}");
        }
    }
}
