//! An API server and an org in memory, for tests of reconciles: what was written is what is asked about.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body, runtime::watcher::Event};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::operator::{
    controllers::context::{Context, Parts},
    installation::Installation,
    model::org_access::Access,
    options::Options,
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    runtime::{
        cache::{Kept, Merge, Writer},
        clock::BootInstant,
        lease,
        listing::{Listing, WatchScope},
    },
    state::{Memory, caches::Caches, metrics::OperatorMetrics, reports::Reports},
};
use hookswitch_api::{
    HookSwitch, Kind, OktaOrg, RoutingPolicy, TelephonyGateway, TelephonyHook, TelephonyProvider, testing::merge,
};
use hookswitch_gateway_config::{document::Report, probe};
use hookswitch_net as net;
use hookswitch_net::NetError;
use hookswitch_okta::{
    Api, ApiAnswer, CallError, Failure, HookId, ObservedHook,
    client::CallResult,
    fingerprint::FingerprintKey,
    log, owner_tag,
    types::{HookContent, HookStatus, OrgDocument, OrgIdentity, RateLimit},
};

/// Body of an answer of the API server.
type Answered = UnsyncBoxBody<Bytes, Infallible>;

/// The API server.
#[derive(Clone, Default)]
pub struct Server {
    inner: Arc<Mutex<Stored>>,
    /// Told when a write met [`WriteFault::DiesBefore`] or [`WriteFault::DiesAfter`].
    pub died: Arc<tokio::sync::Notify>,
}

/// What a write meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// The writer dies before the server hears of it.
    DiesBefore,
    /// The writer dies once it is stored.
    DiesAfter,
    /// Somebody else was first.
    Conflict,
    /// The server fails, and nothing is stored.
    Fails,
    /// It is stored, and the answer says otherwise.
    LostAnswer,
}

#[derive(Default)]
struct Stored {
    objects: BTreeMap<String, Value>,
    /// How often something of a collection changed, by the collection's name.
    changes: BTreeMap<String, u64>,
    writes: Vec<String>,
    /// Each write whole: the method, the path with its query, the body.
    sent: Vec<(String, Value)>,
    reads: Vec<String>,
    events: Vec<Value>,
    version: u64,
    hang: bool,
    /// How long its answers take.
    slow: Duration,
    /// How much longer it takes to store a plan.
    slow_plans: Duration,
    write_fault: Option<(usize, WriteFault)>,
    fail_next_write: Option<StatusCode>,
    /// Paths that cannot be read.
    unread: BTreeMap<String, StatusCode>,
    /// What watches deliver, in its order, with the path of each object; nothing is delivered unless there is a board.
    notified: Option<tokio::sync::watch::Sender<Vec<(String, Value)>>>,
    /// Done once a plan is stored: what happens while the answer is under way.
    on_plan: Option<Box<dyn FnOnce() + Send>>,
}

impl Stored {
    fn insert(&mut self, path: &str, object: Value) {
        self.changed(path);
        self.objects.insert(path.to_owned(), object);
    }

    fn remove(&mut self, path: &str) -> Option<Value> {
        self.changed(path);
        self.objects.remove(path)
    }

    fn changed(&mut self, path: &str) {
        if let Some(collection) = collection(path) {
            *self.changes.entry(collection.to_owned()).or_default() += 1;
        }
    }

    fn notify(&self, how: &str, path: &str, object: &Value) {
        let event = json!({"type": how, "object": object});
        if let Some(notified) = &self.notified {
            notified.send_modify(|notified| notified.push((path.to_owned(), event)));
        }
    }
}

