//! Twilio's requests and answers, as tables.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::voice;
use hookswitch_gateway_config::twilio::{AddressRetention, ContentRetention, RiskCheck};
use hookswitch_message::Channel;

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";

fn senders() -> Vec<Sender> {
    let sender = |channel, countries: &[&str], from: &str| Sender {
        channel,
        countries: countries.iter().map(|country| country.parse().unwrap()).collect(),
        from: from.into(),
    };
    vec![
        sender(Channel::Sms, &["US", "CA"], "+15005550006"),
        sender(Channel::Sms, &["SE"], SERVICE),
        sender(Channel::Sms, &["GB"], "Acme"),
        sender(Channel::Voice, &[], "+15005550006"),
    ]
}

const KEY: &str = "SK0123456789abcdef0123456789abcdef";

fn made(
    account_sid: &str,
    api_key_sid: Option<&str>,
    secret: &str,
    base_url: &str,
    senders: &[Sender],
) -> Result<Twilio, InvalidProvider> {
    with_options(account_sid, api_key_sid, secret, base_url, senders, &TwilioOptions::default())
}

fn with_options(
    account_sid: &str,
    api_key_sid: Option<&str>,
    secret: &str,
    base_url: &str,
    senders: &[Sender],
    options: &TwilioOptions,
) -> Result<Twilio, InvalidProvider> {
    Twilio::new(&AccountCredential { account_sid, api_key_sid, secret: &secret.into() }, base_url, senders, options)
}

fn twilio() -> Twilio {
    made(SID, None, "s3cret", "https://api.twilio.com", &senders()).unwrap()
}

fn with_api_key() -> Twilio {
    made(SID, Some(KEY), "k3y", "https://api.twilio.com", &senders()).unwrap()
}

fn basic(request: &Request) -> String {
    let value = request.headers.iter().find(|(name, _)| name == header::AUTHORIZATION).unwrap().1.expose();
    String::from_utf8(BASE64_STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap()).unwrap()
}

fn probe(twilio: &Twilio) -> Request {
    let Probe::Ask(request) = twilio.probe(None) else { panic!("asked") };
    request
}

fn message(channel: Channel, to: &str, country: Option<&str>) -> Message {
    Message {
        id: "m-1".into(),
        channel,
        to: to.parse().unwrap(),
        country: country.map(|country| country.parse().unwrap()),
        text: "Your code is 12&34 + ö".into(),
        code: "493817".into(),
        locale: Some("sv".into()),
        ttl: Some(Duration::from_mins(5)),
        original: None,
    }
}

fn form(request: &Request) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.body.expose()).into_owned().collect()
}

fn fields<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<String, String> {
    expected.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn answer(status: u16, body: &str) -> ProviderAnswer {
    ProviderAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

fn refused(class: Class, code: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.into(), retry_after_s: None })
}

const ACCOUNT: Class = Class::PermanentConfig(Scope::Account);
const SENDER: Class = Class::PermanentConfig(Scope::Sender);
const COUNTRY: Class = Class::PermanentConfig(Scope::Country);

#[test]
fn an_sms_is_a_form_of_recipient_sender_text_and_validity() {
    let request = twilio().request(&message(Channel::Sms, "+14155552671", Some("US")), None).unwrap();
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.url.as_str(), format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"));
    let headers: BTreeMap<_, _> = request.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(basic(&request), format!("{SID}:s3cret"));
    let expected = fields([
        ("To", "+14155552671"),
        ("From", "+15005550006"),
        ("Body", "Your code is 12&34 + ö"),
        ("ValidityPeriod", "300"),
    ]);
    assert_eq!(form(&request), expected);
}

#[test]
fn a_messaging_service_is_named_as_one_and_a_name_as_a_sender() {
    let request = twilio().request(&message(Channel::Sms, "+46701234567", Some("SE")), None).unwrap();
    assert_eq!(form(&request).get("MessagingServiceSid").map(String::as_str), Some(SERVICE));
    assert!(!form(&request).contains_key("From"));
    let request = twilio().request(&message(Channel::Sms, "+447400123456", Some("GB")), None).unwrap();
    assert_eq!(form(&request).get("From").map(String::as_str), Some("Acme"));
}

