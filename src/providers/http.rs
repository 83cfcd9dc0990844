//! The carrier behind one documented JSON request: an in-house gateway, or any vendor with a small shim in front.
//!
//! `docs/http-provider.md` is the contract this file implements; change both together.

use ::http::{HeaderName, Method, header};
use serde::Serialize;
use url::Url;

use super::{
    Adapter, CarrierAnswer, CarrierRequest, Class, InvalidProvider, Message, Outcome, Probed, Refusal, Scope,
    answer::{self, class_by_status},
    sender,
};
use crate::{config::document::Sender, message::Secret};

/// A `TelephonyProvider` with an `http` block.
pub(super) struct Http {
    url: Url,
    authorization: Secret<String>,
    senders: Vec<Sender>,
}

/// The request's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    message_id: &'a str,
    channel: &'static str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u64>,
}

impl Http {
    pub(super) fn new(url: &str, token: &Secret<String>, senders: &[Sender]) -> Result<Self, InvalidProvider> {
        let url = Url::parse(url).map_err(|_| InvalidProvider::Url("it does not parse"))?;
        if url.cannot_be_a_base() || !url.has_host() {
            return Err(InvalidProvider::Url("it has no host"));
        }
        if token.expose().is_empty() || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidProvider::Credential);
        }
        let authorization = Secret::new(format!("Bearer {}", token.expose()));
        Ok(Self { url, authorization, senders: senders.to_vec() })
    }

    fn call(&self, method: Method, headers: Vec<(HeaderName, Secret<String>)>, body: Vec<u8>) -> CarrierRequest {
        let mut all = vec![
            (header::AUTHORIZATION, self.authorization.clone()),
            (header::ACCEPT, Secret::from("application/json")),
        ];
        all.extend(headers);
        CarrierRequest { method, url: self.url.clone(), headers: all, body: Secret::new(body) }
    }
}

impl Adapter for Http {
    fn request(&self, message: &Message) -> Result<CarrierRequest, Refusal> {
        let body = Body {
            message_id: &message.id,
            channel: message.channel.label(),
            to: message.to.as_str(),
            from: sender::choose(&self.senders, message).map(|sender| sender.from.as_str()),
            text: message.text.expose(),
            locale: message.locale.as_deref(),
            ttl_seconds: message.ttl.map(|ttl| ttl.as_secs().max(1)),
        };
        let body = serde_json::to_vec(&body).map_err(|_| Refusal {
            class: Class::MessageRejected,
            code: "not-json".to_owned(),
            retry_after_s: None,
        })?;
        let headers = vec![
            (header::CONTENT_TYPE, Secret::from("application/json")),
            (HeaderName::from_static("idempotency-key"), Secret::new(message.id.clone())),
        ];
        Ok(self.call(Method::POST, headers, body))
    }

    fn outcome(&self, answer: &CarrierAnswer) -> Outcome {
        let object = answer.object();
        let field = |name: &str| object.as_ref().and_then(|object| object.get(name)).and_then(|value| value.as_str());
        match (field("status"), answer.is_success()) {
            (Some("accepted"), true) => field("id")
                .and_then(answer::id)
                .map_or(Outcome::Ambiguous { cause: "garbage" }, |id| Outcome::Accepted { id }),
            (Some("accepted"), false) => Outcome::Ambiguous { cause: "garbage" },
            (Some("unknown"), _) => Outcome::Ambiguous { cause: "unknown" },
            (Some("refused"), _) => {
                let class = field("class")
                    .and_then(|class| class_named(class, field("scope")))
                    .or_else(|| class_by_status(answer.status))
                    .unwrap_or(Class::Transient);
                let code = field("code").and_then(answer::code).unwrap_or_else(|| answer.status_code());
                Outcome::Refused(answer.refusal(class, code))
            }
            _ => class_by_status(answer.status).map_or(Outcome::Ambiguous { cause: "garbage" }, |class| {
                Outcome::Refused(answer.refusal(class, answer.status_code()))
            }),
        }
    }

    fn probe(&self) -> CarrierRequest {
        self.call(Method::GET, Vec::new(), Vec::new())
    }

    fn probed(&self, answer: &CarrierAnswer) -> Probed {
        match answer.status {
            200 | 204 => Probed::Up,
            401 | 403 => Probed::Down(answer.refusal(Class::PermanentConfig(Scope::Account), answer.status_code())),
            500..=599 => Probed::Down(answer.refusal(Class::Transient, answer.status_code())),
            _ => Probed::Unknown,
        }
    }

    fn label(&self) -> &'static str {
        "http"
    }
}