impl Server {
    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Puts an object at its path.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut stored = self.inner.lock().unwrap();
        stored.version += 1;
        let version = stored.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{version}"));
        }
        stored.notify("MODIFIED", path, &object);
        stored.insert(path, object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.inner.lock().unwrap().objects.get(path).cloned()
    }

    /// Asks for an object's deletion: it goes at once, or when its last finalizer does.
    pub fn ask_to_delete(&self, path: &str, ago: std::time::Duration) {
        let mut object = self.get(path).unwrap();
        if is_free(&object) {
            return self.delete(path);
        }
        let since = k8s_openapi::jiff::Timestamp::now() - ago;
        object["metadata"]["deletionTimestamp"] = json!(since.to_string());
        self.put(path, object);
    }

    pub fn delete(&self, path: &str) {
        let mut stored = self.inner.lock().unwrap();
        if let Some(object) = stored.remove(path) {
            stored.notify("DELETED", path, &object);
        }
    }

    /// Writes since the last call, events left out.
    pub fn writes(&self) -> Vec<String> {
        let writes = std::mem::take(&mut self.inner.lock().unwrap().writes);
        writes.into_iter().filter(|write| !write.contains("/events")).collect()
    }

    /// Writes since the last call: the method, the path with its query, and the body; events left out.
    pub fn sent_whole(&self) -> Vec<(String, Value)> {
        let sent = std::mem::take(&mut self.inner.lock().unwrap().sent);
        sent.into_iter().filter(|(what, _)| !what.contains("/events")).collect()
    }

    /// How often it was read from since the last call.
    pub fn reads(&self) -> usize {
        self.paths_read().len()
    }

    /// What was read since the last time this or the number was asked.
    pub fn paths_read(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().reads)
    }

    /// Reasons of the events that came since the last call.
    fn events(&self) -> Vec<String> {
        let notified = std::mem::take(&mut self.inner.lock().unwrap().events);
        notified.iter().filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect()
    }

    /// Everything that is stored or was published, but for Secrets.
    pub fn everything_but_secrets(&self) -> Vec<Value> {
        let stored = self.inner.lock().unwrap();
        let objects = stored.objects.iter().filter(|(path, _)| !path.contains("/secrets/")).map(|(_, object)| object);
        objects.chain(&stored.events).cloned().collect()
    }

    /// Whether calls are left without an answer.
    pub fn hang(&self, hang: bool) {
        self.inner.lock().unwrap().hang = hang;
    }

    /// Lets answers take so long from now on.
    pub fn slow_down(&self, slow: Duration) {
        self.inner.lock().unwrap().slow = slow;
    }

    /// Lets it take so long to store a plan from now on.
    pub fn slow_down_plans(&self, slow: Duration) {
        self.inner.lock().unwrap().slow_plans = slow;
    }

    /// Lets the write after `writes` others fail.
    pub fn write_fault(&self, write_fault: Option<(usize, WriteFault)>) {
        self.inner.lock().unwrap().write_fault = write_fault;
    }

    /// What this write meets, events left alone.
    fn meets(&self, method: &str, path: &str) -> Option<WriteFault> {
        let mut stored = self.inner.lock().unwrap();
        if method == "GET" || path.contains("/events") {
            return None;
        }
        let (left, write_fault) = stored.write_fault?;
        stored.write_fault = left.checked_sub(1).map(|left| (left, write_fault));
        (left == 0).then_some(write_fault)
    }

    async fn die(&self) {
        self.died.notify_one();
        futures::future::pending::<()>().await;
    }

    /// Refuses to let this path be read, or lets it be read again.
    pub fn refuse_to_read(&self, path: &str, status: Option<StatusCode>) {
        let unread = &mut self.inner.lock().unwrap().unread;
        match status {
            Some(status) => unread.insert(path.to_owned(), status),
            None => unread.remove(path),
        };
    }

    /// Does this as soon as a plan is stored, before the writer hears of it.
    pub fn when_a_plan_is_stored(&self, then: impl FnOnce() + Send + 'static) {
        self.inner.lock().unwrap().on_plan = Some(Box::new(then));
    }

    /// Refuses the next write.
    pub fn fail_next_write(&self, status: StatusCode) {
        self.inner.lock().unwrap().fail_next_write = Some(status);
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answered> {
        if self.inner.lock().unwrap().hang {
            futures::future::pending::<()>().await;
        }
        let slow = self.inner.lock().unwrap().slow;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        if query.contains("watch=true") {
            return self.watch(path, &query).await;
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let slow = self.inner.lock().unwrap().slow_plans;
        if sent["status"]["plan"].is_object() && !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let method = head.method.as_str();
        let write_fault = self.meets(method, &path);
        if write_fault == Some(WriteFault::DiesBefore) {
            self.die().await;
        }
        let (status, answer) = match write_fault {
            Some(WriteFault::Conflict) => failure(StatusCode::CONFLICT, "Conflict"),
            Some(WriteFault::Fails) => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            _ => self.act(method, &path, &query, sent),
        };
        if write_fault == Some(WriteFault::DiesAfter) {
            self.die().await;
        }
        let (status, answer) = match write_fault {
            Some(WriteFault::LostAnswer) => failure(StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            _ => (status, answer),
        };
        let mut response = Response::new(Full::from(serde_json::to_vec(&answer).unwrap()).boxed_unsync());
        *response.status_mut() = status;
        response
    }

    /// Lets watches deliver what happens from now on.
    pub fn notify_watches(&self) {
        self.inner.lock().unwrap().notified = Some(tokio::sync::watch::Sender::default());
    }

    /// A watch: of all that was delivered of its objects, and what comes.
    async fn watch(&self, path: String, query: &str) -> Response<Answered> {
        let notified = self.inner.lock().unwrap().notified.clone();
        let Some(notified) = notified else {
            // one that nothing happens on
            return futures::future::pending().await;
        };
        let wanted = named(query).map(str::to_owned);
        let state = (notified.subscribe(), 0);
        let events = futures::stream::unfold(state, move |(mut notified, mut next)| {
            let (path, wanted) = (path.clone(), wanted.clone());
            async move {
                loop {
                    let found = notified.wait_for(|notified| notified.len() > next).await.ok()?[next].clone();
                    next += 1;
                    let (at, event) = found;
                    let is_wanted = wanted.as_ref().is_none_or(|name| event["object"]["metadata"]["name"] == *name);
                    if is_wanted && at.rsplit_once('/').is_some_and(|(parent, _)| parent == path) {
                        let line = format!("{event}\n");
                        return Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), (notified, next)));
                    }
                }
            }
        });
        Response::new(StreamBody::new(events).boxed_unsync())
    }

    fn act(&self, method: &str, path: &str, query: &str, sent: Value) -> (StatusCode, Value) {
        let mut stored = self.inner.lock().unwrap();
        if method == "GET" {
            stored.reads.push(path.to_owned());
            if let Some(status) = stored.unread.get(path) {
                return failure(*status, "Refused");
            }
            return match stored.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None if is_collection(path) => (StatusCode::OK, list(&stored.objects, path, query)),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        stored.writes.push(format!("{method} {path}"));
        stored.sent.push((format!("{method} {path}?{query}"), sent.clone()));
        if path.contains("/events") {
            stored.events.push(sent.clone());
            return (StatusCode::CREATED, sent);
        }
        if let Some(status) = stored.fail_next_write.take() {
            let reason = status.canonical_reason().unwrap_or_default().replace(' ', "");
            return failure(status, &reason);
        }
        let path = match method {
            "POST" => format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap()),
            _ => path.trim_end_matches("/status").to_owned(),
        };
        if method == "DELETE" {
            let known = stored.remove(&path);
            return known.map_or_else(|| failure(StatusCode::NOT_FOUND, "NotFound"), |known| (StatusCode::OK, known));
        }
        let known = stored.objects.get(&path).cloned();
        if method == "POST" && known.is_some() {
            return failure(StatusCode::CONFLICT, "AlreadyExists");
        }
        let version = &sent["metadata"]["resourceVersion"];
        if let Some(known) = &known
            && version.is_string()
            && *version != known["metadata"]["resourceVersion"]
        {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        let mut object = known.unwrap_or_else(|| json!({"metadata": {}}));
        if method == "PUT" {
            object = sent;
        } else {
            merge(&mut object, sent);
        }
        drop(stored);
        if object["metadata"]["deletionTimestamp"].is_string() && is_free(&object) {
            self.delete(&path);
            return (StatusCode::OK, object);
        }
        let planned = object["status"]["plan"].is_object();
        self.put(&path, object);
        if planned && let Some(then) = { self.inner.lock().unwrap().on_plan.take() } {
            then();
        }
        (StatusCode::OK, self.get(&path).unwrap())
    }
}

