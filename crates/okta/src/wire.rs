//! How hooks and errors look on Okta's wire: lenient on what we do not use, strict on what decisions hang on.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::types::{Header, HookContent, HookId, HookStatus, Metadata, ObservedHook, TELEPHONY, VERSION};

/// Most characters of a foreign text that are kept.
const KEPT: usize = 2048;

/// One hook of an answer. `None`: a hook of another type.
///
/// # Errors
/// What is wrong with it, without its values.
pub(crate) fn read_hook(body: &[u8]) -> Result<Option<ObservedHook>, &'static str> {
    let hook: Value = serde_json::from_slice(body).map_err(|_| "the answer is not an inline hook")?;
    observed(&hook)
}

/// The telephony hooks of a list.
///
/// # Errors
/// What is wrong with it, without its values. One telephony hook without id or status spoils the list: a decision from
/// half a list could take an active hook for absent.
pub(crate) fn read_hooks(body: &[u8]) -> Result<Vec<ObservedHook>, &'static str> {
    let hooks: Vec<Value> = serde_json::from_slice(body).map_err(|_| "the answer is not a list of inline hooks")?;
    hooks.iter().filter_map(|hook| observed(hook).transpose()).collect()
}

/// Of another tool's hook every other field may be absent, null or of a shape that nobody documents.
fn observed(hook: &Value) -> Result<Option<ObservedHook>, &'static str> {
    let at = |path: &str| hook.pointer(path).and_then(text);
    if at("/type").ok_or("the answer is not an inline hook")? != TELEPHONY {
        return Ok(None);
    }
    let id = HookId::new(at("/id").unwrap_or_default()).map_err(|_| "a hook's id is not one")?;
    let status = match at("/status").ok_or("a hook has no status")?.as_str() {
        "ACTIVE" => HookStatus::Active,
        "INACTIVE" => HookStatus::Inactive,
        _ => HookStatus::Unreadable,
    };
    let config = |field: &str| at(&format!("/channel/config/{field}"));
    let headers = hook.pointer("/channel/config/headers").and_then(Value::as_array);
    let header = |pair: &Map<String, Value>| {
        let part = |name| pair.get(name).and_then(text).unwrap_or_default();
        Header { name: part("key"), value: part("value") }
    };
    Ok(Some(ObservedHook {
        id,
        name: at("/name").unwrap_or_default(),
        status,
        version: at("/version"),
        channel_type: at("/channel/type"),
        channel_version: at("/channel/version"),
        uri: config("uri"),
        method: config("method"),
        headers: headers.into_iter().flatten().filter_map(Value::as_object).map(header).collect(),
        auth_type: config("authScheme/type"),
        auth_header: config("authScheme/key"),
        metadata: hook.get("metadata").and_then(Value::as_object).cloned().and_then(Metadata::new),
    }))
}

/// A text, or a whole number in its place; anything else is absent.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(bounded(text.clone())),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(KEPT) {
        text.truncate(end);
    }
    text
}

#[derive(Serialize)]
struct HookBody<'a> {
    name: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    version: &'a str,
    channel: ChannelBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
}

#[derive(Serialize)]
struct ChannelBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    version: &'a str,
    config: ConfigBody<'a>,
}

#[derive(Serialize)]
struct ConfigBody<'a> {
    uri: &'a str,
    method: &'a str,
    headers: Vec<PairBody<'a>>,
    #[serde(rename = "authScheme")]
    auth_scheme: AuthSchemeBody<'a>,
}

#[derive(Serialize)]
struct PairBody<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct AuthSchemeBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    key: &'a str,
    value: &'a str,
}

/// The body of a create (with the type) or of a replace (without: the type cannot change).
pub(crate) fn write_hook(content: &HookContent, create: bool) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&HookBody {
        name: &content.name,
        kind: create.then_some(TELEPHONY),
        version: VERSION,
        channel: ChannelBody {
            kind: "HTTP",
            version: VERSION,
            config: ConfigBody {
                uri: &content.uri,
                method: "POST",
                headers: content.headers.iter().map(|h| PairBody { key: &h.name, value: &h.value }).collect(),
                auth_scheme: AuthSchemeBody {
                    kind: "HEADER",
                    key: &content.auth_header,
                    value: content.secret.expose(),
                },
            },
        },
        metadata: content.metadata.as_ref(),
    })
}

/// Okta's error object. A body that is none reads as an empty one: the status alone already says that it was refused.
#[derive(Default)]
pub(crate) struct ErrorBody {
    pub(crate) code: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) causes: Vec<String>,
}

