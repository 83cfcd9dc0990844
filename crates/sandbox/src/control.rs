//! The control API: plain HTTP and JSON over the same handles the in-process tests use.
//! For a trusted network alone: it shows messages and has no authentication.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Inner;
use super::exchange::{Answer, Handler, Reply, Request};
use super::faults::Fault;
use super::gate::Gate;
use super::okta::faults::{CallKind, OktaFault};
use super::okta::{MOST_PER_SECOND, Org, SendRequest, Traffic};
use super::phone::Area;
use super::provider::{Moment, Provider};
use super::secret::Secret;

/// Gates that can be shut at once by way of the API.
const MAX_HOLDS: usize = 64;
/// How long a caller waits for passcodes that are still to be asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// Tokens that are taken at once.
const MAX_TOKENS: usize = 8;

/// The API's handler.
pub(super) struct Control {
    inner: Arc<Inner>,
    holds: Mutex<BTreeMap<u64, Gate>>,
    next: AtomicU64,
    /// By the org's name.
    traffic: Mutex<BTreeMap<String, Traffic>>,
    /// People who have logged in so far.
    people: AtomicU64,
}

/// A refusal of the API.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }

    fn from(error: impl std::error::Error) -> Self {
        Self::bad(error.to_string())
    }

    fn missing(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OktaHold {
    call: CallKind,
    when: Moment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderHold {
    when: Moment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensTaken {
    tokens: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rate {
    per_second: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminCall {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    host: String,
    target: String,
}

impl Control {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            holds: Mutex::default(),
            next: AtomicU64::new(1),
            traffic: Mutex::default(),
            people: AtomicU64::new(0),
        }
    }

    fn org(&self, name: &str) -> Result<&Arc<Org>, Refusal> {
        self.inner.orgs.iter().find(|org| org.name() == name).ok_or_else(|| Refusal::missing("such org"))
    }

    fn provider(&self, name: &str) -> Result<&Arc<Provider>, Refusal> {
        self.inner
            .providers
            .iter()
            .find(|provider| provider.name() == name)
            .ok_or_else(|| Refusal::missing("such provider"))
    }

    fn keep(&self, gate: Gate) -> Result<Answer, Refusal> {
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() == MAX_HOLDS {
            gate.release();
            return Err(Refusal::bad("too many holds"));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        holds.insert(id, gate);
        Ok(ok(&json!({"hold": id})))
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        let segments = request.segments();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["healthz"]) => Ok(Answer::text(StatusCode::OK, "ok")),
            ("POST", ["v1", "send"]) => self.send(request).await,
            ("GET", ["v1", "inbox"]) => {
                let to = one_parameter(request, "to")?;
                Ok(ok(&self.inner.inbox.messages(to.as_deref())))
            }
            ("DELETE", ["v1", "inbox"]) => {
                let to = one_parameter(request, "to")?;
                Ok(ok(&json!({"cleared": self.inner.inbox.clear(to.as_deref())})))
            }
            ("GET", ["v1", "ca"]) => Ok(ok(&json!({"pem": self.inner.authority.cert_pem()}))),
            ("GET", ["v1", "orgs"]) => {
                let orgs: Vec<Value> = self
                    .inner
                    .orgs
                    .iter()
                    .map(|org| json!({"name": org.name(), "id": org.id(), "url": org.base()}))
                    .collect();
                Ok(ok(&orgs))
            }
            ("GET", ["v1", "carriers"]) => {
                let providers: Vec<Value> = self
                    .inner
                    .providers
                    .iter()
                    .map(|c| json!({"name": c.name(), "addr": c.addr(), "faults": c.faults()}))
                    .collect();
                Ok(ok(&providers))
            }
            (_, ["v1", "orgs", name, rest @ ..]) => self.of_org(self.org(name)?, request, rest).await,
            (_, ["v1", "carriers", name, rest @ ..]) => self.of_provider(self.provider(name)?, request, rest),
            (method, ["v1", "holds", id]) => self.hold(method, id),
            _ => Err(Refusal::missing("such path")),
        }
    }

    async fn send(&self, request: &Request) -> Result<Answer, Refusal> {
        let org = match one_parameter(request, "org")? {
            Some(name) => self.org(&name)?,
            None => self.inner.orgs.first().ok_or_else(|| Refusal::missing("org"))?,
        };
        let asked: SendRequest = body(request)?;
        let sane = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
        if !sane(&asked.to, 32)
            || !asked.user.as_deref().is_none_or(|user| sane(user, 100))
            || !sane(&asked.locale, 35)
            || !asked.code.iter().all(|code| sane(code, 32))
        {
            return Err(Refusal::bad("to, user, locale or code is empty or too long"));
        }
        Ok(ok(&org.send(asked).await))
    }

    async fn of_org(&self, org: &Arc<Org>, request: &Request, rest: &[&str]) -> Result<Answer, Refusal> {
        match (request.method.as_str(), rest) {
            ("GET", ["hooks"]) => Ok(ok(&org.hooks())),
            ("GET", ["turns"]) => Ok(ok(&org.turns())),
            ("GET", ["log"]) => Ok(ok(&org.log())),
            ("GET", ["calls"]) => Ok(ok(&org.calls())),
            ("GET", ["faults"]) => Ok(ok(&org.faults())),
            ("POST", ["faults"]) => {
                let fault: OktaFault = body(request)?;
                org.set_fault(fault).map_err(|e| Refusal::from(&e))?;
                Ok(ok(&org.faults()))
            }
            ("DELETE", ["faults"]) => {
                org.clear_faults();
                Ok(ok(&org.faults()))
            }
            ("GET", ["behaviour"]) => Ok(ok(&org.behaviour())),
            ("PATCH", ["behaviour"]) => {
                let given: serde_json::Map<String, Value> = body(request)?;
                let mut now = serde_json::to_value(org.behaviour()).map_err(|e| Refusal::from(&e))?;
                if let Some(fields) = now.as_object_mut() {
                    fields.extend(given);
                }
                org.set_behaviour(serde_json::from_value(now).map_err(|e| Refusal::from(&e))?);
                Ok(ok(&org.behaviour()))
            }
            ("GET", ["tokens"]) => Ok(ok(&json!({"shown": org.tokens_shown()}))),
            ("PUT", ["tokens"]) => {
                org.set_tokens(tokens(request)?);
                Ok(ok(&json!({"shown": org.tokens_shown()})))
            }
            (_, ["traffic"]) => self.of_traffic(org, request).await,
            ("PUT", ["resolve"]) => {
                let resolution: Resolution = body(request)?;
                org.resolve(&resolution.host, &resolution.target);
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            ("POST", ["holds"]) => {
                let hold: OktaHold = body(request)?;
                self.keep(org.hold(hold.call, hold.when))
            }
            ("POST", ["admin"]) => {
                let call: AdminCall = body(request)?;
                let method = Method::from_bytes(call.method.as_bytes()).map_err(|e| Refusal::from(&e))?;
                let (status, body) = org.admin(method, &call.path, &call.body).await;
                Ok(ok(&json!({"status": status.as_u16(), "body": body})))
            }
            _ => Err(Refusal::missing("such path")),
        }
    }

    async fn of_traffic(&self, org: &Arc<Org>, request: &Request) -> Result<Answer, Refusal> {
        let lock = || self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method.as_str() {
            "POST" => {
                let Rate { per_second } = body(request)?;
                if !(1..=MOST_PER_SECOND).contains(&per_second) {
                    return Err(Refusal::bad(format!("perSecond is 1 to {MOST_PER_SECOND}")));
                }
                let mut running = lock();
                if running.contains_key(org.name()) {
                    return Err(Refusal::bad("people log in already: end that first"));
                }
                // room for all of it, so that no two runs have a passcode in common
                let first = self.people.fetch_add(Traffic::MOST, Ordering::Relaxed);
                let traffic = Traffic::begin(Arc::clone(org), per_second, first);
                running.insert(org.name().to_owned(), traffic);
                Ok(ok(&json!({"perSecond": per_second})))
            }
            "GET" => {
                let enough = one_parameter(request, "asked")?.map(|text| text.parse::<usize>()).transpose();
                let enough = enough.map_err(|e| Refusal::from(&e))?.unwrap_or_default();
                let mut asked = lock().get(org.name()).ok_or_else(|| Refusal::missing("traffic"))?.asked();
                let _ = tokio::time::timeout(LONGEST_WAIT, asked.wait_for(|asked| *asked >= enough)).await;
                let asked = *asked.borrow();
                Ok(ok(&json!({"asked": asked})))
            }
            "DELETE" => {
                let traffic = lock().remove(org.name()).ok_or_else(|| Refusal::missing("traffic"))?;
                Ok(ok(&traffic.end().await))
            }
            _ => Err(Refusal::missing("such path")),
        }
    }

    fn of_provider(&self, provider: &Arc<Provider>, request: &Request, rest: &[&str]) -> Result<Answer, Refusal> {
        match (request.method.as_str(), rest) {
            ("GET", ["calls"]) => Ok(ok(&provider.calls())),
            ("GET", ["tokens"]) => Ok(ok(&json!({"shown": provider.tokens_shown()}))),
            ("PUT", ["tokens"]) => {
                provider.set_tokens(tokens(request)?);
                Ok(ok(&json!({"shown": provider.tokens_shown()})))
            }
            ("GET", ["faults"]) => Ok(ok(&provider.faults())),
            ("POST", ["faults"]) => {
                let fault: Fault = body(request)?;
                provider.set_fault(fault).map_err(|e| Refusal::from(&e))?;
                Ok(ok(&provider.faults()))
            }
            ("DELETE", ["faults"]) => {
                let area = one_parameter(request, "country")?
                    .map(Area::try_from)
                    .transpose()
                    .map_err(|e| Refusal::from(&e))?;
                provider.clear_faults(area.as_ref());
                Ok(ok(&provider.faults()))
            }
            ("POST", ["holds"]) => {
                let hold: ProviderHold = body(request)?;
                self.keep(provider.hold(hold.when))
            }
            _ => Err(Refusal::missing("such path")),
        }
    }

    fn hold(&self, method: &str, id: &str) -> Result<Answer, Refusal> {
        let id: u64 = id.parse().map_err(|e| Refusal::from(&e))?;
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = holds.get(&id).cloned().ok_or_else(|| Refusal::missing("such hold"))?;
        match method {
            "GET" => Ok(ok(&json!({"hold": id, "arrivals": gate.arrivals()}))),
            "DELETE" => {
                holds.remove(&id);
                gate.release();
                Ok(ok(&json!({"hold": id, "arrivals": gate.arrivals()})))
            }
            _ => Err(Refusal::missing("such path")),
        }
    }
}

impl Handler for Control {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Reply> {
        async move {
            let answer = self.answer(&request).await;
            answer.unwrap_or_else(|Refusal(status, why)| Answer::json(status, &json!({"error": why}))).into()
        }
        .boxed()
    }
}

fn ok(body: &impl Serialize) -> Answer {
    match serde_json::to_value(body) {
        Ok(body) => Answer::json(StatusCode::OK, &body),
        Err(_) => Answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The body, whose errors name a position and never repeat what was there.
fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "the body has an unknown, missing or ill-typed field",
            _ => "the body is no JSON",
        };
        Refusal::bad(format!("{kind}, near column {}", error.column()))
    })
}

/// The tokens that are to be taken.
fn tokens(request: &Request) -> Result<Vec<Secret>, Refusal> {
    let TokensTaken { tokens } = body(request)?;
    let sane = |token: &Secret| (1..=1_024).contains(&token.reveal().len());
    if tokens.len() > MAX_TOKENS || !tokens.iter().all(sane) {
        return Err(Refusal::bad(format!("tokens are at most {MAX_TOKENS}, none empty or too long")));
    }
    Ok(tokens)
}

/// The one query parameter a path takes.
fn one_parameter(request: &Request, name: &str) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for (key, value) in request.query_pairs() {
        if key != name || found.is_some() {
            return Err(Refusal::bad("an unknown or repeated parameter"));
        }
        found = Some(value);
    }
    Ok(found)
}
