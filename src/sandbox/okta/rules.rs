//! Okta's rules for what a client may write, read strictly: unknown, missing and ill-typed
//! fields are refused with `E0000001` and the field's path.

use serde_json::{Map, Value};

use super::errors::OktaError;
use super::hooks::{AuthScheme, Draft};
use crate::sandbox::secret::Secret;

/// The type the sandbox calls.
pub(super) const TELEPHONY: &str = "com.okta.telephony.provider";
/// `InlineHookType`.
const TYPES: [&str; 6] = [
    "com.okta.import.transform",
    "com.okta.oauth2.tokens.transform",
    "com.okta.saml.tokens.transform",
    TELEPHONY,
    "com.okta.user.credential.password.import",
    "com.okta.user.pre-registration",
];
const VERSION: &str = "1.0.0";
/// Header names a custom header may not take.
const RESERVED_HEADERS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
];
/// Custom headers of one hook. Okta documents no number; the sandbox wants a bound.
const MAX_HEADERS: usize = 50;

/// What kind of write a body is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// Everything is given.
    Create,
    /// Everything but the type is given.
    Replace,
    /// What is not given stays.
    Update,
}

/// Reads the body of a create, replace or update.
pub(super) fn read(body: &[u8], write: Write) -> Result<Draft, OktaError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| OktaError::unreadable())?;
    let body = object(&value, "body")?;
    // `status` is known and ignored, as recorded; only the lifecycle calls change it.
    known(body, "", &["name", "type", "version", "channel", "status"])?;
    let needed = |field: &str| -> Result<Option<&Value>, OktaError> {
        match body.get(field) {
            None | Some(Value::Null) if write == Write::Update => Ok(None),
            None | Some(Value::Null) => Err(required(field)),
            Some(value) => Ok(Some(value)),
        }
    };
    let name = needed("name")?.map(|v| string(v, "name")).transpose()?;
    if let Some(name) = name
        && !(1..=255).contains(&name.chars().count())
    {
        return Err(OktaError::validation("name", "must be 1 to 255 characters"));
    }
    if let Some(version) = needed("version")?
        && string(version, "version")? != VERSION
    {
        return Err(OktaError::validation("version", "must be 1.0.0"));
    }
    let kind = match body.get("type") {
        None | Some(Value::Null) if write == Write::Create => return Err(required("type")),
        None | Some(Value::Null) => None,
        Some(kind) => {
            let kind = string(kind, "type")?;
            if !TYPES.contains(&kind) {
                return Err(OktaError::validation("type", "is not an inline hook type"));
            }
            Some(kind.to_owned())
        }
    };
    let mut draft = Draft { name: name.map(str::to_owned), kind, channel: None };
    if let Some(given) = needed("channel")? {
        draft.channel = Some(channel(given)?);
    }
    Ok(draft)
}

/// The HTTP channel of a hook as written.
pub(super) struct ChannelDraft {
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    /// The scheme's key, and its value when it was given.
    pub(super) auth: Option<(String, Option<Secret>)>,
}

impl ChannelDraft {
    /// The scheme to store, when its value is known.
    pub(super) fn scheme(&self) -> Option<AuthScheme> {
        self.auth.as_ref().map(|(key, value)| AuthScheme { key: key.clone(), value: value.clone() })
    }
}

fn channel(value: &Value) -> Result<ChannelDraft, OktaError> {
    let channel = object(value, "channel")?;
    known(channel, "channel.", &["type", "version", "config"])?;
    match field(channel, "channel.", "type")? {
        "HTTP" => {}
        "OAUTH" => {
            return Err(OktaError::validation("channel.type", "OAUTH is not part of this simulated org"));
        }
        _ => {
            return Err(OktaError::validation("channel.type", "must be HTTP or OAUTH"));
        }
    }
    if field(channel, "channel.", "version")? != VERSION {
        return Err(OktaError::validation("channel.version", "must be 1.0.0"));
    }
    let config = object(channel.get("config").unwrap_or(&Value::Null), "channel.config")?;
    known(config, "channel.config.", &["uri", "method", "headers", "authScheme"])?;
    let uri = field(config, "channel.config.", "uri")?;
    check_uri(uri)?;
    match config.get("method") {
        None => {}
        Some(method) if method == "POST" => {}
        Some(_) => {
            return Err(OktaError::validation("channel.config.method", "must be POST"));
        }
    }
    Ok(ChannelDraft {
        uri: uri.to_owned(),
        headers: headers(config.get("headers"))?,
        auth: auth_scheme(config.get("authScheme"))?,
    })
}

