//! A gateway in this process, with simulated carriers behind it, called as Okta calls it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use futures::future::join_all;
use hookswitch::config::document::{
    Action, Carrier, GatewayConfig, Hook, Match, OnAmbiguous, Probe, Provider, Report, Rule, Timing,
};
use hookswitch::config::{envelope, report};
use hookswitch::gateway::serve::{Addresses, Gateway, ServeError, Settings};
use hookswitch::sandbox::faults::{Fault, FaultKind};
use hookswitch::sandbox::{CarrierOptions, Options, Sandbox};
use hookswitch::telemetry::logs;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "Bearer 0123456789abcdef";
const NUMBER: &str = "+46701740605";
const CODE: &str = "493817";
/// Okta waits three seconds; the configuration promises less.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// One gateway, its carriers `one` and `two`, and a client that trusts it.
struct Scene {
    sandbox: Sandbox,
    config: GatewayConfig,
    folder: PathBuf,
    at: Addresses,
    http: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ServeError>>,
}

struct Got {
    status: u16,
    body: Value,
    took: Duration,
}

impl Got {
    /// What Okta reads: the status and the provider. Anything that is not exactly Okta's shape fails the test.
    fn answer(&self) -> (&str, Option<&str>) {
        assert_eq!(self.status, 200, "{}", self.body);
        let value = &self.body["commands"][0]["value"][0];
        let shape = json!({"commands": [{"type": "com.okta.telephony.action", "value": [value]}]});
        assert_eq!(self.body, shape);
        let known = ["status", "provider", "transactionId", "transactionMetadata"];
        for (name, value) in value.as_object().unwrap() {
            assert!(known.contains(&name.as_str()) && value.is_string(), "{name}: {value}");
        }
        assert!(self.took < DEADLINE, "answered after {:?}", self.took);
        (value["status"].as_str().unwrap(), value["provider"].as_str())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let carriers = ["one", "two"].map(|name| CarrierOptions::json(name, format!("token-of-{name}")));
        let sandbox = Sandbox::start(Options { carriers: carriers.into(), ..Options::default() }).await.unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hookswitch-gateway-{}-{count}", std::process::id()));
        let (config_dir, tls_dir) = (folder.join("config"), folder.join("tls"));
        std::fs::create_dir_all(&config_dir).unwrap();
        std::fs::create_dir_all(&tls_dir).unwrap();
        let issued = sandbox.authority().issue(&["localhost".to_owned()]).unwrap();
        std::fs::write(tls_dir.join("tls.crt"), &issued.cert_pem).unwrap();
        std::fs::write(tls_dir.join("tls.key"), &issued.key_pem).unwrap();
        let mut config = configuration(&sandbox);
        change(&mut config);
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = Settings {
            config_dir,
            tls_dir,
            secret_name: None,
            listen: any,
            report: any,
            metrics: any,
            pod: "gateway-0".to_owned(),
            lame_duck: Duration::ZERO,
        };
        std::fs::write(folder.join("config").join(envelope::KEY), sealed(&config)).unwrap();
        let gateway = Gateway::open(settings).await.unwrap();
        let at = gateway.addresses();
        let stop = CancellationToken::new();
        let running = tokio::spawn(gateway.run(stop.clone()));
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(sandbox.authority().cert_pem().as_bytes()).unwrap()])
            .resolve("localhost", at.hooks)
            .no_proxy()
            .build()
            .unwrap();
        let scene = Self { sandbox, config, folder, at, http, stop, running };
        for _ in 0..200 {
            let asked = scene.http.post(scene.url("h")).send().await;
            if asked.is_ok_and(|answer| answer.status() == 401) {
                return scene;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the gateway does not serve");
    }

    fn url(&self, hook: &str) -> String {
        format!("https://localhost:{}/hooks/{hook}", self.at.hooks.port())
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(self.url("h")).header("content-type", "application/json").body(body)
    }

    async fn call(&self, body: &Value) -> Got {
        got(self.post(body.to_string()).header("authorization", SECRET)).await
    }

    fn fault(&self, carrier: &str, kind: FaultKind) {
        self.sandbox.carrier(carrier).unwrap().set_fault(Fault::always(kind)).unwrap();
    }

    fn delivered(&self) -> usize {
        self.sandbox.inbox().messages(None).len()
    }

    /// How many messages a carrier was asked to send.
    fn asked(&self, carrier: &str) -> usize {
        let calls = self.sandbox.carrier(carrier).unwrap().calls();
        calls.iter().filter(|call| call.what == "sms").count()
    }
}

