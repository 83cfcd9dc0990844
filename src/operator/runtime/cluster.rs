//! The client of the API server.
//!
//! Every object that is followed is watched for as long as it is referred to, and a connection of HTTP/1.1 carries one watch.
//! So HTTP/2 is spoken where the server does: a connection carries as many watches as any server takes. Calls have
//! connections of their own, and so has the lease: neither waits for watches, which last.
//!
//! What the server speaks is asked before the first call. HTTP/2 is spoken until a connection does not agree to it; then it is
//! left to each connection, and asked again from time to time.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::Connection as _, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, timeout},
};
use tower::{BoxError, Layer as _, Service, util::option_layer};

/// How long making a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How often a quiet connection of HTTP/2 is asked for a sign of life, and how long it may take.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

/// A watch is asked for so many times as short a time where nobody notices that its connection died: it ends for that.
const SHORTER: u32 = 5;

/// How long an answer may be silent before it counts as broken; longer than such a watch lasts. A list and the beginning of a
/// watch have no other bound.
const SILENCE: Duration = Duration::from_secs(75);

/// How long a watch over HTTP/2 may be silent; longer than it lasts. Pings show sooner that its connection died.
const LONG_SILENCE: Duration = Duration::from_secs(315);

/// How long it is left to each connection what is spoken, once one did not agree to HTTP/2, before the server is asked again.
const AGAIN: Duration = Duration::from_mins(10);

/// Requests at once over one connection of HTTP/2. No server should take fewer than 100 (RFC 9113, section 6.5.2), and what is
/// beyond its limit would wait for watches to end.
const AT_ONCE: usize = 90;

/// What the server may send ahead of its being read: over a connection, and of one answer.
const WINDOWS: (u32, u32) = (2 * 1_024 * 1_024, 256 * 1_024);

/// A client without retries of its own: reconciles have deadlines and backoff, and a hidden retry would use them up.
///
/// # Errors
/// When the cluster's certificates or credentials cannot be used, or a proxy is to be spoken to.
pub fn client(config: Config) -> kube::Result<Client> {
    if let Some(proxy) = config.proxy_url {
        return Err(kube::Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy) });
    }
    let lines = Arc::new(Lines::new(connector(&config)?, config.cluster_url.clone()));
    let service = tower::service_fn(move |request| Arc::clone(&lines).send(request));
    let service = option_layer(config.auth_layer()?).layer(config.extra_headers_layer()?.layer(service));
    Ok(Client::new(config.base_uri_layer().layer(service), config.default_namespace))
}

/// Why there is no client of the cluster that this process runs in.
#[derive(Debug, thiserror::Error)]
pub enum NoCluster {
    /// The cluster's address or credentials were not found.
    #[error("find the cluster: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The client cannot be made of what was found.
    #[error("make a client of the API server: {}", super::error::shown(.0))]
    Client(#[source] kube::Error),
}

/// A client of the cluster that this process runs in, or that the kubeconfig names.
///
/// # Errors
/// [`NoCluster`].
pub async fn in_cluster() -> Result<Client, NoCluster> {
    client(Config::infer().await?).map_err(NoCluster::Client)
}

type Connector = HttpsConnector<HttpConnector>;

fn connector(config: &Config) -> kube::Result<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    if let Some(name) = config.tls_server_name.clone() {
        let name = name.try_into().map_err(|error| kube::Error::Service(Box::new(error)))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_all_versions().wrap_connector(tcp))
}

/// What is spoken over new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    /// HTTP/2 alone: requests share a connection from the first moment.
    Http2,
    /// What each connection agrees upon.
    Any,
}

/// What the server is known to speak, and when that was learnt or it was asked last.
#[derive(Debug, Default)]
struct Known(Option<(Spoken, Instant)>);

/// What to do before a request.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing is known: ask first.
    Ask,
    /// Speak this.
    Speak(Spoken),
    /// Speak this, and ask beside.
    SpeakAndAsk(Spoken),
}

impl Known {
    fn learn(&mut self, spoken: Spoken, now: Instant) {
        self.0 = Some((spoken, now));
    }

    fn is(&self, spoken: Spoken) -> bool {
        self.0.is_some_and(|(known, _)| known == spoken)
    }