/// The name of the collection that the object of a path is in.
fn collection(path: &str) -> Option<&str> {
    path.rsplit('/').nth(1)
}

fn is_free(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

fn is_collection(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let ours =
        ["telephonyhooks", "telephonygateways", "oktaorgs", "hookswitches", "routingpolicies", "telephonyproviders"];
    ours.contains(&last) || ["secrets", "configmaps", "endpointslices"].contains(&last)
}

/// The name that a query asks for.
fn named(query: &str) -> Option<&str> {
    query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"))
}

fn list(objects: &BTreeMap<String, Value>, path: &str, query: &str) -> Value {
    let wanted = named(query);
    let items: Vec<Value> = objects
        .iter()
        .filter(|(key, object)| {
            key.rsplit_once('/').is_some_and(|(parent, _)| parent == path)
                && wanted.is_none_or(|wanted| object["metadata"]["name"] == wanted)
        })
        .map(|(_, object)| object.clone())
        .collect();
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

fn failure(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code.as_u16()});
    (code, answer)
}

/// An org that keeps to Okta's rules: a created hook is ACTIVE, and only one is.
#[derive(Clone, Default)]
pub struct Org {
    inner: Arc<Mutex<OrgStored>>,
}

#[derive(Default)]
struct OrgStored {
    hooks: Vec<ObservedHook>,
    contents: Vec<(HookId, HookContent)>,
    calls: Vec<&'static str>,
    failure: Option<Failure>,
    /// Whether it takes no credential that it is given.
    refuses_credentials: bool,
    /// Calls that a firewall refuses in its place.
    intercepted: &'static [&'static str],
    /// How long its answers take.
    slow: std::time::Duration,
    /// The org's id, when it is another than `00o1`.
    id: Option<String>,
    broken: Vec<String>,
    spoilt: Option<Spoilt>,
    log: Vec<log::LogEvent>,
    /// Somebody else's hook, which becomes active when none is next.
    usurper: Option<ObservedHook>,
    bucket: Option<Bucket>,
    sent: Vec<Sent>,
    refuses_passcodes: bool,
    /// What Okta says instead of calling a hook.
    unreached: Option<&'static str>,
}