/// Reads an error's fields, each by itself: one of another shape does not hide the others.
pub(crate) fn read_error(body: &[u8]) -> ErrorBody {
    let Ok(error) = serde_json::from_slice::<Value>(body) else { return ErrorBody::default() };
    let cause = |cause: &Value| text(cause).or_else(|| cause.get("errorSummary").and_then(text));
    ErrorBody {
        code: error.get("errorCode").and_then(text),
        summary: error.get("errorSummary").and_then(text),
        causes: error.get("errorCauses").and_then(Value::as_array).into_iter().flatten().filter_map(cause).collect(),
    }
}

/// Most custom domains of an org that are read.
const MOST_DOMAINS: usize = 100;

/// The hosts of the custom domains that the org document names; one that cannot be read is left out.
pub(crate) fn read_domains(body: &[u8]) -> Vec<String> {
    let org: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = &org["_links"]["alternate"];
    let links = named.as_array().map_or_else(|| std::slice::from_ref(named), Vec::as_slice);
    let host = |link: &Value| {
        let url = url::Url::parse(link.get("href")?.as_str()?).ok()?;
        let plain = url.scheme() == "https" && url.port().is_none();
        Some(url.host_str().filter(|_| plain)?.trim_end_matches('.').to_owned())
    };
    links.iter().take(MOST_DOMAINS).filter_map(host).collect()
}

/// The id in the org document at `/.well-known/okta-organization`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_organization(body: &[u8]) -> Result<String, &'static str> {
    let org: Option<Value> = serde_json::from_slice(body).ok();
    let id = org.as_ref().and_then(|org| org.get("id")).and_then(text);
    let sound = |id: &String| {
        (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    id.filter(sound).ok_or("the answer is not an org document")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_message::Secret;

    const RECORDED: &str = r#"{"id":"calkwr8b9vKJ12kmg1d7","status":"ACTIVE","name":"twillio","type":"com.okta.telephony.provider",
        "version":"1.0.0","channel":{"type":"HTTP","version":"1.0.0","config":{"uri":"https://example.com/test","headers":[],
        "method":"POST","authScheme":{"type":"HEADER","key":"Authorization"}}},"created":"2025-03-13T23:38:58.000Z","_links":{}}"#;

    #[test]
    fn a_recorded_hook_is_read_and_its_unknown_fields_are_ignored() {
        let hook = read_hook(RECORDED.as_bytes()).unwrap().unwrap();
        assert_eq!(hook.id.as_str(), "calkwr8b9vKJ12kmg1d7");
        assert_eq!(hook.status, HookStatus::Active);
        assert_eq!(hook.uri.as_deref(), Some("https://example.com/test"));
        assert_eq!(hook.auth_header.as_deref(), Some("Authorization"));
    }

    #[test]
    fn an_oauth_hook_without_auth_scheme_and_headers_is_read_too() {
        let body = r#"[{"id":"cal1","status":"INACTIVE","name":"o","type":"com.okta.telephony.provider",
            "channel":{"type":"OAUTH","config":{"uri":"https://x","authScheme":null,"headers":null}}},
            {"id":"cal2","status":"ACTIVE","name":"t","type":"com.okta.oauth2.tokens.transform"}]"#;
        let hooks = read_hooks(body.as_bytes()).unwrap();
        assert_eq!(hooks.len(), 1, "a hook of another type is not ours to look at");
        assert_eq!(hooks[0].auth_header, None);
    }

    #[test]
    fn a_hook_without_its_status_spoils_the_whole_list() {
        let broken = RECORDED.replace("\"status\":\"ACTIVE\",", "");
        assert!(read_hooks(format!("[{RECORDED},{broken}]").as_bytes()).is_err());
        assert!(read_hooks(b"{}").is_err());
        assert!(read_hooks(&RECORDED.as_bytes()[..50]).is_err());
        assert!(read_hook(RECORDED.replace("calkwr8b9vKJ12kmg1d7", "../users").as_bytes()).is_err());
    }

    #[test]
    fn a_status_nobody_knows_yet_is_kept_apart() {
        let hook = read_hook(RECORDED.replace("\"ACTIVE\"", "\"PAUSED\"").as_bytes()).unwrap().unwrap();
        assert_eq!(hook.status, HookStatus::Unreadable);
    }

    #[test]
    fn a_replace_has_everything_but_the_type() {
        let content = HookContent {
            name: "Acme".into(),
            uri: "https://otp.acme.com/hooks/a".into(),
            headers: vec![Header::new("X-Env", "prod")],
            auth_header: "Authorization".into(),
            secret: Secret::from("s3"),
            metadata: None,
        };
        let create: serde_json::Value = serde_json::from_slice(&write_hook(&content, true).unwrap()).unwrap();
        let mut replace: serde_json::Value = serde_json::from_slice(&write_hook(&content, false).unwrap()).unwrap();
        assert_eq!(create["channel"]["config"]["authScheme"]["value"], "s3");
        assert_eq!(replace.get("type"), None);
        replace["type"] = TELEPHONY.into();
        assert_eq!(create, replace);
    }
}
