//! An Okta telephony hook that a vendor hosts, and the authorization server that guards it.
//!
//! Written from Okta's pages: the reference of the telephony inline hook, the concept page of inline hooks and the guide that
//! secures them by OAuth 2.0 (`client_credentials`, `client_secret_post`), and from RFC 6749. Such a hook takes what Okta sends and
//! answers in Okta's shape, always with 200 once it knows the caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::clock::random_id;
use super::exchange::{Answer, Request};
use super::inbox::Channel;
use super::phone::is_e164;
use super::provider::{Asked, Reading, Vendor};
use super::secret::{Secret, Tokens};

/// Where the authorization server gives tokens.
pub const TOKEN_PATH: &str = "/oauth2/v1/token";
/// The most tokens that are good at once.
const MOST_TOKENS: usize = 1_000;

/// An OAuth 2.0 client that a hook's authorization server knows.
#[derive(Debug, Clone)]
pub struct HookClient {
    /// Its id.
    pub id: String,
    /// The one scope it may ask for; none when absent.
    pub scope: Option<String>,
    /// How long its tokens are good.
    pub lifetime: Duration,
}

/// A hook that a vendor hosts.
pub(crate) struct HostedHook {
    /// Values of the header `Authorization` that it takes, or the secrets of its client.
    tokens: Tokens,
    client: Option<HookClient>,
    issued: Mutex<HashMap<String, Instant>>,
}

impl HostedHook {
    pub(crate) fn new(secret: Secret, client: Option<HookClient>) -> Self {
        Self { tokens: Tokens::new(vec![secret]), client, issued: Mutex::default() }
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let Some(shown) = request.header("authorization") else { return false };
        if self.client.is_none() {
            return self.tokens.take(shown);
        }
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = shown.strip_prefix("Bearer ").and_then(|token| issued.get(token));
        ends.is_some_and(|ends| *ends > Instant::now())
    }