async fn got(request: reqwest::RequestBuilder) -> Got {
    let begun = Instant::now();
    let answer = request.timeout(Duration::from_secs(10)).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    Got { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), took: begun.elapsed() }
}

fn sealed(config: &GatewayConfig) -> Vec<u8> {
    envelope::seal(&[(1, serde_json::to_vec(config).unwrap())]).unwrap()
}

fn configuration(sandbox: &Sandbox) -> GatewayConfig {
    let provider = |name: &str| Provider {
        carrier: Carrier::Http {
            url: format!("https://{}/v1/messages", sandbox.carrier(name).unwrap().addr()),
            token: format!("token-of-{name}").as_str().into(),
        },
        senders: Vec::new(),
        probe: Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight: 200,
        ca_bundle: Some(sandbox.authority().cert_pem().to_owned()),
    };
    let report = rcgen::generate_simple_self_signed(["report".to_owned()]).unwrap();
    let hook = Hook { header: "authorization".into(), secrets: vec![SECRET.into()], retire_at: None, okta_id: None };
    GatewayConfig {
        gateway: "ns/gateway".into(),
        generation: 1,
        timing: Timing { deadline_ms: 2_500, proxy_allowance_ms: 0, attempt_floor_ms: 500, max_attempts: 3 },
        on_ambiguous: OnAmbiguous::Continue,
        default_region: None,
        allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        proxy: None,
        replicas: 1,
        report: Report {
            token: "a-token-of-the-report".into(),
            certificate: report.cert.pem(),
            key: report.signing_key.serialize_pem().as_str().into(),
        },
        hooks: BTreeMap::from([("h".to_owned(), hook)]),
        providers: ["one", "two"].map(|name| (name.to_owned(), provider(name))).into(),
        rules: vec![rule(Action::Send(vec!["one".into(), "two".into()]))],
    }
}

fn rule(action: Action) -> Rule {
    Rule { policy: "p".into(), name: "all".into(), priority: None, matches: Match::default(), action }
}

/// Okta's body for one SMS.
fn sms(event: &str) -> Value {
    json!({
        "eventId": event,
        "eventType": "com.okta.telephony.provider",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "contentType": "application/json",
        "source": "https://acme.okta.com/api/v1/inlineHooks/calz6lVQA77AwFeEe0g3",
        "requestType": "com.okta.user.telephony.mfa-verification",
        "data": {
            "context": {"request": {"id": "req", "method": "POST"}},
            "userProfile": {"login": "a@example.com"},
            "messageProfile": {
                "msgTemplate": format!("Your code is {CODE}"), "phoneNumber": NUMBER,
                "deliveryChannel": "SMS", "otpCode": CODE, "locale": "EN-US"
            }
        }
    })
}

fn refuse(class: &str, scope: Option<&str>) -> FaultKind {
    let (class, scope) = (Some(class.to_owned()), scope.map(str::to_owned));
    FaultKind::Refuse { code: "no".to_owned(), status: None, class, scope }
}

const REFUSED: fn() -> FaultKind = || refuse("transient", None);

/// Faults of both carriers → status and provider in the answer, messages on the handset, times the second was asked.
type Row = (FaultKind, Option<FaultKind>, &'static str, Option<&'static str>, usize, usize);

async fn holds((one, two, status, provider, messages, asked): Row, change: impl FnOnce(&mut GatewayConfig)) {
    let scene = Scene::with(change).await;
    let shown = format!("{one:?} then {two:?}");
    scene.fault("one", one);
    if let Some(two) = two {
        scene.fault("two", two);
    }
    let got = scene.call(&sms("e-1")).await;
    assert_eq!(got.answer(), (status, provider), "{shown}: {}", got.body);
    assert_eq!((scene.delivered(), scene.asked("two")), (messages, asked), "{shown}");
    let id = &got.body["commands"][0]["value"][0]["transactionId"];
    assert_eq!(id.is_string(), messages > 0 && status == "SUCCESSFUL", "{shown}: {}", got.body);
}

