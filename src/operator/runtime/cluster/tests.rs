use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream};
use http::Version;
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
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;

/// What a server speaks over its next connections, each in turn.
type Speaks = &'static [&'static [&'static str]];

const BOTH: &[&str] = &["h2", "http/1.1"];
const HTTP_1: &[&str] = &["http/1.1"];

/// An API server on this machine: watches begin and never end, everything else is answered with an empty list.
#[derive(Clone)]
struct Server {
    config: Config,
    connections: Arc<AtomicUsize>,
    /// What it was asked for, and over what.
    asked: Arc<Mutex<Vec<(Version, Uri)>>>,
    /// What it speaks from now on, and what ends the connections that there are.
    speaks: Arc<Mutex<(Speaks, CancellationToken)>>,
}

impl Server {
    /// Ends all connections, and speaks this over those to come.
    fn speak(&self, speaks: Speaks) {
        let (_, before) = std::mem::replace(&mut *self.speaks.lock().unwrap(), (speaks, CancellationToken::new()));
        before.cancel();
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        self.asked.lock().unwrap().push((request.version(), request.uri().clone()));
        let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"{}\n")))]);
        let rest = if is_watch(request) { stream::pending().left_stream() } else { stream::empty().right_stream() };
        Response::new(StreamBody::new(first.chain(rest)).boxed_unsync())
    }

    async fn serve(self, stream: TcpStream, acceptor: TlsAcceptor, end: CancellationToken) {
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let answer = service_fn(move |request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let stream = TokioIo::new(stream);
        if is_http2 {
            let mut http2 = http2::Builder::new(TokioExecutor::new());
            let serving = http2.max_concurrent_streams(100).serve_connection(stream, answer);
            end.run_until_cancelled(serving).await;
        } else {
            end.run_until_cancelled(http1::Builder::new().serve_connection(stream, answer)).await;
        }
    }
}

async fn server(speaks: Speaks) -> Server {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::new(format!("https://{}", listener.local_addr().unwrap()).parse().unwrap());
    config.root_cert = Some(vec![cert.der().to_vec()]);
    let speaks = Arc::new(Mutex::new((speaks, CancellationToken::new())));
    let server = Server { config, connections: Arc::default(), asked: Arc::default(), speaks };
    let accepting = server.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = accepting.connections.fetch_add(1, Ordering::Relaxed);
            let (speaks, end) = accepting.speaks.lock().unwrap().clone();
            let mut tls = tls.clone();
            let protocols = speaks[number % speaks.len()];
            tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            tokio::spawn(accepting.clone().serve(stream, TlsAcceptor::from(Arc::new(tls)), end));
        }
    });
    server
}

const SECRET: &str = "/api/v1/namespaces/otp/secrets/okta";

/// The first part of an answer, which the body goes on from, and over what it came.
async fn ask(client: &Client, path: &str) -> Result<(Version, Body), String> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = timeout(Duration::from_secs(20), client.send(request)).await.unwrap();
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let (version, mut body) = (answer.version(), answer.into_body());
    body.frame().await.unwrap().map_err(|error| format!("{error:?}"))?;
    Ok((version, body))
}

/// Connections for three hundred watches, and for calls and the lease beside them.
async fn connections(client: Client, server: &Server) -> (usize, usize) {
    let mut open = Vec::new();
    for number in 0..300 {
        let path = format!("/api/v1/namespaces/otp/secrets?fieldSelector={number}&watch=true");
        open.push(ask(&client, &path).await.unwrap());
    }
    let of_watches = server.connections();
    for _ in 0..10 {
        futures::future::join_all((0..5).map(|_| ask(&client, SECRET))).await;
        ask(&client, "/apis/coordination.k8s.io/v1/namespaces/hookswitch/leases/one").await.unwrap();
    }
    drop(open);
    (of_watches, server.connections() - of_watches)
}

#[tokio::test]
async fn three_hundred_watches_share_four_connections_and_calls_and_the_lease_have_their_own() {
    let server = server(&[BOTH]).await;
    let client = client(server.config.clone()).unwrap();
    let (of_watches, others) = connections(client, &server).await;
    println!("cluster: 300 watches take {of_watches} connections, calls and the lease {others}");
    // one more to see what the server speaks
    assert_eq!((of_watches, others), (1 + 4, 2));
}

