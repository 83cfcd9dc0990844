//! Whoever is behind an `http` provider: one JSON request, one JSON answer.
//! `docs/development/sandbox.md` holds the contract; it is written there, not derived from the gateway.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::clock::random_id;
use super::exchange::{Answer, Request};
use super::inbox::Channel;
use super::phone::is_e164;
use super::provider::{Asked, Reading, Vendor};
use super::secret::{Secret, Tokens};

/// How many accepted messages are remembered for their `Idempotency-Key`.
const REMEMBERED_KEYS: usize = 10_000;

/// The body of a message, exactly.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    message_id: String,
    channel: Channel,
    to: String,
    #[serde(default)]
    from: Option<String>,
    text: String,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    ttl_seconds: Option<u64>,
}

#[derive(Default)]
struct Memory {
    order: VecDeque<String>,
    by_key: HashMap<String, (MessageContent, Answer)>,
}

/// What must be the same when a key comes again.
#[derive(Clone, PartialEq, Eq)]
struct MessageContent {
    channel: Channel,
    to: String,
    text: String,
}

/// An account of the JSON provider.
pub(crate) struct JsonAccount {
    tokens: Tokens,
    memory: Mutex<Memory>,
}

impl JsonAccount {
    pub(crate) fn new(token: Secret) -> Self {
        Self { tokens: Tokens::new(vec![token]), memory: Mutex::default() }
    }

    fn is_authorized(&self, request: &Request) -> bool {
        request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| self.tokens.take(token))
    }

    fn message(&self, request: &Request) -> Result<Reading, Answer> {
        if request.media_type().as_deref() != Some("application/json") {
            return Err(rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type"));
        }
        if !request.query.is_empty() {
            return Err(rejected(StatusCode::BAD_REQUEST, "unknown-parameter"));
        }
        let key = request
            .header("idempotency-key")
            .filter(|key| (1..=255).contains(&key.len()))
            .ok_or_else(|| rejected(StatusCode::BAD_REQUEST, "idempotency-key-missing"))?;
        let body: Body =
            serde_json::from_slice(&request.body).map_err(|_| rejected(StatusCode::BAD_REQUEST, "body-invalid"))?;
        if body.message_id != key {
            return Err(rejected(StatusCode::BAD_REQUEST, "idempotency-key-differs"));
        }
        let is_word = |s: &String| (1..=64).contains(&s.chars().count());
        if body.text.is_empty()
            || body.text.chars().count() > 1600
            || !body.from.iter().all(is_word)
            || !body.locale.iter().all(is_word)
            || body.ttl_seconds == Some(0)
        {
            return Err(rejected(StatusCode::BAD_REQUEST, "body-invalid"));
        }
        if !is_e164(&body.to) {
            return Err(refused(StatusCode::BAD_REQUEST, "permanent-destination", None, "to-invalid"));
        }
        let content = MessageContent { channel: body.channel, to: body.to.clone(), text: body.text.clone() };
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, answer)) = memory.by_key.get(key) {
            return if *before == content {
                Ok(Reading::Repeat(answer.clone()))
            } else {
                Err(rejected(StatusCode::CONFLICT, "idempotency-key-reused"))
            };
        }
        Ok(Reading::Send(Asked {
            channel: body.channel,
            to: body.to,
            from: body.from,
            service: None,
            text: body.text,
            said: 1,
            key: Some(body.message_id),
        }))
    }
}

impl Vendor for JsonAccount {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn read(&self, request: &Request) -> Reading {
        if !self.is_authorized(request) {
            return Reading::Refused(refused(
                StatusCode::UNAUTHORIZED,
                "permanent-config",
                Some("account"),
                "unauthorized",
            ));
        }
        if request.method == Method::GET {
            return Reading::Probe(Answer::json(StatusCode::OK, &json!({"status": "ok"})));
        }
        if request.method != Method::POST {
            return Reading::Refused(rejected(StatusCode::METHOD_NOT_ALLOWED, "method"));
        }
        self.message(request).unwrap_or_else(Reading::Refused)
    }

    fn new_id(&self, _: &Asked) -> String {
        format!("jc-{}", random_id(20))
    }

    fn accepted(&self, _: &Asked, id: &str) -> Answer {
        Answer::json(StatusCode::OK, &json!({"status": "accepted", "id": id}))
    }

    fn refusal(&self, code: &str, status: Option<u16>, class: Option<&str>, scope: Option<&str>) -> Answer {
        let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        let class = class.unwrap_or("transient");
        let scope = (class == "permanent-config").then(|| scope.unwrap_or("account"));
        refused(status, class, scope, code)
    }

    fn unknown(&self) -> Answer {
        Answer::json(StatusCode::OK, &json!({"status": "unknown"}))
    }

    fn remember(&self, asked: &Asked, answer: &Answer) {
        let Some(key) = &asked.key else { return };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.order.len() == REMEMBERED_KEYS
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.by_key.remove(&oldest);
        }
        let content = MessageContent { channel: asked.channel, to: asked.to.clone(), text: asked.text.clone() };
        memory.order.push_back(key.clone());
        memory.by_key.insert(key.clone(), (content, answer.clone()));
    }
}

fn refused(status: StatusCode, class: &str, scope: Option<&str>, code: &str) -> Answer {
    let code: String = code.chars().take(64).collect();
    let mut body = json!({"status": "refused", "class": class, "code": code});
    if let (Some(scope), Some(fields)) = (scope, body.as_object_mut()) {
        fields.insert("scope".to_owned(), Value::from(scope));
    }
    Answer::json(status, &body)
}

fn rejected(status: StatusCode, code: &str) -> Answer {
    refused(status, "message-rejected", None, code)
}
