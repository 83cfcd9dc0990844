//! Whole calls at one service: what Okta is answered, whom is asked for it, and what is counted.

use std::{
    collections::BTreeMap,
    io, iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;

use super::{
    metrics::GatewayMetrics,
    probes::ProbeSubject as _,
    runtime::RunningConfig,
    service::Service,
    testing::{self, SECRET, sms},
};
use hookswitch_gateway_config::{
    document::{self, Action, GatewayConfig, Rule},
    probe,
};
use hookswitch_net as net;
use hookswitch_providers::Probed;
use hookswitch_telemetry::{logs, metrics::Metrics, testing::Lines};

const ACCEPTS: Says = Says::That(200, r#"{"status":"accepted","id":"m-1"}"#);
const REFUSES: Says = Says::That(503, r#"{"status":"refused","class":"transient","code":"x-1"}"#);

/// What a provider does once it has read a request.
#[derive(Debug, Clone, Copy)]
enum Says {
    That(u16, &'static str),
    /// Nothing, until it says something else.
    Hangs,
    /// Nothing, and closes.
    Closes,
}

/// A provider on this machine.
struct Provider {
    url: String,
    ca: String,
    says: watch::Sender<Says>,
    asked: watch::Receiver<Vec<Value>>,
}

impl Provider {
    async fn that(first: Says) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let tls = net::server_identity(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
        let (tls, listener) = (TlsAcceptor::from(Arc::new(tls)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let ((says, answered), (asking, asked)) = (watch::channel(first), watch::channel(Vec::new()));
        let asking = Arc::new(asking);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, mut answered, asking) = (tls.clone(), answered.clone(), Arc::clone(&asking));
                tokio::spawn(async move {
                    let mut stream = tls.accept(socket).await.ok()?;
                    let mut request = Vec::new();
                    let body = loop {
                        match whole(&request) {
                            Some(body) => break body,
                            None if stream.read_buf(&mut request).await.ok()? == 0 => return None,
                            None => {}
                        }
                    };
                    asking.send_modify(|all| all.push(body));
                    let says = *answered.wait_for(|says| !matches!(says, Says::Hangs)).await.ok()?;
                    if let Says::That(status, body) = says {
                        let head =
                            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close", body.len());
                        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.ok()?;
                    }
                    stream.shutdown().await.ok()
                });
            }
        });
        Self { url, ca: made.cert.pem(), says, asked }
    }

    /// Waits until it was asked so often.
    async fn is_asked(&self, times: usize) {
        self.asked.clone().wait_for(|all| all.len() == times).await.unwrap();
    }

    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }

    fn settings(&self) -> document::ProviderConfig {
        document::ProviderConfig { ca_bundle: Some(self.ca.clone()), ..testing::provider(&self.url, "token") }
    }
}

/// The body of a request that is there whole.
fn whole(request: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(request).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length")).map_or("0", |(_, length)| length);
    (body.len() == length.parse::<usize>().ok()?).then(|| serde_json::from_str(body).unwrap_or_default())
}

/// One that has no sender for anybody, and so is never called.
fn invalid() -> document::ProviderConfig {
    document::ProviderConfig { account: document::ProviderConfig::absent().account, ..unreachable() }
}

/// One that as many messages are under way to as may be: none.
fn full() -> document::ProviderConfig {
    document::ProviderConfig { max_in_flight: 0, ..unreachable() }
}

/// One that nobody listens for.
fn unreachable() -> document::ProviderConfig {
    testing::provider("https://127.0.0.1:9/", "token")
}

/// Sends everything by these providers, in order.
fn by(providers: &[(&str, document::ProviderConfig)]) -> GatewayConfig {
    let mut config = testing::config(providers.iter().cloned());
    config.timing.attempt_floor_ms = 200;
    config
}

fn with(event: &str, field: &str, value: Value) -> Value {
    let mut body = sms(event);
    body["data"]["messageProfile"][field] = value;
    body
}

/// A service, and what is known of it from outside.
struct Desk {
    service: Service,
    counters: Arc<GatewayMetrics>,
    metrics: Metrics,
}

impl Desk {
    fn empty() -> Self {
        let metrics = Metrics::new("gateway");
        let counters = Arc::new(GatewayMetrics::new(&metrics));
        Self { service: Service::new(Arc::clone(&counters)), counters, metrics }
    }

    fn new(config: &GatewayConfig) -> Self {
        let desk = Self::empty();
        let runtime = RunningConfig::new(config, "hash", None).unwrap();
        assert_eq!(runtime.faults, []);
        desk.service.swap(Arc::new(runtime));
        desk
    }

    /// What an Okta that has the secret is answered: nothing that is not exactly in its shape.
    async fn call<B>(&self, body: B, begun: Instant) -> Value
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = Request::post("/hooks/h").header("authorization", SECRET).body(body).unwrap();
        let (head, answer) = self.service.answer(request, begun).await.into_parts();
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(head.headers.get(header::CONNECTION), None);
        let answer: Value = serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap();
        let value = answer["commands"][0]["value"][0].clone();
        assert_eq!(answer, json!({"commands": [{"type": "com.okta.telephony.action", "value": [value]}]}));
        value
    }

    async fn answer(&self, body: &Value) -> Value {
        self.call(Full::from(body.to_string()), Instant::now()).await
    }

    /// The same, of a call whose time is over when it comes.
    async fn late_answer(&self, body: &Value) -> Value {
        let begun = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        self.call(Full::from(body.to_string()), begun).await
    }

    /// What a counter of the gateway says.
    fn count(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("hookswitch_gateway_")?.rsplit_once(' '));
        lines.find(|(name, _)| *name == series).map_or(0, |(_, count)| count.parse().unwrap())
    }

    fn counts(&self, series: &[&str]) -> Vec<u64> {
        series.iter().map(|series| self.count(series)).collect()
    }
}

