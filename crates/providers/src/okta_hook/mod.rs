//! An Okta telephony hook that somebody else serves: a vendor's hosted hook, or a function of the user's.
//!
//! It is given Okta's own request, byte by byte, with what the hook is shown to know its caller. Shape of request and answer:
//! Okta's guide to telephony inline hooks, and the schemas of its management API.

#[cfg(test)]
mod tests;

use ::http::{HeaderName, HeaderValue, Method, header};
use serde_json::Value;
use url::Url;

use super::{
    Adapter, Class, Credential, CredentialNeed, InvalidProvider, Message, Outcome, Probe, Probed, Proof,
    ProviderAnswer, Refusal,
    answer::{self, class_by_status},
    oauth2::TokenEndpoint,
    request_url,
};
use hookswitch_gateway_config::document::{OktaHookCredential, PlainHeader};
use hookswitch_message::Secret;
use hookswitch_request::Request;

/// The type of the command that says what became of the message.
const ACTION: &str = "com.okta.telephony.action";
/// The most commands, and values of a command, that are looked at.
const MOST: usize = 16;
/// What stands for the id of a message that the hook did not name.
const UNNAMED: &str = "unnamed";
/// Headers that are ours to write, or the connection's.
const RESERVED: [HeaderName; 13] = [
    header::ACCEPT,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::USER_AGENT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A `TelephonyProvider` with an `oktaHook` block.
pub(super) struct OktaHook {
    url: Url,
    auth: Auth,
    headers: Vec<(HeaderName, Secret<String>)>,
}

enum Auth {
    Header(HeaderName, Secret<String>),
    Token(TokenEndpoint),
}

impl OktaHook {
    pub(super) fn new(url: &str, auth: &OktaHookCredential, headers: &[PlainHeader]) -> Result<Self, InvalidProvider> {
        let auth = match auth {
            OktaHookCredential::Header(header) => {
                if !is_header_value(header.secret.expose()) {
                    return Err(InvalidProvider::Credential);
                }
                Auth::Header(header_name(&header.header)?, header.secret.clone())
            }
            OktaHookCredential::Token(client) => Auth::Token(TokenEndpoint::new(client)?),
        };
        let own = match &auth {
            Auth::Header(name, _) => name.clone(),
            Auth::Token(_) => header::AUTHORIZATION,
        };
        let mut further: Vec<(HeaderName, Secret<String>)> = Vec::with_capacity(headers.len());
        for PlainHeader { name, value } in headers {
            let parsed = header_name(name)?;
            let is_repeated = parsed == own || further.iter().any(|(known, _)| *known == parsed);
            if is_repeated || !is_header_value(value) {
                return Err(InvalidProvider::Header { name: name.clone() });
            }
            further.push((parsed, Secret::new(value.clone())));
        }
        Ok(Self { url: request_url(url)?, auth, headers: further })
    }

    /// The header that the hook knows its caller by.
    fn shown(&self, credential: Option<&Credential>) -> Result<(HeaderName, Secret<String>), Refusal> {
        match (&self.auth, credential) {
            (Auth::Header(name, secret), _) => Ok((name.clone(), secret.clone())),
            (Auth::Token(_), Some(Credential::Token(token))) => {
                Ok((header::AUTHORIZATION, Secret::new(format!("Bearer {}", token.expose()))))
            }
            (Auth::Token(_), None) => Err(Refusal::local(Class::Transient, "no-token")),
        }
    }
}

impl Adapter for OktaHook {
    fn request(&self, message: &Message, credential: Option<&Credential>) -> Result<Request, Refusal> {
        let original = message.original.as_ref().ok_or_else(|| Refusal::local(Class::Unknown, "original-too-long"))?;
        let mut headers = vec![
            (header::CONTENT_TYPE, Secret::from("application/json")),
            (header::ACCEPT, Secret::from("application/json")),
            self.shown(credential)?,
        ];
        headers.extend(self.headers.iter().cloned());
        Ok(Request { method: Method::POST, url: self.url.clone(), headers, body: Secret::clone(original) })
    }

    fn outcome(&self, answer: &ProviderAnswer) -> Outcome {
        if answer.is_success() {
            return serde_json::from_slice(answer.json()).map_or(GARBAGE, |body| said(&body));
        }
        let class = match answer.status {
            // the function behind it broke off, or its platform lost it, wherever it was
            500 => None,
            503 if answer.retry_after.is_none() => None,
            status => class_by_status(status),
        };
        class.map_or(GARBAGE, |class| Outcome::Refused(answer.refusal(class, answer.status_code())))
    }

    fn probe(&self, _: Option<&Credential>) -> Probe {
        Probe::Reach(self.url.clone())
    }

    fn probed(&self, _: &ProviderAnswer) -> Probed {
        Probed::Unknown
    }

    fn proves(&self) -> &'static [Proof] {
        match self.auth {
            Auth::Header(..) => &[Proof::Reachable],
            Auth::Token(_) => &[Proof::Reachable, Proof::Token],
        }
    }

    fn credential(&self) -> Option<CredentialNeed<'_>> {
        match &self.auth {
            Auth::Header(..) => None,
            Auth::Token(endpoint) => Some(CredentialNeed::Token(endpoint)),
        }
    }

    fn needs_sender(&self) -> bool {
        false
    }

    fn needs_original(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "oktaHook"
    }
}

