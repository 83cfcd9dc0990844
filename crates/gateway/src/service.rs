//! One HTTP request: who is it, what does it ask for, and always an answer in time.
//!
//! The path selects the hook and the hook its secret; nothing of the body is read before the secret is right. From there
//! on every answer is a 200 in Okta's shape, because Okta takes anything else for a failure of the hook.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use hookswitch_gateway_config::probe;
use hookswitch_message::EventId;

use super::{
    dispatch::Dispatch,
    duplicates::{DuplicateCheck, Duplicates, PendingAnswer, Work},
    metrics::{Asked, GatewayMetrics},
    probe_nonces::ProbeNonces,
    protocol::{Call, HookAnswer},
    request_body::BodyReader,
    runtime::{RunningConfig, ServedHook},
};

/// What all calls share.
pub struct Service {
    runtime: ArcSwapOption<RunningConfig>,
    duplicates: Arc<Duplicates>,
    probe_nonces: ProbeNonces,
    bodies: BodyReader,
    counters: Arc<GatewayMetrics>,
    work: TaskTracker,
    leaving: AtomicBool,
}

impl Service {
    /// A service without a configuration: it answers nobody yet.
    #[must_use]
    pub fn new(counters: Arc<GatewayMetrics>) -> Self {
        Self {
            runtime: ArcSwapOption::empty(),
            duplicates: Arc::default(),
            probe_nonces: ProbeNonces::default(),
            bodies: BodyReader::default(),
            counters,
            work: TaskTracker::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// Serves on, and keeps no connection from now on: whoever calls next goes to a replica that stays.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it is to stop.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// The configuration being served.
    #[must_use]
    pub fn runtime(&self) -> Option<Arc<RunningConfig>> {
        self.runtime.load_full()
    }

    /// Serves another configuration from the next call on.
    pub fn swap(&self, runtime: Arc<RunningConfig>) {
        self.runtime.store(Some(runtime));
    }

    /// Waits until no call is being worked on; new ones are still taken.
    pub async fn idle(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// Answers one request that began at `begun`.
    pub async fn answer<B>(&self, request: Request<B>, begun: Instant) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Some(runtime) = self.runtime() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet");
        };
        // what stands before it is the path of the public URL, which a proxy in front may have left
        let name = head.uri.path().rsplit_once("/hooks/").map(|(_, name)| name);
        let Some(hook) = name.and_then(|name| runtime.hook(name)) else {
            return refuse(StatusCode::NOT_FOUND, "no such hook");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if !hook.admits(&head.headers, now) {
            self.counters.unauthorised(&hook.name);
            return refuse(StatusCode::UNAUTHORIZED, "the secret is missing or wrong");
        }
        if head.method != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "only POST");
        }

        let deadline = begun + runtime.deadline;
        // the body goes before a provider is asked: what is left of it is small
        let read = self.bodies.read(body, deadline).await.map(|body| {
            let call = Call::read(&body);
            if runtime.needs_originals() { call.map(|call| call.with_original(&body)) } else { call }
        });
        let (answer, asked) = match read {
            Some(Ok(call)) => {
                if let Some(proof) = self.probed(&runtime, hook, &call) {
                    return respond(&proof);
                }
                let asked = if call.is_preview { Asked::Preview } else { Asked::Call(call.channel) };
                (self.handle(&runtime, hook, call, deadline).await, asked)
            }
            Some(Err(refused)) => {
                let asked = if refused.is_preview { Asked::Preview } else { Asked::Unreadable };
                (self.unreadable(hook, refused.reason.label(), &refused.to_string()), asked)
            }
            None => (self.unreadable(hook, "body", "the body is too large or did not come in time"), Asked::Unreadable),
        };
        self.counters.answered(&hook.name, asked, answer.status, begun.elapsed());
        respond(&answer)
    }