#[test]
fn a_name_for_all_countries_is_not_sent_where_networks_take_none() {
    let name = Sender { channel: Channel::Sms, countries: Vec::new(), from: "Acme".into() };
    let twilio = made(SID, None, "s3cret", "https://api.twilio.com", &[name]).unwrap();
    assert!(twilio.request(&message(Channel::Sms, "+46701234567", Some("SE")), None).is_ok());
    let nobody = Refusal { class: SENDER, code: "no-sender".into(), retry_after_s: None };
    for (to, country) in [("+14155552671", "US"), ("+14165550123", "CA"), ("+17875550123", "PR")] {
        assert_eq!(twilio.request(&message(Channel::Sms, to, Some(country)), None).unwrap_err(), nobody);
    }
}

#[test]
fn what_a_user_asks_of_twilio_goes_with_texts_and_the_callback_with_calls_too() {
    let options = TwilioOptions {
        content_retention: Some(ContentRetention::Discard),
        address_retention: Some(AddressRetention::Obfuscate),
        risk_check: Some(RiskCheck::Disable),
        status_callback: Some("https://otp.acme.example/twilio?token=a1".into()),
        verify: None,
    };
    let twilio = with_options(SID, None, "s3cret", "https://api.twilio.com", &senders(), &options).unwrap();
    let request = twilio.request(&message(Channel::Sms, "+14155552671", Some("US")), None).unwrap();
    let expected = fields([
        ("To", "+14155552671"),
        ("From", "+15005550006"),
        ("Body", "Your code is 12&34 + ö"),
        ("ValidityPeriod", "300"),
        ("ContentRetention", "discard"),
        ("AddressRetention", "obfuscate"),
        ("RiskCheck", "disable"),
        ("StatusCallback", "https://otp.acme.example/twilio?token=a1"),
    ]);
    assert_eq!(form(&request), expected);
    let call = form(&twilio.request(&message(Channel::Voice, "+46701234567", Some("SE")), None).unwrap());
    let names: Vec<&str> = call.keys().map(String::as_str).collect();
    assert_eq!(names, ["From", "StatusCallback", "Timeout", "To", "Twiml"]);
}

#[test]
fn a_phone_rings_no_longer_than_the_passcode_lives() {
    for (ttl, expected) in [
        (Some(Duration::ZERO), "15"),
        (Some(Duration::from_secs(40)), "40"),
        (Some(Duration::from_mins(5)), "60"),
        (None, "60"),
    ] {
        let message = Message { ttl, ..message(Channel::Voice, "+46701234567", Some("SE")) };
        assert_eq!(form(&twilio().request(&message, None).unwrap())["Timeout"], expected, "{ttl:?}");
    }
}

#[test]
fn a_country_that_no_sender_serves_is_refused_without_a_call() {
    let nobody = Refusal { class: SENDER, code: "no-sender".into(), retry_after_s: None };
    for (to, country) in [("+33612345678", Some("FR")), ("+881612345678", None)] {
        assert_eq!(twilio().request(&message(Channel::Sms, to, country), None).unwrap_err(), nobody);
    }
}

#[test]
fn the_first_sender_that_fits_is_used() {
    let mut senders = senders();
    senders.insert(0, Sender { channel: Channel::Sms, countries: Vec::new(), from: "+15005550001".into() });
    let twilio = made(SID, None, "s3cret", "https://api.twilio.com", &senders).unwrap();
    let request = twilio.request(&message(Channel::Sms, "+14155552671", Some("US")), None).unwrap();
    assert_eq!(form(&request).get("From").map(String::as_str), Some("+15005550001"));
}

#[test]
fn the_validity_stays_within_twilios_bounds() {
    for (ttl, expected) in [
        (Some(Duration::ZERO), Some("6")),
        (Some(Duration::from_millis(5_900)), Some("6")),
        (Some(Duration::from_secs(7)), Some("7")),
        (Some(Duration::from_hours(24)), Some("36000")),
        (None, None),
    ] {
        let message = Message { ttl, ..message(Channel::Sms, "+14155552671", Some("US")) };
        let form = form(&twilio().request(&message, None).unwrap());
        assert_eq!(form.get("ValidityPeriod").map(String::as_str), expected, "{ttl:?}");
    }
}