fn check_uri(uri: &str) -> Result<(), OktaError> {
    let wrong = |why| Err(OktaError::validation("channel.config.uri", why));
    if uri.chars().count() > 1024 {
        return wrong("must be at most 1024 characters");
    }
    if uri.chars().any(char::is_whitespace) {
        return wrong("must not contain white space");
    }
    match url::Url::parse(uri) {
        Ok(url) if url.scheme() != "https" => wrong("must be https"),
        Ok(url) if url.has_host() => Ok(()),
        _ => wrong("must be a URL"),
    }
}

fn headers(value: Option<&Value>) -> Result<Vec<(String, String)>, OktaError> {
    const AT: &str = "channel.config.headers";
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_HEADERS => list,
        Some(Value::Array(_)) => return Err(OktaError::validation(AT, "has too many headers")),
        Some(_) => return Err(OktaError::validation(AT, "must be an array")),
    };
    let mut out: Vec<(String, String)> = Vec::new();
    for item in list {
        let item = object(item, AT)?;
        known(item, "channel.config.headers.", &["key", "value"])?;
        let key = field(item, "channel.config.headers.", "key")?;
        let value = field(item, "channel.config.headers.", "value")?;
        let name = http::HeaderName::from_bytes(key.as_bytes())
            .map_err(|_| OktaError::validation(AT, "a key must be a header name"))?;
        if http::HeaderValue::from_str(value).is_err() {
            return Err(OktaError::validation(AT, "a value must be a header value"));
        }
        if RESERVED_HEADERS.contains(&name.as_str()) {
            return Err(OktaError::validation(AT, "a key must not be a reserved name"));
        }
        if out.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
            return Err(OktaError::validation(AT, "a key must not repeat"));
        }
        out.push((key.to_owned(), value.to_owned()));
    }
    Ok(out)
}

fn auth_scheme(value: Option<&Value>) -> Result<Option<(String, Option<Secret>)>, OktaError> {
    const AT: &str = "channel.config.authScheme";
    let scheme = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => object(value, AT)?,
    };
    known(scheme, "channel.config.authScheme.", &["type", "key", "value"])?;
    if field(scheme, "channel.config.authScheme.", "type")? != "HEADER" {
        return Err(OktaError::validation(AT, "type must be HEADER"));
    }
    let key = field(scheme, "channel.config.authScheme.", "key")?;
    if http::HeaderName::from_bytes(key.as_bytes()).is_err() {
        return Err(OktaError::validation(AT, "key must be a header name"));
    }
    let secret = match scheme.get("value") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let value = string(value, "channel.config.authScheme.value")?;
            if value.is_empty() || http::HeaderValue::from_str(value).is_err() {
                return Err(OktaError::validation(AT, "value must be a header value"));
            }
            Some(Secret::new(value))
        }
    };
    Ok(Some((key.to_owned(), secret)))
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, OktaError> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Err(required(at)),
        _ => Err(OktaError::validation(at, "must be an object")),
    }
}

fn known(map: &Map<String, Value>, prefix: &str, names: &[&str]) -> Result<(), OktaError> {
    match map.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let key: String = key.chars().take(64).collect();
            Err(OktaError::validation(&format!("{prefix}{key}"), "is not a known field"))
        }
    }
}

fn field<'a>(map: &'a Map<String, Value>, prefix: &str, name: &str) -> Result<&'a str, OktaError> {
    let at = format!("{prefix}{name}");
    match map.get(name) {
        None | Some(Value::Null) => Err(required(&at)),
        Some(value) => string(value, &at),
    }
}

fn string<'a>(value: &'a Value, at: &str) -> Result<&'a str, OktaError> {
    value.as_str().ok_or_else(|| OktaError::validation(at, "must be a string"))
}

fn required(at: &str) -> OktaError {
    OktaError::validation(at, "The field is required")
}