fn failed(metadata: &str) -> Value {
    json!({"status": "FAILED", "transactionMetadata": metadata})
}

/// A body that is not there at once; without bytes it never is.
struct Coming {
    bytes: Option<Bytes>,
    waited: bool,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.bytes.as_mut().map_or(Poll::Pending, |bytes| {
            let bytes = std::mem::take(bytes);
            Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
        })
    }
}

#[tokio::test]
async fn who_is_not_known_to_be_okta_is_answered_no_and_why_and_the_connection_ends() {
    let desk = Desk::empty();
    let known = Desk::new(&by(&[("one", unreachable())]));
    let request = |method: Method, path: &str, secret: Option<&str>| {
        let request = Request::builder().method(method).uri(path);
        let request = secret.into_iter().fold(request, |request, secret| request.header("authorization", secret));
        request.body(Full::from(sms("e-1").to_string())).unwrap()
    };
    let (post, right) = (Method::POST, Some(SECRET));
    for (desk, request, status, why) in [
        (&desk, request(post.clone(), "/hooks/h", right), StatusCode::SERVICE_UNAVAILABLE, "no configuration yet"),
        (&known, request(post.clone(), "/hooks/other", right), StatusCode::NOT_FOUND, "no such hook"),
        (&known, request(post.clone(), "/h", right), StatusCode::NOT_FOUND, "no such hook"),
        (&known, request(post.clone(), "/hooks/h", None), StatusCode::UNAUTHORIZED, "the secret is missing or wrong"),
        (&known, request(post, "/hooks/h", Some("x")), StatusCode::UNAUTHORIZED, "the secret is missing or wrong"),
        (&known, request(Method::GET, "/hooks/h", right), StatusCode::METHOD_NOT_ALLOWED, "only POST"),
    ] {
        let (head, body) = desk.service.answer(request, Instant::now()).await.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((head.status, body), (status, json!({"error": {"errorSummary": why}})));
        assert_eq!(head.headers[header::CONNECTION], "close");
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
    }
    assert_eq!((known.count("unauthorised_total{hook=\"h\"}"), known.counters.hook("h").unauthorised), (2, 2));
    assert_eq!(known.counters.hook("h").answers, BTreeMap::new(), "nobody was answered as Okta is");
}