#[tokio::test]
async fn a_refusal_goes_to_the_next_carrier_or_ends_the_call_as_the_outcome_table_says() {
    let second = ("SUCCESSFUL", Some("two"), 1, 1);
    let row = |one, two, (status, provider, messages, asked)| (one, two, status, provider, messages, asked);
    for row in [
        row(refuse("permanent-destination", None), None, ("FAILED", Some("one"), 0, 0)),
        row(refuse("permanent-config", Some("account")), None, second),
        row(refuse("permanent-config", Some("sender")), None, second),
        row(refuse("permanent-config", Some("country")), None, second),
        row(refuse("throttled", None), None, second),
        row(REFUSED(), None, second),
        row(refuse("message-rejected", None), None, second),
        row(refuse("fraud-blocked", None), None, ("SUCCESSFUL", Some("HOOKSWITCH-BLOCKED"), 0, 0)),
        row(REFUSED(), Some(REFUSED()), ("FAILED", Some("two"), 0, 1)),
        row(refuse("message-rejected", None), Some(refuse("message-rejected", None)), ("FAILED", Some("two"), 0, 1)),
        row(refuse("throttled", None), Some(refuse("permanent-destination", None)), ("FAILED", Some("two"), 0, 1)),
    ] {
        holds(row, |_| {}).await;
    }
}

#[tokio::test]
async fn a_carrier_in_trouble_costs_no_message_and_never_the_deadline() {
    let second = |messages| ("SUCCESSFUL", Some("two"), messages, 1);
    let unknown = ("PENDING", Some("one"), 0, 1);
    let row = |one, two, (status, provider, messages, asked)| (one, two, status, provider, messages, asked);
    let hang = || FaultKind::Hang { delivered: false };
    let rows = [
        row(FaultKind::Down, None, second(1)),
        row(hang(), None, second(1)),
        row(FaultKind::Reset { delivered: false }, None, second(1)),
        row(FaultKind::Garbage { delivered: false }, None, second(1)),
        row(FaultKind::Unknown { delivered: false }, None, second(1)),
        row(FaultKind::Trickle { ms: 200, delivered: false }, None, second(1)),
        // Sent twice, knowingly: nobody can tell, and the configuration says to go on.
        row(FaultKind::Reset { delivered: true }, None, second(2)),
        row(FaultKind::Slow { ms: 5_000 }, None, second(2)),
        // Slow but in time is no trouble.
        row(FaultKind::Slow { ms: 300 }, None, ("SUCCESSFUL", Some("one"), 1, 0)),
        // What may have been sent is not called FAILED, whatever comes after.
        row(FaultKind::Unknown { delivered: false }, Some(REFUSED()), unknown),
        row(hang(), Some(REFUSED()), unknown),
        row(hang(), Some(hang()), ("PENDING", Some("two"), 0, 1)),
        row(FaultKind::Down, Some(FaultKind::Down), ("FAILED", Some("two"), 0, 0)),
    ];
    join_all(rows.into_iter().map(|row| holds(row, |_| {}))).await;
}

#[tokio::test]
async fn with_stop_on_ambiguous_no_second_carrier_is_asked() {
    for kind in [FaultKind::Unknown { delivered: true }, FaultKind::Reset { delivered: true }] {
        let row = (kind, None, "PENDING", Some("one"), 1, 0);
        holds(row, |config| config.on_ambiguous = OnAmbiguous::Stop).await;
    }
}

#[tokio::test]
async fn a_hundred_copies_of_one_call_are_one_message_with_one_answer() {
    let scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 300 });
    let body = sms("e-1");
    let all = join_all((0..100).map(|_| scene.call(&body))).await;
    let first = &all[0];
    assert_eq!(first.answer(), ("SUCCESSFUL", Some("one")));
    assert!(all.iter().all(|got| got.answer() == first.answer() && got.body == first.body));
    assert_eq!(scene.delivered(), 1);
    assert_eq!(scene.call(&body).await.body, first.body, "later too");

    let mut other = body.clone();
    other["data"]["messageProfile"]["otpCode"] = json!("118822");
    assert_eq!(scene.call(&other).await.answer(), ("FAILED", None));
    assert_eq!((scene.delivered(), scene.asked("one"), scene.asked("two")), (1, 1, 0));

    let mut nameless = body;
    nameless.as_object_mut().unwrap().remove("eventId");
    for expected in [2, 3] {
        assert_eq!(scene.call(&nameless).await.answer(), ("SUCCESSFUL", Some("one")));
        assert_eq!(scene.delivered(), expected, "without an id two calls are two messages");
    }
}