#[tokio::test]
async fn a_server_that_speaks_http_1_alone_is_spoken_to_all_the_same() {
    let server = server(&[HTTP_1]).await;
    let client = client(server.config.clone()).unwrap();
    let (of_watches, _) = connections(client, &server).await;
    assert_eq!(of_watches, 1 + 300);
}

#[tokio::test]
async fn a_server_that_speaks_http_2_no_more_is_answered_by_the_next_call_in_what_it_speaks() {
    let server = server(&[BOTH]).await;
    let client = client(server.config.clone()).unwrap();
    assert_eq!(ask(&client, SECRET).await.unwrap().0, Version::HTTP_2);
    for _ in 0..3 {
        server.speak(&[HTTP_1]);
        tokio::task::yield_now().await;
        for _ in 0..3 {
            assert_eq!(settled(&client).await, Version::HTTP_11);
        }
    }
}

/// Over what a call is answered, at the latest the second one: the first may meet a connection that ends in that moment.
async fn settled(client: &Client) -> Version {
    let first = ask(client, SECRET).await;
    let answered = if first.is_ok() { first } else { ask(client, SECRET).await };
    answered.unwrap().0
}

#[tokio::test]
async fn a_server_that_spoke_http_1_for_a_moment_is_asked_again_and_spoken_to_over_http_2() {
    let server = server(&[HTTP_1]).await;
    let client = client(server.config.clone()).unwrap();
    assert_eq!(ask(&client, SECRET).await.unwrap().0, Version::HTTP_11);
    server.speak(&[BOTH]);
    tokio::time::pause();
    tokio::time::advance(AGAIN).await;
    tokio::time::resume();
    // the call that is due to ask waits for nothing
    let mut asked = 0;
    while settled(&client).await != Version::HTTP_2 {
        asked += 1;
        assert!(asked < 100);
    }
    let before = server.connections();
    let watches = (0..80).map(|number| format!("/api/v1/secrets?fieldSelector={number}&watch=true"));
    let open: Vec<_> = futures::future::join_all(watches.map(async |path| ask(&client, &path).await)).await;
    assert!(open.iter().all(|watch| matches!(watch, Ok((Version::HTTP_2, _)))));
    assert_eq!(server.connections() - before, 1, "they share one from the first moment");
}

#[tokio::test]
async fn behind_a_balancer_with_servers_of_both_kinds_every_call_is_answered() {
    let server = server(&[BOTH, HTTP_1]).await;
    let client = client(server.config.clone()).unwrap();
    for number in 0..60 {
        // each has a connection of its own
        let path = format!("/api/v1/namespaces/otp/secrets?fieldSelector={number}&watch=true");
        let (_, call) = (ask(&client, &path).await.unwrap(), ask(&client, SECRET).await.unwrap());
        drop(call);
        if number % 10 == 9 {
            tokio::time::pause();
            tokio::time::advance(AGAIN).await;
            tokio::time::resume();
        }
    }
}

#[tokio::test]
async fn many_who_begin_when_http_2_is_spoken_no_more_find_it_out_by_few_connections() {
    let server = server(&[BOTH]).await;
    let client = client(server.config.clone()).unwrap();
    ask(&client, SECRET).await.unwrap();
    server.speaks.lock().unwrap().0 = &[HTTP_1];
    let before = server.connections();
    let watches = (0..80).map(|number| format!("/api/v1/secrets?fieldSelector={number}&watch=true"));
    let open = futures::future::join_all(watches.map(async |path| ask(&client, &path).await)).await;
    assert!(open.iter().all(|watch| matches!(watch, Ok((Version::HTTP_11, _)))), "{open:?}");
    let more = server.connections() - before - 80;
    assert!(more <= 2, "{more} connections only to find it out");
}

