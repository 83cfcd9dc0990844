//! Attacks on a gateway as it is delivered: each is bounded in what it takes and for how long, and costs no call of Okta's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use hookswitch_gateway_config::document::Action;
use hookswitch_sandbox::faults::FaultKind;
use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use crate::scene::{Line, SECRET, rule, sms};
use crate::subject::{
    CONNECTIONS, Figures, MEMORY_KIB, OF_ONE, OKTA, PATIENCE, Subject, alone, event, is_full, stranger, tell,
};

/// Connections made at the same time.
const AT_ONCE: usize = 16;
/// Connections that have lost their place and are just being closed.
const CLOSING: usize = 256;

/// What an attack found, and what became of it.
struct Attack<'a> {
    subject: &'a Subject,
    name: &'a str,
    before: Figures,
    kept: Line,
}

impl<'a> Attack<'a> {
    /// Begins one, with a connection that Okta has kept since before.
    async fn begin(subject: &'a Subject, name: &'a str) -> Self {
        let mut kept = subject.line(OKTA).await.unwrap();
        let got = kept.call(&sms(&event())).await.unwrap();
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
        subject.forget_peak();
        Self { subject, name, before: subject.figures(), kept }
    }

    /// While it lasts: what is held is bounded, and calls go on.
    async fn lasts(&mut self) -> (usize, usize) {
        let held = self.subject.held();
        assert!((1..=CONNECTIONS + CLOSING).contains(&held), "{}: {held} connections are held", self.name);
        self.subject.calls_go_on(&mut self.kept, self.name).await
    }

    /// After it: all is given back, and memory was bounded all the time.
    async fn ends(self, (calls, reopened): (usize, usize), what: &str) {
        let Self { subject, name, before, kept } = self;
        let peak = subject.figures().peak_kib;
        assert!(peak <= MEMORY_KIB, "{name}: {peak} KiB");
        let after = subject.until_quiet(before).await;
        let got = subject.fresh().await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
        tell(format_args!(
            "attack: {name}: {what}; calls {calls} of {calls} successful, kept connection reopened {reopened} times; memory \
             KiB {} before, {peak} at most; files {} before, {} after",
            before.memory_kib, before.files, after.files
        ));
        drop(kept);
    }
}

#[tokio::test]
async fn idle_connections_hold_as_many_places_as_there_are_and_no_longer_than_a_handshake_may() {
    let idle: usize = if is_full() { 10_000 } else { 2_500 };
    let _alone = alone().await;
    let subject = Subject::new(|_| {}).await;
    for (name, sources) in
        [("idle from Okta's address", 0), ("idle from one address", 1), ("idle from 250 addresses", 250)]
    {
        let mut attack = Attack::begin(&subject, name).await;
        let closed = subject.closed(&["limit", "handshake"]).await;
        let opened = stream::iter(0..idle).map(|number| {
            let from = if sources == 0 { OKTA.to_owned() } else { stranger(number % sources) };
            let subject = &subject;
            async move { subject.tcp(&from).await.unwrap() }
        });
        let held: Vec<_> = opened.buffer_unordered(AT_ONCE).collect().await;
        let calls = attack.lasts().await;
        assert_eq!(calls.1, 0, "who is known keeps the connection");
        // all of them, while their other side holds them open still
        subject.until_closed(&["limit", "handshake"], closed + idle).await;
        drop(held);
        attack.ends(calls, &format!("{idle} of {idle} closed")).await;
    }
}

