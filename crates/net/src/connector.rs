//! Sending one request and reading the whole answer, in time and in bounds.

use std::{
    fmt,
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use url::{Position, Url};

use super::{
    body::Watched,
    dial::Dialer,
    failure::{NoAnswer, SendError, Unsent, after_sending, is_refused},
    guard::Guard,
    leave::Leave,
    policy::{NetError, Policy},
    pool::{Connection, Line, Origin, Pool, Reservation, Way},
    resolver::Lookup,
    roots,
    shared::{Turn, UNTOLD},
};
use hookswitch_request::Request;

/// How often a quiet HTTP/2 connection is asked for a sign of life, and how long it may take. One dead connection would
/// otherwise fail every message that is put on it.
pub(super) const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));
/// Headers of one answer: their number in HTTP/1.1, their size in HTTP/2.
pub(super) const MAX_HEADERS: (usize, u32) = (64, 16 * 1024);
/// The most of an answer that is read ahead.
const READ_AHEAD: usize = 64 * 1024;
/// How long a connection may take to be ready again after an answer; it needs no more than to be checked.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a request may wait for its turn on a kept connection of HTTP/2 that has room for it, before it is given to another
/// one; and how long it waits for room before it looks again by itself.
const PATIENCE: Duration = Duration::from_millis(250);
pub(super) const USER_AGENT: &str = concat!("hookswitch/", env!("CARGO_PKG_VERSION"));

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

    /// The header `Date` as text: what time it was for whoever answered.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.headers.get(http::header::DATE)?.to_str().ok()
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

/// A pool of connections under one policy. One per provider: what hangs in one pool takes nothing from another.
#[derive(Debug, Clone)]
pub struct Connector {
    guard: Guard,
    dialer: Dialer,
    pub(super) pool: Option<Pool>,
}

/// A connection that is being made.
type Coming = JoinHandle<Result<Connection, SendError>>;

/// Why a request got no answer over one connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not processed, and another connection may do better.
    Unsent,
    /// That is the last word.
    Final(SendError),
}

impl Connector {
    /// A connector with a pool of its own.
    ///
    /// # Errors
    /// [`NetError`] when the policy cannot be followed.
    pub fn new(policy: &Policy) -> Result<Self, NetError> {
        Self::resolving_by(policy, Arc::new(policy.lookups.clone().unwrap_or_default()))
    }

    pub(super) fn resolving_by(policy: &Policy, lookup: Arc<dyn Lookup>) -> Result<Self, NetError> {
        let tls = roots::tls(policy.extra_roots_pem.as_deref())?;
        let dialer = Dialer::new(policy, lookup, tls)?;
        let pool = (!policy.keep_no_connection).then(Pool::default);
        Ok(Self { guard: Guard::new(&policy.allowed_cidrs), dialer, pool })
    }

    /// Makes a connection as for a request (name, TCP, TLS and the server's certificate), sends nothing over it and closes
    /// it, before `deadline`.
    ///
    /// # Errors
    /// [`SendError::NotSent`], always. Its cause is `proxy` when calls there leave by one: what lies behind it cannot be known
    /// without a request.
    pub async fn reach(&self, url: &Url, deadline: Instant) -> Result<(), SendError> {
        self.may_be_called(url, deadline)?;
        self.dialer.reach(url, deadline).await
    }

    /// Sends a request once and reads the whole answer, up to `max_body` bytes, before `deadline`. Nothing that may have
    /// been received is repeated and no redirect is followed.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may have been received. A request without a body counts as
    /// received over HTTP/2 as soon as there was a connection.
    pub async fn send(&self, request: &Request, deadline: Instant, max_body: usize) -> Result<Answer, SendError> {
        self.may_be_called(&request.url, deadline)?;
        let (origin, outgoing) = (Origin::of(&request.url), Outgoing::of(request)?);
        let mut coming = None;
        loop {
            let way = self.pool.as_ref().map_or(Way::New, |pool| pool.way(&origin, coming.is_some()));
            let (connection, used_before) = match way {
                Way::Kept(connection) => (connection, true),
                Way::New => (self.connect(&request.url, &origin, None, deadline).await?, false),
                Way::Full(reservation, freed) => {
                    coming = coming.or_else(|| Some(self.one_more(&request.url, &origin, reservation?, deadline)));
                    match self.room(&mut coming, freed, &origin, deadline).await? {
                        Some(connection) => (connection, false),
                        None => continue,
                    }
                }
            };
            let sent = match connection {
                Connection::Http1(line) => self.over_line(line, &outgoing, &origin, deadline, max_body).await,
                Connection::Http2(turn) => {
                    let patience = if used_before { PATIENCE } else { Duration::MAX };
                    self.over_shared(turn, &outgoing, &origin, (patience, deadline), max_body).await
                }
            };
            match sent {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                // each turn uses up a kept connection, and a new one has no second turn
                Err(Failure::Unsent) if used_before => {}
                Err(Failure::Unsent) => return Err(SendError::NotSent { cause: Unsent::Connect }),
            }
        }
    }