#[tokio::test]
async fn copies_of_a_call_that_failed_get_its_answer_and_send_nothing() {
    let scene = Scene::new().await;
    scene.fault("one", REFUSED());
    scene.fault("two", REFUSED());
    let body = sms("e-1");
    let first = scene.call(&body).await;
    assert_eq!(first.answer(), ("FAILED", Some("two")));
    for carrier in scene.sandbox.carriers() {
        carrier.clear_faults(None);
    }
    assert_eq!(scene.call(&body).await.body, first.body, "Okta may have sent it itself by now");
    assert_eq!(scene.delivered(), 0);
}

#[tokio::test]
async fn who_is_not_okta_is_turned_away_before_the_body_is_read() {
    let scene = Scene::new().await;
    let body = sms("e-1").to_string();
    let wrong = got(scene.post(body.clone()).header("authorization", "Bearer 0123456789abcdeg")).await;
    let shorter = got(scene.post(body.clone()).header("authorization", "Bearer 0123456789abcde")).await;
    let empty = got(scene.post(body.clone()).header("authorization", "")).await;
    let missing = got(scene.post(body.clone())).await;
    let twice = scene.post(body.clone()).header("authorization", SECRET).header("authorization", SECRET);
    for refused in [wrong, shorter, empty, missing, got(twice).await] {
        assert_eq!(refused.status, 401, "{}", refused.body);
    }
    for hook in ["other", "h/", "H", "h%00", ""] {
        let asked = scene.http.post(scene.url(hook)).header("authorization", SECRET).body(body.clone());
        assert_eq!(got(asked).await.status, 404, "{hook}");
    }
    assert_eq!(got(scene.http.get(scene.url("h")).header("authorization", SECRET)).await.status, 405);
    assert_eq!(got(scene.http.get(scene.url("h"))).await.status, 401);
    assert_eq!((scene.delivered(), scene.asked("one")), (0, 0));
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_failed_and_the_next_one_is_served() {
    let scene = Scene::new().await;
    let with = |field: &str, value: Value| {
        let mut body = sms("e-bad");
        body["data"]["messageProfile"][field] = value;
        body.to_string()
    };
    let mut large = sms("e-large").to_string();
    large.push_str(&" ".repeat(64 * 1024 + 1 - large.len()));
    for (what, body) in [
        ("nothing", String::new()),
        ("no JSON", "eventId=1".to_owned()),
        ("half a body", sms("e-half").to_string()[..200].to_owned()),
        ("deep", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))),
        ("one byte too large", large.clone()),
        ("another channel", with("deliveryChannel", json!("email"))),
        ("no number", with("phoneNumber", json!("call me"))),
        ("number too short", with("phoneNumber", json!("+4612"))),
        ("number of another type", with("phoneNumber", json!([NUMBER]))),
        ("national number without a region", with("phoneNumber", json!("0701740605"))),
        ("no code", with("otpCode", Value::Null)),
    ] {
        let failed = got(scene.post(body).header("authorization", SECRET)).await;
        assert_eq!(failed.answer(), ("FAILED", None), "{what}: {}", failed.body);
    }
    assert_eq!((scene.delivered(), scene.asked("one")), (0, 0));
    large.pop();
    let fits = got(scene.post(large).header("authorization", SECRET)).await;
    assert_eq!(fits.answer(), ("SUCCESSFUL", Some("one")), "64 KiB are not too much");
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_a_good_one_after_it_is_served() {
    let scene = Scene::new().await;
    let file = scene.folder.join("config").join(envelope::KEY);
    let mut unknown = scene.config.clone();
    unknown.rules = vec![rule(Action::Send(vec!["three".into()]))];
    for (turn, broken) in [b"{\"1\": \"broken".to_vec(), Vec::new(), sealed(&unknown)].into_iter().enumerate() {
        std::fs::write(&file, broken).unwrap();
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        assert_eq!(scene.call(&sms(&format!("e-{turn}"))).await.answer(), ("SUCCESSFUL", Some("one")));
    }
    let mut other = scene.config.clone();
    other.generation = 2;
    other.rules = vec![rule(Action::Send(vec!["two".into()]))];
    std::fs::write(&file, sealed(&other)).unwrap();
    for turn in 0..100 {
        let got = scene.call(&sms(&format!("later-{turn}"))).await;
        match got.answer() {
            ("SUCCESSFUL", Some("two")) => return,
            answer => assert_eq!(answer, ("SUCCESSFUL", Some("one"))),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the good configuration is not served");
}

#[tokio::test]
async fn a_gateway_told_to_stop_answers_the_call_it_holds_and_ends_well() {
    let mut scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 1_000 });
    let holding = tokio::spawn(got(scene.post(sms("e-1").to_string()).header("authorization", SECRET)));
    while scene.delivered() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene.stop.cancel();
    let held = holding.await.unwrap();
    assert_eq!(held.answer(), ("SUCCESSFUL", Some("one")));
    tokio::time::timeout(Duration::from_secs(5), &mut scene.running).await.unwrap().unwrap().unwrap();
    assert!(scene.post("{}").send().await.is_err(), "nobody listens any more");
    assert_eq!(scene.delivered(), 1);
}

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The forms in which a text might show: as it is, set apart, as a list of bytes, in hexadecimal, in base64 at any offset.
fn forms(text: &str) -> Vec<String> {
    let hex = text.bytes().fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
    let list = text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>();
    let apart = |with: &str| text.chars().map(String::from).collect::<Vec<_>>().join(with);
    let mut forms = vec![text.to_owned(), apart(" "), apart(", "), apart(". "), list.join(", "), list.join(",")];
    forms.extend([hex.to_uppercase(), hex]);
    for offset in 0..3 {
        let bytes = [&b"__"[..offset], text.as_bytes()].concat();
        // The first and the last characters depend on what stands before and after.
        let whole = bytes.len() / 3 * 4;
        let from = if offset == 0 { 0 } else { 4 };
        forms.push(STANDARD_NO_PAD.encode(&bytes)[from..whole].to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(&bytes)[from..whole].to_owned());
    }
    forms
}