#[tokio::test]
async fn half_handshakes_are_bounded_in_memory_and_end_in_time() {
    const HALVES: usize = 2_000;
    let _alone = alone().await;
    let subject = Subject::new(|_| {}).await;
    // a ClientHello that says it has 65,000 bytes, of which 60,000 come
    let mut hello = vec![1, 0, 0xfd, 0xe8];
    hello.resize(60_000, 0x5a);
    let records = hello.chunks(16_000).flat_map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[22, 3, 1, length[0], length[1]][..], piece].concat()
    });
    let records: Vec<u8> = records.collect();
    for (name, sources) in [("half handshakes from one address", 1), ("half handshakes from 200 addresses", 200)] {
        let mut attack = Attack::begin(&subject, name).await;
        let closed = subject.closed(&["limit", "handshake"]).await;
        let begin = |number: usize| {
            let (subject, records) = (&subject, &records);
            async move {
                let mut stream = subject.tcp(&stranger(number % sources)).await.unwrap();
                // who is closed meanwhile cannot write on
                let _ = timeout(Duration::from_secs(1), stream.write_all(records)).await;
                stream
            }
        };
        let held: Vec<_> = stream::iter(0..HALVES).map(begin).buffer_unordered(AT_ONCE).collect().await;
        let calls = attack.lasts().await;
        assert_eq!(calls.1, 0, "who is known keeps the connection");
        subject.until_closed(&["limit", "handshake"], closed + HALVES).await;
        drop(held);
        let grown = subject.figures().peak_kib - attack.before.memory_kib;
        assert!(grown <= 32 * CONNECTIONS as u64, "{grown} KiB for {CONNECTIONS} connections");
        attack.ends(calls, "2,000 of 2,000 closed").await;
    }
}

#[tokio::test]
async fn slow_heads_are_closed_in_time() {
    const SLOW: usize = 1_200;
    let _alone = alone().await;
    let subject = Subject::new(|_| {}).await;
    let mut attack = Attack::begin(&subject, "slow heads from 100 addresses").await;
    let bounds = ["limit", "handshake", "silent"];
    let closed = subject.closed(&bounds).await;
    let open = stream::iter(0..SLOW).map(|number| {
        let subject = &subject;
        async move { subject.line(&stranger(number % 100)).await }
    });
    let lines: Vec<_> = open.buffer_unordered(AT_ONCE).collect().await;
    let head = format!("POST /hooks/h HTTP/1.1\r\nhost: localhost\r\nx-slow: {}", "a".repeat(14_000));
    let slow = lines.into_iter().map(|line| {
        let mut next = head.as_bytes();
        async move {
            // who was not let in has been closed for another already
            let Some(mut line) = line else { return };
            while line.0.write_all(next).await.is_ok() && line.0.flush().await.is_ok() {
                next = b"a";
                if timeout(Duration::from_millis(250), line.closed()).await.is_ok() {
                    break;
                }
            }
        }
    });
    let (calls, _) =
        join(attack.lasts(), async { timeout(PATIENCE, join_all(slow)).await.expect("each comes to an end") }).await;
    assert_eq!(calls.1, 0, "who is known keeps the connection");
    subject.until_closed(&bounds, closed + SLOW).await;
    attack.ends(calls, "1,200 of 1,200 closed").await;
}

/// What a slow body says before it says nothing more.
fn half_a_body(chunked: bool, length: usize) -> Vec<u8> {
    let head = format!("POST /hooks/h HTTP/1.1\r\nhost: localhost\r\nauthorization: {SECRET}\r\n");
    if chunked {
        let chunks = "1\r\na\r\n".repeat(length);
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}").into_bytes()
    } else {
        format!("{head}content-length: 65000\r\n\r\n{}", "a".repeat(length)).into_bytes()
    }
}

