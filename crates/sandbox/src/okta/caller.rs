//! Calls a hook as Okta does: over HTTPS to a certificate it trusts, three seconds for everything,
//! one try, no redirects, 200 alone, the answer below 256 KiB and in the documented shape.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::hooks::{Auth, Hook};
use crate::certs::CertError;

/// The largest answer, exclusive.
const MAX_ANSWER: usize = 256 * 1024;

/// Why a call of a hook counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The hook has no secret to authenticate with.
    NoAuth,
    /// No connection, or one that broke.
    Unreachable,
    /// No whole answer in time.
    Timeout,
    /// Another status than 200.
    Status,
    /// The answer is too large, no JSON or of another shape.
    Malformed,
    /// The answer is an `error` object.
    Error,
    /// The answer's status is `FAILED`.
    Failed,
}

/// What a hook said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookStatus {
    /// Sent.
    Successful,
    /// Not known.
    Pending,
    /// Not sent.
    Failed,
}

/// An answer in the documented shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    pub(super) status: Option<HookStatus>,
    pub(super) provider: Option<String>,
    pub(super) transaction_id: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) debug: Option<Value>,
}

/// One call of a hook.
pub(super) struct Called {
    pub(super) ms: u64,
    pub(super) http_status: Option<u16>,
    /// The JSON of a 200, as it came.
    pub(super) answer: Option<Value>,
    pub(super) said: Said,
    pub(super) failure: Option<(Failure, String)>,
}

/// Names the caller resolves itself: a host to `address:port` or `name:port`.
#[derive(Clone, Default)]
pub(super) struct Overrides(Arc<Mutex<HashMap<String, String>>>);

impl Overrides {
    pub(super) fn set(&self, host: &str, target: &str) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(host.to_ascii_lowercase(), target.to_owned());
    }

    fn target(&self, host: &str) -> Option<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&host.to_ascii_lowercase()).cloned()
    }
}

impl Resolve for Overrides {
    fn resolve(&self, name: Name) -> Resolving {
        let target = self.target(name.as_str()).unwrap_or_else(|| format!("{}:0", name.as_str()));
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host(target).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Okta's HTTP client.
pub(super) struct Caller {
    once: reqwest::Client,
    kept: reqwest::Client,
}

impl Caller {
    /// A caller that trusts `ca_pem` and nothing else.
    pub(super) fn new(ca_pem: &str, overrides: &Overrides) -> Result<Self, CertError> {
        let unread = |e: reqwest::Error| CertError::Pem { what: "the authority the org trusts", reason: e.to_string() };
        let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).map_err(unread)?;
        let build = |idle: usize| {
            reqwest::Client::builder()
                .tls_certs_only(roots.clone())
                .dns_resolver(Arc::new(overrides.clone()))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .pool_max_idle_per_host(idle)
                .build()
                .map_err(unread)
        };
        Ok(Self { once: build(0)?, kept: build(8)? })
    }

    /// Calls a telephony hook with `body`.
    pub(super) async fn call(&self, hook: &Hook, body: String, limit: Duration, keep_alive: bool) -> Called {
        let begun = Instant::now();
        let mut called = Called { ms: 0, http_status: None, answer: None, said: Said::default(), failure: None };
        match headers(hook) {
            None => {
                let why = if matches!(hook.auth, Auth::OAuth(_)) {
                    "the simulated org fetches no OAuth token"
                } else {
                    "the hook has no secret"
                };
                called.failure = Some((Failure::NoAuth, why.to_owned()));
            }
            Some(headers) => {
                let client = if keep_alive { &self.kept } else { &self.once };
                let request = client.post(&hook.uri).headers(headers).body(body);
                match tokio::time::timeout(limit, exchange(request)).await {
                    Err(_) => {
                        called.failure = Some((Failure::Timeout, "Hook timed out".to_owned()));
                    }
                    Ok(Err(why)) => called.failure = Some((Failure::Unreachable, why)),
                    Ok(Ok((status, body))) => {
                        called.http_status = Some(status);
                        judge(&mut called, status, body.as_deref());
                    }
                }
            }
        }
        called.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        called
    }
}

/// Sends, and reads the answer within the bound; `None` for a body that is too large.
async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, Option<Vec<u8>>), String> {
    // The address may hold a path a user chose: the reason goes without it.
    let answered = |e: reqwest::Error| {
        let stage = if e.is_connect() { "could not connect" } else { "the connection broke" };
        let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&e);
        let mut last = String::new();
        while let Some(inner) = source {
            last = inner.to_string();
            source = inner.source();
        }
        format!("{stage}: {last}")
    };
    let mut response = request.send().await.map_err(answered)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(answered)? {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ANSWER {
            return Ok((status, None));
        }
    }
    Ok((status, Some(body)))
}

