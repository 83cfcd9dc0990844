//! Load on a server, over TLS and kept connections: as fast as it answers (closed loop), at a fixed rate (open loop), or with
//! a connection for each call. Every answer is checked, and every message counted at the provider.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    call::{Answer, Request},
    process,
    provider::{Port, Provider},
};

/// How many failures are told in full; one is enough for the bench to fail.
const TOLD: usize = 5;
/// After so many a load ends.
const MOST_FAILURES: u64 = 100;
/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(30);
/// How long a connection or an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections made at the same time where each serves one call or none.
const AT_ONCE: usize = 8;

/// How a server is called: full handshakes, so that what a new connection costs does not depend on the one before.
pub fn caller(authority: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(tls))
}

/// What is called, and how it is seen from around.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Where it serves.
    pub addr: SocketAddr,
    /// How it is called.
    pub caller: &'a TlsConnector,
    /// Its processes.
    pub family: &'a [u32],
    /// Its port at the provider.
    pub port: &'a Port,
    /// The provider.
    pub provider: &'a Provider,
}

/// What was measured of a load.
#[derive(Default, Clone)]
pub struct Window {
    /// Calls answered, or connections made, while it was measured.
    pub calls: u64,
    /// How long that was, in seconds.
    pub seconds: f64,
    /// Processor time of the server, of the load and of the provider, in seconds.
    pub server: f64,
    /// See `server`.
    pub load: f64,
    /// See `server`.
    pub provider: f64,
    /// Connections that the server opened to the provider.
    pub opened: u64,
    /// How long each call took, in milliseconds and ascending.
    pub took: Vec<f64>,
    /// What failed.
    pub failures: u64,
    /// The first of it.
    pub told: Vec<String>,
}

impl Window {
    /// Calls in a second.
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.seconds
    }

    /// Microseconds of the server's processor time for a call.
    pub fn cost(&self) -> f64 {
        self.server * 1e6 / self.calls.max(1) as f64
    }

    /// The time that this share of the calls took at most.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = (self.took.len() as f64 * share) as usize;
        self.took.get(at.min(self.took.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// What all tasks of a load share.
#[derive(Default)]
struct Tally {
    is_over: AtomicBool,
    is_measured: AtomicBool,
    calls: AtomicU64,
    answered: AtomicU64,
    failures: AtomicU64,
    told: Mutex<Vec<String>>,
}

impl Tally {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed) && self.failures.load(Ordering::Relaxed) < MOST_FAILURES
    }

    fn measures(&self) -> bool {
        self.is_measured.load(Ordering::Relaxed)
    }

    fn count(&self, is_answer: bool) {
        self.calls.fetch_add(u64::from(self.measures()), Ordering::Relaxed);
        self.answered.fetch_add(u64::from(is_answer), Ordering::Relaxed);
    }

    fn fail(&self, reason: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap();
        if told.len() < TOLD {
            told.push(reason);
        }
    }
}