#[test]
fn a_call_says_the_escaped_text_inline() {
    let mut call = message(Channel::Voice, "+46701234567", Some("SE"));
    call.text = "1 < 2 & \"3\" > '4'\u{0}\u{b}".into();
    let request = twilio().request(&call, None).unwrap();
    assert_eq!(request.url.as_str(), format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Calls.json"));
    let said = "<Response><Say language=\"en-US\">1 &lt; 2 &amp; &quot;3&quot; &gt; &apos;4&apos;</Say></Response>";
    assert_eq!(
        form(&request),
        fields([("To", "+46701234567"), ("From", "+15005550006"), ("Twiml", said), ("Timeout", "60")])
    );
}

#[test]
fn a_text_longer_than_twilio_takes_is_refused_without_a_call() {
    let too_long = Refusal { class: Class::MessageTooLong, code: "too-long".into(), retry_after_s: None };
    let around = voice::twiml("").len();
    for (channel, text, fits) in [
        (Channel::Sms, "ö".repeat(1_600), true),
        (Channel::Sms, "ö".repeat(1_601), false),
        (Channel::Voice, "1".repeat(4_000 - around), true),
        (Channel::Voice, "1".repeat(4_001 - around), false),
        (Channel::Voice, "&".repeat(1_000), false),
    ] {
        let mut message = message(channel, "+14155552671", Some("US"));
        message.text = Secret::new(text);
        assert_eq!(twilio().request(&message, None).err(), (!fits).then(|| too_long.clone()), "{channel:?}");
    }
}

#[test]
fn a_base_url_may_have_a_path_of_its_own() {
    let twilio = made(SID, None, "s3cret", "https://proxy.example:8443/twilio/", &senders()).unwrap();
    let expected = format!("https://proxy.example:8443/twilio/2010-04-01/Accounts/{SID}.json");
    assert_eq!(probe(&twilio).url.as_str(), expected);
}

#[test]
fn a_configuration_that_could_never_send_is_refused() {
    let make = |sid: &str, token: &str, url: &str, senders: &[Sender]| made(sid, None, token, url, senders).err();
    let voice = Sender { channel: Channel::Voice, countries: Vec::new(), from: SERVICE.into() };
    let url = "https://api.twilio.com";
    for sid in ["", "AC", "AC../Accounts/x", &SID[1..], &SID[..33], &format!("{SID}0"), &SID.replace('0', "x"), KEY] {
        assert_eq!(make(sid, "t", url, &[]), Some(InvalidProvider::AccountSid), "{sid}");
    }
    assert_eq!(make(SID, "two\nlines", url, &[]), Some(InvalidProvider::Credential));
    assert_eq!(make(SID, "", url, &[]), Some(InvalidProvider::Credential));
    assert!(matches!(make(SID, "t", "not a url", &[]), Some(InvalidProvider::Url(_))));
    assert!(matches!(make(SID, "t", "data:x", &[]), Some(InvalidProvider::Url(_))));
    assert!(matches!(make(SID, "t", url, &[voice]), Some(InvalidProvider::Sender { index: 0, .. })));
    assert_eq!(make(SID, "t", url, &senders()), None);
    assert_eq!(made(SID, Some(SID), "t", url, &[]).err(), Some(InvalidProvider::ApiKeySid));
}

#[test]
fn an_api_key_signs_for_the_account_and_reads_its_numbers() {
    let twilio = with_api_key();
    let request = twilio.request(&message(Channel::Sms, "+14155552671", Some("US")), None).unwrap();
    assert_eq!(request.url.as_str(), format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"));
    assert_eq!(basic(&request), format!("{KEY}:k3y"));
    let numbers = format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json?PageSize=1");
    assert_eq!((probe(&twilio).url.as_str(), basic(&probe(&twilio))), (numbers.as_str(), format!("{KEY}:k3y")));
    let down = |code: &str| Probed::Down(Refusal { class: ACCOUNT, code: code.into(), retry_after_s: None });
    for (says, status, body, expected) in [
        ("a list of numbers is up", 200, r#"{"incoming_phone_numbers":[],"page":0}"#, Probed::Up),
        ("a page proves nothing", 200, "<html>", Probed::Unknown),
        ("another object proves nothing", 200, r#"{"status":"active"}"#, Probed::Unknown),
        ("a deleted key is down", 401, r#"{"code":20003,"status":401}"#, down("20003")),
        ("a key that may send and not look proves nothing", 401, r#"{"code":70051}"#, Probed::Unknown),
        ("also with 403", 403, r#"{"code":"70051"}"#, Probed::Unknown),
    ] {
        assert_eq!(twilio.probed(&answer(status, body)), expected, "{says}");
    }
    assert_eq!(self::twilio().probed(&answer(401, r#"{"code":70051}"#)), down("70051"), "a token may do everything");
}

#[test]
fn answers_mean_what_twilio_documents() {
    let sid = "SM0123456789abcdef0123456789abcdef";
    let accepted = Outcome::Accepted { id: sid.into() };
    let garbage = Outcome::Ambiguous { cause: "garbage" };
    let long = format!(r#"{{"sid":"{}","status":"queued"}}"#, "S".repeat(129));
    for (says, status, body, expected) in [
        (
            "a created message is accepted",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#,
            accepted.clone(),
        ),
        (
            "so is one answered with 200",
            200,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"accepted"}"#,
            accepted.clone(),
        ),
        (
            "a zero is no error code",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","error_code":0}"#,
            accepted.clone(),
        ),
        (
            "a code inside a 200 refuses",
            200,
            r#"{"code":21211,"message":"m","status":400}"#,
            refused(Class::PermanentDestination, "21211"),
        ),
        (
            "a message that carries an error is refused",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","error_code":30450}"#,
            refused(Class::FraudBlocked, "30450"),
        ),
        ("a code may be text", 400, r#"{"code":"21408","status":400}"#, refused(COUNTRY, "21408")),
        (
            "a message that failed at once is refused",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"failed"}"#,
            refused(Class::Transient, "status-failed"),
        ),
        (
            "an unknown code in a 200 goes by the status it repeats",
            200,
            r#"{"code":99999,"status":429}"#,
            refused(Class::Throttled, "99999"),
        ),
        ("or for an unknown reason when it repeats none", 200, r#"{"code":99999}"#, refused(Class::Unknown, "99999")),
        (
            "an unlisted code with 400 may be about anything",
            400,
            r#"{"code":21999,"status":400}"#,
            refused(Class::Unknown, "21999"),
        ),
        ("so may one with 403", 403, r#"{"code":21999,"status":403}"#, refused(Class::Unknown, "21999")),
        ("one with 401 is about the credentials", 401, r#"{"code":21999}"#, refused(ACCOUNT, "21999")),
        ("one with 503 is trouble", 503, r#"{"code":21999}"#, refused(Class::Transient, "21999")),
        (
            "a resource that is under way was taken, whatever warning it carries",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":30025}"#,
            accepted.clone(),
        ),
        (
            "a resource that failed was not",
            201,
            r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"undelivered","error_code":30006}"#,
            refused(Class::UnreachableHere, "30006"),
        ),
        ("success without an id is unclear", 201, r#"{"status":"queued"}"#, garbage.clone()),
        ("success without a body is unclear", 200, "", garbage.clone()),
        ("success with a page is unclear", 200, "<html>Welcome to the hotel network</html>", garbage.clone()),
        ("success with a list is unclear", 200, "[]", garbage.clone()),
        ("an id may be a number", 201, r#"{"sid":7}"#, Outcome::Accepted { id: "7".into() }),
        ("an id that is neither is unclear", 201, r#"{"sid":{"a":7}}"#, garbage.clone()),
        ("an id with a line break is unclear", 201, r#"{"sid":"SM\nX-Evil: 1"}"#, garbage.clone()),
        ("an id without end is unclear", 201, long.as_str(), garbage.clone()),
        ("a status that HTTP does not have is unclear", 99, "", garbage.clone()),
        ("400 without a readable body has a reason that is not known", 400, "", refused(Class::Unknown, "http-400")),
        ("401 refuses the account", 401, "", refused(ACCOUNT, "http-401")),
        ("402 refuses the account", 402, "{}", refused(ACCOUNT, "http-402")),
        ("403 refuses the account", 403, "<html>", refused(ACCOUNT, "http-403")),
        ("so has 404", 404, "", refused(Class::Unknown, "http-404")),
        ("408 is unclear: somebody gave up waiting", 408, "", garbage.clone()),
        ("502 is unclear", 502, "<html>", garbage.clone()),
        ("504 is unclear, readable or not", 504, "{}", garbage.clone()),
        ("409 is unclear: the message may be in hand already", 409, "", garbage.clone()),
        ("what proxies answer when they stopped waiting is unclear", 524, "<html>", garbage.clone()),
        ("422 has a reason that is not known", 422, "[]", refused(Class::Unknown, "http-422")),
        ("429 throttles", 429, "", refused(Class::Throttled, "http-429")),
        ("500 is trouble", 500, "", refused(Class::Transient, "http-500")),
        ("503 is trouble", 503, "no", refused(Class::Transient, "http-503")),
        ("a redirect is a wrong URL", 302, "", refused(ACCOUNT, "http-302")),
        ("a redirect with an id is one too", 301, r#"{"sid":"SM1"}"#, refused(ACCOUNT, "http-301")),
    ] {
        assert_eq!(twilio().outcome(&answer(status, body)), expected, "{says}");
    }
}

#[test]
fn a_pause_is_taken_over_where_pausing_helps_and_bounded() {
    for (status, retry_after, expected) in [
        (429, "30", Some(30)),
        (503, " 5 ", Some(5)),
        (429, "999999999", Some(86_400)),
        (429, "-1", None),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (401, "30", None),
    ] {
        let answer = ProviderAnswer { retry_after: Some(retry_after.into()), ..answer(status, "") };
        let Outcome::Refused(refusal) = twilio().outcome(&answer) else { panic!("{status} is a refusal") };
        assert_eq!(refusal.retry_after_s, expected, "{status} {retry_after}");
    }
}

#[test]
fn a_probe_asks_for_the_account_and_believes_only_what_it_says() {
    let probe = probe(&twilio());
    assert_eq!((probe.method.clone(), probe.body.expose().len()), (Method::GET, 0));
    assert_eq!(probe.url.as_str(), format!("https://api.twilio.com/2010-04-01/Accounts/{SID}.json"));
    let down = |class, code: &str| Probed::Down(Refusal { class, code: code.into(), retry_after_s: None });
    for (says, status, body, expected) in [
        ("an active account is up", 200, r#"{"status":"active"}"#, Probed::Up),
        ("a suspended one is down", 200, r#"{"status":"suspended"}"#, down(ACCOUNT, "status-suspended")),
        ("a closed one is down", 200, r#"{"status":"closed"}"#, down(ACCOUNT, "status-closed")),
        ("a page proves nothing", 200, "<html>", Probed::Unknown),
        ("an account without a status proves nothing", 200, "{}", Probed::Unknown),
        ("a wrong token is down", 401, r#"{"code":20003}"#, down(ACCOUNT, "20003")),
        ("403 without a body is down", 403, "", down(ACCOUNT, "http-403")),
        ("test credentials may send and not ask", 403, r#"{"code":20008}"#, Probed::Unknown),
        ("a broken provider is down", 503, "", down(Class::Transient, "http-503")),
        ("and says why", 503, r#"{"code":20503,"status":503}"#, down(Class::Transient, "20503")),
        ("too many probes prove nothing", 429, "", Probed::Unknown),
        ("a redirect proves nothing", 302, "", Probed::Unknown),
        ("an account that is not found proves nothing", 404, "", Probed::Unknown),
    ] {
        assert_eq!(twilio().probed(&answer(status, body)), expected, "{says}");
    }
}

#[test]
fn no_debug_output_shows_a_number_a_text_or_a_credential() {
    let message = message(Channel::Sms, "+14155552671", Some("US"));
    let request = twilio().request(&message, None).unwrap();
    let shown = format!("{message:?} {request:?} {:?}", answer(400, r#"{"message":"+14155552671 is bad"}"#));
    for secret in ["4155552671", "12&34", "493817", "s3cret", "Basic", SID] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
