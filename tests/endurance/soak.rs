//! Mixed traffic with faults for a long time: memory stays flat, and no task, connection or file is left behind.
//!
//! An hour with `HOOKSWITCH_TESTS=full`, some seconds otherwise; `HOOKSWITCH_SOAK_SECONDS` says another time. What is asserted does
//! not depend on how fast the machine is: each whole call that shows the secret is answered 200 in Okta's shape, each other one as
//! it is to be, and what was taken is given back.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use hookswitch_gateway::{
    listener::{KEEP_ALIVE, ListenerBounds},
    serve::{Gateway, GatewaySettings},
};
use hookswitch_gateway_config::{document::Action, envelope};
use hookswitch_sandbox::faults::{Fault, FaultKind};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::scene::{Got, Line, SECRET, Scene, refuse, replace, rule, sealed, sms};
use crate::subject::{CONNECTIONS, PATIENCE, Subject, alone, is_full, line, stranger, tcp, tell};

/// Callers at the same time.
const CALLERS: u64 = 8;
/// How long a caller rests after each of its deeds: what is to be seen takes time, not speed.
const REST: Duration = Duration::from_millis(20);
/// Parts of the time; the second and the last of them are compared.
const PARTS: usize = 10;
/// How often memory is looked at in each of them.
const LOOKS: u32 = 20;
/// Tasks of a gateway that nobody calls: its ports, its sources, its probes, its connections to two providers.
const QUIET: usize = 20;
/// What memory may grow by between these parts beside a tenth: 50,000 remembered calls.
const GROWTH_KIB: u64 = 8 * 1024;