const GARBAGE: Outcome = Outcome::Ambiguous { cause: "garbage" };

/// What an answer says of the message. Only the one word that Okta takes for success is acceptance; an error object is the hook's
/// own word that it did not send.
fn said(body: &Value) -> Outcome {
    let mut statuses = values(body).filter_map(|value| Some((value.get("status")?.as_str()?.trim(), value)));
    let mut outcome = None;
    for (status, value) in statuses.by_ref() {
        match status {
            "SUCCESSFUL" => return Outcome::Accepted { id: id(value) },
            "FAILED" => outcome = outcome.or_else(|| Some(Outcome::Refused(failed(value)))),
            "PENDING" => outcome = Some(Outcome::Ambiguous { cause: "unknown" }),
            _ => outcome = Some(GARBAGE),
        }
    }
    outcome.unwrap_or_else(|| {
        // Okta's schema has an object, and its example a list of them
        let errors = body.get("error").map(one_or_many).unwrap_or_default();
        if !errors.is_empty() && errors.iter().all(Value::is_object) {
            Outcome::Refused(Refusal::local(Class::Unknown, "error"))
        } else {
            GARBAGE
        }
    })
}

/// The values of the commands that are about telephony. Okta wants a list of them; one alone is understood too.
fn values(body: &Value) -> impl Iterator<Item = &Value> {
    let commands = body.get("commands").map(one_or_many).unwrap_or_default();
    commands
        .iter()
        .take(MOST)
        .filter(|command| command.get("type").and_then(Value::as_str) == Some(ACTION))
        .flat_map(|command| command.get("value").map(one_or_many).unwrap_or_default().iter().take(MOST))
}

fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}

fn id(value: &Value) -> String {
    let given = match value.get("transactionId") {
        Some(Value::String(id)) => answer::id(id.trim()),
        Some(Value::Number(id)) => answer::id(&id.to_string()),
        _ => None,
    };
    given.unwrap_or_else(|| UNNAMED.to_owned())
}

/// Why it failed is told to people alone, if at all, so the next provider is asked.
fn failed(value: &Value) -> Refusal {
    let vendor = value.get("provider").and_then(Value::as_str).and_then(answer::code);
    Refusal::local(Class::Unknown, &vendor.map_or_else(|| "FAILED".to_owned(), |vendor| format!("FAILED:{vendor}")))
}

fn header_name(name: &str) -> Result<HeaderName, InvalidProvider> {
    HeaderName::from_bytes(name.as_bytes())
        .ok()
        .filter(|name| !RESERVED.contains(name))
        .ok_or_else(|| InvalidProvider::Header { name: name.to_owned() })
}

fn is_header_value(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && HeaderValue::from_str(value).is_ok()
}