/// A kept connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Connection {
    /// Opens one, with a full handshake.
    pub async fn open(addr: SocketAddr, caller: &TlsConnector) -> Result<Self, String> {
        let opened = async {
            let stream = TcpStream::connect(addr).await.map_err(|error| format!("no connection: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let stream = caller.connect(ServerName::try_from("localhost").unwrap(), stream).await;
            Ok(Self { stream: stream.map_err(|error| format!("no TLS: {error}"))?, read: Vec::with_capacity(4_096) })
        };
        timeout(PATIENCE, opened).await.unwrap_or_else(|_| Err("no connection in time".into()))
    }

    /// The version and the cipher that were agreed.
    pub fn agreed(&self) -> String {
        let tls = self.stream.get_ref().1;
        let group = tls.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
        let suite = tls.negotiated_cipher_suite().map(|suite| suite.suite());
        format!("{:?}, {:?}, {:?}", tls.protocol_version().unwrap(), suite.unwrap(), group.unwrap())
    }

    /// Makes one call and checks its answer.
    pub async fn call(&mut self, request: &[u8]) -> Result<(), String> {
        timeout(PATIENCE, self.answered(request)).await.unwrap_or_else(|_| Err("no answer in time".into()))
    }

    async fn answered(&mut self, request: &[u8]) -> Result<(), String> {
        let lost = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        loop {
            if self.stream.read_buf(&mut self.read).await.map_err(lost)? == 0 {
                return Err("the connection was closed without an answer".into());
            }
            if let Some(answer) = Answer::read(&self.read)? {
                answer.check()?;
                if answer.length != self.read.len() {
                    return Err("more came than the answer".into());
                }
                self.read.clear();
                return Ok(());
            }
        }
    }
}

/// What is read at the beginning and the end of what is measured.
struct Reading {
    at: Instant,
    server: f64,
    load: f64,
    provider: f64,
    connections: u64,
}

impl Target<'_> {
    fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            server: process::processor_time(self.family),
            load: process::own_thread_time(),
            provider: self.provider.time(),
            connections: self.port.connections(),
        }
    }

    /// Measures while tasks run, ends them, and adds up.
    async fn measure(
        &self,
        tally: &Tally,
        mut tasks: JoinSet<Vec<f64>>,
        sent: u64,
        (warm, measured): (Duration, Duration),
    ) -> Window {
        sleep(warm).await;
        let before = self.read();
        tally.is_measured.store(true, Ordering::Relaxed);
        sleep(measured).await;
        tally.is_measured.store(false, Ordering::Relaxed);
        let after = self.read();
        tally.is_over.store(true, Ordering::Relaxed);
        let mut took = Vec::new();
        let ended = timeout(LAST, async {
            while let Some(of_task) = tasks.join_next().await {
                took.extend(of_task.unwrap());
            }
        });
        if ended.await.is_err() {
            tally.fail(format!("{} connections still waited for an answer {LAST:?} after the end", tasks.len()));
        }
        took.sort_by(f64::total_cmp);
        let answered = tally.answered.load(Ordering::Relaxed);
        let messages = self.port.messages() - sent;
        if messages != answered {
            tally.fail(format!("{messages} messages for {answered} calls"));
        }
        if self.port.refused() > 0 {
            tally.fail(format!("the provider refused {} requests", self.port.refused()));
        }
        Window {
            calls: tally.calls.load(Ordering::Relaxed),
            seconds: (after.at - before.at).as_secs_f64(),
            server: after.server - before.server,
            load: after.load - before.load,
            provider: after.provider - before.provider,
            opened: after.connections - before.connections,
            took,
            failures: tally.failures.load(Ordering::Relaxed),
            told: tally.told.lock().unwrap().clone(),
        }
    }

    /// Calls over kept connections, each as soon as the one before is answered.
    pub async fn closed(&self, connections: usize, times: (Duration, Duration)) -> Window {
        let (tally, sent) = (Arc::new(Tally::default()), self.port.messages());
        let mut tasks = JoinSet::new();
        let request = Request::new();
        for _ in 0..connections {
            let (tally, addr, caller, mut request) =
                (Arc::clone(&tally), self.addr, self.caller.clone(), request.clone());
            tasks.spawn(async move {
                let (mut took, mut kept) = (Vec::new(), None);
                while tally.goes_on() {
                    let Some(mut connection) = kept.take() else {
                        match Connection::open(addr, &caller).await {
                            Ok(connection) => kept = Some(connection),
                            Err(reason) => tally.fail(reason),
                        }
                        continue;
                    };
                    let (is_measured, begun) = (tally.measures(), Instant::now());
                    match connection.call(request.next()).await {
                        Ok(()) => kept = Some(connection),
                        Err(reason) => {
                            tally.fail(reason);
                            continue;
                        }
                    }
                    tally.count(true);
                    if is_measured {
                        took.push(milliseconds(begun));
                    }
                }
                took
            });
        }
        self.measure(&tally, tasks, sent, times).await
    }

    /// Calls at a rate, whatever the server does; each takes from the moment it was due, so that a call that waited for the
    /// one before it counts its waiting.
    pub async fn open(&self, connections: usize, rate: u32, times: (Duration, Duration)) -> Window {
        let (tally, sent) = (Arc::new(Tally::default()), self.port.messages());
        let (mut tasks, mut lines) = (JoinSet::new(), Vec::new());
        let request = Request::new();
        for _ in 0..connections {
            let (line, mut due) = mpsc::unbounded_channel::<Instant>();
            lines.push(line);
            let (tally, addr, caller, mut request) =
                (Arc::clone(&tally), self.addr, self.caller.clone(), request.clone());
            tasks.spawn(async move {
                let mut took = Vec::new();
                let mut connection = match Connection::open(addr, &caller).await {
                    Ok(connection) => connection,
                    Err(reason) => {
                        tally.fail(reason);
                        return took;
                    }
                };
                while let Some(due) = due.recv().await {
                    let is_measured = tally.measures();
                    if let Err(reason) = connection.call(request.next()).await {
                        tally.fail(reason);
                        return took;
                    }
                    tally.count(true);
                    if is_measured {
                        took.push(milliseconds(due));
                    }
                }
                took
            });
        }
        let pace = {
            let tally = Arc::clone(&tally);
            // a thread wakes up on time; a task of the runtime would to the millisecond
            thread::spawn(move || {
                let begun = Instant::now() + Duration::from_millis(200);
                for (call, line) in (0..).zip(lines.iter().cycle()) {
                    let due = begun + Duration::from_secs(call) / rate;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    if !tally.goes_on() || line.send(due).is_err() {
                        break;
                    }
                }
            })
        };
        let window = self.measure(&tally, tasks, sent, times).await;
        pace.join().unwrap();
        window
    }

    /// Connections made anew, with a full handshake each, and a call on each if `is_called`.
    pub async fn anew(&self, is_called: bool, times: (Duration, Duration)) -> Window {
        let (tally, sent) = (Arc::new(Tally::default()), self.port.messages());
        let mut tasks = JoinSet::new();
        let request = Request::new();
        for _ in 0..AT_ONCE {
            let (tally, addr, caller, mut request) =
                (Arc::clone(&tally), self.addr, self.caller.clone(), request.clone());
            tasks.spawn(async move {
                let mut took = Vec::new();
                while tally.goes_on() {
                    let (is_measured, begun) = (tally.measures(), Instant::now());
                    let done = match Connection::open(addr, &caller).await {
                        Ok(mut connection) if is_called => connection.call(request.next()).await,
                        other => other.map(drop),
                    };
                    match done {
                        Ok(()) => tally.count(is_called),
                        Err(reason) => tally.fail(reason),
                    }
                    if is_measured {
                        took.push(milliseconds(begun));
                    }
                }
                took
            });
        }
        self.measure(&tally, tasks, sent, times).await
    }

    /// Connections that are open and have nothing to do, after a call on each.
    pub async fn idle(&self, connections: usize) -> Result<Vec<Connection>, String> {
        let mut request = Request::new();
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut connection = Connection::open(self.addr, self.caller).await?;
            connection.call(request.next()).await?;
            open.push(connection);
        }
        Ok(open)
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}
