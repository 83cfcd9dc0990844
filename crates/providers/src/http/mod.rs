//! Whoever is behind one documented JSON request: an in-house gateway, or any vendor with a small shim in front.
//!
//! `docs/providers/http.md` is the contract this file implements; change both together.

#[cfg(test)]
mod tests;

use ::http::{HeaderName, Method, header};
use serde::Serialize;
use url::Url;

use super::{
    Adapter, Class, Credential, InvalidProvider, Message, Outcome, Probe, Probed, Proof, ProviderAnswer, Refusal,
    Scope,
    answer::{self, class_by_status},
    request_url, sender,
};
use hookswitch_gateway_config::document::Sender;
use hookswitch_message::Secret;
use hookswitch_request::Request;

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
        let url = request_url(url)?;
        if token.expose().is_empty() || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidProvider::Credential);
        }
        let authorization = Secret::new(format!("Bearer {}", token.expose()));
        Ok(Self { url, authorization, senders: senders.to_vec() })
    }

    fn call(&self, method: Method, headers: Vec<(HeaderName, Secret<String>)>, body: Vec<u8>) -> Request {
        let mut all = vec![
            (header::AUTHORIZATION, self.authorization.clone()),
            (header::ACCEPT, Secret::from("application/json")),
        ];
        all.extend(headers);
        Request { method, url: self.url.clone(), headers: all, body: Secret::new(body) }
    }
}

impl Adapter for Http {
    fn request(&self, message: &Message, _: Option<&Credential>) -> Result<Request, Refusal> {
        let body = Body {
            message_id: &message.id,
            channel: message.channel.label(),
            to: message.to.as_str(),
            from: sender::choose(&self.senders, message).map(|sender| sender.from.as_str()),
            text: message.text.expose(),
            locale: message.locale.as_deref(),
            ttl_seconds: message.ttl.map(|ttl| ttl.as_secs().max(1)),
        };
        let body = serde_json::to_vec(&body).map_err(|_| Refusal::local(Class::MessageRejected, "not-json"))?;
        let headers = vec![
            (header::CONTENT_TYPE, Secret::from("application/json")),
            (HeaderName::from_static("idempotency-key"), Secret::new(message.id.clone())),
        ];
        Ok(self.call(Method::POST, headers, body))
    }

    fn outcome(&self, answer: &ProviderAnswer) -> Outcome {
        let Some(fields) = answer.fields() else { return answer.by_status() };
        match (fields.text("status").as_deref(), answer.is_success()) {
            (Some("accepted"), true) => fields
                .text("id")
                .and_then(|id| answer::id(&id))
                .map_or(Outcome::Ambiguous { cause: "garbage" }, |id| Outcome::Accepted { id }),
            (Some("accepted"), false) => Outcome::Ambiguous { cause: "garbage" },
            (Some("unknown"), _) => Outcome::Ambiguous { cause: "unknown" },
            // The service's own word that it did not send, whatever the status and whatever the reason.
            (Some("refused"), _) => {
                let class = fields
                    .text("class")
                    .and_then(|class| class_named(&class, fields.text("scope").as_deref()))
                    .or_else(|| class_by_status(answer.status))
                    .unwrap_or(Class::Unknown);
                let code = fields.text("code").and_then(|code| answer::code(&code));
                Outcome::Refused(answer.refusal(class, code.unwrap_or_else(|| answer.status_code())))
            }
            _ => answer.by_status(),
        }
    }

    fn probe(&self, _: Option<&Credential>) -> Probe {
        Probe::Ask(self.call(Method::GET, Vec::new(), Vec::new()))
    }

    fn probed(&self, answer: &ProviderAnswer) -> Probed {
        match answer.status {
            200 | 204 => Probed::Up,
            401 | 403 => Probed::Down(answer.refusal(Class::PermanentConfig(Scope::Account), answer.status_code())),
            500..=599 => Probed::Down(answer.refusal(Class::Transient, answer.status_code())),
            _ => Probed::Unknown,
        }
    }

    fn proves(&self) -> &'static [Proof] {
        &[Proof::Reachable, Proof::Credential]
    }

    fn needs_sender(&self) -> bool {
        false
    }

    fn label(&self) -> &'static str {
        "http"
    }
}

/// The class of the contract's `class` and `scope`; a configuration refusal without a scope concerns the account.
fn class_named(class: &str, scope: Option<&str>) -> Option<Class> {
    Some(match class {
        "permanent-destination" => Class::PermanentDestination,
        "unreachable-here" => Class::UnreachableHere,
        "permanent-config" => Class::PermanentConfig(match scope {
            Some("sender") => Scope::Sender,
            Some("country") => Scope::Country,
            _ => Scope::Account,
        }),
        "throttled" => Class::Throttled,
        "transient" => Class::Transient,
        "fraud-blocked" => Class::FraudBlocked,
        "message-rejected" => Class::MessageRejected,
        "unknown" => Class::Unknown,
        _ => return None,
    })
}