    fn may_be_called(&self, url: &Url, deadline: Instant) -> Result<(), SendError> {
        self.guard.permits(url).map_err(|_| SendError::NotSent { cause: Unsent::Guard })?;
        if deadline <= Instant::now() {
            return Err(SendError::NotSent { cause: Unsent::ConnectTimeout });
        }
        Ok(())
    }

    /// Begins one more connection of HTTP/2. It comes for others when this request has found room by then.
    fn one_more(&self, url: &Url, origin: &Origin, reservation: Reservation, deadline: Instant) -> Coming {
        let (connector, url, origin) = (self.clone(), url.clone(), origin.clone());
        tokio::spawn(async move { connector.connect(&url, &origin, Some(reservation), deadline).await })
    }

    /// Waits for the connection that comes, or until there may be room on another one. One that does not come is no matter
    /// while others are there: they are waited for.
    async fn room(
        &self,
        coming: &mut Option<Coming>,
        freed: impl Future<Output = ()>,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Option<Connection>, SendError> {
        let until = deadline.min(Instant::now() + PATIENCE);
        let come = async {
            match coming.as_mut() {
                Some(coming) => coming.await,
                None => pending().await,
            }
        };
        let come = tokio::select! {
            come = come => Some(come),
            _ = timeout_at(until, freed) => None,
        };
        if let Some(come) = come {
            *coming = None;
            let is_crowded = || self.pool.as_ref().is_some_and(|pool| pool.is_crowded(origin));
            match come.unwrap_or(Err(SendError::NotSent { cause: Unsent::Connect })) {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) if !is_crowded() => return Err(error),
                Err(_) => {}
            }
        }
        if deadline <= Instant::now() { Err(SendError::Full) } else { Ok(None) }
    }

    /// A new connection. Its reservation, where it was given one, is kept free until it is there to be shared.
    async fn connect(
        &self,
        url: &Url,
        origin: &Origin,
        reservation: Option<Reservation>,
        deadline: Instant,
    ) -> Result<Connection, SendError> {
        let not_sent = |_| SendError::NotSent { cause: Unsent::Connect };
        let (stream, gate) = self.dialer.connect(url, deadline).await?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        if speaks_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_max_send_streams(UNTOLD)
                .max_header_list_size(MAX_HEADERS.1)
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1)
                .keep_alive_while_idle(true);
            let made = timeout_at(deadline, builder.handshake(stream)).await;
            let (sender, driver) =
                made.map_err(|_| SendError::NotSent { cause: Unsent::ConnectTimeout })?.map_err(not_sent)?;
            // where nothing is kept it is shared with nobody
            let pool = self.pool.clone().unwrap_or_default();
            let turn = pool.share(origin.clone(), sender, driver);
            drop(reservation);
            return Ok(Connection::Http2(turn));
        }
        let mut builder = http1::Builder::new();
        builder.max_headers(MAX_HEADERS.0).max_buf_size(READ_AHEAD);
        let (sender, connection) = builder.handshake(stream).await.map_err(not_sent)?;
        tokio::spawn(connection);
        Ok(Connection::Http1(Line { sender, gate, rest: None }))
    }

    /// Over a connection that carries one request at a time: what was not written to it was not sent.
    async fn over_line(
        &self,
        mut line: Line,
        outgoing: &Outgoing<'_>,
        origin: &Origin,
        deadline: Instant,
        max_body: usize,
    ) -> Result<Answer, Failure> {
        let rest = line.rest;
        let sent = Self::exchange(&mut line, outgoing, deadline, max_body).await;
        let is_lost =
            matches!(sent, Err(Failure::Unsent | Failure::Final(SendError::Unclear { cause: NoAnswer::Reset })));
        match (&self.pool, &sent, rest) {
            (Some(pool), Ok(answer), _) => pool.keep(origin.clone(), line, &answer.headers),
            (Some(pool), Err(_), Some(rest)) if is_lost => pool.was_closed(origin, rest),
            _ => {}
        }
        sent
    }

    async fn exchange(
        line: &mut Line,
        outgoing: &Outgoing<'_>,
        deadline: Instant,
        max_body: usize,
    ) -> Result<Answer, Failure> {
        if line.rest.is_some() && !matches!(timeout(SETTLE, line.sender.ready()).await, Ok(Ok(()))) {
            return Err(Failure::Unsent);
        }
        let leave = line.gate.next(line.rest.is_some());
        let sending = line.sender.try_send_request(outgoing.http1(Leave::begun()));
        match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => read(response, deadline, max_body).await.map_err(Failure::Final),
            Ok(Err(failed)) => Err(of_failed(failed, &leave)),
            Err(_) => Err(Failure::Final(late(&leave))),
        }
    }

    /// Over a connection that carries many requests: what is in a body that was not begun was not sent. One that is not begun
    /// for longer than a patience is taken back.
    pub(super) async fn over_shared(
        &self,
        turn: Turn,
        outgoing: &Outgoing<'_>,
        origin: &Origin,
        (patience, deadline): (Duration, Instant),
        max_body: usize,
    ) -> Result<Answer, Failure> {
        let (begun, mut sender) = (Instant::now(), turn.sender());
        let leave = if outgoing.body.is_empty() { Leave::begun() } else { Leave::default() };
        let mut sending = pin!(sender.try_send_request(outgoing.http2(leave.clone())));
        let until = begun.checked_add(patience).map_or(deadline, |until| until.min(deadline));
        let mut response = timeout_at(until, &mut sending).await;
        if response.is_err() && until < deadline && !leave.give_up() {
            response = timeout_at(deadline, sending).await;
        }
        let sent = match response {
            Ok(Ok(response)) => read(response, deadline, max_body).await.map_err(Failure::Final),
            Ok(Err(failed)) if is_refused(failed.error()) => Err(Failure::Unsent),
            Ok(Err(failed)) => Err(of_failed(failed, &leave)),
            Err(_) if Instant::now() < deadline => Err(Failure::Unsent),
            Err(_) => Err(Failure::Final(late(&leave))),
        };
        let Some(pool) = &self.pool else { return sent };
        match &sent {
            Ok(_) | Err(Failure::Final(SendError::Unclear { cause: NoAnswer::TooLarge })) => {
                pool.heard(turn.connection());
            }
            // where one could not be sent or was not answered the next one would wait in vain too
            Err(failure) => {
                pool.forget(turn.connection());
                if matches!(failure, Failure::Final(SendError::Unclear { cause: NoAnswer::Timeout })) {
                    pool.forget_silent(origin, begun);
                }
            }
        }
        sent
    }
}

