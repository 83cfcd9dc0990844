//! A simulated Okta org, written from Okta's documentation: the inline hooks API with its rules
//! (`api`, `route`, `rules`, `hooks`), the System Log (`log`), and the caller of the active hook
//! (`caller`, `send`) with Okta's own limited sender behind it (`fallback`). Which hooks were active when, is in `turns`;
//! people who log in all the time are in `traffic`.
//! What the documentation leaves open is an option ([`behaviour`]); what can break, breaks on
//! demand ([`faults`]).

mod api;
pub mod behaviour;
mod caller;
mod errors;
mod fallback;
pub mod faults;
mod filter;
mod hooks;
mod limits;
mod log;
mod passcode;
mod route;
mod rules;
mod send;
mod traffic;
mod turns;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::certs::CertError;
use super::clock::random_id;
use super::exchange::Request;
use super::gate::Gate;
use super::inbox::Inbox;
use super::provider::Moment;
use super::secret::{Secret, Tokens};
use behaviour::Behaviour;
use caller::{Caller, Overrides};
use errors::OktaError;
use fallback::Fallback;
use faults::{CallKind, OktaFault, OktaFaultError, OktaFaults};
use hooks::{Hook, Hooks};
use limits::Bucket;
use log::{SystemLog, request_id};
use route::route;

pub use caller::{Failure, HookStatus};
pub use limits::RateLimit;
pub use passcode::{Delivery, HookReport, RequestType, SendReport, SendRequest};
pub(crate) use traffic::Traffic;
pub use traffic::{Asked, MOST_PER_SECOND};
pub use turns::{By, Turn};

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
    tokens: Tokens,
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
    /// Calls of the management API that are being answered.
    under_way: AtomicUsize,
    addr: OnceLock<SocketAddr>,
}

impl Org {
    pub(super) fn new(options: OrgOptions, own_ca: &str, inbox: Arc<Inbox>) -> Result<Self, CertError> {
        let overrides = Overrides::default();
        for (host, target) in &options.resolve {
            overrides.set(host, target);
        }
        let caller = Caller::new(options.trusts.as_deref().unwrap_or(own_ca), &overrides)?;
        Ok(Self {
            name: options.name.clone(),
            id: format!("00o{}", random_id(17)),
            tokens: Tokens::new(options.tokens.clone()),
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
            under_way: AtomicUsize::new(0),
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
        self.addr.get().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    pub(super) fn listens_at(&self, addr: SocketAddr) {
        let _ = self.addr.set(addr);
    }

    /// The org's own URL.
    #[must_use]
    pub fn base(&self) -> String {
        self.options.public_url.clone().unwrap_or_else(|| format!("https://{}", self.addr()))
    }

    /// The undocumented, as it stands.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the undocumented from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Takes these API tokens from now on and no other: another one, or one revoked at once.
    pub fn set_tokens(&self, tokens: Vec<Secret>) {
        tracing::info!(org = %self.name, tokens = tokens.len(), "tokens changed");
        self.tokens.replace(tokens);
    }

    /// How often each of its tokens was shown since they were set, in their order.
    #[must_use]
    pub fn tokens_shown(&self) -> Vec<u64> {
        self.tokens.shown()
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
        hooks.visible().iter().map(|hook| hook.shown(&base)).collect()
    }

    /// Every change of which telephony hooks are active that is kept, oldest first.
    #[must_use]
    pub fn turns(&self) -> Vec<Turn> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).turns()
    }

    /// Every event that is kept of what happened, oldest first; the API may show one later.
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
            Some(route) => self.effect(&request, route, By::Admin, &request_id()).await.unwrap_or_else(|e| e.answer()),
            None => OktaError::no_path().answer(),
        };
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, body)
    }

    fn active_hook(&self) -> Option<Hook> {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.active_telephony()
    }
}
