//! Sending one request.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use tokio::time::Instant;
use url::Url;

use crate::message::Secret;

/// How calls leave this process.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Ranges that may be called although they are private.
    pub allowed_cidrs: Vec<IpNet>,
    /// A proxy that all calls go through.
    pub proxy: Option<Url>,
    /// PEM certificates trusted besides the public ones.
    pub extra_roots_pem: Option<String>,
}

/// A request. `Debug` shows the method and the host alone.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Headers.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Body.
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
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, no longer than the caller allowed.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request definitely did not leave.
    #[error("not sent: {cause}")]
    NotSent {
        /// `connect`, `dns`, `tls`, `guard` or `timeout-connect`.
        cause: &'static str,
    },
    /// The request may have been received.
    #[error("may have been sent: {cause}")]
    Unclear {
        /// `timeout`, `reset`, `too-large` or `garbage`.
        cause: &'static str,
    },
}

/// Why a connector cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The extra roots are not PEM certificates.
    #[error("the CA bundle has no usable PEM certificate")]
    Roots,
    /// The HTTP client refused its settings.
    #[error("could not set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A pool of connections under one policy; one per carrier, so that a slow one cannot use up another's.
#[derive(Debug, Clone)]
pub struct Connector {
    client: reqwest::Client,
}

/// A client under a policy, for callers with a request builder of their own.
///
/// # Errors
/// [`NetError`] when the policy cannot be followed.
pub fn client(_policy: &Policy) -> Result<reqwest::Client, NetError> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(Duration::from_secs(90))
        .build()
        .map_err(NetError::Client)
}

impl Connector {
    /// A connector with a pool of its own.
    ///
    /// # Errors
    /// [`NetError`] when the policy cannot be followed.
    pub fn new(policy: &Policy) -> Result<Self, NetError> {
        Ok(Self { client: client(policy)? })
    }

    /// Sends a request and reads the whole answer, up to `max_body` bytes, before `deadline`.
    ///
    /// # Errors
    /// [`SendError`], which tells whether the request may have been received.
    pub async fn send(&self, request: &Request, deadline: Instant, max_body: usize) -> Result<Answer, SendError> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value.expose());
        }
        let sent = builder.body(request.body.expose().clone()).send();
        let response = tokio::time::timeout_at(deadline, sent)
            .await
            .map_err(|_| SendError::Unclear { cause: "timeout" })?
            .map_err(|_| SendError::Unclear { cause: "reset" })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = tokio::time::timeout_at(deadline, response.bytes())
            .await
            .map_err(|_| SendError::Unclear { cause: "timeout" })?
            .map_err(|_| SendError::Unclear { cause: "reset" })?;
        if body.len() > max_body {
            return Err(SendError::Unclear { cause: "too-large" });
        }
        Ok(Answer { status, headers, body: body.to_vec() })
    }
}
