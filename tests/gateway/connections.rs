//! Connections: those that strangers open, those that break, and what changes under those that are open.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use hookswitch_gateway_config::document::Action;
use hookswitch_gateway_config::envelope;
use hookswitch_gateway_config::report::BreakerState;
use hookswitch_sandbox::certs::Authority;
use hookswitch_sandbox::faults::FaultKind;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::canned;
use crate::scene::{CONNECTIONS, SECRET, Scene, Spawned, got, rule, sealed, sms};

/// The value of a counter with these labels, 0 while it has none.
async fn counted(scene: &Scene, series: &str) -> u64 {
    let text = reqwest::get(format!("http://{}/metrics", scene.at.metrics)).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

/// Silence: connected, and nothing said.
async fn silent(scene: &Scene) -> TcpStream {
    TcpStream::connect(scene.at.hooks).await.unwrap()
}

/// A client that connects anew for each call, trusting the sandbox's authority.
fn fresh(scene: &Scene, at: SocketAddr) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(scene.sandbox.authority().cert_pem().as_bytes()).unwrap()])
        .resolve("localhost", at)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .unwrap()
}

/// Lets this much time pass at once.
async fn pass(seconds: f64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn strangers_who_hold_every_connection_lose_the_oldest_and_okta_is_served_at_once() {
    let scene = Scene::new().await;
    let mut known = scene.connect().await;
    assert_eq!(known.call(&sms("e-before")).await.unwrap().answer(), ("SUCCESSFUL", Some("one")));
    let mut held = join_all((0..CONNECTIONS).map(|_| silent(&scene))).await;
    let asked = fresh(&scene, scene.at.hooks)
        .post(scene.url("h"))
        .header("authorization", SECRET)
        .body(sms("e-fresh").to_string());
    assert_eq!(got(asked).await.answer(), ("SUCCESSFUL", Some("one")), "a new connection is served");
    assert_eq!(
        known.call(&sms("e-open")).await.unwrap().answer(),
        ("SUCCESSFUL", Some("one")),
        "and one that is known"
    );
    let closed = tokio::time::timeout(Duration::from_secs(1), held[0].read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "the oldest made room: {closed:?}");
    assert!(counted(&scene, "hookswitch_gateway_connections_closed_total{reason=\"limit\"}").await >= 1);
    let begun = Instant::now();
    for stream in &mut held {
        let ended = tokio::time::timeout(Duration::from_secs(6), stream.read(&mut [0; 1])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "silence is not held open: {ended:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_host_that_connects_without_end_fails_no_fresh_call_of_another() {
    let scene = Scene::new().await;
    let (at, stop) = (scene.at.hooks, tokio_util::sync::CancellationToken::new());
    let flooding = tokio::spawn({
        let stop = stop.clone();
        async move {
            let (mut held, mut opened) = (std::collections::VecDeque::new(), 0);
            while !stop.is_cancelled() {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
                if let Ok(stream) = socket.connect(at).await {
                    held.push_back(stream);
                    opened += 1;
                }
                if held.len() > 400 {
                    held.pop_front();
                }
                tokio::time::sleep(Duration::from_micros(2_500)).await;
            }
            opened
        }
    });
    let client = fresh(&scene, scene.at.hooks);
    for turn in 0..40 {
        let body = sms(&format!("e-{turn}")).to_string();
        let asked = client.post(scene.url("h")).header("authorization", SECRET).body(body);
        assert_eq!(got(asked).await.answer(), ("SUCCESSFUL", Some("one")), "call {turn}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    assert!(flooding.await.unwrap() > CONNECTIONS, "more than there is room for");
}

#[tokio::test]
async fn a_connection_that_a_proxy_opened_ahead_has_the_whole_time_for_its_first_call() {
    for ahead in [0.5, 2.3, 5.0, 60.0] {
        let scene = Scene::new().await;
        scene.fault("one", FaultKind::Slow { ms: 900 });
        let mut line = scene.connect().await;
        // the gateway ends the handshake a moment after the client
        tokio::time::sleep(Duration::from_millis(100)).await;
        pass(ahead).await;
        let got = line.call(&sms("e-1")).await.expect("still open");
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")), "opened {ahead} s ahead");
    }
}

#[tokio::test]
async fn a_kept_connection_outlives_those_of_proxies_and_is_closed_then() {
    let scene = Scene::new().await;
    let mut line = scene.connect().await;
    assert_eq!(line.call(&sms("e-1")).await.unwrap().answer(), ("SUCCESSFUL", Some("one")));
    pass(70.0).await;
    let second = line.call(&sms("e-2")).await.expect("still open after 70 s");
    assert_eq!(second.answer(), ("SUCCESSFUL", Some("one")));
    pass(76.0).await;
    tokio::time::timeout(Duration::from_secs(2), line.closed()).await.expect("closed after 76 s");
    let protocol = "hookswitch_gateway_connections_closed_total{reason=\"protocol\"}";
    assert_eq!(counted(&scene, protocol).await, 0, "which is nobody's fault");
}

#[tokio::test]
async fn the_end_of_a_line_after_a_call_does_not_start_the_clock_of_the_next() {
    let scene = Scene::new().await;
    let mut line = scene.connect().await;
    assert_eq!(line.call(&sms("e-1")).await.unwrap().answer(), ("SUCCESSFUL", Some("one")));
    line.write("\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    pass(20.0).await;
    let second = line.call(&sms("e-2")).await.expect("still open");
    assert_eq!(second.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn half_a_head_is_closed_in_time_and_does_not_delay_the_stop() {
    let mut scene = Scene::new().await;
    let mut slow = scene.connect().await;
    slow.write("POST /hooks/h HTTP/1.1\r\nhost: ").await;
    tokio::time::timeout(Duration::from_secs(5), slow.closed()).await.expect("closed after 4 s");
    let (mut fresh, mut known, plain) = (scene.connect().await, scene.connect().await, silent(&scene).await);
    fresh.write("POST /hooks/h HTTP/1.1\r\nhost: ").await;
    assert_eq!(known.call(&sms("e-1")).await.unwrap().answer(), ("SUCCESSFUL", Some("one")));
    known.write("POST /hooks/h HTTP/1.1\r\nhost: ").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    scene.stop.cancel();
    (&mut scene.running).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    drop(plain);
}

#[tokio::test]
async fn a_call_under_way_is_answered_although_the_gateway_stops() {
    let scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 1_200 });
    let mut line = scene.connect().await;
    let body = sms("e-1");
    let calling = line.call(&body);
    let stopping = async {
        while scene.asked("one") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        scene.stop.cancel();
    };
    let (got, ()) = tokio::join!(calling, stopping);
    assert_eq!(got.unwrap().answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_gateway_that_leaves_serves_on_and_ends_each_kept_connection_with_an_answer() {
    let scene = Scene::leaving_after(Duration::from_mins(1), |_| {}).await;
    let mut kept = scene.connect().await;
    assert_eq!(kept.call(&sms("e-1")).await.unwrap().answer(), ("SUCCESSFUL", Some("one")));
    scene.stop.cancel();
    let health = format!("http://{}/readyz", scene.at.metrics);
    while reqwest::get(&health).await.unwrap().status() == 200 {
        tokio::task::yield_now().await;
    }
    let last = kept.call(&sms("e-2")).await.expect("it serves on");
    assert_eq!(last.answer(), ("SUCCESSFUL", Some("one")));
    // with it open, a call that comes as the gateway ends would be lost
    tokio::time::timeout(Duration::from_secs(2), kept.closed()).await.expect("closed after the answer");
    assert_eq!(scene.call(&sms("e-3")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn idle_sockets_at_the_metrics_port_keep_nobody_from_asking_for_health() {
    let scene = Scene::new().await;
    let held = join_all((0..200).map(|_| async { TcpStream::connect(scene.at.metrics).await.unwrap() })).await;
    for path in ["livez", "readyz"] {
        let asked = reqwest::Client::new().get(format!("http://{}/{path}", scene.at.metrics));
        assert_eq!(asked.timeout(Duration::from_secs(1)).send().await.unwrap().status(), 200, "{path}");
    }
    drop(held);
}

#[tokio::test]
async fn a_caller_who_breaks_off_and_calls_again_gets_the_answer_and_one_message_leaves() {
    let scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 600 });
    let body = sms("e-1");
    let broken = scene.post(body.to_string()).header("authorization", SECRET).timeout(Duration::from_millis(200));
    assert!(broken.send().await.is_err(), "the caller was not gone by then");
    let again = scene.call(&body).await;
    assert_eq!(again.answer(), ("SUCCESSFUL", Some("one")));
    assert_eq!((scene.delivered(), scene.asked("one")), (1, 1));
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_before_the_deadline_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let whole = sms("e-1").to_string();
    let pieces = futures::stream::unfold(whole.into_bytes().into_iter(), |mut left| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left.next().map(|byte| (Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![byte]))), left))
    });
    let asked = scene.post(reqwest::Body::wrap(StreamBody::new(pieces))).header("authorization", SECRET);
    assert_eq!(got(asked).await.answer(), ("FAILED", None));
    assert_eq!(scene.asked("one"), 0);
}

#[tokio::test]
async fn what_is_no_http_at_all_is_closed_and_counted() {
    let scene = Scene::new().await;
    let handshakes = "hookswitch_gateway_connections_closed_total{reason=\"handshake\"}";
    // the scene itself may have come before the certificate
    let before = counted(&scene, handshakes).await;
    let mut plain = silent(&scene).await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(3), plain.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "HTTP without TLS is closed");
    assert!(!answer.starts_with(b"HTTP/"), "and not answered in clear");
    assert_eq!(counted(&scene, handshakes).await, before + 1);
    let wide = scene.post("{}").header("authorization", SECRET).header("x-wide", "a".repeat(32 * 1024));
    let refused = wide.send().await;
    assert!(refused.as_ref().is_err() || refused.is_ok_and(|answer| answer.status() == 431), "a head of 32 KiB");
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn under_steady_calls_every_change_of_configuration_takes_effect_and_no_call_is_lost() {
    let scene = Scene::new().await;
    let file = scene.folder.join("config").join(envelope::KEY);
    let calls = async {
        let mut by = Vec::new();
        for turn in 0..450 {
            let got = scene.call(&sms(&format!("e-{turn}"))).await;
            let (status, provider) = got.answer();
            assert_eq!(status, "SUCCESSFUL", "call {turn}: {}", got.body);
            by.push(provider.unwrap_or_default().to_owned());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        by
    };
    let changes = async {
        for (generation, provider) in [(2, "two"), (3, "one"), (4, "two")] {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let mut next = scene.config.clone();
            next.generation = generation;
            next.rules = vec![rule(Action::Send(vec![provider.into()]))];
            std::fs::write(&file, sealed(&next)).unwrap();
        }
    };
    let (mut by, ()) = tokio::join!(calls, changes);
    assert_eq!(scene.delivered(), by.len(), "one message a call");
    by.dedup();
    assert_eq!(by, ["one", "two", "one", "two"], "each change at once and for good");
}

#[tokio::test]
async fn a_renewed_certificate_serves_new_connections_and_a_broken_one_changes_nothing() {
    let scene = Scene::new().await;
    let folder = scene.folder.join("tls");
    let other = Authority::create().unwrap();
    let trusting = |authority: &Authority| {
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap()])
            .resolve("localhost", scene.at.hooks)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap()
    };
    let is_served = |client: reqwest::Client| {
        let asked = client.post(scene.url("h")).header("authorization", SECRET).body(sms("e-1").to_string());
        async move { asked.send().await.is_ok_and(|answer| answer.status() == 200) }
    };
    // remembers the TLS sessions that it had, as clients do
    let known = trusting(scene.sandbox.authority());
    std::fs::write(folder.join("tls.crt"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for _ in 0..2 {
        assert!(is_served(known.clone()).await, "the last good one serves on");
    }
    assert!(!is_served(trusting(&other)).await);

    assert_eq!(scene.call(&sms("e-0")).await.answer(), ("SUCCESSFUL", Some("one")));
    let issued = other.issue(&["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), &issued.key_pem).unwrap();
    std::fs::write(folder.join("tls.crt"), &issued.cert_pem).unwrap();
    let mut renewed = false;
    for _ in 0..50 {
        renewed = is_served(trusting(&other)).await;
        if renewed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(renewed, "the new certificate is not served");
    assert!(!is_served(trusting(scene.sandbox.authority())).await, "nor the old one any more");
    assert!(!is_served(known).await, "a session of the old one is not gone on with");
    assert_eq!(scene.call(&sms("e-2")).await.answer(), ("SUCCESSFUL", Some("one")), "an open connection goes on");
}

#[tokio::test]
async fn known_connections_without_a_request_make_room_for_a_fresh_call() {
    let scene = Scene::new().await;
    let mut known = Vec::new();
    for turn in 0..CONNECTIONS {
        let mut line = scene.connect().await;
        assert_eq!(line.call(&sms(&format!("e-{turn}"))).await.unwrap().status, 200);
        known.push(line);
    }
    let asked = fresh(&scene, scene.at.hooks)
        .post(scene.url("h"))
        .header("authorization", SECRET)
        .body(sms("e-fresh").to_string());
    assert_eq!(got(asked).await.answer(), ("SUCCESSFUL", Some("one")));
    let last = known.last_mut().unwrap();
    assert_eq!(last.call(&sms("e-last")).await.expect("the last is open").answer(), ("SUCCESSFUL", Some("one")));
}

/// A gateway in a process of its own, which may have as many files open as `limit` says, started for the files of a scene.
async fn limited(scene: &Scene, limit: &str) -> Spawned {
    let mut gateway = Command::new("sh");
    gateway.args(["-c", &format!("{limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_hookswitch")]);
    gateway.stderr(Stdio::null());
    scene.spawn(gateway).await
}

#[tokio::test]
async fn strangers_who_hold_as_many_connections_as_a_process_may_have_files_fail_no_call() {
    for limit in ["ulimit -Sn 96", "ulimit -Sn 96 && ulimit -Hn 96"] {
        let scene = Scene::new().await;
        let gateway = limited(&scene, limit).await;
        let at = gateway.hooks;
        let held = join_all((0..150).map(|_| async { TcpStream::connect(at).await.unwrap() })).await;
        let client = fresh(&scene, at);
        for turn in 0..5 {
            let asked = client.post(format!("https://localhost:{}/hooks/h", at.port())).header("authorization", SECRET);
            let answered =
                asked.body(sms(&format!("e-{turn}")).to_string()).timeout(Duration::from_secs(3)).send().await;
            let body = answered.expect("answered in time").text().await.unwrap();
            assert!(body.contains("SUCCESSFUL"), "{limit}: {body}");
        }
        drop((held, gateway));
    }
}

#[tokio::test]
async fn a_provider_that_takes_one_message_a_connection_gets_as_many_connections_as_there_are_messages() {
    let scene = Scene::new().await;
    let one = canned::of_one_stream(&scene.sandbox, Duration::from_millis(300)).await;
    let scene = Scene::with(|config| {
        config.providers = [("one".to_owned(), one.clone())].into();
        config.rules = vec![rule(Action::Send(vec!["one".into()]))];
    })
    .await;
    assert_eq!(scene.call(&sms("e-first")).await.answer(), ("SUCCESSFUL", Some("one")));
    for burst in 0..3 {
        let bodies: Vec<_> = (0..12).map(|turn| sms(&format!("e-{burst}-{turn}"))).collect();
        let calls = bodies.iter().map(|body| scene.call(body));
        for got in join_all(calls).await {
            assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")), "{}", got.body);
        }
    }
    assert_eq!(scene.report().await.providers["one"].breaker, BreakerState::Closed);
}