/// What is left of a window's calls.
#[derive(Clone, Copy)]
struct Bucket {
    left: u32,
    resets_at: Instant,
}

/// The calls of a whole window.
const WINDOW: u32 = 600;

impl OrgStored {
    /// Takes a call out of the bucket: what its answer says of it, or the refusal.
    fn spend(&mut self) -> Result<Option<RateLimit>, (Failure, RateLimit)> {
        let Some(bucket) = self.bucket.as_mut().filter(|bucket| bucket.resets_at > Instant::now()) else {
            return Ok(None);
        };
        let resets_in = bucket.resets_at - Instant::now();
        let Some(left) = bucket.left.checked_sub(1) else {
            let rate = RateLimit { limit: WINDOW, remaining: 0, resets_in };
            return Err((Failure::RateLimited { wait: resets_in, concurrency: false }, rate));
        };
        bucket.left = left;
        Ok(Some(RateLimit { limit: WINDOW, remaining: left, resets_in }))
    }
}

/// A hook whose secret somebody else set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spoilt {
    name: String,
    /// Whether it is ours again once we write it.
    heals: bool,
}

/// Something that was sent to a hook's address.
#[derive(Debug, Clone)]
pub struct Sent {
    /// `connect`, `GET` or `POST` by the operator; `execute` by Okta.
    pub how: String,
    pub url: String,
    /// Headers of the operator's own request, as `name: value`.
    pub headers: Vec<String>,
    pub body: Value,
}

impl Org {
    /// An org of that id.
    pub fn named(id: &str) -> Self {
        let org = Self::default();
        org.inner.lock().unwrap().id = Some(id.to_owned());
        org
    }

    pub fn hooks(&self) -> Vec<ObservedHook> {
        self.inner.lock().unwrap().hooks.clone()
    }

    /// The content that was last written for a hook.
    pub fn content(&self, id: &HookId) -> Option<HookContent> {
        let org = self.inner.lock().unwrap();
        org.contents.iter().rev().find(|(known, _)| known == id).map(|(_, content)| content.clone())
    }

    pub fn edit(&self, edit: impl FnOnce(&mut Vec<ObservedHook>)) {
        edit(&mut self.inner.lock().unwrap().hooks);
    }

    /// Sets another secret for the hook of that name in Okta; ours is taken again when it is written, or not.
    pub fn spoil(&self, name: &str, heals: bool) {
        self.inner.lock().unwrap().spoilt = Some(Spoilt { name: name.to_owned(), heals });
    }

    /// Whether a hook has another secret than ours.
    pub fn is_spoilt(&self) -> bool {
        self.inner.lock().unwrap().spoilt.is_some()
    }

    /// Takes no credential from now on, or whatever it is given.
    pub fn refuse_credentials(&self, refuses: bool) {
        self.inner.lock().unwrap().refuses_credentials = refuses;
    }

