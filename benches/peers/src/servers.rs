//! The servers under measurement: started on one processor, stopped by their own process ids.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use hookswitch_gateway_config::{
    document::{
        Account, Action, GatewayConfig, HookConfig, Match, OnAmbiguous, Probe, ProviderConfig, Report, Rule, Timing,
    },
    envelope,
};
use hookswitch_message::{Channel, RequestType};
use hookswitch_sandbox::certs::{Authority, Issued};
use rustix::process::{Pid, Signal, kill_process};
use tokio_rustls::TlsConnector;

use super::{
    call::{self, Request},
    load::{Connection, Target},
    process,
    provider::{self, Port},
};

/// How long a server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of the end of a log is kept.
const LOG: usize = 4_096;
/// How often a log is read: a runtime takes lines by the batch, too.
const READING: Duration = Duration::from_millis(2);

/// Where the servers find what they need.
pub struct Ground {
    /// A folder of this run.
    pub folder: PathBuf,
    /// Where the gateway's program is.
    pub gateway: PathBuf,
    /// Where nginx is.
    pub nginx: PathBuf,
    /// What Express needs.
    pub express: PathBuf,
    /// The authority that all trust.
    pub authority: Authority,
    /// The certificate that all serve with.
    pub issued: Issued,
    /// The processor that they run on.
    pub processor: usize,
    /// How they are called.
    pub caller: TlsConnector,
    /// The provider.
    pub provider: provider::Provider,
}

/// A server that runs.
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its processes.
    pub family: Vec<u32>,
    /// Its port at the provider.
    pub port: Port,
    addr: SocketAddr,
    child: Child,
    log: Arc<Mutex<VecDeque<u8>>>,
}

/// The rules of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// So many, of which the last one applies.
    Last(usize),
    /// One for each of 64 beginnings of a number, in turn by so many providers.
    Spread(usize),
}

impl Server {
    /// Starts nginx as a bare proxy.
    pub async fn nginx(ground: &Ground) -> Self {
        let (addr, port) = (free(), ground.provider.open(false));
        let folder = ground.folder("nginx");
        let text = include_str!("../nginx.conf")
            .replace("FOLDER", &folder.display().to_string())
            .replace("PORT", &addr.port().to_string())
            .replace("PROVIDER", &port.addr.port().to_string());
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = ground.command(&ground.nginx);
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
        Self::start(ground, "nginx", command, addr, port).await
    }

    /// Starts Express.
    pub async fn express(ground: &Ground) -> Self {
        let (addr, port) = (free(), ground.provider.open(false));
        let folder = ground.folder("express");
        let mut command = ground.command(Path::new("node"));
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/express/server.js"))
            .env("NODE_PATH", ground.express.join("node_modules"))
            .env("NODE_ENV", "production")
            .env("LISTEN_PORT", addr.port().to_string())
            .env("TLS_CERT", folder.join("tls.crt"))
            .env("TLS_KEY", folder.join("tls.key"))
            .env("PROVIDER_URL", format!("https://{}{}", port.addr, provider::MESSAGES))
            .env("PROVIDER_CA", folder.join("ca.crt"))
            .env("PROVIDER_TOKEN", provider::TOKEN)
            .env("HOOK_USER", call::CREDENTIALS.0)
            .env("HOOK_PASSWORD", call::CREDENTIALS.1);
        Self::start(ground, "Express", command, addr, port).await
    }

