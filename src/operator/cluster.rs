//! The client of the API server.
//!
//! Every object that is followed is watched for as long as it is referred to, and a connection of HTTP/1.1 carries one watch.
//! So HTTP/2 is spoken where the server does: a connection carries as many watches as any server takes. Calls have
//! connections of their own, and so has the lease: neither waits for watches, which last.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::FutureExt as _;
use http::{Request, Response, Uri};
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
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, timeout},
};
use tower::{BoxError, Layer as _, Service as _, util::option_layer};

use super::watches::SILENCE;

/// How long making a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How often a quiet connection of HTTP/2 is asked for a sign of life, and how long it may take.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

/// Requests at once over one connection of HTTP/2. No server should take fewer than 100 (RFC 9113, section 6.5.2), and what is
/// beyond its limit would wait for watches to end.
const AT_ONCE: usize = 90;

/// What the server may send ahead of its being read: over a connection, and of one answer.
const WINDOWS: (u32, u32) = (2 * 1_024 * 1_024, 256 * 1_024);

/// A client without retries of its own: passes have deadlines and backoff, and a hidden retry would use them up.
///
/// # Errors
/// When the cluster's certificates or credentials cannot be used.
pub fn client(mut config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(UNACKNOWLEDGED);
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        return Client::try_from(config);
    }
    let lines = Arc::new(Lines::new(connector(&config)?, config.cluster_url.clone()));
    let service = tower::service_fn(move |request| Arc::clone(&lines).send(request));
    let service = option_layer(config.auth_layer()?).layer(config.extra_headers_layer()?.layer(service));
    Ok(Client::new(config.base_uri_layer().layer(service), config.default_namespace))
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

/// The connections to one API server.
struct Lines {
    connector: Connector,
    server: Uri,
    /// Whether it speaks HTTP/2, once it was asked.
    http2: OnceCell<bool>,
    lease: Line,
    calls: Line,
    watches: Line,
}

/// Connections for one use.
#[derive(Default)]
struct Line {
    open: Mutex<Vec<(Http, Arc<Semaphore>)>>,
}

type Http = legacy::Client<Connector, Body>;

impl Lines {
    fn new(connector: Connector, server: Uri) -> Self {
        let (lease, calls, watches) = (Line::default(), Line::default(), Line::default());
        Self { connector, server, http2: OnceCell::new(), lease, calls, watches }
    }

    /// Sends a request. Its answer, and each part of it, must come before it was silent for too long.
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Held<Incoming>>, BoxError> {
        let http2 = *self.http2.get_or_try_init(|| self.speaks_http2()).await?;
        let (http, turn) = self.line(&request).turn(|| self.open(http2))?;
        let answer = timeout(SILENCE, http.request(request)).await.map_err(|_| silent())??;
        Ok(answer.map(|body| Held::new(body, turn)))
    }

    fn line(&self, request: &Request<Body>) -> &Line {
        let query = request.uri().query().unwrap_or_default();
        if query.split('&').any(|part| part == "watch=true") {
            &self.watches
        } else if request.uri().path().contains("/leases/") {
            &self.lease
        } else {
            &self.calls
        }
    }

    async fn speaks_http2(&self) -> Result<bool, BoxError> {
        let connected = timeout(CONNECT, self.connector.clone().call(self.server.clone())).await;
        Ok(connected.map_err(|_| silent())??.connected().is_negotiated_h2())
    }

    /// What makes one connection of HTTP/2 and keeps it, or one of HTTP/1.1 for each request.
    #[expect(
        clippy::disallowed_methods,
        reason = "the cluster gives the address and the certificates of its API server"
    )]
    fn open(&self, http2: bool) -> Http {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .http2_only(http2)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_initial_connection_window_size(WINDOWS.0)
            .http2_initial_stream_window_size(WINDOWS.1)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .http2_keep_alive_while_idle(true);
        builder.build(self.connector.clone())
    }
}

impl Line {
    /// The first connection that has a turn, or another one.
    fn turn(&self, make: impl FnOnce() -> Http) -> Result<(Http, OwnedSemaphorePermit), BoxError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // one that rests is kept for what comes next
        let rests = |(_, turns): &(Http, Arc<Semaphore>)| turns.available_permits() == AT_ONCE;
        while open.len() > 1 && open.iter().rev().take(2).all(rests) {
            open.pop();
        }
        let free = |(http, turns): &(Http, Arc<Semaphore>)| {
            Arc::clone(turns).try_acquire_owned().ok().map(|turn| (http.clone(), turn))
        };
        if let Some(free) = open.iter().find_map(free) {
            return Ok(free);
        }
        let (http, turns) = (make(), Arc::new(Semaphore::new(AT_ONCE)));
        let turn = Arc::clone(&turns).try_acquire_owned()?;
        open.push((http.clone(), turns));
        Ok((http, turn))
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the API server was silent for too long")
}