fn headers(hook: &Hook) -> Option<HeaderMap> {
    let Auth::Header(auth) = &hook.auth else { return None };
    let mut value = HeaderValue::from_str(auth.value.as_ref()?.reveal()).ok()?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    for (key, value) in &hook.headers {
        // what is stored may be no header's name: it cannot be sent
        if let Ok(name) = HeaderName::from_bytes(key.as_bytes()) {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
    }
    headers.insert(HeaderName::from_bytes(auth.key.as_bytes()).ok()?, value);
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Some(headers)
}

fn judge(called: &mut Called, status: u16, body: Option<&[u8]>) {
    let fail = |failure, why: &str| Some((failure, why.to_owned()));
    if status != 200 {
        called.failure = Some((Failure::Status, format!("Hook answered HTTP {status}")));
        return;
    }
    let Some(body) = body else {
        called.failure = fail(Failure::Malformed, "The answer is 256 KiB or larger");
        return;
    };
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => {
            let why = format!(
                "Could not deserialize inline hook response due to error at Line {} Column {}",
                error.line(),
                error.column()
            );
            called.failure = Some((Failure::Malformed, why));
            return;
        }
    };
    called.failure = match read(&value) {
        Err(why) => fail(Failure::Malformed, why),
        Ok(None) => fail(Failure::Error, "The callback service returned an error"),
        Ok(Some(said)) => {
            let failed = said.status == Some(HookStatus::Failed);
            called.said = said;
            if failed { fail(Failure::Failed, "The hook could not deliver") } else { None }
        }
    };
    called.answer = Some(value);
}

/// Reads an answer strictly, since nobody documents what Okta passes over: `None` for a well-formed `error` object. Null is
/// absent all the same, as it is for what Okta is written in.
pub(super) fn read(value: &Value) -> Result<Option<Said>, &'static str> {
    let top = value.as_object().ok_or("The answer is no object")?;
    only(top, &["commands", "error", "debugContext"])?;
    if let Some(error) = top.get("error").filter(|error| !error.is_null()) {
        let error = error.as_object().ok_or("error is no object")?;
        return match error.get("errorSummary") {
            None | Some(Value::Null | Value::String(_)) => Ok(None),
            Some(_) => Err("errorSummary is no string"),
        };
    }
    let [command] = top.get("commands").and_then(Value::as_array).ok_or("commands is missing")?.as_slice() else {
        return Err("commands does not hold one command");
    };
    let command = command.as_object().ok_or("a command is no object")?;
    only(command, &["type", "value"])?;
    if command.get("type").and_then(Value::as_str) != Some("com.okta.telephony.action") {
        return Err("the command's type is not com.okta.telephony.action");
    }
    let [value] = command.get("value").and_then(Value::as_array).ok_or("value is no array")?.as_slice() else {
        return Err("value does not hold one object");
    };
    let value = value.as_object().ok_or("value does not hold an object")?;
    only(value, &["status", "provider", "transactionId", "transactionMetadata"])?;
    let status = match value.get("status").and_then(Value::as_str) {
        Some("SUCCESSFUL") => HookStatus::Successful,
        Some("PENDING") => HookStatus::Pending,
        Some("FAILED") => HookStatus::Failed,
        _ => return Err("status is not SUCCESSFUL, PENDING or FAILED"),
    };
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err("a text is no string"),
    };
    Ok(Some(Said {
        status: Some(status),
        provider: text("provider")?,
        transaction_id: text("transactionId")?,
        metadata: text("transactionMetadata")?,
        debug: top.get("debugContext").filter(|debug| !debug.is_null()).cloned(),
    }))
}

fn only(map: &Map<String, Value>, names: &[&str]) -> Result<(), &'static str> {
    if map.keys().all(|key| names.contains(&key.as_str())) { Ok(()) } else { Err("an unknown field") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(value: &Value) -> Value {
        json!({"commands": [{"type": "com.okta.telephony.action", "value": value}]})
    }

    #[test]
    fn the_documented_answer_is_read_whole() {
        let said = read(&answer(&json!([{
            "status": "SUCCESSFUL", "provider": "VONAGE", "transactionId": "SM1",
            "transactionMetadata": "Duration=300ms"
        }])))
        .unwrap()
        .unwrap();
        assert_eq!(said.status, Some(HookStatus::Successful));
        assert_eq!(said.provider.as_deref(), Some("VONAGE"));
        assert_eq!(said.transaction_id.as_deref(), Some("SM1"));
    }

    #[test]
    fn shapes_seen_in_the_wild_are_malformed() {
        for bad in [
            answer(&json!({"status": "SUCCESSFUL"})),
            answer(&json!([{"status": "SUCCESS"}])),
            answer(&json!([{"status": "SUCCESSFUL", "provider": 5}])),
            answer(&json!([])),
            json!({"commands": []}),
            json!({"commands": [{"type": "com.okta.other", "value": [{"status": "PENDING"}]}]}),
            json!({"status": "SUCCESSFUL"}),
            json!([]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_object_is_an_error_with_or_without_its_summary() {
        assert_eq!(read(&json!({"error": {"errorSummary": "no"}})), Ok(None));
        assert_eq!(read(&json!({"error": {}})), Ok(None));
        assert!(read(&json!({"error": []})).is_err());
    }
}