fn leaked(haystack: &str, secrets: &[String]) -> Vec<String> {
    secrets.iter().flat_map(|secret| forms(secret)).filter(|form| haystack.contains(form.as_str())).collect()
}

/// One SMS with a passcode, number and text that appear nowhere else.
fn private(event: &str) -> Value {
    let mut body = sms(event);
    let profile = &mut body["data"]["messageProfile"];
    profile["otpCode"] = json!("k7Wq93ZxT5pB");
    profile["phoneNumber"] = json!("+46739184627");
    profile["msgTemplate"] = json!("Zebrafinch says k7Wq93ZxT5pB");
    body
}

/// Calls of all kinds; with the metrics and the report after them.
async fn calls_of_all_kinds(scene: &Scene) -> String {
    let mut voice = private("e-voice");
    voice["data"]["messageProfile"]["deliveryChannel"] = json!("voice call");
    for body in [private("e-good"), private("e-good"), voice] {
        assert_eq!(scene.call(&body).await.answer().0, "SUCCESSFUL");
    }
    let mut contradicting = private("e-good");
    contradicting["data"]["messageProfile"]["deliveryChannel"] = json!("CALL");
    let mut other_channel = private("e-channel");
    other_channel["data"]["messageProfile"]["deliveryChannel"] = json!("k7Wq93ZxT5pB");
    let mut misplaced = private("e-misplaced");
    misplaced["data"]["messageProfile"] = json!("k7Wq93ZxT5pB");
    let mut no_number = private("e-number");
    no_number["data"]["messageProfile"]["phoneNumber"] = json!("+46739184627k7Wq93ZxT5pB");
    for body in [contradicting, other_channel, misplaced, no_number] {
        assert_eq!(scene.call(&body).await.answer().0, "FAILED", "{body}");
    }
    let whole = private("e-half").to_string();
    let half = scene.post(whole[..whole.len() - 3].to_owned()).header("authorization", SECRET);
    assert_eq!(got(half).await.answer().0, "FAILED");
    let asked = scene
        .http
        .post(format!("{}/k7Wq93ZxT5pB?to=46739184627", scene.url("h")))
        .header("authorization", "k7Wq93ZxT5pB");
    assert_eq!(got(asked).await.status, 404);
    let wrong = scene.post(private("e-wrong").to_string()).header("authorization", "Bearer k7Wq93ZxT5pB");
    assert_eq!(got(wrong).await.status, 401);
    let kinds = [
        refuse("permanent-destination", None),
        refuse("fraud-blocked", None),
        refuse("message-rejected", None),
        FaultKind::Unknown { delivered: true },
        FaultKind::Garbage { delivered: true },
        FaultKind::Reset { delivered: true },
        FaultKind::Hang { delivered: false },
        // A carrier that quotes what it was given.
        FaultKind::Refuse { code: "k7Wq93ZxT5pB".into(), status: Some(403), class: None, scope: None },
        FaultKind::Down,
    ];
    for (turn, kind) in kinds.into_iter().enumerate() {
        scene.sandbox.carrier("one").unwrap().clear_faults(None);
        scene.fault("one", kind);
        scene.call(&private(&format!("e-fault-{turn}"))).await.answer();
    }
    std::fs::write(scene.folder.join("config").join(envelope::KEY), b"{\"1\": \"k7Wq93ZxT5pB\"}").unwrap();
    tokio::time::sleep(Duration::from_millis(2_300)).await;

    let figures = reqwest::get(format!("http://{}/metrics", scene.at.metrics)).await.unwrap();
    let pinned = reqwest::Certificate::from_pem(scene.config.report.certificate.as_bytes()).unwrap();
    let operator = reqwest::Client::builder()
        .tls_certs_only([pinned])
        .resolve("report", scene.at.report)
        .no_proxy()
        .build()
        .unwrap();
    let told = operator
        .get(format!("https://report:{}{}", scene.at.report.port(), report::PATH))
        .bearer_auth("a-token-of-the-report")
        .send()
        .await
        .unwrap();
    assert_eq!((figures.status().as_u16(), told.status().as_u16()), (200, 200));
    format!("{}{}", figures.text().await.unwrap(), told.text().await.unwrap())
}

