//! What providers, and whoever stands before them, answer: samples of others, and each value that is read in every form in
//! which somebody might write it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]

use std::collections::BTreeMap;
use std::path::Path;

use hookswitch_gateway_config::{
    document::{Account, HookCredential, OktaHookCredential, Probe, ProviderConfig},
    twilio::{TwilioOptions, TwilioVerify},
};
use hookswitch_providers::{Adapter, Outcome, Probed, ProviderAnswer, adapter};
use serde::Deserialize;
use serde_json::{Value, json};

/// The answers of one source.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Page {
    /// Where they come from.
    source: String,
    /// Whose reader they are for; absent: everybody's.
    adapter: Option<String>,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    says: String,
    /// A reader that means something else by it, which its own page says.
    not_for: Option<String>,
    /// An answer to a probe rather than to a message.
    #[serde(default)]
    probe: bool,
    status: u16,
    retry_after: Option<String>,
    /// JSON; a text stands for itself.
    body: Value,
    means: String,
}

fn adapters() -> BTreeMap<&'static str, Box<dyn Adapter>> {
    let twilio = |base_url: &str, options| Account::Twilio {
        account_sid: "AC0123456789abcdef0123456789abcdef".into(),
        api_key_sid: None,
        auth_token: "token".into(),
        base_url: base_url.into(),
        options,
    };
    let service = TwilioVerify { service_sid: format!("VA{}", "a".repeat(32)), template_sid: None };
    let verify = TwilioOptions { verify: Some(service), ..TwilioOptions::default() };
    let http = Account::Http { url: "https://sms.acme.example/".into(), token: "token".into() };
    let secret = HookCredential { header: "authorization".into(), secret: "s".into() };
    let okta_hook = Account::OktaHook {
        url: "https://hooks.vendor.example/okta".into(),
        auth: OktaHookCredential::Header(secret),
        headers: Vec::new(),
    };
    let made = |account| {
        let probe = Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 };
        let provider = ProviderConfig { account, senders: Vec::new(), probe, max_in_flight: 1, ca_bundle: None };
        adapter(&provider).unwrap()
    };
    BTreeMap::from([
        ("twilio", made(twilio("https://api.twilio.com", TwilioOptions::default()))),
        ("twilio-verify", made(twilio("https://verify.twilio.com", verify))),
        ("http", made(http)),
        ("oktaHook", made(okta_hook)),
    ])
}

fn answer(status: u16, body: &Value) -> ProviderAnswer {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    ProviderAnswer { status, retry_after: None, body: body.into_bytes() }
}

fn meant(adapter: &dyn Adapter, answer: &ProviderAnswer) -> String {
    match adapter.outcome(answer) {
        Outcome::Accepted { id } => format!("accepted {id}"),
        Outcome::Refused(refusal) => format!("refused {} {}", refusal.class.label(), refusal.code),
        Outcome::Ambiguous { .. } => "unclear".to_owned(),
    }
}

fn shown(adapter: &dyn Adapter, answer: &ProviderAnswer) -> String {
    match adapter.probed(answer) {
        Probed::Up => "up".to_owned(),
        Probed::Down(refusal) => format!("down {} {}", refusal.class.label(), refusal.code),
        Probed::Unknown => "unknown".to_owned(),
    }
}

#[test]
fn answers_that_others_wrote_mean_what_they_say() {
    let adapters = adapters();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let pages: Vec<Page> = serde_json::from_slice(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for page in pages {
            assert!(page.source.len() > 20, "{}: where are these from?", path.display());
            for row in &page.answers {
                let answer = ProviderAnswer { retry_after: row.retry_after.clone(), ..answer(row.status, &row.body) };
                for (name, adapter) in &adapters {
                    let is_for_another = page.adapter.as_deref().is_some_and(|only| only != *name);
                    if is_for_another || row.not_for.as_deref() == Some(*name) {
                        continue;
                    }
                    let says = if row.probe { shown(&**adapter, &answer) } else { meant(&**adapter, &answer) };
                    assert_eq!(says, row.means, "{name}: {} ({})", row.says, page.source);
                    read += 1;
                }
            }
        }
    }
    assert!(read >= 50, "only {read} answers were read");
}

/// Values that somebody might write where a short text is expected, and the text that each one is; `None` where it is as
/// good as absent.
fn forms() -> Vec<(Value, Option<&'static str>)> {
    vec![
        (json!("21614"), Some("21614")),
        (json!(" 21614\t"), Some("21614")),
        (json!(21614), Some("21614")),
        (json!(null), None),
        (json!(""), None),
        (json!("  "), None),
        (json!(true), None),
        (json!(2.5), None),
        (json!([21614]), None),
        (json!({"code": 21614, "value": {"code": [21614]}}), None),
    ]
}

