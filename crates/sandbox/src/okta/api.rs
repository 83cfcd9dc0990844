//! The management API as a client meets it: limits, faults, token, then the call's effect by the
//! rules of [`super::rules`] and [`super::hooks`]. Which call a path is, is in [`super::route`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::errors::OktaError;
use super::faults::{CallKind, Met, OktaFaultKind};
use super::hooks::{Hook, Hooks};
use super::limits::Standing;
use super::log::{Entry, Page, Query, request_id};
use super::route::{Route, methods, route};
use super::rules::{self, Write};
use super::turns::By;
use super::{OktaCall, Org, REMEMBERED_CALLS};
use crate::exchange::{Answer, Handler, Reply, Request};
use crate::provider::Moment;
use crate::secret::Secret;

impl Org {
    fn authorize(&self, request: &Request) -> Result<(), OktaError> {
        // Okta's Python client writes no space between scheme and token
        let token = request.header("authorization").and_then(|value| value.strip_prefix("SSWS"));
        let token = token.map(|token| token.strip_prefix(' ').unwrap_or(token)).ok_or_else(OktaError::invalid_token)?;
        // Every token is compared, so that time does not tell which one came close.
        let any = |tokens: &[Secret]| tokens.iter().fold(false, |found, t| t.is(token) | found);
        let known = self.tokens.take(token);
        let powerless = any(&self.options.powerless_tokens);
        match (known, powerless) {
            (true, _) => Ok(()),
            (false, true) => Err(OktaError::forbidden()),
            (false, false) => Err(OktaError::invalid_token()),
        }
    }

    async fn reply(&self, request: Request) -> Reply {
        let request_id = request_id();
        let at = Timestamp::now();
        let route = route(&request);
        let mut standing = None;
        let under_way = UnderWay::begin(&self.under_way);
        let reply = match route {
            None => match methods(&request) {
                none if none.is_empty() => OktaError::no_path().answer().into(),
                methods => OktaError::method().answer().with("allow", methods).into(),
            },
            Some(_) if under_way.calls > self.behaviour().concurrent_calls => {
                standing = Some(Standing::too_many_at_once());
                OktaError::rate_limit().answer().into()
            }
            Some(route) => {
                let latency = self.behaviour().latency_ms;
                if latency > 0 {
                    tokio::time::sleep(crate::faults::pause(latency)).await;
                }
                self.answer(&request, route, &request_id, &mut standing).await
            }
        };
        drop(under_way);
        let reply = with_headers(reply, &request_id, standing);
        let status = match &reply {
            Reply::Answer(answer) | Reply::Trickle(answer, _) => Some(answer.status.as_u16()),
            Reply::Hang | Reply::Reset => None,
        };
        let path: String = request.path.chars().take(256).collect();
        let call =
            OktaCall { at, method: request.method.to_string(), path, call: route.map(Route::kind), status, request_id };
        tracing::debug!(org = %self.name, ?call, "asked");
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == REMEMBERED_CALLS {
            calls.pop_front();
        }
        calls.push_back(call);
        reply
    }

    async fn answer(
        &self,
        request: &Request,
        route: Route<'_>,
        request_id: &str,
        standing: &mut Option<Standing>,
    ) -> Reply {
        let kind = route.kind();
        if kind != CallKind::Identity {
            let (limit, bucket) = if kind == CallKind::Logs {
                (self.options.log_rate_limit, &self.limits.1)
            } else {
                (self.options.rate_limit, &self.limits.0)
            };
            let now = bucket.take(limit, Instant::now());
            *standing = Some(now);
            if now.exceeded {
                return OktaError::rate_limit().answer().into();
            }
        }
        if let Some(reply) = self.meet(kind, Moment::Before, standing).await {
            return reply;
        }
        if kind != CallKind::Identity
            && let Err(error) = self.authorize(request)
        {
            return error.answer().into();
        }
        let done = self.effect(request, route, By::Client, request_id).await;
        if let Some(reply) = self.meet(kind, Moment::After, standing).await {
            return reply;
        }
        done.unwrap_or_else(|error| error.answer()).into()
    }

    /// Waits at gates and delays, and answers the fault that ends the call, if one does.
    async fn meet(&self, kind: CallKind, when: Moment, standing: &mut Option<Standing>) -> Option<Reply> {
        for met in self.faults.met(kind, when) {
            match met {
                Met::Gate(gate) => gate.pass().await,
                Met::Fault(OktaFaultKind::Delay { ms }) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                Met::Fault(fault) => return Some(faulty(&fault, standing)),
            }
        }
        None
    }

