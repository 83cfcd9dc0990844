//! Connections that are kept: for how long, and what is known when the other side closed them.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    sync::{Barrier, mpsc},
    time::{self, sleep},
};
use tokio_rustls::TlsAcceptor;

use super::{
    OK, outcome, post,
    server::{Fixed, Server, Then, certificate, read_request},
    unclear, within,
};
use crate::NoAnswer;
use crate::{Connector, Policy};

#[tokio::test]
async fn what_the_provider_closed_before_the_request_was_written_is_sent_over_another_connection() {
    let (config, ca) = certificate();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let (closed, mut is_closed) = mpsc::channel(1);
    let (close, mut may_close) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_request(&mut stream).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
            may_close.recv().await;
            // no close of TLS, as a process that ends leaves it
            drop(stream);
            closed.send(()).await.unwrap();
        }
    });
    let policy =
        Policy { allowed_cidrs: vec!["127.0.0.1/32".parse().unwrap()], extra_roots_pem: Some(ca), ..Policy::default() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap();
    for turn in 0..20 {
        assert_eq!(outcome(&connector, &post(port)).await, Ok((200, b"hi".to_vec())), "turn {turn}");
        close.send(()).await.unwrap();
        // from here the runtime does not look at sockets before the next request is on its way
        is_closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_given_up_before_servers_close_it() {
    for (said, idle, connections) in [
        ("", 3, 1),
        ("", 5, 2),
        ("keep-alive: timeout=5, max=100\r\n", 3, 1),
        ("keep-alive: timeout=5\r\n", 5, 2),
        ("Keep-Alive: max=7, Timeout = 60\r\n", 50, 1),
        ("keep-alive: timeout=60\r\n", 60, 2),
        ("keep-alive: timeout=2\r\n", 2, 2),
        ("keep-alive: timeout=0\r\n", 0, 2),
        ("keep-alive: timeout=never\r\n", 3, 1),
        ("keep-alive: timeout=9999999999\r\n", 80, 1),
        ("keep-alive: timeout=9999999999\r\n", 100, 2),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{said}content-length: 2\r\n\r\nhi");
        let server = Server::that(Then::Answer(answer)).await;
        let connector = server.connector();
        assert!(outcome(&connector, &post(server.address.port())).await.is_ok());
        time::pause();
        time::advance(Duration::from_secs(idle)).await;
        time::resume();
        assert!(outcome(&connector, &post(server.address.port())).await.is_ok());
        assert_eq!(server.connections(), connections, "{said:?} and {idle} s");
    }
}

#[tokio::test]
async fn idle_connections_are_closed_although_nobody_calls() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let connector = server.connector();
    assert!(outcome(&connector, &post(server.address.port())).await.is_ok());
    assert_eq!(server.open(), 1);
    time::pause();
    for _ in 0..10 {
        time::advance(Duration::from_secs(1)).await;
    }
    time::resume();
    for _ in 0..200 {
        if server.open() == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("still open");
}

#[tokio::test]
async fn a_provider_that_says_close_is_believed() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    let server = Server::that(Then::Answer(answer.into())).await;
    let connector = server.connector();
    for _ in 0..3 {
        assert!(outcome(&connector, &post(server.address.port())).await.is_ok());
    }
    assert_eq!((server.connections(), server.requests()), (3, 3));
}

#[tokio::test]
async fn a_kept_connection_that_is_lost_after_the_request_was_written_is_unclear() {
    let server = Server::that(Then::AnswerThenRead(OK.into())).await;
    let connector = server.connector();
    assert!(outcome(&connector, &post(server.address.port())).await.is_ok());
    assert_eq!(outcome(&connector, &post(server.address.port())).await, unclear(NoAnswer::Reset));
    assert_eq!((server.connections(), server.requests()), (1, 2), "it was received, and is not sent again");
}

#[tokio::test]
async fn more_connections_than_a_burst_needs_are_not_reopened() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let connector = server.connector();
    for _ in 0..3 {
        let request = post(server.address.port());
        let burst = futures::future::join_all((0..64).map(|_| outcome(&connector, &request))).await;
        assert!(burst.iter().all(Result::is_ok), "{burst:?}");
    }
    assert_eq!((server.connections(), server.requests()), (64, 192));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_run_opens_as_many_connections_as_it_has_callers_and_no_more() {
    for callers in [64, 128] {
        let server = Server::that(Then::AnswerAfter(OK.into(), Duration::from_millis(5))).await;
        let (connector, request) = (server.connector(), post(server.address.port()));
        let all = Arc::new(Barrier::new(callers));
        let calling = (0..callers).map(|_| {
            let (connector, request, all) = (connector.clone(), request.clone(), Arc::clone(&all));
            tokio::spawn(async move {
                for turn in 0..10 {
                    connector.send(&request, within(60_000), 1024).await.unwrap();
                    if turn == 0 {
                        all.wait().await;
                    }
                }
            })
        });
        for caller in futures::future::join_all(calling).await {
            caller.unwrap();
        }
        assert_eq!(server.requests(), callers * 10);
        assert!(server.connections() <= callers, "{} for {callers} callers", server.connections());
    }
}

#[tokio::test]
async fn what_a_burst_needed_is_kept_for_the_next_one_and_trimmed_when_it_does_not_come() {
    let answer = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=60\r\ncontent-length: 2\r\n\r\nhi";
    let server = Server::that(Then::Answer(answer.into())).await;
    let (connector, request) = (server.connector(), post(server.address.port()));
    for _ in 0..2 {
        let burst = futures::future::join_all((0..200).map(|_| outcome(&connector, &request))).await;
        assert!(burst.iter().all(Result::is_ok), "{burst:?}");
        assert_eq!(server.connections(), 200);
    }
    for (seconds, open) in [(9, 200), (2, 32), (40, 32), (10, 0)] {
        time::pause();
        for _ in 0..seconds {
            time::advance(Duration::from_secs(1)).await;
        }
        time::resume();
        for _ in 0..500 {
            if server.open() == open {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.open(), open);
    }
}

#[tokio::test]
async fn a_provider_that_closed_a_connection_early_gets_the_next_ones_for_half_the_time() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (connector, request) = (server.connector(), post(server.address.port()));
    let idle = async |millis| {
        time::pause();
        time::advance(Duration::from_millis(millis)).await;
        time::resume();
    };
    assert!(outcome(&connector, &request).await.is_ok());
    idle(2_000).await;
    server.close_all().await;
    for (waited, connections) in [(0, 2), (900, 2), (1_100, 3)] {
        idle(waited).await;
        assert!(outcome(&connector, &request).await.is_ok());
        assert_eq!(server.connections(), connections, "after {waited} ms");
    }
}

/// A provider that answers and closes a moment later without a word; what became of calls with a pause after each.
async fn unclear_of(calls: u32, closes_after: Duration, pause: Duration) -> (u32, usize) {
    let server = Server::that(Then::AnswerAndCloseAfter(OK.into(), closes_after)).await;
    let (connector, request) = (server.connector(), post(server.address.port()));
    let mut unclear = 0;
    for _ in 0..calls {
        unclear += u32::from(outcome(&connector, &request).await.is_err());
        let begun = std::time::Instant::now();
        while begun.elapsed() < pause {
            tokio::task::yield_now().await;
        }
    }
    (unclear, server.connections())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_provider_that_closes_right_after_each_answer_few_messages_are_unclear() {
    for pause in [0, 1_000, 2_000].map(Duration::from_micros) {
        let (unclear, connections) = unclear_of(400, Duration::from_millis(1), pause).await;
        assert!(unclear <= 6, "{unclear} of 400 with {pause:?} between, {connections} connections");
    }
}

#[tokio::test]
async fn a_restart_of_the_provider_costs_new_connections_for_a_moment_alone() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (connector, request) = (server.connector(), post(server.address.port()));
    assert!(outcome(&connector, &request).await.is_ok());
    server.close_all().await;
    assert!(outcome(&connector, &request).await.is_ok());
    time::pause();
    time::advance(Duration::from_secs(2)).await;
    time::resume();
    for _ in 0..50 {
        assert!(outcome(&connector, &request).await.is_ok());
    }
    assert!(server.connections() <= 4, "{}", server.connections());
}
