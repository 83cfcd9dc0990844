//! What holds for every provider, whatever it answers.

use proptest::{collection::vec, prelude::*};

use super::*;
use hookswitch_gateway_config::{
    document::{self, HookCredential, OktaHookCredential},
    twilio::TwilioOptions,
};

fn adapters() -> Vec<Box<dyn Adapter>> {
    let twilio = Account::Twilio {
        account_sid: "AC0123456789abcdef0123456789abcdef".into(),
        api_key_sid: None,
        auth_token: "token".into(),
        base_url: "https://api.twilio.com".into(),
        options: TwilioOptions::default(),
    };
    let http = Account::Http { url: "https://sms.acme.example/".into(), token: "token".into() };
    let provider = |account| ProviderConfig {
        account,
        senders: Vec::new(),
        probe: document::Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
        max_in_flight: 256,
        ca_bundle: None,
    };
    let secret = HookCredential { header: "authorization".into(), secret: "s".into() };
    let okta_hook = Account::OktaHook {
        url: "https://hooks.vendor.example/okta".into(),
        auth: OktaHookCredential::Header(secret),
        headers: Vec::new(),
    };
    [twilio, http, okta_hook].into_iter().map(|account| adapter(&provider(account)).unwrap()).collect()
}

/// Bodies that look like what providers answer, with anything in the places that are read.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("accepted".to_owned()),
        Just("refused".to_owned()),
        Just("unknown".to_owned()),
        Just("queued".to_owned()),
        Just("permanent-config".to_owned()),
        Just("active".to_owned()),
        ".{0,200}",
    ];
    let value = prop_oneof![
        word.prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (20_000..22_000).prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!([{}])),
    ];
    let name = prop::sample::select(vec!["status", "id", "sid", "code", "error_code", "class", "scope", "message"]);
    let object = vec((name, value), 0..8).prop_map(|fields| {
        let fields: serde_json::Map<_, _> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        serde_json::to_vec(&fields).unwrap()
    });
    prop_oneof![object, vec(any::<u8>(), 0..200)]
}

#[test]
fn a_whole_number_may_be_a_text_and_what_makes_no_sense_in_its_place_is_absent() {
    for (written, text, number) in [
        (r#"" 21211 ""#, Some("21211"), Some(21_211)),
        ("21211", Some("21211"), Some(21_211)),
        ("-1", Some("-1"), None),
        ("18446744073709551615", Some("18446744073709551615"), None),
        ("4294967296", Some("4294967296"), None),
        ("212.11", None, None),
        ("1e3", None, None),
        (r#""busy""#, Some("busy"), None),
        ("null", None, None),
        ("true", None, None),
        ("[21211]", None, None),
    ] {
        let body = format!(r#"{{"code": {written}}}"#).into_bytes();
        let answer = ProviderAnswer { status: 400, retry_after: None, body };
        let fields = answer.fields().unwrap();
        assert_eq!((fields.text("code").as_deref(), fields.number("code")), (text, number), "{written}");
    }
}

#[test]
fn a_pause_is_asked_for_in_seconds_where_pausing_helps_and_is_no_longer_than_a_day() {
    for (asked, seconds) in [
        ("1", Some(1)),
        (" 120 ", Some(120)),
        ("86400", Some(86_400)),
        ("86401", Some(86_400)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
    ] {
        let answer = ProviderAnswer { status: 503, retry_after: Some(asked.to_owned()), body: Vec::new() };
        for (class, helps) in [(Class::Throttled, true), (Class::Transient, true), (Class::Unknown, false)] {
            let refusal = answer.refusal(class, "c".to_owned());
            assert_eq!(refusal.retry_after_s, seconds.filter(|_| helps), "{asked} {class:?}");
        }
    }
}

fn is_presentable(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_provider_answers_only_bounded_printable_ids_and_codes_come_of_it(
        status in prop_oneof![Just(200_u16), Just(201), Just(400), Just(429), Just(503), any::<u16>()],
        retry_after in prop::option::of(".{0,40}"),
        body in body(),
    ) {
        let answer = ProviderAnswer { status, retry_after, body };
        for adapter in adapters() {
            match adapter.outcome(&answer) {
                Outcome::Accepted { id } => prop_assert!((200..300).contains(&status) && is_presentable(&id, 128)),
                Outcome::Refused(refusal) => {
                    prop_assert!(is_presentable(&refusal.code, 64), "{:?}", refusal.code);
                    prop_assert!(refusal.retry_after_s.is_none_or(|pause| pause <= 86_400));
                }
                Outcome::Ambiguous { cause } => prop_assert!(matches!(cause, "garbage" | "unknown")),
            }
            if let Probed::Down(refusal) = adapter.probed(&answer) {
                prop_assert!(is_presentable(&refusal.code, 64), "{:?}", refusal.code);
            }
        }
    }
}

#[test]
fn each_provider_has_its_label() {
    let labels: Vec<_> = adapters().iter().map(|adapter| adapter.label()).collect();
    assert_eq!(labels, ["twilio", "http", "oktaHook"]);
}