    /// Starts a gateway; `shared` lets it speak HTTP/2 to the provider.
    pub async fn gateway(ground: &Ground, name: &str, shared: bool, rules: Rules) -> Self {
        let (addr, port) = (free(), ground.provider.open(shared));
        let folder = ground.folder(name);
        let config = serde_json::to_vec(&configuration(ground, port.addr, rules)).unwrap();
        fs::write(folder.join(envelope::KEY), envelope::seal(&[(1, config)]).unwrap()).unwrap();
        let mut command = ground.command(&ground.gateway);
        command.arg("gateway").arg("--config-dir").arg(&folder).arg("--tls-dir").arg(&folder);
        command.args(["--lame-duck", "0s", "--listen", &addr.to_string()]);
        command.args(["--report", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        Self::start(ground, name, command, addr, port).await
    }

    async fn start(ground: &Ground, name: &str, mut command: Command, addr: SocketAddr, port: Port) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name}: setpriv (util-linux) is needed: {error}"));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        keep(child.stdout.take().unwrap(), Arc::clone(&log));
        keep(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut server = Self { name: name.to_owned(), family: Vec::new(), port, addr, child, log };
        let (begun, mut request) = (Instant::now(), Request::new());
        loop {
            let called = match Connection::open(addr, &ground.caller).await {
                Ok(mut connection) => connection.call(request.next()).await,
                Err(reason) => Err(reason),
            };
            let Err(reason) = called else { break };
            let has_ended = server.child.try_wait().unwrap().is_some();
            assert!(
                !has_ended && begun.elapsed() < PATIENCE,
                "{name} does not serve: {reason}\n{}",
                server.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server.family = process::family(server.child.id());
        server
    }

    /// What is to be called.
    pub fn target<'a>(&'a self, ground: &'a Ground) -> Target<'a> {
        Target {
            addr: self.addr,
            caller: &ground.caller,
            family: &self.family,
            port: &self.port,
            provider: &ground.provider,
        }
    }

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        let log: Vec<u8> = self.log.lock().unwrap().iter().copied().collect();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Server {
    /// Asks it to stop, since nginx leaves its worker behind when it is killed.
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ground {
    /// A command that runs on the servers' processor, and is asked to stop if the bench is killed.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "taskset", "--cpu-list", &self.processor.to_string()]).arg(program);
        command
    }

    /// A folder with the certificates.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name.replace(' ', "-"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tls.crt"), &self.issued.cert_pem).unwrap();
        fs::write(folder.join("tls.key"), &self.issued.key_pem).unwrap();
        fs::write(folder.join("ca.crt"), self.authority.cert_pem()).unwrap();
        folder
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Reads a log to its end, as a container's runtime does, and keeps the last of it.
fn keep(mut from: impl std::io::Read + Send + 'static, log: Arc<Mutex<VecDeque<u8>>>) {
    thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let mut log = log.lock().unwrap();
            log.extend(&bytes[length.saturating_sub(LOG)..length]);
            let surplus = log.len().saturating_sub(LOG);
            log.drain(..surplus);
            drop(log);
            thread::sleep(READING);
        }
    });
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn configuration(ground: &Ground, at: SocketAddr, rules: Rules) -> GatewayConfig {
    let provider = ProviderConfig {
        account: Account::Http { url: format!("https://{at}{}", provider::MESSAGES), token: provider::TOKEN.into() },
        senders: Vec::new(),
        probe: Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight: 200,
        ca_bundle: Some(ground.authority.cert_pem().to_owned()),
    };
    let providers = match rules {
        Rules::Last(_) => 1,
        Rules::Spread(providers) => providers,
    };
    let report = rcgen::generate_simple_self_signed(["report".to_owned()]).unwrap();
    GatewayConfig {
        gateway: "ns/gateway".into(),
        generation: 1,
        timing: Timing { deadline_ms: 2_500, proxy_allowance_ms: 0, attempt_floor_ms: 500, max_attempts: 3 },
        on_ambiguous: OnAmbiguous::Continue,
        default_region: None,
        allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        proxy: None,
        proxy_exceptions: Vec::new(),
        extra_roots: None,
        replicas: 1,
        report: Report {
            token: "a-token-of-the-report".into(),
            certificate: report.cert.pem(),
            key: report.signing_key.serialize_pem().as_str().into(),
        },
        hooks: BTreeMap::from([(
            "h".to_owned(),
            HookConfig::new("authorization".into(), vec![call::secret().as_str().into()]),
        )]),
        providers: (0..providers).map(|n| (format!("p{n:02}"), provider.clone())).collect(),
        rules: match rules {
            Rules::Last(count) => (1..count).map(elsewhere).chain([rule("all", Match::default(), 0)]).collect(),
            Rules::Spread(providers) => (0..64).map(|n| beginning(n, n % providers)).collect(),
        },
    }
}

fn rule(name: &str, matches: Match, provider: usize) -> Rule {
    let action = Action::Send(vec![format!("p{provider:02}")]);
    Rule { policy: "p".into(), name: name.to_owned(), priority: None, matches, action, critical: false }
}

/// A rule for one of the beginnings that the numbers of calls have in turn.
fn beginning(n: usize, provider: usize) -> Rule {
    rule(&format!("b{n}"), Match { prefixes: vec![format!("+46701{n:02}")], ..Match::default() }, provider)
}

/// A rule that no call of the bench is for: by its country, the beginning of its number, its channel or its type.
fn elsewhere(n: usize) -> Rule {
    let letter = |at: usize| char::from(b"ABCDEFGHIJKLMNOPQR"[at % 18]);
    let matches = match n % 4 {
        0 => Match {
            countries: vec![format!("{}{}", letter(n / 4), letter(n / 72)).parse().unwrap()],
            ..Match::default()
        },
        1 => Match { channels: vec![Channel::Voice], prefixes: vec![format!("+4670{n:04}")], ..Match::default() },
        2 => Match {
            request_types: vec![RequestType::AccountUnlock],
            prefixes: vec![format!("+46{n:04}")],
            ..Match::default()
        },
        _ => Match { prefixes: vec![format!("+4672{n:04}")], ..Match::default() },
    };
    rule(&format!("r{n}"), matches, 0)
}