/// A body with one of its fields in every form, and once without it; other fields that nobody asked for stand around it.
fn variants(body: &Value, field: &str) -> Vec<(Value, Option<&'static str>)> {
    let with = |value: Option<Value>| {
        let mut body = body.clone();
        let fields = body.as_object_mut().unwrap();
        fields.extend([("data".to_owned(), json!({field: "other"})), ("x-extra".to_owned(), json!([null, {"a": []}]))]);
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
        body
    };
    let mut all: Vec<_> = forms().into_iter().map(|(form, text)| (with(Some(form)), text)).collect();
    all.push((with(None), None));
    all
}

/// Asserts what each form of a field means: a word for the text that it is, another one for nothing.
fn each(adapter: &str, status: u16, body: &Value, field: &str, text: &str, nothing: &str) {
    let adapters = adapters();
    for (body, is) in variants(body, field) {
        let expected = if is.is_some() { text } else { nothing };
        assert_eq!(meant(&*adapters[adapter], &answer(status, &body)), expected, "{adapter} {status}: {body}");
        // Whatever it is, a probe survives it.
        shown(&*adapters[adapter], &answer(status, &body));
    }
}

#[test]
fn an_id_may_be_a_text_or_a_whole_number_and_without_one_the_outcome_is_unclear() {
    each("twilio", 201, &json!({"status": "queued"}), "sid", "accepted 21614", "unclear");
    each("twilio", 201, &json!({"status": null, "error_code": null}), "sid", "accepted 21614", "unclear");
    each("twilio-verify", 201, &json!({"status": "pending"}), "sid", "accepted 21614", "unclear");
    each("http", 200, &json!({"status": "accepted", "code": null}), "id", "accepted 21614", "unclear");
}

#[test]
fn a_code_may_be_a_text_or_a_number_and_without_one_the_status_speaks() {
    let destination = "refused permanent-destination 21614";
    each("twilio", 400, &json!({"status": 400, "message": null}), "code", destination, "refused unknown http-400");
    each("twilio", 400, &json!({"status": null}), "error_code", destination, "refused unknown http-400");
    each("twilio", 200, &json!({"status": 400}), "code", destination, "unclear");
    each("twilio", 201, &json!({"sid": "SM1", "code": null}), "error_code", destination, "accepted SM1");
    each("twilio", 502, &json!({"status": 502}), "code", destination, "unclear");
    let refused = json!({"status": "refused", "class": "throttled"});
    each("http", 400, &refused, "code", "refused throttled 21614", "refused throttled http-400");
}

#[test]
fn a_field_that_makes_no_sense_is_as_good_as_absent() {
    let refused = json!({"status": "refused", "class": "permanent-config", "code": "c"});
    let account = "refused permanent-config-account c";
    each("http", 200, &refused, "scope", account, account);
    let refused = json!({"status": "refused", "code": "c"});
    each("http", 429, &refused, "class", "refused throttled c", "refused throttled c");
    each("http", 503, &json!({"id": "x"}), "status", "refused transient http-503", "refused transient http-503");
    each("http", 200, &json!({"id": "x"}), "status", "unclear", "unclear");
    each("twilio", 201, &json!({"sid": "SM1"}), "status", "accepted SM1", "accepted SM1");
    each("twilio", 200, &json!({"code": 99999}), "status", "refused unknown 99999", "refused unknown 99999");
}

#[test]
fn a_body_that_is_no_object_is_no_body() {
    let adapters = adapters();
    for body in
        ["", "null", "7", "true", "\"accepted\"", "[]", "[{\"sid\":\"SM1\"}]", "{", "{\"sid\":\"SM1\"", "\u{feff}"]
    {
        let body = Value::from(body);
        for adapter in adapters.values() {
            let says = [200, 201, 400, 502, 501].map(|status| meant(&**adapter, &answer(status, &body)));
            let expected = ["unclear", "unclear", "refused unknown http-400", "unclear", "refused transient http-501"];
            assert_eq!(says, expected, "{}: {body}", adapter.label());
        }
        assert_eq!(shown(&*adapters["twilio"], &answer(200, &body)), "unknown", "{body}");
    }
}

#[test]
fn an_account_that_does_not_say_that_it_is_active_proves_nothing() {
    let adapters = adapters();
    let account = json!({"sid": "AC1", "type": "Full"});
    for (body, _) in variants(&account, "status") {
        assert_eq!(shown(&*adapters["twilio"], &answer(200, &body)), "unknown", "{body}");
    }
    let body = json!({"status": "active", "sid": null, "type": 7, "owner": {"status": "closed"}});
    assert_eq!(shown(&*adapters["twilio"], &answer(200, &body)), "up");
}