    /// Calls since the last time this was asked.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.inner.lock().unwrap().calls)
    }

    /// Lets the addresses that begin so be out of anybody's reach from now on.
    pub fn break_addresses(&self, broken: &[&str]) {
        self.inner.lock().unwrap().broken = broken.iter().map(|&broken| broken.to_owned()).collect();
    }

    /// Lets Okta say that it does not get through to hooks when it is asked to call one, with this code.
    pub fn keep_from_hooks(&self, code: Option<&'static str>) {
        self.inner.lock().unwrap().unreached = code;
    }

    /// Leaves so many calls of the window, which ends in a minute.
    pub fn leave(&self, left: u32) {
        let resets_at = Instant::now() + Duration::from_mins(1);
        self.inner.lock().unwrap().bucket = Some(Bucket { left, resets_at });
    }

    /// Lets somebody else's hook become active when none is next; the org then refuses to activate another.
    pub fn usurp(&self, name: &str) {
        let mut org = self.inner.lock().unwrap();
        let (id, status) = (HookId::new("calTheirs").unwrap(), HookStatus::Active);
        org.usurper =
            Some(ObservedHook { id, name: name.to_owned(), status, headers: Vec::new(), ..org.hooks[0].clone() });
    }

    /// What was sent to addresses that begin so, since the last time this was asked of any.
    pub fn sent(&self, address: &str) -> Vec<Sent> {
        let sent = std::mem::take(&mut self.inner.lock().unwrap().sent);
        sent.into_iter().filter(|sent| sent.url.starts_with(address)).collect()
    }

    /// Whether whole passcodes are answered FAILED from now on, wherever they go.
    pub fn refuse_passcodes(&self, refuses: bool) {
        self.inner.lock().unwrap().refuses_passcodes = refuses;
    }

    /// Fails every call from now on.
    /// Lets a firewall refuse these calls in the org's place.
    pub fn intercept(&self, calls: &'static [&'static str]) {
        self.inner.lock().unwrap().intercepted = calls;
    }

    pub fn fail(&self, failure: Option<Failure>) {
        self.inner.lock().unwrap().failure = failure;
    }

    /// Lets answers take so long from now on.
    pub fn slow_down(&self, slow: std::time::Duration) {
        self.inner.lock().unwrap().slow = slow;
    }

    fn call<T>(
        &self,
        verb: &'static str,
        act: impl FnOnce(&mut OrgStored) -> Result<T, Failure>,
    ) -> BoxFuture<'_, CallResult<T>>
    where
        T: Send + 'static,
    {
        let mut org = self.inner.lock().unwrap();
        org.calls.push(verb);
        // the identity and the log have other buckets
        let spent = if ["identify", "log"].contains(&verb) { Ok(None) } else { org.spend() };
        let (rate, outcome) = match (spent, org.failure.clone()) {
            (Err((failure, rate)), _) => (Some(rate), Err(failure)),
            (Ok(rate), Some(failure)) => (rate, Err(failure)),
            (Ok(rate), None) if org.refuses_credentials && verb != "identify" => (rate, Err(Failure::Unauthorized)),
            (Ok(rate), None) if org.intercepted.contains(&verb) => (rate, Err(Failure::NotOkta { status: 403 })),
            (Ok(rate), None) => (rate, act(&mut org)),
        };
        let outcome = outcome.map(|value| ApiAnswer { value, request_id: None, rate });
        let outcome = outcome.map_err(|failure| CallError { doing: "call the org", failure, request_id: None, rate });
        let slow = org.slow;
        async move {
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            outcome
        }
        .boxed()
    }

    fn set(org: &mut OrgStored, id: &HookId, status: HookStatus) -> Result<ObservedHook, Failure> {
        if status == HookStatus::Active {
            org.hooks.iter_mut().for_each(|hook| hook.status = HookStatus::Inactive);
        }
        let hook = org.hooks.iter_mut().find(|hook| hook.id == *id).ok_or(Failure::NotFound)?;
        hook.status = status;
        Ok(hook.clone())
    }
}