#[test]
fn what_the_server_speaks_is_asked_first_and_again_after_ten_minutes_without_http_2() {
    let now = Instant::now();
    let mut known = Known::default();
    assert_eq!(known.next(now), Next::Ask);
    known.learn(Spoken::Http2, now);
    assert_eq!(known.next(now + AGAIN * 100), Next::Speak(Spoken::Http2), "as long as it does");
    known.learn(Spoken::Any, now);
    assert_eq!(known.next(now + AGAIN / 2), Next::Speak(Spoken::Any));
    assert_eq!(known.next(now + AGAIN), Next::SpeakAndAsk(Spoken::Any));
    assert_eq!(known.next(now + AGAIN), Next::Speak(Spoken::Any), "one asks");
    assert_eq!(known.next(now + AGAIN * 2), Next::SpeakAndAsk(Spoken::Any), "it did not answer");
    known.learn(Spoken::Http2, now + AGAIN * 2);
    assert_eq!(known.next(now + AGAIN * 2), Next::Speak(Spoken::Http2));
}

const WATCH: &str = "/api/v1/secrets?watch=true&timeoutSeconds=275&allowWatchBookmarks=true";

/// How long the first watch and the first call that a server was asked for last.
fn lasts(server: &Server) -> [String; 2] {
    let asked = server.asked.lock().unwrap();
    let of = |is_watch: bool| {
        let of = asked.iter().map(|(_, uri)| uri.query().unwrap()).find(|query| query.contains("watch") == is_watch);
        of.unwrap().to_owned()
    };
    [of(true), of(false)]
}

#[tokio::test]
async fn a_watch_lasts_as_long_as_asked_over_http_2_and_a_fifth_of_that_over_http_1() {
    for (speaks, expected) in [(&[BOTH], 275), (&[HTTP_1], 55)] {
        let server = server(speaks).await;
        let client = client(server.config.clone()).unwrap();
        ask(&client, WATCH).await.unwrap();
        ask(&client, "/api/v1/secrets?timeoutSeconds=275").await.unwrap();
        let [watch, call] = lasts(&server);
        assert_eq!(watch, format!("watch=true&timeoutSeconds={expected}&allowWatchBookmarks=true"));
        assert_eq!(call, "timeoutSeconds=275");
    }
}

/// Where what is between a client and a server listens. It forwards everything until it is `dead`.
async fn between(server: &Server, dead: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap().to_string();
    let (to, dead) = (server.config.cluster_url.authority().unwrap().to_string(), dead.clone());
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (to, dead) = (to.clone(), dead.clone());
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                dead.run_until_cancelled(tokio::io::copy_bidirectional(&mut from, &mut to)).await;
                futures::future::pending::<()>().await;
            });
        }
    });
    between
}

#[tokio::test]
async fn a_proxy_to_the_api_server_is_refused_with_the_way_out_and_without_its_password() {
    let mut config = Config::new("https://192.0.2.1:6443".parse().unwrap());
    config.proxy_url = Some("http://user:secret@192.0.2.2:3128".parse().unwrap());
    let shown = crate::operator::runtime::error::shown(&client(config).err().unwrap());
    assert!(shown.contains("HTTPS_PROXY") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_watch_over_a_connection_that_died_silently_is_given_up_soon_over_http_2_sooner() {
    for (speaks, within) in [(&[BOTH], 25), (&[HTTP_1], 80)] {
        let server = server(speaks).await;
        let dead = CancellationToken::new();
        let mut config = server.config.clone();
        config.cluster_url = format!("https://{}", between(&server, &dead).await).parse().unwrap();
        let client = client(config).unwrap();
        let (_, mut watch) = ask(&client, WATCH).await.unwrap();
        dead.cancel();
        tokio::time::pause();
        let begun = Instant::now();
        let ended = timeout(Duration::from_mins(10), watch.frame()).await.unwrap();
        tokio::time::resume();
        assert!(ended.is_some_and(|frame| frame.is_err()));
        assert!(begun.elapsed() <= Duration::from_secs(within), "{:?}", begun.elapsed());
    }
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
    let mut body = Held::new(StreamBody::new(Box::pin(parts.chain(silent))), turn, SILENCE);
    for _ in 0..3 {
        assert!(body.frame().await.unwrap().is_ok(), "it goes on");
    }
    let begun = Instant::now();
    assert!(body.frame().await.unwrap().is_err());
    assert!(begun.elapsed() >= SILENCE && begun.elapsed() < SILENCE + Duration::from_secs(1));
    drop(body);
    assert_eq!(turns.available_permits(), 1);
}
