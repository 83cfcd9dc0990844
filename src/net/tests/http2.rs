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

use futures::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{
    not_sent, outcome, post,
    server::{Fixed, certificate},
    unclear, within,
};
use crate::net::{Connector, Policy, Request, SendError};

/// A carrier that speaks HTTP/2 and takes `streams` requests at once.
struct Carrier {
    at: SocketAddr,
    ca: String,
    connections: Arc<AtomicUsize>,
    /// Bodies that came whole, in the order in which they came.
    messages: Arc<Mutex<Vec<String>>>,
    /// Each request needs one of these before it is answered.
    turns: Arc<Semaphore>,
}

impl Carrier {
    async fn taking(streams: u32) -> Self {
        let (mut config, ca) = certificate();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let at = listener.local_addr().unwrap();
        let carrier =
            Self { at, ca, connections: Arc::default(), messages: Arc::default(), turns: Arc::new(Semaphore::new(0)) };
        let (connections, messages, turns) =
            (Arc::clone(&carrier.connections), Arc::clone(&carrier.messages), Arc::clone(&carrier.turns));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
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
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        carrier
    }

    fn connector(&self) -> Connector {
        trusting(&self.ca)
    }

    fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
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

/// A carrier that takes one whole request, answers with these bytes in place of HTTP/2's frames, and closes.
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
        let mut seen = Vec::new();
        while !seen.ends_with(b"code=1234") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stream.write_all(frame).await.unwrap();
        let _ = stream.shutdown().await;
    });
    (port, ca)
}

fn message(port: u16, text: &str) -> Request {
    Request { body: crate::message::Secret::new(text.as_bytes().to_vec()), ..post(port) }
}

#[tokio::test]
async fn http2_is_spoken_where_the_carrier_offers_it_over_one_connection() {
    let carrier = Carrier::taking(100).await;
    carrier.turns.add_permits(2);
    let connector = carrier.connector();
    for _ in 0..2 {
        let answered = outcome(&connector, &post(carrier.at.port())).await;
        assert_eq!(answered, Ok((200, b"HTTP/2.0 code=1234".to_vec())));
    }
    assert_eq!(carrier.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shared_connection_that_did_not_answer_is_not_used_again() {
    let carrier = Carrier::taking(100).await;
    let (connector, port) = (carrier.connector(), carrier.at.port());
    let silent = connector.send(&message(port, "first"), within(300), 1024).await;
    assert_eq!(silent.map(|answer| answer.status), unclear("timeout"));
    // one for each, so that the first cannot take the second's
    carrier.turns.add_permits(2);
    assert!(outcome(&connector, &message(port, "second")).await.is_ok());
    assert_eq!(carrier.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_that_waited_for_its_turn_until_time_was_up_never_leaves() {
    let carrier = Carrier::taking(1).await;
    let (connector, port) = (carrier.connector(), carrier.at.port());
    carrier.turns.add_permits(1);
    assert!(outcome(&connector, &message(port, "warm")).await.is_ok());
    let first = tokio::spawn({
        let connector = connector.clone();
        async move { outcome(&connector, &message(port, "first")).await }
    });
    while carrier.messages().len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let parked = connector.send(&message(port, "parked"), within(100), 1024).await;
    assert_eq!(parked.map(|answer| answer.status), not_sent("timeout-connect"));
    carrier.turns.add_permits(1);
    assert!(first.await.unwrap().is_ok());
    // whatever was parked has had its turn when this one comes through
    carrier.turns.add_permits(8);
    assert!(outcome(&connector, &message(port, "last")).await.is_ok());
    assert_eq!(carrier.messages(), ["warm", "first", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_that_wait_for_one_stream_none_that_is_judged_not_sent_is_delivered() {
    let carrier = Carrier::taking(1).await;
    let (connector, port) = (carrier.connector(), carrier.at.port());
    let turns = Arc::clone(&carrier.turns);
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
    let delivered: Vec<_> = carrier.messages().into_iter().filter(|text| judged.contains(text)).collect();
    assert_eq!(delivered, Vec::<String>::new(), "of {} judged not sent", judged.len());
}

#[tokio::test]
async fn what_the_carrier_says_it_did_not_look_at_was_not_sent() {
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const FAILED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    const GONE_BEFORE_IT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const GONE_AFTER_IT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    for (frame, expected, what) in [
        (REFUSED, not_sent("connect"), "the stream is refused"),
        (GONE_BEFORE_IT, not_sent("connect"), "the last stream it takes is an earlier one"),
        (FAILED, unclear("reset"), "the stream ended by an error"),
        (GONE_AFTER_IT, unclear("reset"), "the last stream it takes is this one"),
        (&[], unclear("reset"), "the connection ended"),
    ] {
        let (port, ca) = that_answers_with(frame).await;
        assert_eq!(outcome(&trusting(&ca), &post(port)).await, expected, "{what}");
    }
}
