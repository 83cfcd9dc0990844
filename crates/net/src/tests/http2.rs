//! HTTP/2: one connection, many requests, and what is known of those that had to wait for their turn.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    time::{self, sleep},
};
use tokio_rustls::TlsAcceptor;

use super::{
    not_sent, outcome, post,
    server::{Fixed, certificate},
    unclear, within,
};
use crate::{
    Connector, Policy, Request, SendError,
    connector::{Failure, Outgoing},
    pool::{Connection, MOST_SHARED, Origin, Way},
};
use crate::{NoAnswer, Unsent};

/// A provider that speaks HTTP/2 and takes `streams` requests at once.
struct Provider {
    at: SocketAddr,
    ca: String,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Bodies that came whole, in the order in which they came.
    messages: Arc<Mutex<Vec<String>>>,
    /// Each request needs one of these before it is answered.
    turns: Arc<Semaphore>,
}

impl Provider {
    async fn taking(streams: u32) -> Self {
        Self::taking_over(streams, usize::MAX).await
    }

    /// One that closes connections beyond so many at once.
    async fn taking_over(streams: u32, most: usize) -> Self {
        let (mut config, ca) = certificate();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let at = listener.local_addr().unwrap();
        let provider = Self {
            at,
            ca,
            connections: Arc::default(),
            open: Arc::default(),
            messages: Arc::default(),
            turns: Arc::new(Semaphore::new(0)),
        };
        let (connections, open) = (Arc::clone(&provider.connections), Arc::clone(&provider.open));
        let (messages, turns) = (Arc::clone(&provider.messages), Arc::clone(&provider.turns));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                if open.load(Ordering::SeqCst) >= most {
                    continue;
                }
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let (messages, turns) = (Arc::clone(&messages), Arc::clone(&turns));
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (messages, turns) = (Arc::clone(&messages), Arc::clone(&turns));
                    async move {
                        let version = request.version();
                        let body = request.into_body().collect().await?.to_bytes();
                        let text = String::from_utf8_lossy(&body).into_owned();
                        messages.lock().unwrap().push(text.clone());
                        turns.acquire().await.unwrap().forget();
                        Ok::<_, hyper::Error>(http::Response::new(format!("{version:?} {text}")))
                    }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(streams);
                open.fetch_add(1, Ordering::SeqCst);
                let (serving, open) = (builder.serve_connection(TokioIo::new(stream), service), Arc::clone(&open));
                tokio::spawn(async move {
                    let _ = serving.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        provider
    }

    fn connector(&self) -> Connector {
        trusting(&self.ca)
    }

    fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many messages have come, answered or not.
    async fn has(&self, messages: usize) {
        for _ in 0..1_000 {
            if self.messages().len() >= messages {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{} of {messages} messages came", self.messages().len());
    }

    /// Sends so many messages at once, and lets the provider answer them when `held` of them have come; how many were answered.
    async fn burst(&self, connector: &Connector, of: usize, held: usize) -> usize {
        let (before, port) = (self.messages().len(), self.at.port());
        let requests: Vec<Request> = (0..of).map(|n| message(port, &format!("code={n}"))).collect();
        let sending = join_all(requests.iter().map(|request| outcome(connector, request)));
        let answering = async {
            self.has(before + held).await;
            self.turns.add_permits(of);
        };
        let (sent, ()) = tokio::join!(sending, answering);
        sent.iter().filter(|sent| sent.is_ok()).count()
    }
}

fn trusting(ca: &str) -> Connector {
    let policy = Policy {
        allowed_cidrs: vec!["127.0.0.1/32".parse().unwrap()],
        extra_roots_pem: Some(ca.to_owned()),
        ..Policy::default()
    };
    Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap()
}

/// A provider that takes one whole request, answers with these bytes in place of HTTP/2's frames, and closes.
async fn that_answers_with(frame: &'static [u8]) -> (u16, String) {
    let (mut config, ca) = certificate();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        // settings, and the acknowledgement of the other side's
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"code=1234") {
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
        }
        stream.write_all(frame).await.unwrap();
        let _ = stream.shutdown().await;
    });
    (port, ca)
}

fn message(port: u16, text: &str) -> Request {
    Request { body: hookswitch_message::Secret::new(text.as_bytes().to_vec()), ..post(port) }
}

#[tokio::test]
async fn http2_is_spoken_where_the_provider_offers_it_over_one_connection() {
    let provider = Provider::taking(100).await;
    provider.turns.add_permits(2);
    let connector = provider.connector();
    for _ in 0..2 {
        let answered = outcome(&connector, &post(provider.at.port())).await;
        assert_eq!(answered, Ok((200, b"HTTP/2.0 code=1234".to_vec())));
    }
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn a_shared_connection_that_did_not_answer_is_not_used_again() {
    let provider = Provider::taking(100).await;
    let (connector, port) = (provider.connector(), provider.at.port());
    let silent = connector.send(&message(port, "first"), within(300), 1024).await;
    assert_eq!(silent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
    // one for each, so that the first cannot take the second's
    provider.turns.add_permits(2);
    assert!(outcome(&connector, &message(port, "second")).await.is_ok());
    assert_eq!(provider.connections(), 2);
}

#[tokio::test]
async fn a_request_that_waited_for_room_until_time_was_up_never_leaves() {
    let provider = Provider::taking(1).await;
    let (connector, port) = (provider.connector(), provider.at.port());
    assert_eq!(provider.burst(&connector, 1, 1).await, 1);
    let filling = async {
        let sent = provider.burst(&connector, MOST_SHARED, MOST_SHARED + 1).await;
        assert_eq!(sent, MOST_SHARED);
    };
    let parked = async {
        provider.has(1 + MOST_SHARED).await;
        let parked = connector.send(&message(port, "parked"), within(100), 1024).await;
        assert_eq!(parked.map(|answer| answer.status), Err(SendError::Full));
        // the last that the burst waits for before it is answered
        provider.messages.lock().unwrap().push("none".to_owned());
    };
    tokio::join!(filling, parked);
    provider.turns.add_permits(1);
    assert!(outcome(&connector, &message(port, "last")).await.is_ok());
    let messages = provider.messages();
    assert!(messages.contains(&"last".to_owned()) && !messages.contains(&"parked".to_owned()), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_that_wait_for_one_stream_none_that_is_judged_not_sent_is_delivered() {
    let provider = Provider::taking(1).await;
    let (connector, port) = (provider.connector(), provider.at.port());
    let turns = Arc::clone(&provider.turns);
    let serving = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(3)).await;
            turns.add_permits(1);
        }
    });
    assert!(outcome(&connector, &message(port, "warm")).await.is_ok());
    let mut judged = BTreeSet::new();
    for round in 0..6 {
        let sending: FuturesUnordered<_> = (0..50)
            .map(|turn| {
                let text = format!("code={round}-{turn}");
                let connector = &connector;
                async move { (connector.send(&message(port, &text), within(10 + turn), 1024).await, text) }
            })
            .collect();
        let sent: Vec<_> = sending.collect().await;
        judged.extend(
            sent.into_iter().filter(|(sent, _)| matches!(sent, Err(SendError::NotSent { .. }))).map(|(_, text)| text),
        );
    }
    assert!(outcome(&connector, &message(port, "last")).await.is_ok());
    sleep(Duration::from_millis(300)).await;
    serving.abort();
    assert!(judged.len() > 50, "{} had to wait too long", judged.len());
    let delivered: Vec<_> = provider.messages().into_iter().filter(|text| judged.contains(text)).collect();
    assert_eq!(delivered, Vec::<String>::new(), "of {} judged not sent", judged.len());
}

#[tokio::test]
async fn what_the_provider_says_it_did_not_process_was_not_sent() {
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const FAILED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    const GONE_BEFORE_IT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const GONE_AFTER_IT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    for (frame, expected, what) in [
        (REFUSED, not_sent(Unsent::Connect), "the stream is refused"),
        (GONE_BEFORE_IT, not_sent(Unsent::Connect), "the last stream it takes is an earlier one"),
        (FAILED, unclear(NoAnswer::Reset), "the stream ended by an error"),
        (GONE_AFTER_IT, unclear(NoAnswer::Reset), "the last stream it takes is this one"),
        (&[], unclear(NoAnswer::Reset), "the connection ended"),
    ] {
        let (port, ca) = that_answers_with(frame).await;
        assert_eq!(outcome(&trusting(&ca), &post(port)).await, expected, "{what}");
    }
}

#[tokio::test]
async fn what_does_not_fit_on_a_connection_gets_another_one_at_once() {
    let provider = Provider::taking(1).await;
    let connector = provider.connector();
    for burst in 0..5 {
        assert_eq!(provider.burst(&connector, 12, 12).await, 12, "burst {burst}");
    }
    let mut messages = provider.messages();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!((provider.messages().len(), messages.len()), (60, 12), "each once a burst");
    assert_eq!(provider.connections(), 12, "and the connections are kept");
}

#[tokio::test]
async fn where_a_connection_has_room_for_all_it_is_shared_by_all() {
    let provider = Provider::taking(100).await;
    let connector = provider.connector();
    assert_eq!(provider.burst(&connector, 1, 1).await, 1);
    assert_eq!(provider.burst(&connector, 64, 64).await, 64);
    assert_eq!(provider.connections(), 1);
    assert_eq!(provider.burst(&connector, 150, 150).await, 150);
    assert!(provider.connections() > 1, "a hundred at once, and no more");
}

#[tokio::test]
async fn connections_to_one_provider_are_bounded_and_who_finds_none_waits_for_room() {
    let provider = Provider::taking(1).await;
    let connector = provider.connector();
    assert_eq!(provider.burst(&connector, 1, 1).await, 1);
    assert_eq!(provider.burst(&connector, MOST_SHARED + 8, MOST_SHARED).await, MOST_SHARED + 8);
    assert_eq!(provider.connections(), MOST_SHARED);
}

#[tokio::test]
async fn a_provider_that_takes_few_connections_is_sent_all_messages_over_those_and_asked_for_no_more() {
    let provider = Provider::taking_over(1, 2).await;
    let connector = provider.connector();
    assert_eq!(provider.burst(&connector, 1, 1).await, 1);
    assert_eq!(provider.burst(&connector, 2, 2).await, 2);
    assert_eq!(provider.burst(&connector, 12, 2).await, 12);
    let tried = provider.connections();
    assert_eq!(provider.burst(&connector, 12, 2).await, 12);
    assert_eq!((provider.connections(), provider.open.load(Ordering::SeqCst)), (tried, 2));
    assert_eq!(provider.messages().len(), 27);
}

#[tokio::test]
async fn connections_beyond_the_first_go_away_when_they_are_idle() {
    let provider = Provider::taking(1).await;
    let connector = provider.connector();
    assert_eq!(provider.burst(&connector, 12, 12).await, 12);
    time::pause();
    for _ in 0..12 {
        time::advance(Duration::from_secs(1)).await;
    }
    time::resume();
    for _ in 0..400 {
        if provider.open.load(Ordering::SeqCst) == 1 {
            provider.turns.add_permits(1);
            assert!(outcome(&connector, &message(provider.at.port(), "last")).await.is_ok());
            assert_eq!(provider.connections(), 12, "the one that is left is used");
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{} are open", provider.open.load(Ordering::SeqCst));
}

#[tokio::test]
async fn connections_that_were_as_silent_as_the_one_that_did_not_answer_are_not_used_again() {
    let provider = Provider::taking(1).await;
    let (connector, port) = (provider.connector(), provider.at.port());
    assert_eq!(provider.burst(&connector, 2, 2).await, 2);
    let silent = connector.send(&message(port, "first"), within(300), 1024).await;
    assert_eq!(silent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
    provider.turns.add_permits(2);
    assert!(outcome(&connector, &message(port, "second")).await.is_ok());
    assert_eq!(provider.connections(), 3);
}

/// SETTINGS without any, and the acknowledgement of the other side's.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
/// `:status: 200` on stream 1, more to come.
const HEAD: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
/// `:status: 200` on stream 1, and the end.
const WHOLE: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
/// GOAWAY without an error, after stream 1.
const GOING: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// A provider that opens its connections with these frames, answers the first message of each with those, and stays. With how
/// many connections and messages there were.
async fn of_frames(script: Vec<(&'static [u8], Vec<&'static [u8]>)>) -> (u16, String, Arc<Mutex<(usize, usize)>>) {
    let (mut config, ca) = certificate();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, received) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new((0, 0))));
    let counted = Arc::clone(&received);
    tokio::spawn(async move {
        for (opening, answer) in script {
            let (stream, _) = listener.accept().await.unwrap();
            counted.lock().unwrap().0 += 1;
            let (mut stream, counted) = (acceptor.accept(stream).await.unwrap(), Arc::clone(&counted));
            tokio::spawn(async move {
                stream.write_all(opening).await.unwrap();
                let (mut read, mut answered) = (Vec::new(), false);
                while stream.read_buf(&mut read).await.is_ok_and(|read| read > 0) {
                    if !answered && read.windows(9).any(|bytes| bytes == b"code=1234") {
                        answered = true;
                        counted.lock().unwrap().1 += 1;
                        for frame in &answer {
                            stream.write_all(frame).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    (port, ca, received)
}

#[tokio::test]
async fn a_connection_that_took_a_message_and_went_silent_within_the_answer_is_not_used_again() {
    let (port, ca, received) = of_frames(vec![(SETTINGS, vec![HEAD]), (SETTINGS, vec![WHOLE])]).await;
    let connector = trusting(&ca);
    let silent = connector.send(&post(port), within(300), 1024).await;
    assert_eq!(silent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
    assert_eq!(connector.send(&post(port), within(2_000), 1024).await.map(|answer| answer.status), Ok(200));
    assert_eq!(*received.lock().unwrap(), (2, 2));
}

#[tokio::test]
async fn a_connection_whose_provider_says_that_it_goes_away_is_replaced() {
    let (port, ca, received) = of_frames(vec![(SETTINGS, vec![WHOLE, GOING]), (SETTINGS, vec![WHOLE])]).await;
    let connector = trusting(&ca);
    for _ in 0..2 {
        assert_eq!(connector.send(&post(port), within(2_000), 1024).await.map(|answer| answer.status), Ok(200));
    }
    assert_eq!(*received.lock().unwrap(), (2, 2), "each message once");
}

#[tokio::test]
async fn a_message_that_waits_on_a_kept_connection_is_taken_back_for_another_one() {
    let provider = Provider::taking(1).await;
    let (connector, port) = (provider.connector(), provider.at.port());
    assert_eq!(provider.burst(&connector, 1, 1).await, 1);
    let first = message(port, "first");
    let origin = Origin::of(&first.url);
    let Way::Kept(Connection::Http2(turn)) = connector.pool.as_ref().unwrap().way(&origin, false) else {
        panic!("not kept")
    };
    // one more than the provider takes, as when it takes fewer from one moment to the next
    let beyond = turn.connection().turn();
    let second = message(port, "second");
    let (first, second) = (Outgoing::of(&first).unwrap(), Outgoing::of(&second).unwrap());
    let times = |patience| (Duration::from_millis(patience), within(5_000));
    let waiting = async {
        provider.has(2).await;
        let taken_back = connector.over_shared(beyond, &second, &origin, times(50), 1024).await;
        provider.turns.add_permits(1);
        taken_back
    };
    let (sent, taken_back) = tokio::join!(connector.over_shared(turn, &first, &origin, times(5_000), 1024), waiting);
    assert!(matches!(taken_back, Err(Failure::Unsent)), "{taken_back:?}");
    assert!(sent.is_ok(), "{sent:?}");
    provider.turns.add_permits(8);
    assert!(outcome(&connector, &message(port, "third")).await.is_ok());
    assert_eq!(provider.messages(), ["code=0", "first", "third"]);
    assert_eq!(provider.connections(), 2, "it is not asked again");
}