    /// Carries a call out, by the rules.
    pub(super) async fn effect(
        &self,
        request: &Request,
        route: Route<'_>,
        by: By,
        request_id: &str,
    ) -> Result<Answer, OktaError> {
        let how = self.behaviour();
        let base = self.base();
        let kind = route.kind();
        let takes_body = matches!(kind, CallKind::Create | CallKind::Replace | CallKind::Update | CallKind::Execute);
        if takes_body && request.media_type().as_deref() != Some("application/json") {
            return Err(OktaError::media_type());
        }
        if let Some(accept) = request.header("accept")
            && !["application/json", "application/*", "*/*"].iter().any(|wanted| accept.contains(wanted))
        {
            return Err(OktaError::media_type());
        }
        let pairs = request.query_pairs();
        if !matches!(kind, CallKind::List | CallKind::Logs)
            && let Some((key, _)) = pairs.first()
        {
            return Err(OktaError::validation(key, "is not a known parameter"));
        }
        let shown = |hook: &Hook| Ok(Answer::json(StatusCode::OK, &hook.shown(&base)));
        match route {
            Route::Identity if !how.identity => Err(OktaError::no_path()),
            Route::Identity => Ok(Answer::json(
                StatusCode::OK,
                &json!({
                    "id": self.id,
                    "_links": {"organization": {"href": base}},
                    "pipeline": "idx",
                }),
            )),
            Route::Logs => {
                let page = self.log.page(&Query::read(&pairs)?);
                Ok(self.log_page(&page, &pairs))
            }
            Route::List => self.list(&pairs),
            Route::Create => {
                let draft = rules::read(&request.body, Write::Create)?;
                let hook = self.changing(by, &how, |hooks| hooks.create(draft, &how))?;
                self.changed("created", &hook, request_id);
                shown(&hook)
            }
            Route::Get(id) => shown(&self.locked(|hooks| hooks.find(id))?),
            Route::Replace(id) | Route::Update(id) => {
                let write = if matches!(route, Route::Replace(_)) { Write::Replace } else { Write::Update };
                self.locked(|hooks| hooks.find(id))?;
                let draft = rules::read(&request.body, write)?;
                let hook = self.locked(|hooks| hooks.write(id, draft, write, &how))?;
                self.changed("updated", &hook, request_id);
                shown(&hook)
            }
            Route::Delete(id) => {
                let hook = self.changing(by, &how, |hooks| hooks.delete(id, &how))?;
                self.changed("deleted", &hook, request_id);
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Route::Activate(id) => {
                let hook = self.changing(by, &how, |hooks| hooks.activate(id, &how))?;
                self.changed("activated", &hook, request_id);
                shown(&hook)
            }
            Route::Deactivate(id) => {
                let hook = self.changing(by, &how, |hooks| hooks.deactivate(id, &how))?;
                self.changed("deactivated", &hook, request_id);
                shown(&hook)
            }
            Route::Execute(id) => {
                let hook = self.locked(|hooks| hooks.find(id))?;
                if !hook.active {
                    how.execute_inactive.check("An inactive inline hook cannot be executed")?;
                }
                let body = execute_body(&request.body)?;
                let answer = self.execute(&hook, &body).await?;
                Ok(Answer::json(StatusCode::OK, &answer))
            }
        }
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Hooks) -> T) -> T {
        act(&mut self.hooks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes hooks, and writes down which ones are active then, before anybody else comes near them.
    fn changing<T>(&self, by: By, how: &Behaviour, act: impl FnOnce(&mut Hooks) -> T) -> T {
        self.locked(|hooks| {
            let done = act(hooks);
            hooks.note(by, how);
            done
        })
    }

    fn list(&self, pairs: &[(String, String)]) -> Result<Answer, OktaError> {
        let kind = match pairs {
            [] => None,
            [(key, kind)] if key == "type" => Some(kind),
            [(key, _), ..] => return Err(OktaError::validation(key, "is not a known parameter")),
        };
        let base = self.base();
        let hooks: Vec<Value> = self.locked(|hooks| {
            hooks
                .visible()
                .iter()
                .filter(|hook| kind.is_none_or(|kind| hook.kind == *kind))
                .map(|hook| hook.shown(&base))
                .collect()
        });
        Ok(Answer::json(StatusCode::OK, &Value::from(hooks)))
    }

    fn log_page(&self, page: &Page, pairs: &[(String, String)]) -> Answer {
        let url = |after: Option<&str>| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(pairs.iter().filter(|(key, _)| key != "after"));
            if let Some(after) = after {
                query.append_pair("after", after);
            }
            format!("{}/api/v1/logs?{}", self.base(), query.finish())
        };
        let mut answer = Answer::json(StatusCode::OK, &Value::from(page.events.clone()))
            .with("link", format!("<{}>; rel=\"self\"", url(None)));
        if let Some(next) = &page.next {
            answer = answer.with("link", format!("<{}>; rel=\"next\"", url(Some(next))));
        }
        answer
    }

    fn changed(&self, what: &str, hook: &Hook, request_id: &str) {
        self.log.write(
            Entry {
                kind: format!("inline_hook.{what}"),
                message: "Inline hook changed",
                result: "SUCCESS",
                reason: None,
                debug: Vec::new(),
                target: Some(("InlineHook", hook.id.clone(), hook.name.clone())),
                request_id: request_id.to_owned(),
            },
            &self.behaviour(),
        );
    }
}

/// A call that is under way, for as long as this lives.
struct UnderWay<'a> {
    all: &'a AtomicUsize,
    /// How many there are with this one.
    calls: usize,
}