impl Api for Org {
    fn list_hooks(&self) -> BoxFuture<'_, CallResult<Vec<ObservedHook>>> {
        self.call("list", |org| Ok(org.hooks.clone()))
    }

    fn get<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        let id = id.clone();
        self.call("get", move |org| org.hooks.iter().find(|hook| hook.id == id).cloned().ok_or(Failure::NotFound))
    }

    fn create<'a>(&'a self, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call("create", |org| {
            let id = HookId::new(format!("cal{}", org.hooks.len() + 1)).unwrap();
            org.contents.push((id.clone(), content.clone()));
            org.hooks.push(content.in_okta(id.clone(), HookStatus::Inactive));
            Self::set(org, &id, HookStatus::Active)
        })
    }

    fn replace<'a>(&'a self, id: &'a HookId, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call("replace", |org| {
            org.contents.push((id.clone(), content.clone()));
            let hook = org.hooks.iter_mut().find(|hook| hook.id == *id).ok_or(Failure::NotFound)?;
            *hook = content.in_okta(id.clone(), hook.status);
            let hook = hook.clone();
            org.spoilt.take_if(|spoilt| spoilt.heals && spoilt.name == hook.name);
            Ok(hook)
        })
    }

    fn activate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call("activate", |org| {
            if org.hooks.iter().any(|hook| hook.status == HookStatus::Active && hook.headers.is_empty()) {
                let summary = "another is active".into();
                return Err(Failure::Refused { status: 400, code: "E0000001".into(), summary, causes: Vec::new() });
            }
            Self::set(org, id, HookStatus::Active)
        })
    }

    fn deactivate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call("deactivate", |org| {
            let hook = Self::set(org, id, HookStatus::Inactive);
            org.hooks.extend(org.usurper.take());
            hook
        })
    }

    fn delete<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<()>> {
        self.call("delete", |org| {
            org.hooks.retain(|hook| hook.id != *id);
            Ok(())
        })
    }
}

impl OrgApi for Org {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgDocument>> {
        self.call("identify", |org| {
            let identity = OrgIdentity::Id(org.id.clone().unwrap_or_else(|| "00o1".into()));
            Ok(OrgDocument { identity, domains: Vec::new() })
        })
    }

    fn log<'a>(&'a self, from: &'a log::From) -> BoxFuture<'a, CallResult<log::Page>> {
        let begin = match from {
            log::From::Since(_) => 0,
            log::From::Next(next) => next.query().unwrap().strip_prefix("after=").unwrap().parse().unwrap(),
        };
        self.call("log", move |org| {
            let next = format!("https://acme.okta.com/api/v1/logs?after={}", org.log.len());
            let events = org.log[begin..].to_vec();
            Ok(log::Page { events, full: false, next: Some(next.parse().unwrap()) })
        })
    }

    fn execute<'a>(&'a self, id: &'a HookId, body: &'a Value, _: Duration) -> BoxFuture<'a, CallResult<Value>> {
        self.call("execute", |org| {
            let hook = org.hooks.iter().find(|hook| hook.id == *id).ok_or(Failure::NotFound)?;
            if let Some(code) = org.unreached {
                return Err(Failure::Server { status: 502, code: Some(code.into()) });
            }
            let refused = org.spoilt.as_ref().is_some_and(|spoilt| spoilt.name == hook.name);
            let uri = hook.uri.clone().unwrap();
            let (how, headers) = ("execute".into(), Vec::new());
            org.sent.push(Sent { how, url: uri.clone(), headers, body: body.clone() });
            org.answer(&uri, body).filter(|_| !refused).ok_or_else(|| {
                let summary = "the hook does not answer".into();
                Failure::Refused { status: 400, code: "E0000135".into(), summary, causes: Vec::new() }
            })
        })
    }
}

impl Org {
    /// Writes events into the System Log.
    pub fn log_events(&self, kind: log::LogEventKind, count: usize) {
        let mut org = self.inner.lock().unwrap();
        for _ in 0..count {
            let id = format!("event-{}", org.log.len());
            org.log.push(log::LogEvent { id, at: k8s_openapi::jiff::Timestamp::now(), kind });
        }
    }
}

impl OrgStored {
    fn is_broken(&self, uri: &str) -> bool {
        self.broken.iter().any(|broken| uri.starts_with(broken))
    }

    /// What the gateway behind an address answers a probe, or whoever serves it a passcode.
    fn answer(&self, uri: &str, body: &Value) -> Option<Value> {
        if self.is_broken(uri) {
            return None;
        }
        let marker = body["eventId"].as_str().unwrap_or_default();
        let proof = report_key().proof(uri.rsplit('/').next()?, marker);
        let status = if self.refuses_passcodes && proof.is_empty() { "FAILED" } else { "SUCCESSFUL" };
        let value = json!([{"status": status, "transactionId": proof}]);
        Some(json!({"commands": [{"type": "com.okta.telephony.action", "value": value}]}))
    }
}

