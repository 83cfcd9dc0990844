//! A simulated Okta org, written from Okta's documentation: the inline hooks API with its rules
//! ([`rules`], [`hooks`]), the System Log ([`log`]), and the caller of the active hook
//! ([`caller`], [`send`]) with Okta's own limited sender behind it ([`fallback`]).
//! What the documentation leaves open is an option ([`behaviour`]); what can break, breaks on
//! demand ([`faults`]).

pub mod behaviour;
mod caller;
mod errors;
mod fallback;
pub mod faults;
mod filter;
mod hooks;
mod limits;
mod log;
mod rules;
mod send;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::carrier::Moment;
use super::certs::CertError;
use super::clock::random_id;
use super::exchange::{Answer, Handler, Reply, Request};
use super::gate::Gate;
use super::inbox::Inbox;
use super::secret::Secret;
use behaviour::{Behaviour, Permission};
use caller::{Caller, Overrides};
use errors::OktaError;
use fallback::Fallback;
use faults::{CallKind, Met, OktaFault, OktaFaultError, OktaFaultKind, OktaFaults};
use hooks::{Hook, Hooks};
use limits::{Bucket, Standing};
use log::{Entry, Query, SystemLog, request_id};
use rules::Write;

pub use caller::{Failure, HookStatus};
pub use limits::RateLimit;
pub use send::{Delivery, HookReport, RequestType, SendReport, SendRequest};

/// How many calls an org remembers.
const REMEMBERED_CALLS: usize = 2_000;

/// One call of the management API, without anything that may not be logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OktaCall {
    /// When it came.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Which call it is; absent for a path the org does not have.
    pub call: Option<CallKind>,
    /// HTTP status answered; absent when the connection was reset or left hanging.
    pub status: Option<u16>,
    /// Okta's id of the request.
    pub request_id: String,
}

/// What an org is made of.
#[derive(Debug, Clone)]
pub struct OrgOptions {
    /// The org's name in the sandbox.
    pub name: String,
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// Its own URL, as in links and in `source`; its address when absent.
    pub public_url: Option<String>,
    /// API tokens it takes.
    pub tokens: Vec<Secret>,
    /// API tokens it knows but that lack the permission (403).
    pub powerless_tokens: Vec<Secret>,
    /// Limit of the management API.
    pub rate_limit: RateLimit,
    /// Limit of the System Log.
    pub log_rate_limit: RateLimit,
    /// The authority whose certificates it trusts when it calls a hook, PEM; the sandbox's own when absent.
    pub trusts: Option<String>,
    /// Hosts it resolves to a given `address:port` or `name:port` when it calls a hook.
    pub resolve: Vec<(String, String)>,
    /// The undocumented.
    pub behaviour: Behaviour,
}

impl OrgOptions {
    /// An org on a free local port that takes one token.
    #[must_use]
    pub fn new(name: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            tokens: vec![Secret::new(token)],
            powerless_tokens: Vec::new(),
            rate_limit: RateLimit::default(),
            log_rate_limit: RateLimit::default(),
            trusts: None,
            resolve: Vec::new(),
            behaviour: Behaviour::default(),
        }
    }
}

/// A running org.
pub struct Org {
    name: String,
    id: String,
    options: OrgOptions,
    behaviour: Mutex<Behaviour>,
    hooks: Mutex<Hooks>,
    log: SystemLog,
    faults: OktaFaults,
    limits: (Bucket, Bucket),
    fallback: Fallback,
    caller: Caller,
    overrides: Overrides,
    inbox: Arc<Inbox>,
    calls: Mutex<VecDeque<OktaCall>>,
    addr: OnceLock<SocketAddr>,
}

impl Org {
    pub(super) fn new(
        options: OrgOptions,
        own_ca: &str,
        inbox: Arc<Inbox>,
    ) -> Result<Self, CertError> {
        let overrides = Overrides::default();
        for (host, target) in &options.resolve {
            overrides.set(host, target);
        }
        let caller = Caller::new(options.trusts.as_deref().unwrap_or(own_ca), &overrides)?;
        Ok(Self {
            name: options.name.clone(),
            id: format!("00o{}", random_id(17)),
            behaviour: Mutex::new(options.behaviour.clone()),
            options,
            hooks: Mutex::default(),
            log: SystemLog::default(),
            faults: OktaFaults::default(),
            limits: Default::default(),
            fallback: Fallback::default(),
            caller,
            overrides,
            inbox,
            calls: Mutex::default(),
            addr: OnceLock::new(),
        })
    }

    /// The org's name in the sandbox.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The org's id, as `/.well-known/okta-organization` answers it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it listens (HTTPS); port 0 until the sandbox has started.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
            .get()
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    pub(super) fn listens_at(&self, addr: SocketAddr) {
        let _ = self.addr.set(addr);
    }

