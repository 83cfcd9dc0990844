//! Verify's requests, and what its service shows.

use std::collections::BTreeMap;

use super::*;
use crate::{
    Adapter, Probe, Probed, Proof, ProviderAnswer, Scope,
    twilio::{AccountCredential, Twilio},
};

const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";
const TEMPLATE: &str = "HJ0123456789abcdef0123456789abcdef";

fn made(base_url: &str, options: &TwilioOptions) -> Result<Twilio, InvalidProvider> {
    let secret = "k3y".into();
    let credential = AccountCredential {
        account_sid: "AC0123456789abcdef0123456789abcdef",
        api_key_sid: Some("SK0123456789abcdef0123456789abcdef"),
        secret: &secret,
    };
    Twilio::new(&credential, base_url, &[], options)
}

fn options(service: &str, template: Option<&str>) -> TwilioOptions {
    let verify = TwilioVerify { service_sid: service.into(), template_sid: template.map(str::to_owned) };
    TwilioOptions { verify: Some(verify), ..TwilioOptions::default() }
}

fn verify() -> Twilio {
    made("https://verify.twilio.com", &options(SERVICE, None)).unwrap()
}

fn message(channel: Channel, code: &str, locale: Option<&str>) -> Message {
    Message {
        id: "m-1".into(),
        channel,
        to: "+14155552671".parse().unwrap(),
        country: "US".parse().ok(),
        text: "Acme's own text, which Verify does not send".into(),
        code: code.into(),
        locale: locale.map(str::to_owned),
        ttl: None,
        original: None,
    }
}

fn form(twilio: &Twilio, message: &Message) -> BTreeMap<String, String> {
    let request = twilio.request(message, None).unwrap();
    form_urlencoded::parse(request.body.expose()).into_owned().collect()
}

