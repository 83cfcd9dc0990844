//! Twilio's Verify: what it sends, shows and refuses.

use hookswitch_sandbox::inbox::Channel;
use serde_json::{Value, json};

use crate::scene::{API_KEY, Got, HANDSET, SERVICE, SERVICE_WITHOUT_CODES, SID, Scene, TEMPLATE, TWILIO_TOKEN, got};

impl Scene {
    fn verify(&self, path: &str) -> String {
        let addr = self.sandbox.provider("twilio").unwrap().addr();
        format!("https://{addr}/v2/Services/{path}")
    }

    async fn verification(&self, service: &str, pairs: &[(&str, &str)]) -> Got {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request =
            self.http.post(self.verify(&format!("{service}/Verifications"))).basic_auth(SID, Some(TWILIO_TOKEN));
        got(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await.unwrap()
    }

    async fn shown(&self, service: &str) -> Got {
        got(self.http.get(self.verify(service)).basic_auth(API_KEY.0, Some(API_KEY.1))).await.unwrap()
    }
}

const GOOD: [(&str, &str); 3] = [("To", HANDSET), ("Channel", "sms"), ("CustomCode", "482913")];

#[tokio::test]
async fn a_verification_is_sent_in_twilios_own_words() {
    let scene = Scene::new().await;
    let more = [("Locale", "sv"), ("TemplateSid", TEMPLATE), ("RiskCheck", "disable")];
    let sent = scene.verification(SERVICE, &[&GOOD[..], &more].concat()).await;
    assert_eq!((sent.status.as_u16(), &sent.body["status"]), (201, &json!("pending")));
    let call = scene.verification(SERVICE, &[("To", "+46701234568"), ("Channel", "call"), GOOD[2]]).await;
    assert_eq!((call.status.as_u16(), &call.body["channel"]), (201, &json!("call")));
    let inbox = scene.sandbox.inbox().messages(None);
    assert_eq!(inbox[0].text, "Your Acme verification code is: 482913");
    assert_eq!((inbox[0].id.as_str(), inbox[0].from.as_deref()), (sent.body["sid"].as_str().unwrap(), None));
    assert_eq!((inbox[1].channel, inbox[1].code.as_deref()), (Channel::Voice, Some("482913")));
}

#[tokio::test]
async fn a_numbers_next_verifications_are_the_same_one_until_the_sixth() {
    let scene = Scene::new().await;
    let mut ids = Vec::new();
    for attempt in 1..=5 {
        let code = format!("48291{attempt}");
        let sent = scene.verification(SERVICE, &[GOOD[0], GOOD[1], ("CustomCode", &code)]).await;
        assert_eq!(sent.body["send_code_attempts"].as_array().map(Vec::len), Some(attempt));
        ids.push(sent.body["sid"].as_str().unwrap().to_owned());
    }
    assert!(ids[0].starts_with("VE") && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let refused = scene.verification(SERVICE, &GOOD).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (429, &json!(60203)));
    let other = scene.verification(SERVICE, &[("To", "+46701234568"), GOOD[1], GOOD[2]]).await;
    assert_eq!(other.status, 201, "another number");
    assert_eq!(scene.sandbox.inbox().messages(Some(HANDSET)).len(), 5);
}

#[tokio::test]
async fn a_service_shows_whether_it_takes_passcodes_of_others() {
    let scene = Scene::new().await;
    for (service, takes) in [(SERVICE, true), (SERVICE_WITHOUT_CODES, false)] {
        let shown = scene.shown(service).await;
        assert_eq!((shown.status.as_u16(), &shown.body["custom_code_enabled"]), (200, &json!(takes)));
        assert_eq!(shown.body["sid"], service);
    }
    let refused = scene.verification(SERVICE_WITHOUT_CODES, &GOOD).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (403, &json!(60204)));
    let own = scene.verification(SERVICE_WITHOUT_CODES, &GOOD[..2]).await;
    assert_eq!(own.status, 201, "{}", own.body);
    let again = scene.verification(SERVICE_WITHOUT_CODES, &GOOD[..2]).await;
    assert_eq!(again.status, 201);
    let codes: Vec<_> = scene.sandbox.inbox().messages(None).into_iter().map(|message| message.code).collect();
    assert!(codes[0].is_some() && codes[0] == codes[1], "a passcode of its own stays while it is pending");
}

#[tokio::test]
async fn verify_refuses_what_its_documentation_refuses() {
    let scene = Scene::new().await;
    let unknown = SERVICE.replace('0', "f");
    for (service, pairs, status, code) in [
        (unknown.as_str(), GOOD.to_vec(), 404, 20404),
        (SERVICE, GOOD[1..].to_vec(), 400, 60200),
        (SERVICE, vec![("To", "0701234567"), GOOD[1], GOOD[2]], 400, 60200),
        (SERVICE, vec![GOOD[0], GOOD[2]], 400, 60200),
        (SERVICE, vec![GOOD[0], ("Channel", "fax"), GOOD[2]], 400, 60200),
        (SERVICE, vec![GOOD[0], ("Channel", "whatsapp"), GOOD[2]], 403, 60223),
        (SERVICE, vec![GOOD[0], GOOD[1], ("CustomCode", "123")], 400, 60200),
        (SERVICE, vec![GOOD[0], GOOD[1], ("CustomCode", "12345678901")], 400, 60200),
        (SERVICE, [&GOOD[..], &[("Locale", "tlh")]].concat(), 404, 20404),
        (SERVICE, vec![GOOD[0], ("Channel", "call"), GOOD[2], ("Locale", "af")], 400, 60331),
        (SERVICE, [&GOOD[..], &[("CustomFriendlyName", "Other")]].concat(), 403, 60204),
        (SERVICE, [&GOOD[..], &[("TemplateSid", "HJ1")]].concat(), 400, 60200),
        (SERVICE, [&GOOD[..], &[("TemplateSid", &TEMPLATE.replace('0', "f"))]].concat(), 400, 60228),
        (SERVICE, [&GOOD[..], &[("RiskCheck", "maybe")]].concat(), 400, 60200),
        (SERVICE, [&GOOD[..], &[("Body", "x")]].concat(), 400, 20001),
    ] {
        let refused = scene.verification(service, &pairs).await;
        assert_eq!((refused.status.as_u16(), &refused.body["code"]), (status, &json!(code)), "{pairs:?}");
        assert_eq!(refused.body["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    assert_eq!(scene.sandbox.inbox().messages(None).len(), 0);
    let path = got(scene.http.get(scene.verify(&format!("{SERVICE}/Webhooks"))).basic_auth(SID, Some(TWILIO_TOKEN)));
    assert_eq!(path.await.unwrap().status, 404);
    let method = got(scene.http.delete(scene.verify(SERVICE)).basic_auth(SID, Some(TWILIO_TOKEN))).await.unwrap();
    assert_eq!((method.status.as_u16(), &method.body["code"]), (405, &json!(20004)));
    let wrong = got(scene.http.get(scene.verify(SERVICE)).basic_auth(SID, Some("wrong"))).await.unwrap();
    assert_eq!((wrong.status.as_u16(), &wrong.body["code"], &wrong.body["sid"]), (401, &json!(20003), &Value::Null));
}