    /// The org's own URL.
    #[must_use]
    pub fn base(&self) -> String {
        self.options
            .public_url
            .clone()
            .unwrap_or_else(|| format!("https://{}", self.addr()))
    }

    /// The undocumented, as it stands.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes the undocumented from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Resolves `host` to `address:port` or `name:port` from now on when a hook is called.
    pub fn resolve(&self, host: &str, target: &str) {
        self.overrides.set(host, target);
    }

    /// Lets the management API fail from now on.
    ///
    /// # Errors
    /// When the fault makes no sense, or there are too many already.
    pub fn set_fault(&self, fault: OktaFault) -> Result<(), OktaFaultError> {
        tracing::info!(org = %self.name, ?fault, "fault set");
        self.faults.set(fault)
    }

    /// Clears all faults and opens all gates.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// The faults that stand.
    #[must_use]
    pub fn faults(&self) -> Vec<OktaFault> {
        self.faults.list()
    }

    /// Holds every such call from now on at one moment, until the gate is released.
    #[must_use]
    pub fn hold(&self, call: CallKind, when: Moment) -> Gate {
        self.faults.hold(call, when)
    }

    /// The hooks as the API shows them now.
    #[must_use]
    pub fn hooks(&self) -> Vec<Value> {
        let base = self.base();
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.seen().iter().map(|hook| hook.shown(&base)).collect()
    }

