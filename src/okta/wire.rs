//! How hooks and errors look on Okta's wire: lenient on what we do not use, strict on what decisions hang on.

use serde::{Deserialize, Serialize};

use crate::okta::types::{Header, HookContent, HookId, HookStatus, ObservedHook, TELEPHONY, VERSION};

/// Most characters of a foreign text that are kept.
const KEPT: usize = 2048;

#[derive(Deserialize)]
struct Hook {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    version: Option<String>,
    channel: Option<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(rename = "type")]
    kind: Option<String>,
    version: Option<String>,
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    uri: Option<String>,
    method: Option<String>,
    headers: Option<Vec<Pair>>,
    #[serde(rename = "authScheme")]
    auth_scheme: Option<AuthScheme>,
}

#[derive(Deserialize)]
struct Pair {
    key: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct AuthScheme {
    #[serde(rename = "type")]
    kind: Option<String>,
    key: Option<String>,
}

/// One hook of an answer. `None`: a well-formed hook of another type.
///
/// # Errors
/// What is wrong with it, without its values.
pub(crate) fn read_hook(body: &[u8]) -> Result<Option<ObservedHook>, &'static str> {
    let hook: Hook = serde_json::from_slice(body).map_err(|_| "the answer is not an inline hook")?;
    observed(hook)
}

/// The telephony hooks of a list.
///
/// # Errors
/// What is wrong with it, without its values. One hook without id, name, type or status spoils the list: a decision from
/// half a list could take an active hook for absent.
pub(crate) fn read_hooks(body: &[u8]) -> Result<Vec<ObservedHook>, &'static str> {
    let hooks: Vec<Hook> = serde_json::from_slice(body).map_err(|_| "the answer is not a list of inline hooks")?;
    hooks.into_iter().filter_map(|hook| observed(hook).transpose()).collect()
}

fn observed(hook: Hook) -> Result<Option<ObservedHook>, &'static str> {
    if hook.kind != TELEPHONY {
        return Ok(None);
    }
    let id = HookId::new(hook.id).map_err(|_| "a hook's id is not one")?;
    let status = match hook.status.as_str() {
        "ACTIVE" => HookStatus::Active,
        "INACTIVE" => HookStatus::Inactive,
        _ => HookStatus::Unreadable,
    };
    let (channel_type, channel_version, config) =
        hook.channel.map_or((None, None, None), |c| (c.kind, c.version, c.config));
    let (uri, method, headers, auth) =
        config.map_or((None, None, None, None), |c| (c.uri, c.method, c.headers, c.auth_scheme));
    let (auth_type, auth_header) = auth.map_or((None, None), |a| (a.kind, a.key));
    let headers = headers.unwrap_or_default();
    let header = |pair: Pair| Header {
        name: bounded(pair.key.unwrap_or_default()),
        value: bounded(pair.value.unwrap_or_default()),
    };
    Ok(Some(ObservedHook {
        id,
        name: bounded(hook.name),
        status,
        version: hook.version.map(bounded),
        channel_type: channel_type.map(bounded),
        channel_version: channel_version.map(bounded),
        uri: uri.map(bounded),
        method: method.map(bounded),
        headers: headers.into_iter().map(header).collect(),
        auth_type: auth_type.map(bounded),
        auth_header: auth_header.map(bounded),
    }))
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
    })
}

/// Okta's error object. A body that is none reads as an empty one: the status alone already says that it was refused.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    #[serde(rename = "errorCode")]
    pub(crate) code: Option<String>,
    #[serde(rename = "errorSummary")]
    pub(crate) summary: Option<String>,
    #[serde(rename = "errorCauses")]
    pub(crate) causes: Option<Vec<ErrorCause>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorCause {
    #[serde(rename = "errorSummary")]
    pub(crate) summary: Option<String>,
}

/// The org document at `/.well-known/okta-organization`; only the id is used.
#[derive(Deserialize)]
pub(crate) struct Organization {
    pub(crate) id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Secret;

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
        };
        let create: serde_json::Value = serde_json::from_slice(&write_hook(&content, true).unwrap()).unwrap();
        let mut replace: serde_json::Value = serde_json::from_slice(&write_hook(&content, false).unwrap()).unwrap();
        assert_eq!(create["channel"]["config"]["authScheme"]["value"], "s3");
        assert_eq!(replace.get("type"), None);
        replace["type"] = TELEPHONY.into();
        assert_eq!(create, replace);
    }
}