/// The class of the contract's `class` and `scope`; a configuration refusal without a scope concerns the account.
fn class_named(class: &str, scope: Option<&str>) -> Option<Class> {
    Some(match class {
        "permanent-destination" => Class::PermanentDestination,
        "permanent-config" => Class::PermanentConfig(match scope {
            Some("sender") => Scope::Sender,
            Some("country") => Scope::Country,
            _ => Scope::Account,
        }),
        "throttled" => Class::Throttled,
        "transient" => Class::Transient,
        "fraud-blocked" => Class::FraudBlocked,
        "message-rejected" => Class::MessageRejected,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use serde_json::{Value, json};

    use super::*;
    use crate::message::Channel;

    fn senders() -> Vec<Sender> {
        vec![Sender { channel: Channel::Sms, countries: vec!["SE".parse().unwrap()], from: "Acme".into() }]
    }

    fn carrier() -> Http {
        Http::new("https://sms.acme.example/v1/send?tenant=7", &"t0ken".into(), &senders()).unwrap()
    }

    fn message() -> Message {
        Message {
            id: "m-1".into(),
            channel: Channel::Sms,
            to: "+46701234567".parse().unwrap(),
            country: "SE".parse().ok(),
            text: "Code \"1234\"\n".into(),
            locale: Some("sv-SE".into()),
            ttl: Some(Duration::from_secs(300)),
        }
    }

    fn answer(status: u16, body: &str) -> CarrierAnswer {
        CarrierAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    fn refused(class: Class, code: &str) -> Outcome {
        Outcome::Refused(Refusal { class, code: code.into(), retry_after_s: None })
    }

    #[test]
    fn a_message_is_the_documented_request_and_nothing_else() {
        let request = carrier().request(&message()).unwrap();
        assert_eq!(
            (request.method.clone(), request.url.as_str()),
            (Method::POST, "https://sms.acme.example/v1/send?tenant=7")
        );
        let headers: BTreeMap<_, _> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
        let expected = [
            ("accept", "application/json"),
            ("authorization", "Bearer t0ken"),
            ("content-type", "application/json"),
            ("idempotency-key", "m-1"),
        ];
        assert_eq!(headers, expected.into_iter().collect());
        let body: Value = serde_json::from_slice(request.body.expose()).unwrap();
        let expected = json!({
            "messageId": "m-1", "channel": "sms", "to": "+46701234567", "from": "Acme",
            "text": "Code \"1234\"\n", "locale": "sv-SE", "ttlSeconds": 300
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let message = Message { channel: Channel::Voice, country: None, locale: None, ttl: None, ..message() };
        let request = carrier().request(&message).unwrap();
        let body: Value = serde_json::from_slice(request.body.expose()).unwrap();
        let expected = json!({"messageId": "m-1", "channel": "voice", "to": "+46701234567", "text": "Code \"1234\"\n"});
        assert_eq!(body, expected);
    }

    #[test]
    fn answers_mean_what_the_contract_says() {
        let garbage = Outcome::Ambiguous { cause: "garbage" };
        let long = format!(r#"{{"status":"refused","class":"throttled","code":"{}"}}"#, "9".repeat(65));
        for (says, status, body, expected) in [
            ("accepted with an id", 200, r#"{"status":"accepted","id":"x-1"}"#, Outcome::Accepted { id: "x-1".into() }),
            ("accepted without one is unclear", 200, r#"{"status":"accepted"}"#, garbage.clone()),
            (
                "an id that could forge a log line is unclear",
                200,
                r#"{"status":"accepted","id":"a\nb"}"#,
                garbage.clone(),
            ),
            ("accepted in an error contradicts itself", 500, r#"{"status":"accepted","id":"x-1"}"#, garbage.clone()),
            ("unknown is unclear", 200, r#"{"status":"unknown"}"#, Outcome::Ambiguous { cause: "unknown" }),
            ("unknown in an error is too", 504, r#"{"status":"unknown"}"#, Outcome::Ambiguous { cause: "unknown" }),
            (
                "refused inside a 200",
                200,
                r#"{"status":"refused","class":"permanent-destination","code":"no-such"}"#,
                refused(Class::PermanentDestination, "no-such"),
            ),
            (
                "refused with a 4xx",
                403,
                r#"{"status":"refused","class":"fraud-blocked","code":"7","message":"m"}"#,
                refused(Class::FraudBlocked, "7"),
            ),
            (
                "refused with a 5xx keeps its own class",
                500,
                r#"{"status":"refused","class":"message-rejected","code":"c"}"#,
                refused(Class::MessageRejected, "c"),
            ),
            (
                "the scope account",
                200,
                r#"{"status":"refused","class":"permanent-config","scope":"account","code":"c"}"#,
                refused(Class::PermanentConfig(Scope::Account), "c"),
            ),
            (
                "the scope sender",
                200,
                r#"{"status":"refused","class":"permanent-config","scope":"sender","code":"c"}"#,
                refused(Class::PermanentConfig(Scope::Sender), "c"),
            ),
            (
                "the scope country",
                200,
                r#"{"status":"refused","class":"permanent-config","scope":"country","code":"c"}"#,
                refused(Class::PermanentConfig(Scope::Country), "c"),
            ),
            (
                "without a scope it is the account",
                200,
                r#"{"status":"refused","class":"permanent-config","code":"c"}"#,
                refused(Class::PermanentConfig(Scope::Account), "c"),
            ),
            (
                "throttled",
                429,
                r#"{"status":"refused","class":"throttled","code":"c"}"#,
                refused(Class::Throttled, "c"),
            ),
            (
                "transient",
                503,
                r#"{"status":"refused","class":"transient","code":"c"}"#,
                refused(Class::Transient, "c"),
            ),
            (
                "a missing code is the status",
                422,
                r#"{"status":"refused","class":"message-rejected"}"#,
                refused(Class::MessageRejected, "http-422"),
            ),
            (
                "an unknown class goes by the status",
                429,
                r#"{"status":"refused","class":"busy","code":"c"}"#,
                refused(Class::Throttled, "c"),
            ),
            (
                "an unknown class in a 200 is trouble",
                200,
                r#"{"status":"refused","class":"busy","code":"c"}"#,
                refused(Class::Transient, "c"),
            ),
            ("a code is cut to 64 characters", 200, long.as_str(), refused(Class::Throttled, &"9".repeat(64))),
            (
                "a code keeps printable characters alone",
                200,
                r#"{"status":"refused","class":"throttled","code":"a\n \u001b[31mö"}"#,
                refused(Class::Throttled, "a[31m"),
            ),
            ("a status of its own invention is unclear", 200, r#"{"status":"ok","id":"x"}"#, garbage.clone()),
            ("a status in other letters is unclear", 200, r#"{"status":"Accepted","id":"x"}"#, garbage.clone()),
            ("a page is unclear", 200, "<html>", garbage.clone()),
            ("no body is unclear", 204, "", garbage.clone()),
            ("nesting without end is unclear", 200, &"[".repeat(10_000), garbage),
            ("an unreadable 400 rejects the message", 400, "bad", refused(Class::MessageRejected, "http-400")),
            (
                "an unreadable 401 refuses the account",
                401,
                "",
                refused(Class::PermanentConfig(Scope::Account), "http-401"),
            ),
            ("an unreadable 408 is trouble", 408, "", refused(Class::Transient, "http-408")),
            ("an unreadable 429 throttles", 429, "", refused(Class::Throttled, "http-429")),
            ("an unreadable 502 is trouble", 502, "<html>", refused(Class::Transient, "http-502")),
            ("a redirect is a wrong URL", 307, "", refused(Class::PermanentConfig(Scope::Account), "http-307")),
        ] {
            assert_eq!(carrier().outcome(&answer(status, body)), expected, "{says}");
        }
    }

    #[test]
    fn a_probe_asks_the_same_url_with_the_same_token() {
        let probe = carrier().probe();
        assert_eq!(
            (probe.method.clone(), probe.url.as_str()),
            (Method::GET, "https://sms.acme.example/v1/send?tenant=7")
        );
        assert!(
            probe.headers.iter().any(|(name, value)| name == header::AUTHORIZATION && value.expose() == "Bearer t0ken")
        );
        let down = |class, code: &str| Probed::Down(Refusal { class, code: code.into(), retry_after_s: None });
        let account = Class::PermanentConfig(Scope::Account);
        for (status, expected) in [
            (200, Probed::Up),
            (204, Probed::Up),
            (401, down(account, "http-401")),
            (403, down(account, "http-403")),
            (500, down(Class::Transient, "http-500")),
            (503, down(Class::Transient, "http-503")),
            (201, Probed::Unknown),
            (302, Probed::Unknown),
            (404, Probed::Unknown),
            (405, Probed::Unknown),
            (429, Probed::Unknown),
        ] {
            assert_eq!(carrier().probed(&answer(status, "")), expected, "{status}");
        }
    }

    #[test]
    fn a_configuration_that_could_never_send_is_refused() {
        let make = |url: &str, token: &str| Http::new(url, &token.into(), &[]).err();
        assert!(matches!(make("nowhere", "t"), Some(InvalidProvider::Url(_))));
        assert!(matches!(make("mailto:a@b", "t"), Some(InvalidProvider::Url(_))));
        assert_eq!(make("https://x.example", "a b"), Some(InvalidProvider::Credential));
        assert_eq!(make("https://x.example", ""), Some(InvalidProvider::Credential));
        assert_eq!(make("https://x.example", "t"), None);
    }
}