#[tokio::test]
async fn slow_bodies_with_the_secret_are_answered_in_time_and_shut_nobody_out() {
    const SLOW: usize = 1_200;
    let _alone = alone().await;
    for (name, sources, chunked, length) in [
        ("slow bodies with the secret from one address", 1, false, 8_000),
        ("slow bodies with the secret from 100 addresses", 100, false, 8_000),
        ("slow large bodies with the secret from 100 addresses", 100, false, 60_000),
        ("slow bodies in chunks of a byte, with the secret, from 100 addresses", 100, true, 20_000),
    ] {
        let subject = Subject::new(|_| {}).await;
        let mut attack = Attack::begin(&subject, name).await;
        let open = stream::iter(0..SLOW).map(|number| {
            let subject = &subject;
            async move { subject.line(&stranger(number % sources)).await }
        });
        let lines: Vec<_> = open.buffer_unordered(AT_ONCE).collect().await;
        let body = half_a_body(chunked, length);
        let [sent, answered, closed] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let all_sent = Arc::clone(&sent);
        let slow = lines.into_iter().map(|line| {
            let (body, sent) = (&body, Arc::clone(&sent));
            let (answered, closed) = (Arc::clone(&answered), Arc::clone(&closed));
            async move {
                let mut said = [0; 512];
                let mut line = line;
                if let Some(line) = &mut line {
                    let _ = line.0.write_all(body).await;
                    let _ = line.0.flush().await;
                }
                sent.fetch_add(1, Ordering::Relaxed);
                let read = match line {
                    Some(mut line) => line.0.read(&mut said).await.unwrap_or(0),
                    None => 0,
                };
                if read == 0 {
                    closed.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let said = String::from_utf8_lossy(&said[..read]).into_owned();
                assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("FAILED"), "{said}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        let lasting = async {
            while all_sent.load(Ordering::Relaxed) < SLOW {
                sleep(Duration::from_millis(5)).await;
            }
            attack.lasts().await
        };
        let slow = async { timeout(PATIENCE, join_all(slow)).await.expect("each comes to an end") };
        let (calls, _) = join(lasting, slow).await;
        let (answered, closed) = (answered.load(Ordering::Relaxed), closed.load(Ordering::Relaxed));
        assert_eq!(answered + closed, SLOW);
        assert_eq!(subject.scene.asked("two"), 0, "none of it is sent");
        attack.ends(calls, &format!("{answered} answered FAILED, {closed} closed for others")).await;
    }
}

#[tokio::test]
async fn a_flood_without_the_secret_is_refused_and_nothing_of_it_reaches_a_provider() {
    const FLOOD: usize = 600;
    let _alone = alone().await;
    let subject = Subject::new(|_| {}).await;
    for (name, sources) in [("wrong secrets from one address", 1), ("wrong secrets from 200 addresses", 200)] {
        let mut attack = Attack::begin(&subject, name).await;
        let refused = subject.counted("unauthorised_total", "hook=\"h\"").await;
        let sent = subject.counted("attempts_total", "").await;
        let knock = |number: usize| {
            let subject = &subject;
            async move {
                let mut line = subject.line(&stranger(number % sources)).await.expect("let in");
                line.write("POST /hooks/h HTTP/1.1\r\nhost: x\r\nauthorization: wrong\r\ncontent-length: 0\r\n\r\n")
                    .await;
                let mut answer = Vec::new();
                let _ = line.0.read_to_end(&mut answer).await;
                assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&answer));
            }
        };
        let flood = stream::iter(0..FLOOD).map(knock).buffer_unordered(AT_ONCE).collect::<Vec<()>>();
        let (calls, _) = join(attack.lasts(), flood).await;
        assert_eq!(calls.1, 0, "who is known keeps the connection");
        assert_eq!(subject.counted("unauthorised_total", "hook=\"h\"").await - refused, FLOOD);
        assert_eq!(subject.counted("attempts_total", "").await - sent, calls.0, "Okta's calls alone");
        attack.ends(calls, "600 of 600 answered 401").await;
    }
}

#[tokio::test]
async fn a_flood_of_handshakes_holds_up_no_call() {
    const FLOOD: usize = 2_000;
    let _alone = alone().await;
    let subject = Subject::new(|_| {}).await;
    // a whole ClientHello, for which the server makes its share of the keys and a signature; no answer follows
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(tls), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    for (name, sources) in [("handshakes from one address", 1), ("handshakes from 200 addresses", 200)] {
        let mut attack = Attack::begin(&subject, name).await;
        let closed = subject.closed(&["handshake", "limit"]).await;
        let knock = |number: usize| {
            let (subject, hello) = (&subject, &hello);
            async move {
                let mut stream = subject.tcp(&stranger(number % sources)).await.unwrap();
                let _ = stream.write_all(hello).await;
                let mut answer = [0; 1_024];
                stream.read(&mut answer).await.is_ok_and(|read| read > 0 && answer[0] == 22)
            }
        };
        let flood = stream::iter(0..FLOOD).map(knock).buffer_unordered(2 * AT_ONCE).collect::<Vec<bool>>();
        let (calls, made) = join(attack.lasts(), flood).await;
        assert_eq!(calls.1, 0, "who is known keeps the connection");
        subject.until_closed(&["handshake", "limit"], closed + FLOOD).await;
        let made = made.into_iter().filter(|made| *made).count();
        attack.ends(calls, &format!("2,000 of 2,000 closed, {made} of them once the server had answered")).await;
    }
}

#[tokio::test]
async fn a_flood_with_the_secret_is_served_and_takes_no_connection_from_others() {
    const CALLERS: usize = 32;
    const EACH: usize = 30;
    let _alone = alone().await;
    let subject = Subject::new(|config| {
        let mut hung = rule(Action::Send(vec!["two".into()]));
        (hung.name, hung.matches.prefixes) = ("hung".into(), vec!["+47".into()]);
        config.rules = vec![hung, rule(Action::Send(vec!["one".into()]))];
        config.providers.get_mut("two").unwrap().max_in_flight = 4_096;
    })
    .await;
    for (name, sources) in [("calls from one address", 1), ("calls from 32 addresses", CALLERS)] {
        let mut attack = Attack::begin(&subject, name).await;
        let sent = subject.counted("attempts_total", "outcome=\"accepted\"").await;
        let open = stream::iter(0..CALLERS).map(|caller| {
            let subject = &subject;
            async move { subject.line(&stranger(caller % sources)).await.unwrap() }
        });
        let lines: Vec<_> = open.buffer_unordered(AT_ONCE).collect().await;
        let callers = lines.into_iter().map(|mut line| async move {
            for _ in 0..EACH {
                let got = line.call(&sms(&event())).await.unwrap();
                assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
            }
        });
        let (calls, _) = join(attack.lasts(), join_all(callers)).await;
        let messages = subject.counted("attempts_total", "outcome=\"accepted\"").await - sent;
        assert_eq!(messages, CALLERS * EACH + calls.0, "one message a call");
        attack.ends(calls, &format!("{} of {} answered SUCCESSFUL", CALLERS * EACH, CALLERS * EACH)).await;
    }

    // for as long as a provider hangs each of these calls is at work, and its connection is nobody else's
    subject.scene.fault("two", FaultKind::Hang { delivered: false });
    let name = "hanging calls from one address";
    let mut attack = Attack::begin(&subject, name).await;
    let open = stream::iter(0..CONNECTIONS + 100).map(|_| subject.line("127.0.0.2"));
    let lines: Vec<_> = open.buffer_unordered(AT_ONCE).collect().await;
    let begun = Instant::now();
    let hanging = lines.into_iter().map(|line| async move {
        let mut body = sms(&event());
        body["data"]["messageProfile"]["phoneNumber"] = json!("+4740612345");
        let got = line?.call(&body).await?;
        assert_eq!(got.status, 200);
        Some(got.body["commands"][0]["value"][0]["status"].as_str().unwrap().to_owned())
    });
    let at_work = async {
        let all_begun = async {
            while subject.counted("rule_calls_total", "rule=\"hung\"").await < OF_ONE {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, all_begun).await.expect("as many calls as one address may have come to be at work");
        attack.lasts().await
    };
    let (calls, ended) = join(at_work, join_all(hanging)).await;
    let answered: Vec<String> = ended.into_iter().flatten().collect();
    assert!(answered.len() <= OF_ONE, "{} of one address were at work", answered.len());
    assert!(answered.iter().all(|status| status == "PENDING" || status == "FAILED"), "{answered:?}");
    let (count, took) = (answered.len(), begun.elapsed());
    attack.ends(calls, &format!("{count} at work, all answered after {took:.1?}")).await;
}