/// The body of an answer, which holds its turn until it ends.
struct Held<B> {
    body: B,
    silence: Pin<Box<Sleep>>,
    _turn: OwnedSemaphorePermit,
}

impl<B> Held<B> {
    fn new(body: B, turn: OwnedSemaphorePermit) -> Self {
        Self { body, silence: Box::pin(sleep(SILENCE)), _turn: turn }
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
            self.silence.as_mut().reset(Instant::now() + SILENCE);
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
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
    use hyper::{
        server::conn::{http1, http2},
        service::service_fn,
    };
    use hyper_util::rt::TokioIo;
    use rcgen::CertifiedKey;
    use rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
    };
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An API server on this machine: watches begin and never end, everything else is answered with an empty list.
    struct Server {
        config: Config,
        connections: Arc<AtomicUsize>,
    }

    async fn answer(request: Request<Incoming>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let is_watch = request.uri().query().unwrap_or_default().contains("watch=true");
        let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"{}\n")))]);
        let rest = if is_watch { stream::pending().left_stream() } else { stream::empty().right_stream() };
        Ok(Response::new(StreamBody::new(first.chain(rest)).boxed_unsync()))
    }

    async fn server(protocols: &[&str]) -> Server {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
        let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(format!("https://{}", listener.local_addr().unwrap()).parse().unwrap());
        config.root_cert = Some(vec![cert.der().to_vec()]);
        let connections = Arc::new(AtomicUsize::new(0));
        let (acceptor, count) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let stream = TokioIo::new(stream);
                    if is_http2 {
                        let mut http2 = http2::Builder::new(TokioExecutor::new());
                        let serving = http2.max_concurrent_streams(100).serve_connection(stream, service_fn(answer));
                        let _ = serving.await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(stream, service_fn(answer)).await;
                    }
                });
            }
        });
        Server { config, connections }
    }

    /// Connections for three hundred watches, and for calls and the lease beside them.
    async fn connections(client: Client, server: &Server) -> (usize, usize) {
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let mut body = timeout(Duration::from_secs(20), client.send(request)).await.unwrap().unwrap().into_body();
            assert!(body.frame().await.unwrap().is_ok());
            body
        };
        let mut open = Vec::new();
        for number in 0..300 {
            open.push(ask(&format!("/api/v1/namespaces/otp/secrets?fieldSelector={number}&watch=true")).await);
        }
        let of_watches = server.connections.load(Ordering::Relaxed);
        for _ in 0..10 {
            futures::future::join_all((0..5).map(|_| ask("/api/v1/namespaces/otp/secrets/okta"))).await;
            ask("/apis/coordination.k8s.io/v1/namespaces/hookswitch/leases/one").await;
        }
        drop(open);
        (of_watches, server.connections.load(Ordering::Relaxed) - of_watches)
    }

    #[tokio::test]
    async fn three_hundred_watches_share_four_connections_and_calls_and_the_lease_have_their_own() {
        let server = server(&["h2", "http/1.1"]).await;
        let client = client(server.config.clone()).unwrap();
        let (of_watches, others) = connections(client, &server).await;
        println!("cluster: 300 watches take {of_watches} connections, calls and the lease {others}");
        // one more to see what the server speaks
        assert_eq!((of_watches, others), (1 + 4, 2));
    }

    #[tokio::test]
    async fn a_server_that_speaks_http_1_alone_is_spoken_to_all_the_same() {
        let server = server(&["http/1.1"]).await;
        let client = client(server.config.clone()).unwrap();
        let (of_watches, _) = connections(client, &server).await;
        assert_eq!(of_watches, 1 + 300);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_falls_silent_is_given_up_and_its_turn_with_it() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).try_acquire_owned().unwrap();
        let silent = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let parts = stream::iter(0..3).then(|_| async {
            sleep(SILENCE.mul_f64(0.9)).await;
            Ok(Frame::data(Bytes::from_static(b"{}")))
        });
        let mut body = Held::new(StreamBody::new(Box::pin(parts.chain(silent))), turn);
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok(), "it goes on");
        }
        let begun = Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        assert!(begun.elapsed() >= SILENCE && begun.elapsed() < SILENCE + Duration::from_secs(1));
        drop(body);
        assert_eq!(turns.available_permits(), 1);
    }
}
