//! The program in a process of its own: how it is called, and what the kernel says of it.

use std::{
    fmt,
    io::{self, Write as _},
    net::SocketAddr,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use hookswitch_gateway_config::document::GatewayConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};
use tokio_rustls::TlsConnector;

use crate::scene::{Got, Line, Scene, Spawned, sms};

/// Connections that the program holds at once, and those of one source.
pub const CONNECTIONS: usize = hookswitch_gateway::listener::CONNECTIONS;
pub const OF_ONE: usize = CONNECTIONS / 8 * 7;
/// What a gateway's container may use by default, and what a program that is not optimised takes more from its beginning.
pub const MEMORY_KIB: u64 = (128 + 26) * 1024;
/// The address that legitimate calls come from.
pub const OKTA: &str = "127.0.0.1";
/// Files that are read at one moment and not at another, and threads that read them.
const READING: usize = 2;
/// What these tests have open themselves, at most.
const FILES: u64 = 12_000;
/// Long enough for anything that comes to an end.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Whether all that takes long is done (`HOOKSWITCH_TESTS=full`).
pub fn is_full() -> bool {
    std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full")
}

/// One of these tests at a time: each is for a machine that has nothing else to do.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Says something to whoever runs the tests, although they succeed.
pub fn tell(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The id of a call that no other has.
pub fn event() -> String {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    format!("e-{:06}", CALLS.fetch_add(1, Ordering::Relaxed))
}

/// One of many addresses of this machine, of which none is Okta's.
pub fn stranger(number: usize) -> String {
    format!("127.0.{}.{}", 1 + number / 250 % 250, 1 + number % 250)
}

/// A process as the kernel sees it.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub files: usize,
    pub threads: usize,
    pub memory_kib: u64,
    /// The most memory since the last [`Subject::forget_peak`].
    pub peak_kib: u64,
}

impl Figures {
    pub fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
        };
        Self {
            files: std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count(),
            threads: usize::try_from(field("Threads:")).unwrap(),
            memory_kib: field("VmRSS:"),
            peak_kib: field("VmHWM:"),
        }
    }
}

/// A gateway in a process of its own, by the configuration and the providers of a scene.
pub struct Subject {
    pub scene: Scene,
    gateway: Spawned,
    tls: TlsConnector,
}

impl Subject {
    pub async fn new(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let allowed = getrlimit(Resource::Nofile).maximum;
        assert!(allowed.is_none_or(|files| files > FILES), "{FILES} files must be allowed to be open (ulimit -Hn)");
        setrlimit(Resource::Nofile, Rlimit { current: allowed, maximum: allowed }).unwrap();
        let scene = Scene::with(change).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookswitch"));
        command.stderr(Stdio::null());
        let gateway = scene.spawn(command).await;
        let tls = scene.tls();
        let subject = Self { scene, gateway, tls };
        // what is made once for the first call is no part of what calls cost
        assert_eq!(subject.fresh().await.answer(), ("SUCCESSFUL", Some("one")));
        subject
    }

    pub fn hooks(&self) -> SocketAddr {
        self.gateway.hooks
    }

    pub fn figures(&self) -> Figures {
        Figures::of(self.process())
    }

    /// Callers' connections that it has accepted and not closed: those at its port that belong to a file.
    pub fn held(&self) -> usize {
        const LISTENING: &str = "0A";
        let port = format!(":{:04X}", self.hooks().port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[1].ends_with(&port) && row[3] != LISTENING && row[9] != "0").count()
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.process()), "5").unwrap();
    }

    fn process(&self) -> u32 {
        self.gateway.process.id().expect("it runs")
    }

    /// A connection from an address of this machine.
    pub async fn tcp(&self, from: &str) -> io::Result<TcpStream> {
        tcp(self.hooks(), from).await
    }

    /// The same with TLS; nothing when it is not let in.
    pub async fn line(&self, from: &str) -> Option<Line> {
        line(&self.tls, self.hooks(), from).await
    }

    /// A call over a connection of its own.
    pub async fn fresh(&self) -> Got {
        let mut line = self.line(OKTA).await.expect("a new connection is let in");
        line.call(&sms(&event())).await.expect("a new connection is kept until its call is answered")
    }

    /// Okta calls, over a connection that it keeps and over new ones: each call is answered SUCCESSFUL. How many calls that was,
    /// and how often the kept connection was closed between two of them, which Okta's client mends by itself.
    pub async fn calls_go_on(&self, kept: &mut Line, name: &str) -> (usize, usize) {
        const TURNS: usize = 10;
        let mut reopened = 0;
        for turn in 0..TURNS {
            let body = sms(&event());
            let got = if let Some(got) = kept.call(&body).await {
                got
            } else {
                reopened += 1;
                *kept = self.line(OKTA).await.expect("a new connection is let in");
                kept.call(&body).await.expect("a new connection is kept until its call is answered")
            };
            assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")), "{name}, kept, {turn}");
            let got = self.fresh().await;
            assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")), "{name}, new, {turn}");
        }
        (2 * TURNS, reopened)
    }

    async fn metrics(&self) -> String {
        let begun = Instant::now();
        loop {
            match self.gateway.told("metrics").await {
                Some((200, text)) => return text,
                // a machine that is busy with an attack needs its time
                other => assert!(begun.elapsed() < PATIENCE, "{other:?}"),
            }
        }
    }

    /// The sum of the series of a counter that have this label, 0 while there is none.
    pub async fn counted(&self, name: &str, label: &str) -> usize {
        sum(&self.metrics().await, name, label)
    }

    /// Connections closed by a bound so far.
    pub async fn closed(&self, reasons: &[&str]) -> usize {
        let metrics = self.metrics().await;
        let of = |reason| sum(&metrics, "connections_closed_total", &format!("reason=\"{reason}\""));
        reasons.iter().map(of).sum()
    }

    /// Waits until so many connections have been closed by these bounds.
    pub async fn until_closed(&self, reasons: &[&str], count: usize) {
        let begun = Instant::now();
        loop {
            let closed = self.closed(reasons).await;
            if closed >= count {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{closed} of {count} closed by {reasons:?}: {:?}", self.figures());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it has given back what it took since then. Files are read by threads that come and go.
    pub async fn until_quiet(&self, before: Figures) -> Figures {
        let begun = Instant::now();
        loop {
            let now = self.figures();
            if now.files <= before.files + READING && now.threads <= before.threads + READING {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE, "before {before:?}, and long after {now:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The sum of the series of a counter that have this label.
fn sum(metrics: &str, name: &str, label: &str) -> usize {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("hookswitch_gateway_")?.strip_prefix(name));
    let of_label = lines.filter(|line| line.starts_with(['{', ' ']) && line.contains(label));
    of_label.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// A connection from an address of this machine.
pub async fn tcp(to: SocketAddr, from: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same with TLS; nothing when it is not let in.
pub async fn line(tls: &TlsConnector, to: SocketAddr, from: &str) -> Option<Line> {
    let stream = tcp(to, from).await.ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    Some(Line(tls.connect(name, stream).await.ok()?))
}
