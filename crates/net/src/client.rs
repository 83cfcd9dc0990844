//! A client for callers that judge answers by themselves, piece by piece (Okta's management API), under the same guard.

use std::{error::Error, sync::Arc};

use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::ClientConfig;

use super::{
    connector::{MAX_HEADERS, PING, USER_AGENT},
    dial::{CONNECT_TIMEOUT, UNACKNOWLEDGED},
    exception::Exception,
    guard::Guard,
    policy::{NetError, Policy, is_excepted},
    resolver::{Guarded, Lookup},
    roots,
};
use hookswitch_request::Request;

/// How long an idle connection is kept. Okta is called over HTTP/2, whose close names what was not processed.
const IDLE: std::time::Duration = std::time::Duration::from_secs(90);
/// Idle connections kept per host.
const MAX_IDLE: usize = 32;

/// Sends requests under a policy, one at a time, never again and never on to another address. Clones share connections.
///
/// What it is made of cannot be reached: there is no way around the guard.
#[derive(Debug, Clone)]
pub struct Client {
    guard: Guard,
    direct: reqwest::Client,
    /// Apart from the direct one, because the proxy's own name is exempt from the guard there, and nothing else may be.
    by_proxy: Option<(reqwest::Client, Vec<Exception>)>,
}

/// Why a request of a [`Client`] got no answer; for people, since nothing is decided by it but whether it may have been received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It was definitely not sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been received.
    #[error("{0}")]
    BrokeOff(String),
}

impl Client {
    /// A client with connections of its own.
    ///
    /// # Errors
    /// [`NetError`] when the policy cannot be followed.
    pub fn new(policy: &Policy) -> Result<Self, NetError> {
        Self::resolving_by(policy, &(Arc::new(policy.lookups.clone().unwrap_or_default()) as Arc<dyn Lookup>))
    }

    pub(super) fn resolving_by(policy: &Policy, lookup: &Arc<dyn Lookup>) -> Result<Self, NetError> {
        let guard = Guard::new(&policy.allowed_cidrs);
        let tls = roots::tls(policy.extra_roots_pem.as_deref())?;
        let resolver = |exempt| Guarded::new(Arc::clone(lookup), guard.clone(), exempt);
        let direct = build(policy, resolver(None), tls.clone(), None)?;
        let by_proxy = match policy.checked_proxy()? {
            Some(url) => {
                let proxy = reqwest::Proxy::all(url.clone()).map_err(|_| NetError::Proxy)?;
                let resolver = resolver(url.host_str().map(str::to_owned));
                Some((build(policy, resolver, tls, Some(proxy))?, policy.proxy_exceptions.clone()))
            }
            None => None,
        };
        Ok(Self { guard, direct, by_proxy })
    }

    /// Sends a request and reads the head of its answer. Its time is the caller's to bound.
    ///
    /// # Errors
    /// [`ClientError`], which tells whether the request may have been received.
    pub async fn send(&self, request: &Request) -> Result<Response, ClientError> {
        self.guard.permits(&request.url).map_err(|forbidden| ClientError::NotSent(forbidden.to_string()))?;
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value.expose());
            let mut value =
                value.map_err(|_| ClientError::NotSent(format!("{name} has a value that no header can have")))?;
            value.set_sensitive(true);
            outgoing.headers_mut().append(name, value);
        }
        if !request.body.expose().is_empty() {
            *outgoing.body_mut() = Some(request.body.expose().clone().into());
        }
        let by_proxy = self.by_proxy.as_ref().filter(|(_, exceptions)| !is_excepted(&request.url, exceptions));
        let client = by_proxy.map_or(&self.direct, |(client, _)| client);
        client.execute(outgoing).await.map(Response).map_err(unanswered)
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response(reqwest::Response);

impl Response {
    /// HTTP status; any, redirects included, since none is followed.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next piece of the body; nothing at its end.
    ///
    /// # Errors
    /// [`ClientError::BrokeOff`].
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, ClientError> {
        self.0.chunk().await.map_err(|error| ClientError::BrokeOff(innermost(error)))
    }
}

/// Connecting comes before sending, so its failure is definite.
fn unanswered(error: reqwest::Error) -> ClientError {
    let is_definite = error.is_connect() || error.is_builder();
    let cause = innermost(error);
    if !is_definite {
        return ClientError::BrokeOff(cause);
    }
    ClientError::NotSent(if cause.is_empty() { "no connection".to_owned() } else { cause })
}

/// The innermost cause is the one that says something.
fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause = String::new();
    let mut source: Option<&dyn Error> = error.source();
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    cause
}

#[expect(clippy::disallowed_methods, reason = "its resolver and its redirects ask the guard")]
fn build(
    policy: &Policy,
    resolver: Guarded,
    tls: ClientConfig,
    proxy: Option<reqwest::Proxy>,
) -> Result<reqwest::Client, NetError> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
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
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(NetError::Client)
}