/// A clock by which reports stay as fresh as they were, however slow the machine is: tests pass time by another one.
fn standing_still() -> std::time::Instant {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *BEGAN.get_or_init(std::time::Instant::now)
}

/// The token of all gateways' reports.
pub const REPORT_TOKEN: &str = "the token of the report";

fn report_key() -> probe::Key {
    probe::Key::of(&Report { token: REPORT_TOKEN.into(), certificate: String::new(), key: "".into() })
}

impl HookCaller for Org {
    fn reach<'a>(&'a self, url: &'a url::Url, _: Instant) -> BoxFuture<'a, Result<(), net::SendError>> {
        let mut org = self.inner.lock().unwrap();
        let (how, headers) = ("connect".into(), Vec::new());
        org.sent.push(Sent { how, url: url.to_string(), headers, body: Value::Null });
        let reached =
            if org.is_broken(url.as_str()) { Err(net::SendError::NotSent { cause: net::Unsent::Tls }) } else { Ok(()) };
        futures::future::ready(reached).boxed()
    }

    fn call<'a>(&'a self, request: &'a net::Request, _: Instant) -> BoxFuture<'a, Result<net::Answer, net::SendError>> {
        let body = serde_json::from_slice(request.body.expose()).unwrap_or_default();
        let headers = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
        let mut org = self.inner.lock().unwrap();
        let answer = org.answer(request.url.as_str(), &body);
        org.sent.push(Sent { how: request.method.to_string(), url: request.url.to_string(), headers, body });
        drop(org);
        let answer = answer.ok_or(net::SendError::NotSent { cause: net::Unsent::Tls });
        let answer = answer.map(|answer| net::Answer {
            status: 200,
            headers: http::HeaderMap::new(),
            body: answer.to_string().into_bytes(),
        });
        futures::future::ready(answer).boxed()
    }
}

impl OktaClientFactory for Org {
    fn client(&self, _: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(self.clone()))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        Ok(Arc::new(self.clone()))
    }
}

/// An operator between the two, that holds the lease.
pub struct World {
    pub server: Server,
    pub org: Org,
    pub ctx: Arc<Context>,
    parts: Parts,
    orgs: Synced<OktaOrg>,
    hooks: Synced<TelephonyHook>,
    gateways: Synced<TelephonyGateway>,
    providers: Synced<TelephonyProvider>,
    policies: Synced<RoutingPolicy>,
    switches: Synced<HookSwitch>,
}

/// Where hooks of the test's namespace are.
pub const HOOKS: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/telephonyhooks";
/// Where its switches are.
pub const SWITCHES: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/hookswitches";
/// Where its orgs are.
pub const ORGS: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/oktaorgs";
/// Where its gateways are.
pub const GATEWAYS: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/telephonygateways";
/// Where its providers are.
pub const PROVIDERS: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/telephonyproviders";
/// Where its policies are.
pub const POLICIES: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/routingpolicies";
/// Where its Secrets are.
pub const SECRETS: &str = "/api/v1/namespaces/otp/secrets";

impl World {
    pub fn new() -> Self {
        let (server, org) = (Server::default(), Org::default());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "otp"}});
        server.put("/api/v1/namespaces/otp", namespace);
        let factory = Arc::new(org.clone());
        Self::between(server, org, factory)
    }

    /// An operator that begins with nothing in memory, between this API server and the org that `factory` leads to.
    pub fn between(server: Server, org: Org, factory: Arc<dyn OktaClientFactory>) -> Self {
        let (orgs, hooks, gateways) = (Writer::default(), Writer::default(), Writer::default());
        let (providers, policies, switches) = (Writer::default(), Writer::default(), Writer::default());
        let caches = Caches {
            orgs: orgs.index(),
            hooks: hooks.index(),
            gateways: gateways.index(),
            providers: providers.index(),
            policies: policies.index(),
            switches: switches.index(),
        };
        let parts = parts(&server, factory, options("otp"), caches);
        let (orgs, hooks) = (Synced::new(orgs), Synced::new(hooks));
        let (gateways, switches) = (Synced::new(gateways), Synced::new(switches));
        let (providers, policies) = (Synced::new(providers), Synced::new(policies));
        let ctx = Arc::new(Context::new(parts.clone()));
        Self { server, org, ctx, parts, orgs, hooks, gateways, providers, policies, switches }
    }

    /// Lets the operator be made of something else. It keeps its memory, and nothing else of before.
    pub fn change(&mut self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.parts);
        self.ctx = Arc::new(Context::new(self.parts.clone()));
    }

    /// Leaves so much of the lease.
    pub fn leave_lease(&self, left: Duration) {
        leave_lease(&self.ctx.runtime.lease, left);
    }

    /// Reasons of the Events published since the last call.
    pub async fn events(&self) -> Vec<String> {
        self.ctx.runtime.kube.events.flush().await;
        self.server.events()
    }

    /// Brings the caches to what the API server has. A kind of which nothing changed since the last time is left alone.
    pub fn sync(&mut self) {
        let stored = self.server.inner.lock().unwrap();
        self.orgs.fill(&stored, ORGS);
        self.hooks.fill(&stored, HOOKS);
        self.gateways.fill(&stored, GATEWAYS);
        self.providers.fill(&stored, PROVIDERS);
        self.policies.fill(&stored, POLICIES);
        self.switches.fill(&stored, SWITCHES);
    }
}