impl<'a> UnderWay<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        Self { all, calls: all.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler for Org {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Reply> {
        async move { self.reply(request).await }.boxed()
    }
}

fn execute_body(body: &[u8]) -> Result<Value, OktaError> {
    const KNOWN: [&str; 9] = [
        "cloudEventVersion",
        "contentType",
        "data",
        "eventId",
        "eventTime",
        "eventType",
        "eventTypeVersion",
        "requestType",
        "source",
    ];
    let value: Value = serde_json::from_slice(body).map_err(|_| OktaError::unreadable())?;
    let fields = value.as_object().ok_or_else(|| OktaError::validation("body", "must be an object"))?;
    if let Some(key) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let key: String = key.chars().take(64).collect();
        return Err(OktaError::validation(&key, "is not a known field"));
    }
    if !fields.get("data").is_some_and(Value::is_object) {
        return Err(OktaError::validation("data", "The field is required"));
    }
    Ok(value)
}

fn faulty(fault: &OktaFaultKind, standing: &mut Option<Standing>) -> Reply {
    match fault {
        OktaFaultKind::RateLimited { reset_seconds } => {
            let ahead = i64::try_from(*reset_seconds).unwrap_or(0);
            *standing = Some(Standing {
                limit: standing.map_or(1_000, |s| s.limit),
                remaining: 0,
                reset: Timestamp::now().as_second().saturating_add(ahead),
                exceeded: true,
            });
            OktaError::rate_limit().answer().into()
        }
        OktaFaultKind::TooManyAtOnce => {
            *standing = Some(Standing::too_many_at_once());
            OktaError::rate_limit().answer().into()
        }
        OktaFaultKind::Status { status } => match status {
            401 => OktaError::invalid_token(),
            403 => OktaError::forbidden(),
            503 => OktaError::read_only(),
            _ => OktaError::internal(),
        }
        .answer()
        .into(),
        OktaFaultKind::Timeout => Reply::Hang,
        OktaFaultKind::Reset => Reply::Reset,
        OktaFaultKind::WrongJson => {
            Answer::json(StatusCode::OK, &json!({"hello": ["this", "is", "something", "else"]})).into()
        }
        OktaFaultKind::TruncatedJson => Answer {
            status: StatusCode::OK,
            headers: vec![("content-type", "application/json".to_owned())],
            body: Bytes::from_static(b"{\"id\": \"cal"),
        }
        .into(),
        OktaFaultKind::Delay { .. } => OktaError::internal().answer().into(),
    }
}

fn with_headers(reply: Reply, request_id: &str, standing: Option<Standing>) -> Reply {
    let Reply::Answer(answer) = reply else {
        return reply;
    };
    let mut answer = answer.with("x-okta-request-id", request_id);
    if let Some(standing) = standing {
        answer = answer
            .with("x-rate-limit-limit", standing.limit.to_string())
            .with("x-rate-limit-remaining", standing.remaining.to_string())
            .with("x-rate-limit-reset", standing.reset.to_string());
    }
    answer.into()
}