fn time() -> Duration {
    let said = std::env::var("HOOKSWITCH_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(said.unwrap_or(if is_full() { 3_600 } else { 8 }))
}

/// What is done and what came of it.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// Callers of a gateway, each with a connection that it keeps.
struct Traffic {
    to: SocketAddr,
    tls: TlsConnector,
    counts: Counts,
    calls: AtomicU64,
}

impl Traffic {
    fn new(to: SocketAddr, tls: TlsConnector) -> Self {
        Self { to, tls, counts: Counts::default(), calls: AtomicU64::new(0) }
    }

    fn count(&self, what: &str) {
        *self.counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    /// A call that no other equals.
    fn next(&self) -> Value {
        sms(&format!("e-{:08}", self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    async fn open(&self) -> Line {
        line(&self.tls, self.to, &stranger(0)).await.expect("let in")
    }

    /// An answer to a whole call with the secret.
    fn answered(&self, got: &Got) {
        assert_eq!(got.status, 200, "{}", got.body);
        let status = got.body["commands"][0]["value"][0]["status"].as_str().unwrap_or_default();
        assert!(["SUCCESSFUL", "PENDING", "FAILED"].contains(&status), "{}", got.body);
        self.count(status);
        if got.took > Duration::from_secs(3) {
            self.count("later than 3 s");
        }
    }

    /// One of what callers do, by chance.
    async fn act(&self, kept: &mut Line, chance: &mut StdRng) {
        match chance.random_range(0..100) {
            0..50 => self.answered(&kept.call(&self.next()).await.expect("kept open")),
            50..62 => self.answered(&self.open().await.call(&self.next()).await.expect("kept open")),
            62..70 => {
                self.count("the same twice");
                let body = self.next();
                let first = kept.call(&body).await.expect("kept open");
                let second = kept.call(&body).await.expect("kept open");
                // one that was under way at its deadline may have come to an end since
                if first.body.to_string().contains("SUCCESSFUL") {
                    assert_eq!(first.body, second.body);
                }
                self.answered(&first);
            }
            70..76 => {
                self.count("wrong secret");
                let mut line = self.open().await;
                line.write("POST /hooks/h HTTP/1.1\r\nhost: x\r\nauthorization: no\r\ncontent-length: 0\r\n\r\n").await;
                timeout(PATIENCE, line.closed()).await.expect("closed");
            }
            76..82 => {
                self.count("unreadable");
                let got = kept.call(&Value::Null).await.expect("kept open");
                assert_eq!((got.status, &got.body["commands"][0]["value"][0]["status"]), (200, &"FAILED".into()));
            }
            82..90 => {
                self.count("broken off");
                let (mut line, body) = (self.open().await, self.next().to_string());
                let length = body.len();
                let head =
                    format!("POST /hooks/h HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ncontent-length: {length}");
                line.write(&format!("{head}\r\n\r\n{body}")).await;
            }
            90..94 => {
                self.count("half a body");
                let mut line = self.open().await;
                let head = "POST /hooks/h HTTP/1.1\r\nhost: x\r\ncontent-length: 4000";
                line.write(&format!("{head}\r\nauthorization: {SECRET}\r\n\r\n{{\"half")).await;
                // some are gone before the answer, some wait for it
                if chance.random_bool(0.5) {
                    let mut said = [0; 512];
                    let read = timeout(PATIENCE, line.0.read(&mut said)).await.expect("answered").unwrap();
                    let said = String::from_utf8_lossy(&said[..read]).into_owned();
                    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("FAILED"), "{said}");
                }
            }
            94..97 => {
                self.count("half a head");
                self.open().await.write("POST /hooks/h HTTP/1.1\r\nhost: ").await;
            }
            _ => {
                self.count("half a handshake");
                let mut stream = tcp(self.to, &stranger(1)).await.unwrap();
                stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
            }
        }
        sleep(REST).await;
    }

    /// Lets all callers act for so long.
    async fn goes_on(&self, time: Duration) {
        let callers = (0..CALLERS).map(|caller| async move {
            let (begun, mut chance) = (Instant::now(), StdRng::seed_from_u64(16 + caller));
            let mut kept = self.open().await;
            while begun.elapsed() < time {
                self.act(&mut kept, &mut chance).await;
            }
        });
        join_all(callers).await;
    }

    /// Has all made that is made once and kept: connections to both providers before all.
    async fn warm_up(&self, scene: &Scene) {
        self.goes_on(Duration::from_millis(500)).await;
        let one = scene.sandbox.provider("one").unwrap();
        one.set_fault(Fault::always(refuse("transient", None))).unwrap();
        self.goes_on(Duration::from_millis(500)).await;
        one.clear_faults(None);
    }

    fn told(&self) -> String {
        let counts = self.counts.lock().unwrap();
        counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// Faults of the first provider, and changes of configuration and certificate, in turn until it is stopped.
async fn disturb(scene: &Scene, counts: Counts, stop: CancellationToken) {
    let count = |what: &str| *counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    let file = scene.folder.join("config").join(envelope::KEY);
    let all = [
        FaultKind::Slow { ms: 300 },
        refuse("transient", None),
        FaultKind::Reset { delivered: false },
        FaultKind::Down,
        FaultKind::Garbage { delivered: true },
        refuse("throttled", None),
        FaultKind::Hang { delivered: false },
    ];
    let one = scene.sandbox.provider("one").unwrap();
    for (turn, fault) in all.into_iter().cycle().enumerate() {
        one.set_fault(Fault::always(fault)).unwrap();
        count("faults");
        if turn % 3 == 0 {
            let mut next = scene.config.clone();
            next.generation = i64::try_from(turn).unwrap() + 2;
            let order: [&str; 2] = if turn % 2 == 0 { ["one", "two"] } else { ["two", "one"] };
            next.rules = vec![rule(Action::Send(order.map(str::to_owned).into()))];
            replace(&file, &sealed(&next));
            count("configurations");
        }
        if turn % 5 == 4 {
            let issued = scene.sandbox.authority().issue(&["localhost".to_owned()]).unwrap();
            replace(&scene.folder.join("tls/tls.key"), issued.key_pem.as_bytes());
            replace(&scene.folder.join("tls/tls.crt"), issued.cert_pem.as_bytes());
            count("certificates");
        }
        for rest in [700, 300] {
            if timeout(Duration::from_millis(rest), stop.cancelled()).await.is_ok() {
                one.clear_faults(None);
                return;
            }
            one.clear_faults(None);
        }
    }
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}

#[tokio::test]
async fn mixed_traffic_with_faults_leaves_memory_flat_and_nothing_open() {
    let _alone = alone().await;
    let (subject, time) = (Subject::new(|_| {}).await, time());
    let traffic = Traffic::new(subject.hooks(), subject.scene.tls());
    traffic.warm_up(&subject.scene).await;
    let before = subject.figures();
    let stop = CancellationToken::new();
    let looking = async {
        let mut memory = Vec::new();
        for _ in 0..PARTS {
            let mut part = Vec::new();
            for _ in 0..LOOKS {
                sleep(time / LOOKS / u32::try_from(PARTS).unwrap()).await;
                part.push(subject.figures().memory_kib);
            }
            memory.push(median(part));
        }
        memory
    };
    let acting = async {
        let memory = join(traffic.goes_on(time), looking).await.1;
        stop.cancel();
        memory
    };
    let (memory, ()) = join(acting, disturb(&subject.scene, Arc::clone(&traffic.counts), stop.clone())).await;
    let after = subject.until_quiet(before).await;
    tell(format_args!(
        "soak: {time:?}: {}; memory KiB in each tenth {memory:?}; files {} before, {} after; threads {} before, {} after",
        traffic.told(),
        before.files,
        after.files,
        before.threads,
        after.threads
    ));
    let (second, last) = (memory[1], memory[PARTS - 1]);
    assert!(
        last <= second + second / 10 + GROWTH_KIB,
        "{second} KiB in the second tenth, {last} in the last: {memory:?}"
    );
    let successful = traffic.counts.lock().unwrap().get("SUCCESSFUL").copied();
    assert!(successful > Some(0), "{}", traffic.told());
}

/// The same in a runtime of its own, whose tasks can be counted.
#[test]
fn mixed_traffic_with_faults_leaves_no_task_behind() {
    let callers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let gateway = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    callers.block_on(async {
        let _alone = alone().await;
        let scene = Scene::new().await;
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = GatewaySettings {
            config_dir: scene.folder.join("config"),
            tls_dir: scene.folder.join("tls"),
            secret_name: None,
            listen: any,
            report: any,
            metrics: any,
            pod: "gateway-1".to_owned(),
            lame_duck: Duration::ZERO,
            bounds: ListenerBounds { connections: CONNECTIONS, keep_alive: KEEP_ALIVE },
        };
        let stop = CancellationToken::new();
        let opened = gateway.spawn(Gateway::open(settings)).await.unwrap().unwrap();
        let to = opened.addresses().hooks;
        let running = gateway.spawn(opened.run(stop.clone()));
        let traffic = Traffic::new(to, scene.tls());
        while line(&traffic.tls, to, &stranger(0)).await.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        traffic.warm_up(&scene).await;
        let tasks = || gateway.metrics().num_alive_tasks();
        let quiet_after = until(|| tasks() <= QUIET, || format!("{} tasks of a quiet gateway", tasks())).await;
        let calm = tasks();
        let quiet = CancellationToken::new();
        let acting = async {
            traffic.goes_on((time() / 2).min(Duration::from_mins(2))).await;
            quiet.cancel();
        };
        let ((), ()) = join(acting, disturb(&scene, Arc::clone(&traffic.counts), quiet.clone())).await;
        until(|| tasks() <= calm, || format!("{calm} tasks before, {} long after", tasks())).await;
        tell(format_args!(
            "soak: {}; tasks {calm} before (quiet after {quiet_after:.1?}), {} after",
            traffic.told(),
            tasks()
        ));
        stop.cancel();
        timeout(PATIENCE, running).await.expect("it stops").unwrap().unwrap();
        until(|| tasks() == 0, || format!("{} tasks of a gateway that has stopped", tasks())).await;
    });
    gateway.shutdown_background();
}

/// Waits until that is so, and says how long it took.
async fn until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{}", otherwise());
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}
