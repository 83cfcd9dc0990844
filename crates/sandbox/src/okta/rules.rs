//! Okta's rules for what a client may write, read strictly: unknown, missing and ill-typed
//! fields are refused with `E0000001` and the field's path.

use serde_json::{Map, Value};

use super::errors::OktaError;
use super::hooks::{Auth, AuthScheme, Draft, OAuth};
use crate::secret::Secret;

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
/// Versions of a hook and of its channel: the documented one, and two that recordings show accepted.
const VERSIONS: [&str; 3] = ["1.0.0", "1.0.1", "1.0.2"];
/// Fields that clients send back as they read them, and that a write ignores. Only the lifecycle calls change the status.
const READ_ONLY: [&str; 5] = ["id", "status", "created", "lastUpdated", "_links"];
/// Longest key or value of a custom header or of metadata, and entries of metadata: the sandbox wants a bound.
const MAX_TEXT: usize = 1024;
const MAX_METADATA: usize = 50;
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
    known(body, "", &[&["name", "type", "version", "channel", "metadata"][..], &READ_ONLY].concat())?;
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
    let version = needed("version")?.map(|version| known_version(version, "version")).transpose()?;
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
    let metadata = metadata(body.get("metadata"))?;
    let mut draft = Draft { name: name.map(str::to_owned), kind, version, channel: None, metadata };
    if let Some(given) = needed("channel")? {
        draft.channel = Some(channel(given, write)?);
    }
    Ok(draft)
}

fn known_version(version: &Value, at: &str) -> Result<String, OktaError> {
    let version = string(version, at)?;
    let known = VERSIONS.contains(&version);
    if known { Ok(version.to_owned()) } else { Err(OktaError::validation(at, "must be 1.0.0")) }
}

/// The optional map of texts that Okta's clients know.
fn metadata(value: Option<&Value>) -> Result<Option<Map<String, Value>>, OktaError> {
    let map = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => object(value, "metadata")?,
    };
    let fits = |(key, value): (&String, &Value)| {
        key.len() <= MAX_TEXT && value.as_str().is_some_and(|value| value.len() <= MAX_TEXT)
    };
    if map.len() > MAX_METADATA || !map.iter().all(fits) {
        return Err(OktaError::validation("metadata", "must be a small map of strings"));
    }
    Ok(Some(map.clone()))
}

/// The channel of a hook as written.
pub(super) struct ChannelDraft {
    pub(super) version: String,
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) auth: Auth,
}

fn channel(value: &Value, write: Write) -> Result<ChannelDraft, OktaError> {
    const HTTP: [&str; 4] = ["uri", "method", "headers", "authScheme"];
    const OAUTH: [&str; 6] = ["authType", "clientId", "clientSecret", "hookKeyId", "tokenUrl", "scope"];
    let channel = object(value, "channel")?;
    known(channel, "channel.", &["type", "version", "config"])?;
    let kind = field(channel, "channel.", "type")?;
    let version = known_version(channel.get("version").ok_or_else(|| required("channel.version"))?, "channel.version")?;
    let config = object(channel.get("config").unwrap_or(&Value::Null), "channel.config")?;
    let auth = match kind {
        "HTTP" => {
            known(config, "channel.config.", &HTTP)?;
            auth_scheme(config.get("authScheme"))?
        }
        "OAUTH" => {
            known(config, "channel.config.", &[&HTTP[..], &OAUTH].concat())?;
            Auth::OAuth(oauth(config, write)?)
        }
        _ => return Err(OktaError::validation("channel.type", "must be HTTP or OAUTH")),
    };
    let uri = field(config, "channel.config.", "uri")?;
    check_uri(uri, "channel.config.uri")?;
    match config.get("method") {
        None => {}
        Some(method) if method == "POST" => {}
        Some(_) => {
            return Err(OktaError::validation("channel.config.method", "must be POST"));
        }
    }
    Ok(ChannelDraft { version, uri: uri.to_owned(), headers: headers(config.get("headers"))?, auth })
}

/// How Okta fetches a token; its secret is checked and forgotten, since the sandbox fetches none.
fn oauth(config: &Map<String, Value>, write: Write) -> Result<OAuth, OktaError> {
    const AT: &str = "channel.config.";
    if config.get("authScheme").is_some_and(|scheme| !scheme.is_null()) {
        return Err(OktaError::validation("channel.config.authScheme", "must be null with OAuth"));
    }
    let auth_type = field(config, AT, "authType")?;
    let hook_key = match auth_type {
        "client_secret_post" => {
            // it is never returned, so who sends back what was read has none
            if write == Write::Create {
                field(config, AT, "clientSecret")?;
            }
            None
        }
        "private_key_jwt" => Some(field(config, AT, "hookKeyId")?.to_owned()),
        _ => {
            return Err(OktaError::validation(
                "channel.config.authType",
                "must be client_secret_post or private_key_jwt",
            ));
        }
    };
    let token_url = field(config, AT, "tokenUrl")?;
    check_uri(token_url, "channel.config.tokenUrl")?;
    let scope = match config.get("scope") {
        None | Some(Value::Null) => None,
        Some(scope) => Some(string(scope, "channel.config.scope")?.to_owned()),
    };
    Ok(OAuth {
        auth_type: auth_type.to_owned(),
        client_id: field(config, AT, "clientId")?.to_owned(),
        token_url: token_url.to_owned(),
        scope,
        hook_key,
    })
}

fn check_uri(uri: &str, at: &str) -> Result<(), OktaError> {
    let wrong = |why| Err(OktaError::validation(at, why));
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
        // recordings have keys with spaces: Okta stores what HTTP would not take
        let fits = (1..=MAX_TEXT).contains(&key.len()) && !key.chars().any(char::is_control) && key.trim() == key;
        if !fits {
            return Err(OktaError::validation(AT, "a key must be a short text"));
        }
        if value.len() > MAX_TEXT || http::HeaderValue::from_str(value).is_err() {
            return Err(OktaError::validation(AT, "a value must be a header value"));
        }
        if RESERVED_HEADERS.contains(&key.to_ascii_lowercase().as_str()) {
            return Err(OktaError::validation(AT, "a key must not be a reserved name"));
        }
        if out.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
            return Err(OktaError::validation(AT, "a key must not repeat"));
        }
        out.push((key.to_owned(), value.to_owned()));
    }
    Ok(out)
}

fn auth_scheme(value: Option<&Value>) -> Result<Auth, OktaError> {
    const AT: &str = "channel.config.authScheme";
    let scheme = match value {
        None | Some(Value::Null) => return Ok(Auth::None),
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
    Ok(Auth::Header(AuthScheme { key: key.to_owned(), value: secret }))
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