/// What an operator that leads is made of.
pub fn parts(server: &Server, okta: Arc<dyn OktaClientFactory>, options: Options, caches: Caches) -> Parts {
    let lease = lease::Handle::default();
    // a leader that lives renews its lease, however slow the machine is
    lease.renewed(BootInstant::now().plus(Duration::from_hours(24)));
    Parts {
        client: server.client(),
        installation: Arc::new(Installation {
            tag: owner_tag::InstallationTag::new("test").unwrap(),
            key: FingerprintKey::new(&[7; 32]).unwrap(),
        }),
        lease,
        listing: listed(&options.namespaces()),
        memory: Memory { reports: Arc::new(Reports::by(standing_still)), ..Memory::new(caches) },
        metrics: OperatorMetrics::default(),
        okta,
        // nobody is there
        ask_pod: Arc::new(|_, _| futures::future::ready(None).boxed()),
        extra_roots: None,
        options,
    }
}

/// All objects of these namespaces are listed.
pub fn listed(namespaces: &[String]) -> Listing {
    let listing = Listing::new(namespaces);
    for scope in WatchScope::of(namespaces) {
        for kind in Kind::ALL {
            listing.listed(&scope, kind);
        }
    }
    listing
}

/// Leaves so much of a lease.
pub fn leave_lease(lease: &lease::Handle, left: Duration) {
    let up = BootInstant::now().since(BootInstant::after_boot(Duration::ZERO));
    lease.renewed(BootInstant::after_boot((up + left).checked_sub(lease::DURATION).unwrap()));
}

/// A cache of one kind, and how often its objects had changed when it was brought to what the API server has.
struct Synced<K: Kept> {
    merge: Merge<K>,
    changes: Option<u64>,
}

impl<K: Kept + serde::de::DeserializeOwned> Synced<K> {
    const fn new(writer: Writer<K>) -> Self {
        Self { merge: Merge::new(writer), changes: None }
    }

    /// Takes in the objects of all namespaces of the kind whose collection is at this path.
    fn fill(&mut self, stored: &Stored, under: &str) {
        let kind = under.rsplit('/').next();
        let changes = kind.and_then(|kind| stored.changes.get(kind)).copied();
        if self.changes == changes {
            return;
        }
        self.changes = changes;
        self.merge.take(0, Event::Init);
        for object in stored.objects.iter().filter(|(path, _)| collection(path) == kind).map(|(_, object)| object) {
            self.merge.take(0, Event::InitApply(K::deserialize(object).unwrap()));
        }
        self.merge.take(0, Event::InitDone);
    }
}

/// Options of a command as they are read from its arguments.
pub fn arguments<'a, A: clap::Args>(line: impl IntoIterator<Item = &'a str>) -> Result<A, clap::Error> {
    #[derive(clap::Parser)]
    struct Line<A: clap::Args> {
        #[command(flatten)]
        options: A,
    }
    let line = <Line<A> as clap::Parser>::try_parse_from(std::iter::once("command").chain(line))?;
    Ok(line.options)
}

/// Options of an operator that manages these namespaces.
pub fn options(namespaces: &str) -> Options {
    let line = "--image hookswitch/hookswitch:test --installation test --operator-namespace hookswitch \
                --identity test --metrics-address 127.0.0.1:0";
    arguments(line.split_whitespace().chain(["--namespaces", namespaces])).unwrap()
}