#[tokio::test]
async fn no_passcode_number_text_or_credential_shows_in_logs_metrics_or_the_report() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing::subscriber::set_global_default(logs::subscriber("trace", move || writer.clone()).unwrap()).unwrap();
    let scene = Scene::new().await;
    let shown = calls_of_all_kinds(&scene).await;

    let mut secrets: Vec<String> =
        ["k7Wq93ZxT5pB", "739184627", "Zebrafinch", "0123456789abcdef", "token-of-one", "a-token-of-the-report"]
            .map(str::to_owned)
            .into();
    let mut texts: Vec<String> = scene.sandbox.inbox().messages(None).into_iter().map(|message| message.text).collect();
    texts.dedup();
    assert!(texts.len() >= 3, "text, voice and text again");
    secrets.extend(texts);
    for secret in &secrets {
        let encoded = STANDARD_NO_PAD.encode(format!("{{\"x\":\"{secret}\"}}"));
        assert!(!leaked(&encoded, &secrets).is_empty(), "the search finds nothing");
    }
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    // The sandbox says which faults are set, and one of them quotes the passcode.
    let of_sandbox = |line: &&str| line.contains("\"target\":\"hookswitch::sandbox::");
    let logged = logged.lines().filter(|line| !of_sandbox(line)).collect::<Vec<_>>().join("\n");
    for expected in ["e-voice", "e-fault-8", "call not acted on", "configuration in service", "46…27"] {
        assert!(logged.contains(expected), "{expected} is not logged: was anything?");
    }
    assert!(shown.contains("hookswitch_") && shown.contains("gateway-0"));
    for (place, text) in [("logs", &logged), ("metrics or report", &shown)] {
        let found = leaked(text, &secrets);
        let line = text.lines().find(|line| found.iter().any(|form| line.contains(form.as_str())));
        assert!(found.is_empty(), "in {place}: {found:?} as in {line:?}");
    }
}
