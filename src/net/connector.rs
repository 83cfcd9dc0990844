//! Sending one request and reading the whole answer, in time and in bounds.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    body::{Begun, Watched},
    failure::{SendError, verdict},
    guard::{Forbidden, Guard},
    policy::{NetError, Policy},
    reach::Bare,
    resolver::{Guarded, Lookup, System},
    roots,
};
use crate::message::Secret;

/// Name, TCP and TLS together. Long enough for one lost SYN (sent again after 1 s) and the round trips of TLS, short enough
/// to leave another carrier its turn within one hook call.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long an idle connection is kept: three carrier probes at their default interval, so that probes keep it warm.
const IDLE: Duration = Duration::from_secs(90);
/// Idle connections kept per host.
const MAX_IDLE: usize = 32;
/// How often a quiet HTTP/2 connection is asked for a sign of life, and how long it may take. One dead connection would
/// otherwise fail every message that is put on it.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Headers of one answer: their number in HTTP/1.1, their size in HTTP/2.
const MAX_HEADERS: (usize, u32) = (64, 16 * 1024);

/// A request. `Debug` shows the method and the host alone, because the rest carries credentials, numbers and passcodes.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Where it goes; `https` only.
    pub url: Url,
    /// Headers. A value that cannot stand in a header fails the request before it is sent.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Body; empty for none.
    pub body: Secret<Vec<u8>>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// An answer, whole. `Debug` shows the status and the length alone.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status; any, redirects included, since none is followed.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, no longer than the caller allowed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The header `Retry-After` as text.
    #[must_use]
    pub fn retry_after(&self) -> Option<&str> {
        self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A pool of connections under one policy. One per carrier: what hangs in one pool takes nothing from another.
#[derive(Debug, Clone)]
pub struct Connector {
    client: reqwest::Client,
    guard: Guard,
    bare: Bare,
}

impl Connector {
    /// A connector with a pool of its own.
    ///
    /// # Errors
    /// [`NetError`] when the policy cannot be followed.
    pub fn new(policy: &Policy) -> Result<Self, NetError> {
        Self::resolving_by(policy, Arc::new(System::new()))
    }

    pub(super) fn resolving_by(policy: &Policy, lookup: Arc<dyn Lookup>) -> Result<Self, NetError> {
        let (guard, tls) = (Guard::new(&policy.allowed_cidrs), roots::tls(policy.extra_roots_pem.as_deref())?);
        let bare = Bare::new(guard.clone(), Arc::clone(&lookup), tls.clone(), policy);
        Ok(Self { client: build(policy, lookup, tls)?, guard, bare })
    }

    /// Makes a connection as for a request (name, TCP, TLS and the server's certificate), sends nothing over it and closes
    /// it, before `deadline`.
    ///
    /// # Errors
    /// [`SendError::NotSent`], always. Its cause is `proxy` when calls there leave by one: what lies behind it cannot be told
    /// without a request.
    pub async fn reach(&self, url: &Url, deadline: Instant) -> Result<(), SendError> {
        self.guard.permits(url).map_err(|_| SendError::NotSent { cause: "guard" })?;
        if deadline <= Instant::now() {
            return Err(SendError::NotSent { cause: "timeout-connect" });
        }
        self.bare.reach(url, deadline).await
    }

    /// Sends a request once and reads the whole answer, up to `max_body` bytes, before `deadline`. Nothing is repeated and
    /// no redirect is followed.
    ///
    /// # Errors
    /// [`SendError`], which tells whether the request may have been received. A request without a body counts as
    /// received as soon as there was a connection or the deadline passed.
    pub async fn send(&self, request: &Request, deadline: Instant, max_body: usize) -> Result<Answer, SendError> {
        self.guard.permits(&request.url).map_err(|_| SendError::NotSent { cause: "guard" })?;
        if deadline <= Instant::now() {
            return Err(SendError::NotSent { cause: "timeout-connect" });
        }
        let begun = Begun::default();
        let has_body = !request.body.expose().is_empty();
        let begun_now = || has_body.then(|| begun.is_true());

        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_| SendError::NotSent { cause: "connect" })?;
            value.set_sensitive(true);
            outgoing.headers_mut().append(name, value);
        }
        if has_body {
            let body = Watched::new(Bytes::copy_from_slice(request.body.expose()), begun.clone());
            *outgoing.body_mut() = Some(reqwest::Body::wrap(body));
        }

        let exchange = async {
            let response = self.client.execute(outgoing).await.map_err(|error| verdict(&error, begun_now()))?;
            read(response, max_body).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_) if begun_now() == Some(false) => Err(SendError::NotSent { cause: "timeout-connect" }),
            Err(_) => Err(SendError::Unclear { cause: "timeout" }),
        }
    }
}

/// Reads an answer's body piece by piece, so that one that never ends costs `max_body` bytes and no more.
async fn read(mut response: reqwest::Response, max_body: usize) -> Result<Answer, SendError> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| verdict(&error, Some(true)))? {
        if body.len() + piece.len() > max_body {
            return Err(SendError::Unclear { cause: "too-large" });
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, headers, body })
}

/// A client under the same policy, for callers that build requests of their own (Okta's management API). It guards names
/// when they are resolved; an address written in a URL is for the caller to check once with [`permits`], where the URL
/// comes from.
///
/// # Errors
/// [`NetError`] when the policy cannot be followed.
pub fn client(policy: &Policy) -> Result<reqwest::Client, NetError> {
    build(policy, Arc::new(System::new()), roots::tls(policy.extra_roots_pem.as_deref())?)
}

/// Whether a policy lets a URL be called, as far as the URL alone tells: `https`, and no guarded address in it.
///
/// # Errors
/// [`Forbidden`].
pub fn permits(policy: &Policy, url: &Url) -> Result<(), Forbidden> {
    Guard::new(&policy.allowed_cidrs).permits(url)
}

fn build(policy: &Policy, lookup: Arc<dyn Lookup>, tls: rustls::ClientConfig) -> Result<reqwest::Client, NetError> {
    let guard = Guard::new(&policy.allowed_cidrs);
    let proxy_host = policy.proxy.as_ref().and_then(|proxy| proxy.host_str()).map(str::to_owned);
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("hookswitch/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .dns_resolver(Guarded::new(lookup, guard, proxy_host))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(if policy.keep_no_connection { 0 } else { MAX_IDLE })
        .http1_max_headers(MAX_HEADERS.0)
        .http2_max_header_list_size(MAX_HEADERS.1)
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .http2_keep_alive_while_idle(true);
    if let Some(url) = &policy.proxy {
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(NetError::Proxy);
        }
        // what is malformed is told here, not when the first call is made
        reqwest::Proxy::all(url.clone()).map_err(|_| NetError::Proxy)?;
        let (url, but) = (url.clone(), policy.proxy_exceptions.clone());
        let proxy = move |to: &Url| (!but.iter().any(|exception| exception.covers(to))).then(|| url.clone());
        builder = builder.proxy(reqwest::Proxy::custom(proxy));
    }
    builder.build().map_err(NetError::Client)
}