#[tokio::test]
async fn what_okta_is_answered_and_what_is_counted_follow_from_what_providers_do() {
    let destination = Says::That(400, r#"{"status":"refused","class":"permanent-destination","code":"no-number"}"#);
    let fraud = Says::That(400, r#"{"status":"refused","class":"fraud-blocked","code":"x-2"}"#);
    let taken = |provider: &str, attempts: u32| {
        let answered = format!("attempts={attempts}");
        json!({"status": "SUCCESSFUL", "provider": provider, "transactionId": "m-1", "transactionMetadata": answered})
    };
    let answered = |status: &str, provider: &str, metadata: &str| json!({"status": status, "provider": provider, "transactionMetadata": metadata});
    // what two providers say → the answer; how often the second was asked; failovers; sends although one may have it
    for (one, two, answer, asked, counts) in [
        (Ok(ACCEPTS), ACCEPTS, taken("one", 1), 0, [0, 0]),
        (Ok(REFUSES), ACCEPTS, taken("two", 2), 1, [1, 0]),
        (Ok(REFUSES), REFUSES, answered("FAILED", "two", "attempts=2;code=x-1"), 1, [0, 0]),
        (Ok(destination), ACCEPTS, answered("FAILED", "one", "attempts=1;code=no-number"), 0, [0, 0]),
        (Ok(fraud), ACCEPTS, answered("SUCCESSFUL", "HOOKSWITCH-BLOCKED", "attempts=1"), 0, [0, 0]),
        (Ok(Says::Closes), ACCEPTS, taken("two", 2), 1, [1, 1]),
        (Ok(Says::Closes), REFUSES, answered("PENDING", "one", "attempts=2"), 1, [0, 1]),
        // nothing left for it, so that is no attempt; it was called all the same
        (Err(unreachable()), ACCEPTS, taken("two", 1), 1, [1, 0]),
        (Err(unreachable()), REFUSES, answered("FAILED", "two", "attempts=1;code=x-1"), 1, [0, 0]),
        // not even called; one that cannot take the message at all comes last
        (Err(full()), ACCEPTS, taken("two", 1), 1, [0, 0]),
        (Err(full()), REFUSES, answered("FAILED", "two", "attempts=1;code=x-1"), 1, [0, 0]),
        (Err(invalid()), ACCEPTS, taken("two", 1), 1, [0, 0]),
        (Err(invalid()), REFUSES, answered("FAILED", "one", "attempts=1;code=no-sender"), 1, [0, 0]),
    ] {
        let shown = format!("{one:?}, then {two:?}");
        let (first, second) =
            (Provider::that(one.as_ref().copied().unwrap_or(Says::Hangs)).await, Provider::that(two).await);
        let settings = one.as_ref().err().cloned().unwrap_or_else(|| first.settings());
        let desk = Desk::new(&by(&[("one", settings), ("two", second.settings())]));
        assert_eq!(desk.answer(&sms("e-1")).await, answer, "{shown}");
        assert_eq!(second.asked(), asked, "{shown}");
        assert_eq!(desk.counts(&["failovers_total", "sends_after_ambiguous_total"]), counts, "{shown}");
        let status = answer["status"].as_str().unwrap();
        assert_eq!(desk.count(&format!("calls_total{{hook=\"h\",channel=\"sms\",status=\"{status}\"}}")), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_provider_that_is_passed_over_is_counted_by_what_kept_it_from_being_asked() {
    let desk = Desk::new(&by(&[("full", full()), ("unfit", invalid())]));
    let answer = desk.answer(&sms("e-1")).await;
    let last = json!({"status": "FAILED", "provider": "unfit", "transactionMetadata": "attempts=0;code=no-sender"});
    assert_eq!(answer, last);
    for (provider, reason) in [("full", "busy"), ("unfit", "unfit")] {
        assert_eq!(desk.count(&format!("passed_over_total{{provider=\"{provider}\",reason=\"{reason}\"}}")), 1);
    }
}

#[tokio::test]
async fn what_a_rule_was_used_for_counts_as_refused_while_none_of_its_providers_takes_it() {
    let country = Says::That(400, r#"{"status":"refused","class":"permanent-config","scope":"country","code":"c"}"#);
    let other = Provider::that(ACCEPTS).await;
    for (one, beside, countries, prefixes, refused) in [
        (Some(country), false, &[][..], &["+46"][..], 6),
        (Some(country), false, &["SE"], &[], 6),
        (Some(country), false, &[], &[], 0),
        (Some(country), true, &[], &["+46"], 0),
        (None, false, &[], &["+46"], 0),
    ] {
        let provider = Provider::that(one.unwrap_or(Says::Hangs)).await;
        let mut providers = vec![("one", if one.is_some() { provider.settings() } else { unreachable() })];
        providers.extend(beside.then(|| ("two", other.settings())));
        let mut config = by(&providers);
        config.rules[0].matches.countries = countries.iter().map(|code| code.parse().unwrap()).collect();
        config.rules[0].matches.prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let desk = Desk::new(&config);
        for turn in 0..6 {
            let mut body = with(&format!("e-{turn}"), "phoneNumber", json!(format!("+4670174060{turn}")));
            body["data"]["userProfile"]["login"] = json!(format!("{turn}@example.com"));
            desk.answer(&body).await;
        }
        let report = desk.service.runtime().unwrap().rule_reports(&desk.counters)["p/all"];
        assert_eq!((report.recent, report.refused), (6, refused), "{one:?} {beside} {countries:?} {prefixes:?}");
    }
}

#[tokio::test]
async fn a_probe_asks_the_provider_and_believes_what_it_answers() {
    let one = Provider::that(Says::That(200, "")).await;
    let desk = Desk::new(&by(&[("one", one.settings()), ("two", unreachable())]));
    let runtime = desk.service.runtime().unwrap();
    assert_eq!(runtime.provider("one").unwrap().ask().await, Probed::Up);
    one.says.send_replace(Says::That(503, ""));
    for (name, code) in [("one", "http-503"), ("two", "connect")] {
        let Probed::Down(refusal) = runtime.provider(name).unwrap().ask().await else { panic!("{name}") };
        assert_eq!(refusal.code, code);
    }
    assert!(runtime.provider("three").is_none());
}

#[tokio::test]
async fn a_provider_is_called_by_the_proxy_unless_it_is_an_exception() {
    let one = Provider::that(ACCEPTS).await;
    let mut config = by(&[("one", one.settings())]);
    config.proxy = Some("http://127.0.0.1:9/".into());
    assert_eq!(Desk::new(&config).answer(&sms("e-1")).await["status"], "FAILED", "nobody listens there");
    config.proxy_exceptions = vec!["127.0.0.1".to_owned()];
    assert_eq!(Desk::new(&config).answer(&sms("e-1")).await["status"], "SUCCESSFUL");
    assert_eq!(one.asked(), 1);
}

#[tokio::test]
async fn of_a_providers_answer_64_kib_are_read() {
    let accepted = r#"{"status":"accepted","id":"m-1"}"#;
    for (length, status) in [(64 * 1024, "SUCCESSFUL"), (64 * 1024 + 1, "PENDING")] {
        let body = format!("{accepted}{}", " ".repeat(length - accepted.len()));
        let one = Provider::that(Says::That(200, body.leak())).await;
        let answer = Desk::new(&by(&[("one", one.settings())])).answer(&sms("e-1")).await;
        assert_eq!(answer["status"], status, "{length} bytes");
    }
}

#[tokio::test]
async fn of_a_rules_providers_as_many_are_asked_as_attempts_max_says() {
    let providers = [Provider::that(REFUSES).await, Provider::that(REFUSES).await, Provider::that(ACCEPTS).await];
    let settings: Vec<_> =
        ["one", "two", "three"].into_iter().zip(providers.each_ref().map(Provider::settings)).collect();
    let mut config = by(&settings);
    config.timing.max_attempts = 2;
    let answer = Desk::new(&config).answer(&sms("e-1")).await;
    assert_eq!((answer["status"].as_str(), answer["provider"].as_str()), (Some("FAILED"), Some("two")));
    assert_eq!(providers.map(|provider| provider.asked()), [1, 1, 0]);
}

#[tokio::test]
async fn the_last_provider_has_all_the_time_that_is_left_and_no_floor_is_kept_for_nobody() {
    let one = Provider::that(Says::Hangs).await;
    let mut config = by(&[("one", one.settings())]);
    (config.timing.deadline_ms, config.timing.attempt_floor_ms) = (500, 250);
    let (desk, begun) = (Desk::new(&config), Instant::now());
    assert_eq!(desk.answer(&sms("e-1")).await["status"], "PENDING");
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!(desk.count("late_answers_total"), 0, "the answer is ready before it must be there");
}

#[tokio::test]
async fn a_provider_that_fails_is_left_alone_while_another_sends_and_has_one_trial_when_nobody_else_does() {
    let (one, two) = (Provider::that(REFUSES).await, Provider::that(ACCEPTS).await);
    let desk = Desk::new(&by(&[("one", one.settings()), ("two", two.settings())]));
    for turn in 0..6 {
        assert_eq!(desk.answer(&sms(&format!("e-{turn}"))).await["provider"], "two");
    }
    assert_eq!(one.asked(), 5, "its breaker is open");
    one.says.send_replace(ACCEPTS);
    two.says.send_replace(REFUSES);
    assert_eq!(desk.answer(&sms("e-6")).await["provider"], "one", "nobody else is left");

    let dead = Provider::that(Says::Closes).await;
    let desk = Desk::new(&by(&[("dead", dead.settings())]));
    for turn in 0..5 {
        assert_eq!(desk.answer(&sms(&format!("e-{turn}"))).await["status"], "PENDING");
    }
    dead.says.send_replace(Says::Hangs);
    let trial = sms("trial");
    let trial = desk.answer(&trial);
    tokio::pin!(trial);
    tokio::select! {
        answer = &mut trial => panic!("{answer}"),
        () = dead.is_asked(6) => {}
    }
    let unsent = json!({"status": "FAILED", "provider": "dead", "transactionMetadata": "attempts=0;code=breaker"});
    assert_eq!(desk.answer(&sms("e-7")).await, unsent, "Okta sends it");
    assert_eq!(desk.count("passed_over_total{provider=\"dead\",reason=\"breaker\"}"), 1);
    dead.says.send_replace(ACCEPTS);
    assert_eq!(trial.await["status"], "SUCCESSFUL");
    assert_eq!(desk.answer(&sms("e-8")).await["status"], "SUCCESSFUL");
}

#[tokio::test]
async fn a_call_that_comes_again_gets_the_first_answer_and_another_message_of_its_id_none() {
    let one = Provider::that(ACCEPTS).await;
    let desk = Desk::new(&by(&[("one", one.settings())]));
    let first = desk.answer(&sms("e-1")).await;
    assert_eq!(desk.answer(&sms("e-1")).await, first);
    let other = with("e-1", "otpCode", json!("118822"));
    assert_eq!(desk.answer(&other).await, failed("event id was used for another message"));
    assert_eq!(one.asked(), 1);
    let counted = ["repeated_calls_total", "contradicting_calls_total", "calls_without_id_total"];
    assert_eq!(desk.counts(&counted), [1, 1, 0]);
    let mut nameless = sms("");
    nameless.as_object_mut().unwrap().remove("eventId");
    for _ in 0..2 {
        assert_eq!(desk.answer(&nameless).await["status"], "SUCCESSFUL");
    }
    assert_eq!((one.asked(), desk.counts(&counted)), (3, vec![1, 1, 2]));
}

#[tokio::test]
async fn another_message_of_an_id_waits_for_the_first_and_is_sent_when_that_was_not() {
    let one = Provider::that(Says::Hangs).await;
    let desk = Desk::new(&by(&[("one", one.settings())]));
    let (body, other) = (sms("e-1"), with("e-1", "phoneNumber", json!("+46701740606")));
    let (first, second) = (desk.answer(&body), desk.answer(&other));
    tokio::pin!(first, second);
    tokio::select! {
        answer = &mut first => panic!("{answer}"),
        () = one.is_asked(1) => {}
    }
    assert!(second.as_mut().now_or_never().is_none(), "nobody knows yet what becomes of the first");
    let unknown = failed("event id was used for another message");
    assert_eq!(desk.late_answer(&other).await, unknown, "nor within the time of a call");
    one.says.send_replace(REFUSES);
    assert_eq!(first.await["status"], "FAILED");
    one.says.send_replace(ACCEPTS);
    assert_eq!(second.await["status"], "SUCCESSFUL");
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_answered_at_once_and_counted_once() {
    let one = Provider::that(Says::Hangs).await;
    let desk = Desk::new(&by(&[("one", one.settings())]));
    assert_eq!(desk.late_answer(&sms("e-0")).await, json!({"status": "FAILED"}), "nothing has left");
    assert_eq!(desk.count("late_answers_total"), 1);
    let body = sms("e-1");
    let first = desk.answer(&body);
    tokio::pin!(first);
    tokio::select! {
        answer = &mut first => panic!("{answer}"),
        () = one.is_asked(1) => {}
    }
    assert_eq!(desk.late_answer(&body).await, json!({"status": "PENDING"}), "a provider may have it");
    assert_eq!(desk.count("late_answers_total"), 1, "of the two it is the first that may be late");
    assert!(desk.service.idle().now_or_never().is_none(), "work is under way");
    one.says.send_replace(ACCEPTS);
    assert_eq!(first.await["status"], "SUCCESSFUL");
    desk.service.idle().await;
}

#[tokio::test]
async fn a_call_of_another_hook_in_okta_than_the_known_one_is_counted_and_served() {
    let one = Provider::that(ACCEPTS).await;
    let mut config = by(&[("one", one.settings())]);
    let known = "calz6lVQA77AwFeEe0g3";
    for (of_hook, of_call, counted) in [
        (Some(known), Some(known), 0),
        (Some(known), Some("calAnother"), 1),
        (Some(known), None, 0),
        (None, Some(known), 0),
        (None, None, 0),
    ] {
        config.hooks.get_mut("h").unwrap().okta_id = of_hook.map(str::to_owned);
        let desk = Desk::new(&config);
        let mut body = sms("e-1");
        body["source"] =
            of_call.map_or(json!(null), |id| json!(format!("https://acme.okta.com/api/v1/inlineHooks/{id}")));
        assert_eq!(desk.answer(&body).await["status"], "SUCCESSFUL");
        assert_eq!(desk.count("other_source_total{hook=\"h\"}"), counted, "{of_hook:?} {of_call:?}");
    }
}

#[tokio::test]
async fn what_is_not_sent_is_answered_with_its_reason_and_counted_by_it() {
    let one = Provider::that(ACCEPTS).await;
    let mut config = by(&[("one", one.settings())]);
    let denied = Rule { name: "no".into(), action: Action::Deny, ..config.rules[0].clone() };
    config.rules[0].matches.prefixes = vec!["+46".into()];
    config.rules.push(Rule {
        matches: serde_json::from_value(
            json!({"countries": ["NO"], "prefixes": [], "channels": [], "requestTypes": []}),
        )
        .unwrap(),
        ..denied
    });
    let desk = Desk::new(&config);
    for (body, answer, reason) in [
        (json!({}), failed("the body is not a telephony hook call"), "shape"),
        (with("e", "phoneNumber", json!(null)), failed("phoneNumber is missing or too long"), "number"),
        (with("e", "otpCode", json!("")), failed("otpCode is missing, too long or not printable"), "code"),
        (with("e", "deliveryChannel", json!("fax")), failed("deliveryChannel is neither SMS nor voice"), "channel"),
        (with("e", "msgTemplate", json!("x".repeat(1_601))), failed("msgTemplate is too long"), "text"),
        (with("e-1", "phoneNumber", json!("call me")), failed("number: not a phone number"), "number"),
        (with("e-2", "phoneNumber", json!("+4512345678")), failed("no rule matches"), "no-rule"),
        (with("e-3", "otpExpires", json!("2001-01-01T00:00:00Z")), failed("the passcode has expired"), "expired"),
    ] {
        let series = format!("unreadable_total{{reason=\"{reason}\"}}");
        let before = desk.count(&series);
        assert_eq!(desk.answer(&body).await, answer);
        assert_eq!(desk.count(&series), before + 1, "{reason}");
    }
    let mut large = sms("e-4").to_string();
    large.push_str(&" ".repeat(64 * 1024 + 1 - large.len()));
    let answered = failed("the body is too large or did not come in time");
    assert_eq!(desk.call(Full::from(large.clone()), Instant::now()).await, answered);
    assert_eq!(desk.count("unreadable_total{reason=\"body\"}"), 1);
    assert_eq!(desk.count("calls_total{hook=\"h\",channel=\"unknown\",status=\"FAILED\"}"), 6);
    let blocked = json!({"status": "SUCCESSFUL", "provider": "HOOKSWITCH-BLOCKED", "transactionMetadata": "rule=p/no"});
    assert_eq!(desk.answer(&with("e-5", "phoneNumber", json!("+4740612345"))).await, blocked);
    assert_eq!(one.asked(), 0);
    large.pop();
    assert_eq!(desk.call(Full::from(large), Instant::now()).await["status"], "SUCCESSFUL", "64 KiB are not too much");
    let calls = ["p/all", "p/no"].map(|rule| desk.counters.rule(rule)).map(|rule| (rule.calls, rule.uncovered));
    assert_eq!(calls, [(2, 0), (1, 0)], "an expired passcode is no fault of the providers");
}

#[tokio::test]
async fn what_an_administrator_tries_out_is_sent_and_is_no_traffic_of_the_rules() {
    let one = Provider::that(ACCEPTS).await;
    let mut config = by(&[("one", one.settings()), ("none", invalid())]);
    config.rules[0].matches.prefixes = vec!["+467".into()];
    let of = |name: &str, action, prefix: &str| {
        let mut rule = Rule { name: name.into(), action, ..config.rules[0].clone() };
        rule.matches.prefixes = vec![prefix.into()];
        rule
    };
    let more = [of("no", Action::Deny, "+47"), of("lost", Action::Send(vec!["none".into()]), "+45")];
    config.rules.extend(more);
    let desk = Desk::new(&config);
    let bodies = [
        sms("e-1"),
        with("e-2", "otpExpires", json!("2001-01-01T00:00:00Z")),
        with("e-3", "phoneNumber", json!("+4740612345")),
        with("e-4", "phoneNumber", json!("+4520123456")),
    ];
    let answered = || {
        let reports = desk.service.runtime().unwrap().rule_reports(&desk.counters);
        ["p/all", "p/no", "p/lost"].map(|rule| (reports[rule].calls, reports[rule].uncovered))
    };
    let console = "https://acme.okta.com/api/internal/v1/inlineHooks/com.okta.telephony.provider/generatePreview";
    for mut body in bodies.clone() {
        body["source"] = json!(console);
        desk.answer(&body).await;
    }
    assert_eq!((one.asked(), answered()), (1, [(0, 0); 3]));
    assert_eq!(desk.counters.recent("p/all"), []);
    for body in bodies {
        desk.answer(&body).await;
    }
    assert_eq!(
        (one.asked(), answered()),
        (2, [(2, 0), (1, 0), (1, 1)]),
        "a rule is uncovered without a provider to use"
    );
    assert_eq!(desk.counters.recent("p/all").len(), 1);
}

#[tokio::test]
async fn a_body_may_come_bit_by_bit() {
    let one = Provider::that(ACCEPTS).await;
    let desk = Desk::new(&by(&[("one", one.settings())]));
    let body = Coming { bytes: Some(sms("e-1").to_string().into()), waited: false };
    assert_eq!(desk.call(body, Instant::now()).await["status"], "SUCCESSFUL");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_two_seconds_and_never_beyond_the_deadline() {
    let desk = Desk::new(&by(&[("one", unreachable())]));
    for (ago, waited) in [(0, 2_000), (400, 2_000), (600, 1_900), (2_400, 100)] {
        let now = Instant::now();
        let body = Coming { bytes: None, waited: false };
        let answer = desk.call(body, now.checked_sub(Duration::from_millis(ago)).unwrap()).await;
        assert_eq!(answer, failed("the body is too large or did not come in time"));
        assert_eq!(now.elapsed(), Duration::from_millis(waited), "begun {ago} ms ago");
    }
}

#[tokio::test]
async fn a_probe_is_answered_with_a_proof_once_and_no_metric_counts_it() {
    let one = Provider::that(ACCEPTS).await;
    let config = by(&[("one", one.settings())]);
    let (desk, key) = (Desk::new(&config), probe::Key::of(&config.report));
    let before = desk.metrics.render();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let marker = key.marker("h", now, [7; 16]);
    let proof = json!({"status": "SUCCESSFUL", "provider": probe::PROVIDER, "transactionId": key.proof("h", &marker)});
    let none = json!({"status": "FAILED", "provider": probe::PROVIDER});
    assert_eq!(desk.answer(&probe::body(&marker)).await, proof);
    assert_eq!(desk.answer(&probe::body(&marker)).await, none, "it was used before");
    let stale = key.marker("h", now - 2 * probe::SKEW, [8; 16]);
    assert_eq!(desk.answer(&probe::body(&stale)).await, none, "it is too old");
    let lines =
        |text: &str| text.lines().filter(|line| line.contains("_gateway_")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((lines(&desk.metrics.render()), one.asked()), (lines(&before), 0));
    let foreign = key.marker("other", now, [9; 16]);
    assert_eq!(desk.answer(&probe::body(&foreign)).await["provider"], json!(null), "an ordinary call");
}

#[tokio::test]
async fn the_log_has_of_each_call_which_event_it_was_who_was_asked_and_what_came_of_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    // with one subscriber alone, a line that another thread meets first is taken for one that nobody wants
    let _another = tracing::Dispatch::new(logs::subscriber("trace", io::sink).unwrap());
    let dispatch = tracing::Dispatch::new(logs::subscriber("info", move || writer.clone()).unwrap());
    let (one, two) = (Provider::that(REFUSES).await, Provider::that(ACCEPTS).await);
    let desk = Desk::new(&by(&[("one", one.settings()), ("two", two.settings())]));
    let guard = tracing::dispatcher::set_default(&dispatch);
    desk.answer(&sms("e-1")).await;
    let mut nameless = sms("");
    nameless.as_object_mut().unwrap().remove("eventId");
    desk.answer(&nameless).await;
    drop(guard);
    let written = lines.text();
    let answered: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<&Value> = answered.iter().filter(|line| line["message"] == "answered").collect();
    for (line, event) in iter::zip(&answered, [json!("e-1"), json!(null)]) {
        let of = ["event", "rule", "status", "provider"].map(|field| line[field].clone());
        assert_eq!(of, [event, json!("p/all"), json!("SUCCESSFUL"), json!("two")]);
        let attempts: Vec<&str> = line["attempts"].as_str().unwrap().split(' ').collect();
        let [first, second] = attempts[..] else { panic!("{line}") };
        assert!(first.starts_with("one:transient(x-1):") && second.starts_with("two:accepted:"), "{line}");
    }
    assert_eq!(answered.len(), 2);
}