    /// For one more request. Whoever gets that answer is the only one for a while.
    fn next(&mut self, now: Instant) -> Next {
        match &mut self.0 {
            None => Next::Ask,
            Some((Spoken::Any, asked)) if now.duration_since(*asked) >= AGAIN => {
                *asked = now;
                Next::SpeakAndAsk(Spoken::Any)
            }
            Some((spoken, _)) => Next::Speak(*spoken),
        }
    }
}

/// Makes connections that speak what they are to speak.
#[derive(Clone)]
struct Agreeing {
    connector: Connector,
    spoken: Spoken,
    known: Arc<Mutex<Known>>,
}

/// The server does not speak HTTP/2 over this connection.
#[derive(Debug, thiserror::Error)]
#[error("the API server does not speak HTTP/2")]
struct NotHttp2;

impl Service<Uri> for Agreeing {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let only_http2 = self.spoken == Spoken::Http2;
        // of those who share a connection, one has to find it out
        if only_http2 && lock(&self.known).is(Spoken::Any) {
            return Box::pin(future::err(NotHttp2.into()));
        }
        let (connecting, known) = (self.connector.call(server), Arc::clone(&self.known));
        Box::pin(async move {
            let connection = timeout(CONNECT, connecting).await.map_err(|_| silent())??;
            if only_http2 && !connection.connected().is_negotiated_h2() {
                lock(&known).learn(Spoken::Any, Instant::now());
                return Err(NotHttp2.into());
            }
            Ok(connection)
        })
    }
}

/// The connections to one API server.
struct Lines {
    connector: Connector,
    server: Uri,
    known: Arc<Mutex<Known>>,
    /// Held by whoever asks what the server speaks while nobody knows.
    asking: tokio::sync::Mutex<()>,
    lease: Line,
    calls: Line,
    watches: Line,
}

/// Connections for one use.
#[derive(Default)]
struct Line {
    open: Mutex<Vec<Open>>,
}

/// One connection of HTTP/2, or as many of HTTP/1.1 as there are requests.
struct Open {
    http: Http,
    spoken: Spoken,
    turns: Arc<Semaphore>,
}

type Http = legacy::Client<Agreeing, Body>;

impl Lines {
    fn new(connector: Connector, server: Uri) -> Self {
        let (lease, calls, watches) = (Line::default(), Line::default(), Line::default());
        let (known, asking) = (Arc::default(), tokio::sync::Mutex::default());
        Self { connector, server, known, asking, lease, calls, watches }
    }

    /// Sends a request. Its answer, and each part of it, must come before it was silent for too long.
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Held<Incoming>>, BoxError> {
        let spoken = self.spoken().await?;
        if spoken == Spoken::Any {
            return self.send_over(request, Spoken::Any).await;
        }
        let (parts, body) = request.into_parts();
        let once_more = body.try_clone().map(|body| Request::from_parts(parts.clone(), body));
        match (self.send_over(Request::from_parts(parts, body), Spoken::Http2).await, once_more) {
            // the connection did not agree, for this one or for another that shares it
            (Err(error), Some(request)) if was_not_sent(&error) && lock(&self.known).is(Spoken::Any) => {
                self.send_over(request, Spoken::Any).await
            }
            (answer, _) => answer,
        }
    }

    async fn send_over(
        &self,
        mut request: Request<Body>,
        spoken: Spoken,
    ) -> Result<Response<Held<Incoming>>, BoxError> {
        let mut may_be_silent = SILENCE;
        if is_watch(&request) {
            match spoken {
                Spoken::Http2 => may_be_silent = LONG_SILENCE,
                Spoken::Any => shorten(request.uri_mut()),
            }
        }
        let (http, turn) = self.line(&request).turn(spoken, || self.open(spoken))?;
        let answer = timeout(SILENCE, http.request(request)).await.map_err(|_| silent())??;
        Ok(answer.map(|body| Held::new(body, turn, may_be_silent)))
    }

    fn line(&self, request: &Request<Body>) -> &Line {
        if is_watch(request) {
            &self.watches
        } else if request.uri().path().contains("/leases/") {
            &self.lease
        } else {
            &self.calls
        }
    }