    /// Every event of the System Log that is kept, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        self.log.all()
    }

    /// The calls of the management API, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<OktaCall> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().cloned().collect()
    }

    /// A write by someone else: the same rules as the API, without token, limits or faults.
    /// `method` and `path` (`/api/v1/inlineHooks…`) are those of the API; answers status and body.
    pub async fn admin(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request {
            method,
            path: path.to_owned(),
            query: String::new(),
            headers: http::HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("application/json"),
            )]),
            body: Bytes::from(body.to_string()),
        };
        let answer = match route(&request) {
            Some(route) => self
                .effect(&request, route, &request_id())
                .await
                .unwrap_or_else(|e| e.answer()),
            None => OktaError::no_path().answer(),
        };
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, body)
    }

    fn active_hook(&self) -> Option<Hook> {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.active_telephony()
    }

    fn authorize(&self, request: &Request) -> Result<(), OktaError> {
        let token = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("SSWS "))
            .ok_or_else(OktaError::invalid_token)?;
        // Every token is compared, so that time does not tell which one came close.
        let any = |tokens: &[Secret]| tokens.iter().fold(false, |found, t| t.is(token) | found);
        let known = any(&self.options.tokens);
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
        let reply = match route {
            None if allowed_elsewhere(&request) => OktaError::method().answer().into(),
            None => OktaError::no_path().answer().into(),
            Some(route) => {
                let latency = self.behaviour().latency_ms;
                if latency > 0 {
                    tokio::time::sleep(super::faults::pause(latency)).await;
                }
                self.answer(&request, route, &request_id, &mut standing)
                    .await
            }
        };
        let reply = with_headers(reply, &request_id, standing);
        let status = match &reply {
            Reply::Answer(answer) | Reply::Trickle(answer, _) => Some(answer.status.as_u16()),
            Reply::Hang | Reply::Reset => None,
        };
        let path: String = request.path.chars().take(256).collect();
        let call = OktaCall {
            at,
            method: request.method.to_string(),
            path,
            call: route.map(Route::kind),
            status,
            request_id,
        };
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
        let done = self.effect(request, route, request_id).await;
        if let Some(reply) = self.meet(kind, Moment::After, standing).await {
            return reply;
        }
        done.unwrap_or_else(|error| error.answer()).into()
    }

    /// Waits at gates and delays, and answers the fault that ends the call, if one does.
    async fn meet(
        &self,
        kind: CallKind,
        when: Moment,
        standing: &mut Option<Standing>,
    ) -> Option<Reply> {
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
    async fn effect(
        &self,
        request: &Request,
        route: Route<'_>,
        request_id: &str,
    ) -> Result<Answer, OktaError> {
        let how = self.behaviour();
        let base = self.base();
        let kind = route.kind();
        let takes_body = matches!(
            kind,
            CallKind::Create | CallKind::Replace | CallKind::Update | CallKind::Execute
        );
        if takes_body && request.media_type().as_deref() != Some("application/json") {
            return Err(OktaError::media_type());
        }
        if let Some(accept) = request.header("accept")
            && !["application/json", "application/*", "*/*"]
                .iter()
                .any(|wanted| accept.contains(wanted))
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
                let hook = self.locked(|hooks| hooks.create(draft, &how))?;
                self.changed("created", &hook, request_id);
                shown(&hook)
            }
            Route::Get(id) => shown(&self.locked(|hooks| hooks.find(id))?),
            Route::Replace(id) | Route::Update(id) => {
                let write = if matches!(route, Route::Replace(_)) {
                    Write::Replace
                } else {
                    Write::Update
                };
                self.locked(|hooks| hooks.find(id))?;
                let draft = rules::read(&request.body, write)?;
                let hook = self.locked(|hooks| hooks.write(id, draft, write, &how))?;
                self.changed("updated", &hook, request_id);
                shown(&hook)
            }
            Route::Delete(id) => {
                let hook = self.locked(|hooks| hooks.delete(id, &how))?;
                self.changed("deleted", &hook, request_id);
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Route::Activate(id) => {
                let hook = self.locked(|hooks| hooks.activate(id, &how))?;
                self.changed("activated", &hook, request_id);
                shown(&hook)
            }
            Route::Deactivate(id) => {
                let hook = self.locked(|hooks| hooks.deactivate(id, &how))?;
                self.changed("deactivated", &hook, request_id);
                shown(&hook)
            }
            Route::Execute(id) => {
                let hook = self.locked(|hooks| hooks.find(id))?;
                if !hook.active && how.execute_inactive == Permission::Refused {
                    return Err(OktaError::validation(
                        "status",
                        "An inactive inline hook cannot be executed",
                    ));
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

    fn list(&self, pairs: &[(String, String)]) -> Result<Answer, OktaError> {
        let kind = match pairs {
            [] => None,
            [(key, kind)] if key == "type" => Some(kind),
            [(key, _), ..] => return Err(OktaError::validation(key, "is not a known parameter")),
        };
        let base = self.base();
        let hooks: Vec<Value> = self.locked(|hooks| {
            hooks
                .seen()
                .iter()
                .filter(|hook| kind.is_none_or(|kind| hook.kind == *kind))
                .map(|hook| hook.shown(&base))
                .collect()
        });
        Ok(Answer::json(StatusCode::OK, &Value::from(hooks)))
    }

    fn log_page(&self, page: &log::Page, pairs: &[(String, String)]) -> Answer {
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
            self.behaviour().spelling,
        );
    }
}

impl Handler for Org {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Reply> {
        async move { self.reply(request).await }.boxed()
    }
}

/// A call of the API, from its method and path.
#[derive(Clone, Copy)]
enum Route<'a> {
    Identity,
    Logs,
    List,
    Create,
    Get(&'a str),
    Replace(&'a str),
    Update(&'a str),
    Delete(&'a str),
    Activate(&'a str),
    Deactivate(&'a str),
    Execute(&'a str),
}

impl Route<'_> {
    fn kind(self) -> CallKind {
        match self {
            Self::Identity => CallKind::Identity,
            Self::Logs => CallKind::Logs,
            Self::List => CallKind::List,
            Self::Create => CallKind::Create,
            Self::Get(_) => CallKind::Get,
            Self::Replace(_) => CallKind::Replace,
            Self::Update(_) => CallKind::Update,
            Self::Delete(_) => CallKind::Delete,
            Self::Activate(_) => CallKind::Activate,
            Self::Deactivate(_) => CallKind::Deactivate,
            Self::Execute(_) => CallKind::Execute,
        }
    }
}

fn route(request: &Request) -> Option<Route<'_>> {
    let segments = request.segments();
    let id_is_sane = |id: &str| !id.is_empty() && id.len() <= 64;
    Some(match (request.method.as_str(), segments.as_slice()) {
        ("GET", [".well-known", "okta-organization"]) => Route::Identity,
        ("GET", ["api", "v1", "logs"]) => Route::Logs,
        ("GET", ["api", "v1", "inlineHooks"]) => Route::List,
        ("POST", ["api", "v1", "inlineHooks"]) => Route::Create,
        (method, ["api", "v1", "inlineHooks", id]) if id_is_sane(id) => match method {
            "GET" => Route::Get(id),
            "PUT" => Route::Replace(id),
            "POST" => Route::Update(id),
            "DELETE" => Route::Delete(id),
            _ => return None,
        },
        ("POST", ["api", "v1", "inlineHooks", id, "execute"]) => Route::Execute(id),
        ("POST", ["api", "v1", "inlineHooks", id, "lifecycle", act]) => match *act {
            "activate" => Route::Activate(id),
            "deactivate" => Route::Deactivate(id),
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether the path exists for some other method.
fn allowed_elsewhere(request: &Request) -> bool {
    [Method::GET, Method::POST].into_iter().any(|method| {
        let other = Request {
            method,
            ..request.clone()
        };
        route(&other).is_some()
    })
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
    let fields = value
        .as_object()
        .ok_or_else(|| OktaError::validation("body", "must be an object"))?;
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
        OktaFaultKind::WrongJson => Answer::json(
            StatusCode::OK,
            &json!({"hello": ["this", "is", "something", "else"]}),
        )
        .into(),
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
