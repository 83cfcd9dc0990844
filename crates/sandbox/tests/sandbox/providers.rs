//! The providers: what they accept, each thing they refuse, and their faults.

use std::time::{Duration, Instant};

use hookswitch_sandbox::faults::{Fault, FaultKind};
use hookswitch_sandbox::inbox::Channel;
use hookswitch_sandbox::provider::Moment;
use serde_json::{Value, json};

use crate::scene::{API_KEY, Got, HANDSET, JSON_TOKEN, SENDER, SID, Scene, TWILIO_TOKEN, got};

impl Scene {
    fn twilio(&self, resource: &str) -> String {
        let addr = self.sandbox.provider("twilio").unwrap().addr();
        format!("https://{addr}/2010-04-01/Accounts/{resource}")
    }

    fn form(&self, resource: &str, pairs: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.http
            .post(self.twilio(&format!("{SID}/{resource}.json")))
            .basic_auth(SID, Some(TWILIO_TOKEN))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    async fn sms(&self, pairs: &[(&str, &str)]) -> Got {
        got(self.form("Messages", pairs)).await.unwrap()
    }

    async fn call(&self, pairs: &[(&str, &str)]) -> Got {
        got(self.form("Calls", pairs)).await.unwrap()
    }

    fn json(&self, key: &str, body: &Value) -> reqwest::RequestBuilder {
        let addr = self.sandbox.provider("json").unwrap().addr();
        self.http
            .post(format!("https://{addr}/send"))
            .bearer_auth(JSON_TOKEN)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    fn delivered(&self) -> usize {
        self.sandbox.inbox().messages(None).len()
    }

    fn fault(&self, provider: &str, fault: Fault) {
        self.sandbox.provider(provider).unwrap().set_fault(fault).unwrap();
    }
}

const TEXT: &str = "Your code is 482913.";
const GOOD: [(&str, &str); 3] = [("To", HANDSET), ("From", SENDER), ("Body", TEXT)];
const TWIML: &str = "<Response><Say language=\"en-US\" loop=\"2\">Your code is 4, 8, 2, 9, 1, 3</Say></Response>";

/// Sends a message and expects Twilio's error.
async fn sms_refused(pairs: &[(&str, &str)], status: u16, code: u32) {
    let scene = Scene::new().await;
    let refused = scene.sms(pairs).await;
    assert_eq!(refused.status, status, "{}", refused.body);
    assert_eq!(refused.body["code"], code);
    assert_eq!(refused.body["status"], status);
    assert_eq!(refused.body["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    assert_eq!(scene.delivered(), 0);
}

async fn call_refused(pairs: &[(&str, &str)], code: u32) {
    let scene = Scene::new().await;
    let refused = scene.call(pairs).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (400, &json!(code)));
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn twilio_accepts_a_message_and_the_handset_gets_it() {
    let scene = Scene::new().await;
    let sent = scene.sms(&GOOD).await;
    assert_eq!(sent.status, 201);
    let sid = sent.body["sid"].as_str().unwrap();
    assert!(sid.starts_with("SM") && sid.len() == 34);
    assert_eq!(sent.body["status"], "queued");
    assert_eq!(sent.body["account_sid"], SID);
    assert_eq!(sent.body["error_code"], Value::Null);
    let inbox = scene.sandbox.inbox().messages(Some(HANDSET));
    assert_eq!(inbox[0].id, sid);
    assert_eq!(inbox[0].text, TEXT);
    assert_eq!(inbox[0].code.as_deref(), Some("482913"));
    assert_eq!(inbox[0].from.as_deref(), Some(SENDER));
    assert_eq!(inbox[0].provider, "twilio");
}

#[tokio::test]
async fn twilio_accepts_a_messaging_service_and_every_documented_parameter_type() {
    let scene = Scene::new().await;
    let sent = scene
        .sms(&[
            ("To", HANDSET),
            ("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef"),
            ("Body", TEXT),
            ("ValidityPeriod", "300"),
            ("SmartEncoded", "true"),
            ("RiskCheck", "disable"),
            ("StatusCallback", "https://otp.example.com/receipts"),
        ])
        .await;
    assert_eq!((sent.status.as_u16(), &sent.body["status"]), (201, &json!("accepted")));
    assert_eq!(sent.body["messaging_service_sid"], "MG0123456789abcdef0123456789abcdef");
    assert_eq!(sent.body["from"], Value::Null);
}

#[tokio::test]
async fn twilio_takes_an_api_key_for_everything_but_a_read_of_the_account() {
    let scene = Scene::new().await;
    let signed = |request: reqwest::RequestBuilder, secret| got(request.basic_auth(API_KEY.0, Some(secret)));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(GOOD).finish();
    let sent = scene.http.post(scene.twilio(&format!("{SID}/Messages.json"))).body(body);
    let sent = sent.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(signed(sent, API_KEY.1).await.unwrap().status, 201);
    let account = signed(scene.http.get(scene.twilio(&format!("{SID}.json"))), API_KEY.1).await.unwrap();
    assert_eq!((account.status.as_u16(), &account.body["code"]), (401, &json!(20003)));
    let list = format!("{SID}/IncomingPhoneNumbers.json?PageSize=1");
    let numbers = signed(scene.http.get(scene.twilio(&list)), API_KEY.1).await.unwrap();
    assert_eq!((numbers.status.as_u16(), &numbers.body["page_size"]), (200, &json!(1)));
    assert_eq!(numbers.body["incoming_phone_numbers"][0]["phone_number"], SENDER);
    let wrong = signed(scene.http.get(scene.twilio(&list)), "wrong").await.unwrap();
    assert_eq!((wrong.status.as_u16(), &wrong.body["code"]), (401, &json!(20003)));
}

#[tokio::test]
async fn twilio_calls_and_says_the_code_as_often_as_configured() {
    let scene = Scene::new().await;
    let pairs = [("To", HANDSET), ("From", SENDER), ("Twiml", TWIML), ("Timeout", "30")];
    let sent = scene.call(&pairs).await;
    assert_eq!(sent.status, 201);
    assert!(sent.body["sid"].as_str().unwrap().starts_with("CA"));
    let inbox = scene.sandbox.inbox().messages(None);
    assert_eq!(inbox[0].channel, Channel::Voice);
    assert_eq!((inbox[0].said, inbox[0].code.as_deref()), (2, Some("482913")));
}

#[tokio::test]
async fn twilio_shows_the_account() {
    let scene = Scene::new().await;
    let request = scene.http.get(scene.twilio(&format!("{SID}.json"))).basic_auth(SID, Some(TWILIO_TOKEN));
    let account = got(request).await.unwrap();
    assert_eq!((account.status.as_u16(), &account.body["status"]), (200, &json!("active")));
    assert!(!account.body.to_string().contains(TWILIO_TOKEN));
}

#[tokio::test]
async fn twilio_refuses_missing_and_wrong_credentials() {
    let scene = Scene::new().await;
    let url = scene.twilio(&format!("{SID}/Messages.json"));
    for request in [
        scene.http.post(&url),
        scene.http.post(&url).basic_auth(SID, Some("wrong")),
        scene.http.post(&url).basic_auth("ACother", Some(TWILIO_TOKEN)),
        scene.http.post(&url).bearer_auth(TWILIO_TOKEN),
        scene.http.post(&url).header("authorization", "Basic !!!"),
    ] {
        let refused = got(request).await.unwrap();
        assert_eq!((refused.status.as_u16(), &refused.body["code"]), (401, &json!(20003)));
    }
}

#[tokio::test]
async fn twilio_does_not_find_another_account_path_or_method() {
    let scene = Scene::new().await;
    let other = format!("{}/Messages.json", SID.replace('0', "1"));
    let auth = |r: reqwest::RequestBuilder| got(r.basic_auth(SID, Some(TWILIO_TOKEN)));
    let account = auth(scene.http.post(scene.twilio(&other))).await.unwrap();
    assert_eq!((account.status.as_u16(), &account.body["code"]), (404, &json!(20404)));
    let path = auth(scene.http.post(scene.twilio(&format!("{SID}/Faxes.json")))).await.unwrap();
    assert_eq!(path.status, 404);
    let method = auth(scene.http.get(scene.twilio(&format!("{SID}/Messages.json")))).await.unwrap();
    assert_eq!((method.status.as_u16(), &method.body["code"]), (405, &json!(20004)));
}

#[tokio::test]
async fn twilio_refuses_another_content_type() {
    let scene = Scene::new().await;
    let request = scene
        .http
        .post(scene.twilio(&format!("{SID}/Messages.json")))
        .basic_auth(SID, Some(TWILIO_TOKEN))
        .header("content-type", "application/json")
        .body("{}");
    let refused = got(request).await.unwrap();
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (415, &json!(20415)));
}

#[tokio::test]
async fn twilio_refuses_an_unknown_parameter() {
    sms_refused(&[&GOOD[..], &[("Text", "x")]].concat(), 400, 20001).await;
}

#[tokio::test]
async fn twilio_refuses_a_parameter_of_the_wrong_type_or_given_twice() {
    for wrong in [
        ("ValidityPeriod", "0"),
        ("ValidityPeriod", "36001"),
        ("ValidityPeriod", "soon"),
        ("SmartEncoded", "yes"),
        ("MessagingServiceSid", "MG1"),
        ("RiskCheck", "maybe"),
        ("Body", "again"),
    ] {
        sms_refused(&[&GOOD[..], &[wrong]].concat(), 400, 20422).await;
    }
}

#[tokio::test]
async fn twilio_refuses_a_status_callback_that_it_cannot_call() {
    for url in ["nowhere", "ftp://otp.example.com/", "https://otp_1.example.com/"] {
        sms_refused(&[&GOOD[..], &[("StatusCallback", url)]].concat(), 400, 21609).await;
        call_refused(&[("To", HANDSET), ("From", SENDER), ("Twiml", TWIML), ("StatusCallback", url)], 21609).await;
    }
}

#[tokio::test]
async fn twilio_refuses_retention_of_an_account_without_message_redaction() {
    sms_refused(&[&GOOD[..], &[("ContentRetention", "discard")]].concat(), 400, 30029).await;
    sms_refused(&[&GOOD[..], &[("ContentRetention", "retain")]].concat(), 400, 30029).await;
    sms_refused(&[&GOOD[..], &[("AddressRetention", "obfuscate")]].concat(), 400, 30030).await;
}

#[tokio::test]
async fn twilio_refuses_a_missing_or_malformed_destination() {
    sms_refused(&GOOD[1..], 400, 21604).await;
    for to in ["46701234567", "+0701234567", "070-1234567", ""] {
        sms_refused(&[("To", to), ("From", SENDER), ("Body", TEXT)], 400, 21211).await;
    }
}

#[tokio::test]
async fn twilio_refuses_a_missing_or_too_long_body() {
    sms_refused(&GOOD[..2], 400, 21602).await;
    sms_refused(&[GOOD[0], GOOD[1], ("Body", "")], 400, 21602).await;
    sms_refused(&[GOOD[0], GOOD[1], ("Body", &"x".repeat(1601))], 400, 21617).await;
}

#[tokio::test]
async fn twilio_refuses_a_missing_malformed_or_foreign_sender() {
    sms_refused(&[GOOD[0], GOOD[2]], 400, 21603).await;
    sms_refused(&[GOOD[0], GOOD[2], ("From", "A name far too long")], 400, 21212).await;
    sms_refused(&[GOOD[0], GOOD[2], ("From", "+15005550007")], 400, 21660).await;
}

#[tokio::test]
async fn twilio_refuses_a_call_without_destination_sender_or_words() {
    let (to, from, twiml) = (("To", HANDSET), ("From", SENDER), ("Twiml", TWIML));
    call_refused(&[from, twiml], 21201).await;
    call_refused(&[("To", "123"), from, twiml], 21211).await;
    call_refused(&[to, twiml], 21213).await;
    call_refused(&[to, ("From", "ACME"), twiml], 21212).await;
    call_refused(&[to, ("From", "+15005550007"), twiml], 21210).await;
    call_refused(&[to, from], 21205).await;
    call_refused(&[to, from, ("Twiml", "<Response><Say>a</Response>")], 12100).await;
    let long = format!("<Response><Say>{}</Say></Response>", "x".repeat(4000));
    call_refused(&[to, from, ("Twiml", &long)], 21618).await;
    call_refused(&[to, from, twiml, ("Body", "x")], 20001).await;
    call_refused(&[to, from, twiml, ("Timeout", "601")], 20422).await;
}

fn message(id: &str) -> Value {
    json!({"messageId": id, "channel": "sms", "to": HANDSET, "from": "ACME", "text": TEXT,
           "locale": "en", "ttlSeconds": 300})
}

#[tokio::test]
async fn the_json_provider_accepts_a_message_once_for_each_key() {
    let scene = Scene::new().await;
    let first = got(scene.json("m1", &message("m1"))).await.unwrap();
    assert_eq!((first.status.as_u16(), &first.body["status"]), (200, &json!("accepted")));
    let again = got(scene.json("m1", &message("m1"))).await.unwrap();
    assert_eq!(again.body, first.body);
    assert_eq!(scene.delivered(), 1);
    let mut other = message("m1");
    other["text"] = json!("another text");
    let reused = got(scene.json("m1", &other)).await.unwrap();
    assert_eq!((reused.status.as_u16(), &reused.body["status"]), (409, &json!("refused")));
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn the_json_provider_needs_only_the_four_required_fields() {
    let scene = Scene::new().await;
    let body = json!({"messageId": "v", "channel": "voice", "to": HANDSET, "text": "4, 8, 2, 9"});
    let sent = got(scene.json("v", &body)).await.unwrap();
    assert_eq!(sent.body["status"], "accepted");
    assert_eq!(scene.sandbox.inbox().messages(None)[0].channel, Channel::Voice);
}

#[tokio::test]
async fn the_json_provider_refuses_what_breaks_its_contract() {
    for (change, status, class) in [
        (json!({"extra": 1}), 400, "message-rejected"),
        (json!({"channel": "fax"}), 400, "message-rejected"),
        (json!({"text": ""}), 400, "message-rejected"),
        (json!({"text": 5}), 400, "message-rejected"),
        (json!({"from": ""}), 400, "message-rejected"),
        (json!({"ttlSeconds": "300"}), 400, "message-rejected"),
        (json!({"ttlSeconds": 0}), 400, "message-rejected"),
        (json!({"messageId": "other"}), 400, "message-rejected"),
        (json!({"to": "0701234567"}), 400, "permanent-destination"),
    ] {
        let scene = Scene::new().await;
        let mut body = message("m");
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let refused = got(scene.json("m", &body)).await.unwrap();
        assert_eq!(refused.status, status, "{change}");
        assert_eq!(refused.body["class"], class, "{change}");
        assert_eq!(scene.delivered(), 0);
    }
}

#[tokio::test]
async fn the_json_provider_refuses_missing_fields_key_type_and_token() {
    let scene = Scene::new().await;
    for field in ["messageId", "channel", "to", "text"] {
        let mut body = message("m");
        body.as_object_mut().unwrap().remove(field);
        assert_eq!(got(scene.json("m", &body)).await.unwrap().status, 400, "{field}");
    }
    let url = format!("https://{}/", scene.sandbox.provider("json").unwrap().addr());
    let body = message("m").to_string();
    let post = || scene.http.post(&url).body(body.clone());
    let json = |r: reqwest::RequestBuilder| r.header("content-type", "application/json");
    let with_key = |r: reqwest::RequestBuilder| r.header("idempotency-key", "m");
    for (request, status) in [
        (json(post()).bearer_auth(JSON_TOKEN), 400),
        (with_key(post()).bearer_auth(JSON_TOKEN), 415),
        (json(with_key(post())), 401),
        (json(with_key(post())).bearer_auth("wrong"), 401),
        (scene.http.get(&url), 401),
        (scene.http.put(&url).bearer_auth(JSON_TOKEN), 405),
        (scene.http.get(&url).bearer_auth(JSON_TOKEN), 200),
    ] {
        assert_eq!(got(request).await.unwrap().status, status);
    }
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn a_provider_that_is_down_resets_connections_old_and_new() {
    let scene = Scene::new().await;
    assert_eq!(scene.sms(&GOOD).await.status, 201);
    scene.fault("twilio", Fault::always(FaultKind::Down));
    for _ in 0..2 {
        let error = got(scene.form("Messages", &GOOD)).await.err().unwrap();
        assert!(!error.is_timeout());
    }
    assert_eq!(scene.delivered(), 1);
    scene.sandbox.provider("twilio").unwrap().clear_faults(None);
    assert_eq!(scene.sms(&GOOD).await.status, 201);
}

#[tokio::test]
async fn a_country_that_is_down_is_a_503_and_other_countries_go_on() {
    let scene = Scene::new().await;
    scene.fault("twilio", Fault::within(FaultKind::Down, "SE".parse().unwrap()));
    assert_eq!(got(scene.form("Messages", &GOOD)).await.unwrap().status, 503);
    let danish = [("To", "+4520123456"), GOOD[1], GOOD[2]];
    assert_eq!(scene.sms(&danish).await.status, 201);
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn a_slow_provider_delivers_and_answers_late() {
    let scene = Scene::new().await;
    scene.fault("twilio", Fault::always(FaultKind::Slow { ms: 200 }));
    let begun = Instant::now();
    assert_eq!(scene.sms(&GOOD).await.status, 201);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn a_lost_answer_may_or_may_not_have_been_a_delivery() {
    for delivered in [false, true] {
        for kind in [FaultKind::Hang { delivered }, FaultKind::Reset { delivered }] {
            let scene = Scene::new().await;
            scene.fault("twilio", Fault::times(kind.clone(), 1));
            let request = scene.form("Messages", &GOOD).timeout(Duration::from_secs(1));
            let error = got(request).await.err().unwrap();
            assert_eq!(error.is_timeout(), matches!(kind, FaultKind::Hang { .. }));
            assert_eq!(scene.delivered(), usize::from(delivered), "{kind:?}");
            assert_eq!(scene.sms(&GOOD).await.status, 201, "the fault is used up");
        }
    }
}

#[tokio::test]
async fn a_refusal_on_demand_has_each_vendors_shape() {
    let scene = Scene::new().await;
    let refuse = |code: &str, status, class: Option<&str>, scope: Option<&str>| {
        Fault::times(
            FaultKind::Refuse {
                code: code.to_owned(),
                status,
                class: class.map(str::to_owned),
                scope: scope.map(str::to_owned),
            },
            1,
        )
    };
    scene.fault("twilio", refuse("21610", None, None, None));
    let twilio = scene.sms(&GOOD).await;
    assert_eq!((twilio.status.as_u16(), &twilio.body["code"]), (400, &json!(21610)));
    scene.fault("twilio", refuse("20429", None, None, None));
    assert_eq!(scene.sms(&GOOD).await.status, 429);
    scene.fault("twilio", refuse("30008", Some(500), None, None));
    assert_eq!(scene.sms(&GOOD).await.status, 500);
    scene.fault("json", refuse("no-geo", None, Some("permanent-config"), Some("country")));
    let json = got(scene.json("a", &message("a"))).await.unwrap();
    assert_eq!(json.status, 200);
    assert_eq!(
        json.body,
        json!({"status": "refused", "class": "permanent-config", "scope": "country", "code": "no-geo"})
    );
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn garbage_is_a_success_that_cannot_be_read() {
    let scene = Scene::new().await;
    scene.fault("json", Fault::always(FaultKind::Garbage { delivered: false }));
    let garbage = got(scene.json("a", &message("a"))).await.unwrap();
    assert_eq!((garbage.status.as_u16(), garbage.body), (200, Value::Null));
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn a_trickled_answer_does_not_end_in_time() {
    let scene = Scene::new().await;
    let trickle = FaultKind::Trickle { ms: 50, delivered: false };
    scene.fault("twilio", Fault::always(trickle));
    let response = scene.form("Messages", &GOOD).timeout(Duration::from_secs(2)).send().await.unwrap();
    assert_eq!(response.status(), 201, "the head comes at once");
    assert!(response.text().await.unwrap_err().is_timeout());
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn an_unknown_outcome_with_the_same_key_again_is_not_a_second_delivery() {
    let scene = Scene::new().await;
    scene.fault("json", Fault::times(FaultKind::Unknown { delivered: true }, 1));
    let unknown = got(scene.json("a", &message("a"))).await.unwrap();
    assert_eq!(unknown.body, json!({"status": "unknown"}));
    let again = got(scene.json("a", &message("a"))).await.unwrap();
    assert_eq!(again.body["status"], "accepted");
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn probes_meet_what_fails_the_account_and_not_what_fails_a_message() {
    let scene = Scene::new().await;
    let probe = || {
        let request = scene
            .http
            .get(scene.twilio(&format!("{SID}.json")))
            .basic_auth(SID, Some(TWILIO_TOKEN))
            .timeout(Duration::from_secs(1));
        async move { got(request).await.map(|got| got.status.as_u16()).ok() }
    };
    let refuse =
        |status| Fault::always(FaultKind::Refuse { code: "21408".to_owned(), status, class: None, scope: None });
    let provider = scene.sandbox.provider("twilio").unwrap();
    for (fault, received) in [
        (refuse(None), Some(200)),
        (refuse(Some(401)), Some(401)),
        (Fault::always(FaultKind::Hang { delivered: false }), None),
        (Fault::times(FaultKind::Down, 1), Some(200)),
        (Fault::always(FaultKind::Down), None),
    ] {
        provider.clear_faults(None);
        scene.fault("twilio", fault.clone());
        assert_eq!(probe().await, received, "{fault:?}");
    }
}

#[tokio::test]
async fn a_held_message_waits_at_its_gate() {
    let scene = Scene::new().await;
    let gate = scene.sandbox.provider("twilio").unwrap().hold(Moment::Before);
    let sending = tokio::spawn(got(scene.form("Messages", &GOOD)));
    gate.arrived().await;
    assert_eq!(scene.delivered(), 0);
    gate.release();
    assert_eq!(sending.await.unwrap().unwrap().status, 201);
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn the_list_of_calls_masks_numbers_and_holds_no_text() {
    let scene = Scene::new().await;
    scene.sms(&GOOD).await;
    let calls = scene.sandbox.provider("twilio").unwrap().calls();
    let shown = format!("{calls:?}");
    assert!(!shown.contains(HANDSET) && !shown.contains("482913"), "{shown}");
    assert_eq!(calls[0].country.as_deref(), Some("SE"));
    assert!(calls[0].delivered);
}