    /// The answer to a probe; `None` for an ordinary call.
    fn probed(&self, runtime: &RunningConfig, hook: &ServedHook, call: &Call) -> Option<HookAnswer> {
        let marker = call.event_id.as_ref()?.as_str();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let proof = match runtime.probe.verify(&hook.name, marker, now)? {
            probe::Marker::Good(at, nonce) if self.probe_nonces.is_new((at, nonce), now) => {
                Some(runtime.probe.proof(&hook.name, marker))
            }
            probe::Marker::Good(..) | probe::Marker::Stale => None,
        };
        Some(HookAnswer::probed(proof))
    }

    fn unreadable(&self, hook: &ServedHook, reason: &'static str, message: &str) -> HookAnswer {
        self.counters.unreadable(reason);
        tracing::warn!(hook = %hook.name, reason, "call not acted on");
        HookAnswer { metadata: Some(message.to_owned()), ..HookAnswer::failed() }
    }

    fn contradicted(&self, hook: &ServedHook, id: &EventId) -> HookAnswer {
        self.counters.contradicted();
        tracing::warn!(hook = %hook.name, event = %id, "a known event id with another message: not sent");
        HookAnswer { metadata: Some("event id was used for another message".to_owned()), ..HookAnswer::failed() }
    }

    async fn handle(
        &self,
        runtime: &Arc<RunningConfig>,
        hook: &ServedHook,
        call: Call,
        deadline: Instant,
    ) -> HookAnswer {
        if hook.okta_id.is_some() && call.okta_id.is_some() && hook.okta_id != call.okta_id {
            self.counters.other_source(&hook.name);
        }
        let at_risk = Arc::new(AtomicBool::new(false));
        let (work, mut awaited) = match &call.event_id {
            None => {
                self.counters.without_id();
                Work::unremembered()
            }
            Some(id) => loop {
                match self.duplicates.check(&hook.name, id, &call) {
                    DuplicateCheck::First(work, awaited) => break (work, awaited),
                    DuplicateCheck::Answered(answer) => {
                        self.counters.repeated();
                        return answer;
                    }
                    DuplicateCheck::Again(mut awaited) => {
                        self.counters.repeated();
                        // The first one is at work: whether a provider has the message by then, is unknown here.
                        return self.wait(&mut awaited, deadline, true, HookAnswer::pending).await;
                    }
                    DuplicateCheck::Behind(mut awaited) => {
                        let has_ended = timeout_at(deadline, awaited.wait_for(Option::is_some)).await;
                        if !matches!(has_ended, Ok(Ok(_))) {
                            return self.contradicted(hook, id);
                        }
                    }
                    DuplicateCheck::Contradiction => return self.contradicted(hook, id),
                }
            },
        };
        let dispatch = Dispatch {
            runtime: Arc::clone(runtime),
            counters: Arc::clone(&self.counters),
            hook: Arc::clone(&hook.name),
            deadline,
            at_risk: Arc::clone(&at_risk),
        };
        // A task of its own: a connection that breaks must not leave a message half sent and unaccounted for.
        self.work.spawn(async move {
            work.settle(dispatch.run(&call).await);
        });
        let honest = || if at_risk.load(Ordering::Acquire) { HookAnswer::pending() } else { HookAnswer::failed() };
        self.wait(&mut awaited, deadline, false, honest).await
    }

    /// Waits for an answer; when the deadline or the end of the work comes first, `otherwise` says the truth.
    async fn wait(
        &self,
        awaited: &mut PendingAnswer,
        deadline: Instant,
        again: bool,
        otherwise: impl Fn() -> HookAnswer,
    ) -> HookAnswer {
        match timeout_at(deadline, awaited.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(&otherwise),
            Ok(Err(_)) => {
                tracing::error!("a call's work ended without an answer");
                otherwise()
            }
            Err(_) => {
                if !again {
                    self.counters.late();
                }
                otherwise()
            }
        }
    }
}

fn respond(answer: &HookAnswer) -> Response<Full<Bytes>> {
    json(StatusCode::OK, Bytes::from(answer.body()))
}

/// An answer to somebody who is not, or not yet, known to be Okta.
fn refuse(status: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let mut response = json(status, Bytes::from(serde_json::json!({"error": {"errorSummary": reason}}).to_string()));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}