    /// What to speak now. Only while nothing is known a request waits for what the server says.
    async fn spoken(self: &Arc<Self>) -> Result<Spoken, BoxError> {
        let next = || lock(&self.known).next(Instant::now());
        let mut now = next();
        let _asking;
        if now == Next::Ask {
            _asking = self.asking.lock().await;
            // somebody else may have asked meanwhile
            now = next();
        }
        match now {
            Next::Speak(spoken) => Ok(spoken),
            Next::SpeakAndAsk(spoken) => {
                let lines = Arc::clone(self);
                // one that does not answer is asked again another time
                tokio::spawn(async move { drop(lines.ask().await) });
                Ok(spoken)
            }
            Next::Ask => self.ask().await,
        }
    }

    async fn ask(&self) -> Result<Spoken, BoxError> {
        let connection = self.agreeing(Spoken::Any).call(self.server.clone()).await?;
        let spoken = if connection.connected().is_negotiated_h2() { Spoken::Http2 } else { Spoken::Any };
        lock(&self.known).learn(spoken, Instant::now());
        Ok(spoken)
    }

    /// What makes one connection of HTTP/2 and keeps it, or such as the server agrees to.
    #[expect(
        clippy::disallowed_methods,
        reason = "the cluster gives the address and the certificates of its API server"
    )]
    fn open(&self, spoken: Spoken) -> Http {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .http2_only(spoken == Spoken::Http2)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_initial_connection_window_size(WINDOWS.0)
            .http2_initial_stream_window_size(WINDOWS.1)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .http2_keep_alive_while_idle(true);
        builder.build(self.agreeing(spoken))
    }

    fn agreeing(&self, spoken: Spoken) -> Agreeing {
        Agreeing { connector: self.connector.clone(), spoken, known: Arc::clone(&self.known) }
    }
}

fn is_watch<B>(request: &Request<B>) -> bool {
    request.uri().query().unwrap_or_default().split('&').any(|part| part == "watch=true")
}

/// Whether a request was not sent, as there was no connection for it.
fn was_not_sent(error: &BoxError) -> bool {
    error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
}

/// Asks for a watch that ends sooner.
pub(super) fn shorten(uri: &mut Uri) {
    let part = |part: &str| match part.strip_prefix("timeoutSeconds=").map(str::parse::<u32>) {
        Some(Ok(seconds)) => format!("timeoutSeconds={}", seconds / SHORTER),
        _ => part.to_owned(),
    };
    let Some(query) = uri.query() else { return };
    let query: Vec<String> = query.split('&').map(part).collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{}?{}", uri.path(), query.join("&"))).ok();
    if let Ok(shorter) = Uri::from_parts(parts) {
        *uri = shorter;
    }
}

impl Line {
    /// The first connection that has a turn and speaks what is spoken, or another one.
    fn turn(&self, spoken: Spoken, make: impl FnOnce() -> Http) -> Result<(Http, OwnedSemaphorePermit), BoxError> {
        let mut open = lock(&self.open);
        // answers under way go on over what carries them
        open.retain(|open| open.spoken == spoken);
        // one that rests is kept for what comes next
        let rests = |open: &Open| open.turns.available_permits() == AT_ONCE;
        while open.len() > 1 && open.iter().rev().take(2).all(rests) {
            open.pop();
        }
        let free = |open: &Open| Some((open.http.clone(), Arc::clone(&open.turns).try_acquire_owned().ok()?));
        if let Some(free) = open.iter().find_map(free) {
            return Ok(free);
        }
        let (http, turns) = (make(), Arc::new(Semaphore::new(AT_ONCE)));
        let turn = Arc::clone(&turns).try_acquire_owned()?;
        open.push(Open { http: http.clone(), spoken, turns });
        Ok((http, turn))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the API server was silent for too long")
}

/// The body of an answer, which holds its turn until it ends.
struct Held<B> {
    body: B,
    /// How long it may be silent, and until when now.
    may_be_silent: Duration,
    silence: Pin<Box<Sleep>>,
    _turn: OwnedSemaphorePermit,
}

impl<B> Held<B> {
    fn new(body: B, turn: OwnedSemaphorePermit, may_be_silent: Duration) -> Self {
        Self { body, may_be_silent, silence: Box::pin(sleep(may_be_silent)), _turn: turn }
    }
}

impl<B> hyper::body::Body for Held<B>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now() + self.may_be_silent;
            self.silence.as_mut().reset(until);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.silence.poll_unpin(context));
        Poll::Ready(Some(Err(silent().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