fn fields<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<String, String> {
    expected.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn a_verification_is_the_number_the_channel_and_the_passcode() {
    let twilio = verify();
    let request = twilio.request(&message(Channel::Sms, "493817", None), None).unwrap();
    assert_eq!(request.url.as_str(), format!("https://verify.twilio.com/v2/Services/{SERVICE}/Verifications"));
    let sms = fields([("To", "+14155552671"), ("Channel", "sms"), ("CustomCode", "493817")]);
    assert_eq!(
        form(&twilio, &message(Channel::Sms, "493817", Some("uk"))),
        sms,
        "a language that Verify does not have"
    );
    let call = fields([("To", "+14155552671"), ("Channel", "call"), ("CustomCode", "493817"), ("Locale", "sv")]);
    assert_eq!(form(&twilio, &message(Channel::Voice, "493817", Some("sv-SE"))), call);
    assert!(!twilio.needs_sender());
}

#[test]
fn a_template_goes_with_both_channels_and_the_risk_check_with_texts() {
    let options = TwilioOptions { risk_check: Some(RiskCheck::Disable), ..options(SERVICE, Some(TEMPLATE)) };
    let twilio = made("https://proxy.example/twilio/", &options).unwrap();
    let sms = fields([
        ("To", "+14155552671"),
        ("Channel", "sms"),
        ("CustomCode", "493817"),
        ("TemplateSid", TEMPLATE),
        ("RiskCheck", "disable"),
    ]);
    assert_eq!(form(&twilio, &message(Channel::Sms, "493817", None)), sms);
    let names: Vec<_> = form(&twilio, &message(Channel::Voice, "493817", None)).into_keys().collect();
    assert_eq!(names, ["Channel", "CustomCode", "TemplateSid", "To"]);
    let service = format!("https://proxy.example/twilio/v2/Services/{SERVICE}");
    let Probe::Ask(probe) = twilio.probe(None) else { panic!("asked") };
    assert_eq!(probe.url.as_str(), service);
    assert_eq!(twilio.proves(), [Proof::Reachable, Proof::Credential, Proof::Service]);
}

#[test]
fn a_passcode_that_verify_does_not_take_asks_the_next_provider() {
    let refused = Refusal { class: Class::UnreachableHere, code: "code-length".into(), retry_after_s: None };
    for (code, fits) in [("123", false), ("1234", true), ("1234567890", true), ("12345678901", false)] {
        let request = verify().request(&message(Channel::Sms, code, None), None);
        assert_eq!(request.err(), (!fits).then(|| refused.clone()), "{code}");
    }
}

#[test]
fn a_service_or_template_that_is_none_is_refused() {
    let made =
        |service: &str, template: Option<&str>| made("https://verify.twilio.com", &options(service, template)).err();
    for service in ["", "VA", TEMPLATE, "VA../Services/x", &SERVICE[..33]] {
        assert_eq!(made(service, None), Some(InvalidProvider::ServiceSid), "{service}");
    }
    assert_eq!(made(SERVICE, Some(SERVICE)), Some(InvalidProvider::TemplateSid));
    assert_eq!(made(SERVICE, Some(TEMPLATE)), None);
}

#[test]
fn the_probe_shows_that_the_service_is_there_and_takes_our_passcodes() {
    let down = |class, code: &str| Probed::Down(Refusal { class, code: code.into(), retry_after_s: None });
    let account = Class::PermanentConfig(Scope::Account);
    let service = |more: &str| format!(r#"{{"sid":"{SERVICE}","friendly_name":"Acme"{more}}}"#);
    let rows = [
        ("a service with our passcodes is up", 200, service(r#","custom_code_enabled":true"#), Probed::Up),
        ("one that does not say is up", 200, service(r#","custom_code_enabled":null"#), Probed::Up),
        (
            "one without them is down",
            200,
            service(r#","custom_code_enabled":false"#),
            down(account, "custom-code-disabled"),
        ),
        ("another object proves nothing", 200, r#"{"status":"active","sid":"AC1"}"#.into(), Probed::Unknown),
        ("an empty sid proves nothing", 200, r#"{"sid":"","custom_code_enabled":true}"#.into(), Probed::Unknown),
        ("a page proves nothing", 200, "<html>".into(), Probed::Unknown),
        ("no such service is down", 404, r#"{"code":20404,"status":404}"#.into(), down(account, "20404")),
        ("a page that is not found proves nothing", 404, "<html>".into(), Probed::Unknown),
        ("a deleted key is down", 401, r#"{"code":20003}"#.into(), down(account, "20003")),
        ("a key that may not look proves nothing", 403, r#"{"code":70051}"#.into(), Probed::Unknown),
        ("too many probes prove nothing", 429, r#"{"code":20429}"#.into(), Probed::Unknown),
        ("trouble is down", 503, r#"{"code":20503}"#.into(), down(Class::Transient, "20503")),
    ];
    for (says, status, body, expected) in rows {
        let answer = ProviderAnswer { status, retry_after: None, body: body.into_bytes() };
        assert_eq!(Adapter::probed(&verify(), &answer), expected, "{says}");
    }
}

#[test]
fn a_language_is_one_that_verify_has_or_none() {
    for (locale, written, spoken) in [
        ("sv", Some("sv"), Some("sv")),
        ("EN-US", Some("en"), Some("en")),
        ("en-gb", Some("en-GB"), Some("en-GB")),
        ("pt-BR", Some("pt-BR"), Some("pt-BR")),
        ("pt-AO", Some("pt"), Some("pt")),
        ("no", Some("nb"), Some("nb")),
        ("nn-NO", Some("nb"), Some("nb")),
        ("iw", Some("he"), None),
        ("fil-PH", Some("tl"), None),
        ("tr-TR", Some("tr"), None),
        ("zh", Some("zh"), Some("zh")),
        ("zh-Hans", Some("zh"), Some("zh")),
        ("zh-HK", Some("zh-HK"), Some("zh-HK")),
        ("zh-TW", None, None),
        ("zh-Hant", None, None),
        ("uk", None, None),
        ("tlh", None, None),
        ("", None, None),
        ("-", None, None),
    ] {
        assert_eq!(language(locale, Channel::Sms), written, "{locale}");
        assert_eq!(language(locale, Channel::Voice), spoken, "{locale}");
    }
}