    fn token(&self, request: &Request) -> Answer {
        let Some(client) = &self.client else { return Answer::empty(StatusCode::NOT_FOUND) };
        if request.method != Method::POST {
            return Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        if request.media_type().as_deref() != Some("application/x-www-form-urlencoded") {
            return oauth_error(StatusCode::BAD_REQUEST, "invalid_request");
        }
        let mut fields: HashMap<String, String> = HashMap::new();
        for (name, value) in form_urlencoded::parse(&request.body).into_owned() {
            if fields.insert(name, value).is_some() {
                return oauth_error(StatusCode::BAD_REQUEST, "invalid_request");
            }
        }
        let shown = match (basic(request), fields.remove("client_id"), fields.remove("client_secret")) {
            (Some(pair), None, None) => Some(pair),
            (None, Some(id), Some(secret)) => Some((id, secret)),
            _ => None,
        };
        if !shown.is_some_and(|(id, secret)| id == client.id && self.tokens.take(&secret)) {
            return oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        if fields.remove("grant_type").as_deref() != Some("client_credentials") {
            return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
        }
        if fields.remove("scope") != client.scope {
            return oauth_error(StatusCode::BAD_REQUEST, "invalid_scope");
        }
        if !fields.is_empty() {
            return oauth_error(StatusCode::BAD_REQUEST, "invalid_request");
        }
        let token = format!("eyJ{}.{}", random_id(20), random_id(40));
        let now = Instant::now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|_, ends| *ends > now);
        if issued.len() < MOST_TOKENS {
            issued.insert(token.clone(), now + client.lifetime);
        }
        let mut body = json!({"token_type": "Bearer", "expires_in": client.lifetime.as_secs(), "access_token": token});
        if let Some(scope) = &client.scope {
            body["scope"] = scope.clone().into();
        }
        Answer::json(StatusCode::OK, &body).with("cache-control", "no-store")
    }

    fn message(request: &Request) -> Result<Asked, Answer> {
        if request.media_type().as_deref() != Some("application/json") {
            return Err(error("the content type is not JSON"));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| error("the body is not JSON"))?;
        if body["eventType"] != "com.okta.telephony.provider" {
            return Err(error("the event is not about telephony"));
        }
        let profile = &body["data"]["messageProfile"];
        let field = |name: &str| profile[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let number = field("phoneNumber").ok_or_else(|| error("phoneNumber is missing"))?;
        let to = if number.starts_with('+') { number } else { format!("+{number}") };
        let passcode = field("otpCode").ok_or_else(|| error("otpCode is missing"))?;
        let channel = match field("deliveryChannel").map(|name| name.to_lowercase()).as_deref() {
            Some("sms") => Channel::Sms,
            Some(name) if name.contains("voice") || name.contains("call") => Channel::Voice,
            _ => return Err(error("deliveryChannel is neither SMS nor voice")),
        };
        if !is_e164(&to) {
            return Err(said("FAILED", None));
        }
        let text = match channel {
            Channel::Sms => field("msgTemplate").unwrap_or_else(|| format!("Your code is {passcode}")),
            Channel::Voice => format!("Your code is {passcode}"),
        };
        Ok(Asked {
            channel,
            to,
            from: None,
            service: None,
            text,
            said: 1,
            key: body["eventId"].as_str().map(str::to_owned),
        })
    }
}

impl Vendor for HostedHook {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn read(&self, request: &Request) -> Reading {
        if request.path == TOKEN_PATH {
            return Reading::Token(self.token(request));
        }
        if !self.is_authorized(request) {
            return Reading::Refused(Answer::empty(StatusCode::UNAUTHORIZED));
        }
        if request.method != Method::POST {
            return Reading::Refused(Answer::empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        Self::message(request).map_or_else(Reading::Refused, Reading::Send)
    }

    fn new_id(&self, _: &Asked) -> String {
        format!("hh-{}", random_id(20))
    }

    fn accepted(&self, _: &Asked, id: &str) -> Answer {
        said("SUCCESSFUL", Some(id))
    }

    fn refusal(&self, code: &str, status: Option<u16>, _: Option<&str>, _: Option<&str>) -> Answer {
        match status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)) => {
                Answer::empty(status).with("retry-after", "1")
            }
            Some(status) if status != StatusCode::OK => Answer::empty(status),
            _ if code == "error" => error("refused on demand"),
            _ => said("FAILED", None),
        }
    }

    fn unknown(&self) -> Answer {
        said("PENDING", None)
    }

    fn remember(&self, _: &Asked, _: &Answer) {
        // Okta never calls a telephony hook twice, so hooks remember nothing.
    }
}

/// The client's id and secret in the header `Authorization`, decoded as RFC 6749 has them encoded.
fn basic(request: &Request) -> Option<(String, String)> {
    use base64::Engine as _;
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
    Some((decoded(id)?, decoded(secret)?))
}

fn oauth_error(status: StatusCode, error: &str) -> Answer {
    Answer::json(status, &json!({"error": error, "error_description": "refused"}))
}

fn said(status: &str, id: Option<&str>) -> Answer {
    let mut value = json!({"status": status, "provider": "HOSTED"});
    if let Some(id) = id {
        value["transactionId"] = id.into();
    }
    Answer::json(StatusCode::OK, &json!({"commands": [{"type": "com.okta.telephony.action", "value": [value]}]}))
}

fn error(summary: &str) -> Answer {
    Answer::json(StatusCode::OK, &json!({"error": {"errorSummary": summary}}))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    const OKTA: &str = r#"{"eventId":"uS1","eventType":"com.okta.telephony.provider","data":{"messageProfile":
        {"msgTemplate":"Your code is 11111","phoneNumber":"46701234567","deliveryChannel":"SMS","otpCode":"11111"}}}"#;

    fn request(path: &str, authorization: Option<&str>, media_type: &'static str, body: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        if let Some(authorization) = authorization {
            headers.insert("authorization", authorization.parse().unwrap());
        }
        Request {
            method: Method::POST,
            path: path.to_owned(),
            query: String::new(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn guarded() -> HostedHook {
        let client = HookClient { id: "0oa1".into(), scope: Some("otp".into()), lifetime: Duration::from_mins(5) };
        HostedHook::new(Secret::new("s3&cret"), Some(client))
    }

    fn token(hook: &HostedHook, authorization: Option<&str>, form: &str) -> (u16, Value) {
        let form = request(TOKEN_PATH, authorization, "application/x-www-form-urlencoded", form);
        let Reading::Token(answer) = hook.read(&form) else { panic!("the token endpoint") };
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn oktas_own_request_is_taken_with_the_secret_and_with_nothing_else() {
        let hook = HostedHook::new(Secret::new("Basic b2t0YQ=="), None);
        for (authorization, taken) in [(Some("Basic b2t0YQ=="), true), (Some("Basic other"), false), (None, false)] {
            let reading = hook.read(&request("/hook", authorization, "application/json", OKTA));
            assert_eq!(matches!(reading, Reading::Send(asked) if asked.to == "+46701234567"), taken);
        }
        let Reading::Refused(answer) = hook.read(&request("/hook", Some("Basic b2t0YQ=="), "application/json", "{}"))
        else {
            panic!("not Okta's")
        };
        assert_eq!(answer.status, StatusCode::OK);
    }

    #[test]
    fn a_token_is_given_for_the_clients_secret_in_the_form_or_the_header_but_not_both() {
        let hook = guarded();
        let form = "grant_type=client_credentials&scope=otp&client_id=0oa1&client_secret=s3%26cret";
        let (status, given) = token(&hook, None, form);
        assert_eq!((status, given["token_type"].as_str()), (200, Some("Bearer")));
        let bearer = format!("Bearer {}", given["access_token"].as_str().unwrap());
        assert!(matches!(hook.read(&request("/h", Some(&bearer), "application/json", OKTA)), Reading::Send(_)));
        // base64 of 0oa1:s3%26cret
        let basic = Some("Basic MG9hMTpzMyUyNmNyZXQ=");
        assert_eq!(token(&hook, basic, "grant_type=client_credentials&scope=otp").0, 200);
        for (authorization, form, error) in [
            (basic, form, "invalid_client"),
            (None, "grant_type=client_credentials&scope=otp&client_id=0oa1&client_secret=no", "invalid_client"),
            (None, "grant_type=password&scope=otp&client_id=0oa1&client_secret=s3%26cret", "unsupported_grant_type"),
            (None, "grant_type=client_credentials&client_id=0oa1&client_secret=s3%26cret", "invalid_scope"),
            (basic, "grant_type=client_credentials&scope=otp&extra=1", "invalid_request"),
        ] {
            assert_eq!(token(&hook, authorization, form).1["error"], error, "{form}");
        }
        hook.tokens().replace(vec![Secret::new("another")]);
        assert_eq!(token(&hook, None, form).1["error"], "invalid_client");
        let reading = hook.read(&request("/h", Some(&bearer), "application/json", OKTA));
        assert!(matches!(reading, Reading::Send(_)), "tokens outlive the secret that they were given for");
    }
}