/// The verdict on a request that came back with an error.
fn of_failed<B>(mut failed: TrySendError<B>, leave: &Leave) -> Failure {
    if failed.take_message().is_some() || leave.give_up() {
        Failure::Unsent
    } else {
        Failure::Final(after_sending(failed.error()))
    }
}

/// The verdict on a request whose time is up.
fn late(leave: &Leave) -> SendError {
    if leave.give_up() {
        SendError::NotSent { cause: Unsent::ConnectTimeout }
    } else {
        SendError::Unclear { cause: NoAnswer::Timeout }
    }
}

/// A request as HTTP has it; a new one is made of it for each connection that is tried.
pub(super) struct Outgoing<'a> {
    method: &'a Method,
    /// Absolute, as HTTP/2 has it.
    uri: Uri,
    host: HeaderValue,
    headers: HeaderMap,
    body: Bytes,
}

impl<'a> Outgoing<'a> {
    pub(super) fn of(request: &'a Request) -> Result<Self, SendError> {
        let Request { method, url, headers: given, body } = request;
        let unusable = || SendError::NotSent { cause: Unsent::Connect };
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, _) in given {
            headers.remove(name);
        }
        for (name, value) in given {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unusable())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let uri = Uri::from_maybe_shared(format!("{}://{authority}{path}", url.scheme())).map_err(|_| unusable())?;
        Ok(Self {
            method,
            uri,
            host: HeaderValue::from_str(authority).map_err(|_| unusable())?,
            headers,
            body: Bytes::copy_from_slice(body.expose()),
        })
    }

    fn http1(&self, leave: Leave) -> http::Request<Watched> {
        let path = self.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        let mut request = self.with(path, leave);
        request.headers_mut().insert(header::HOST, self.host.clone());
        request
    }

    fn http2(&self, leave: Leave) -> http::Request<Watched> {
        self.with(self.uri.clone(), leave)
    }

    fn with(&self, uri: Uri, leave: Leave) -> http::Request<Watched> {
        let mut request = http::Request::new(Watched::new(self.body.clone(), leave));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Reads an answer's body piece by piece, so that one that never ends costs `max_body` bytes and no more.
async fn read(response: Response<Incoming>, deadline: Instant, max_body: usize) -> Result<Answer, SendError> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let whole = async {
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| after_sending(&error))?;
            let Some(piece) = frame.data_ref() else { continue };
            if body.len() + piece.len() > max_body {
                return Err(SendError::Unclear { cause: NoAnswer::TooLarge });
            }
            body.extend_from_slice(piece);
        }
        Ok(())
    };
    timeout_at(deadline, whole).await.unwrap_or(Err(SendError::Unclear { cause: NoAnswer::Timeout }))?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}
