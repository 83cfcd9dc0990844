//! The gateway beside nginx as a bare TLS proxy and an Express server shaped like Okta's own sample, in one run: servers on
//! one processor, load and provider on another, in turn, so that what disturbs one disturbs all.
//!
//! `make bench` builds it and the gateway, runs it for some minutes, and writes what was found into `docs/performance.md`.
//! `--quick` measures for one minute. `--load gateway --connections 16 --seconds 60` puts load on one server, for a profiler.
//! It is a package of its own, so that the gateway it measures is built without what tests want of its dependencies.

#![allow(clippy::disallowed_methods, reason = "the bench connects to what it opened itself")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures")]

mod attacks;
mod call;
mod figures;
mod load;
mod page;
mod process;
mod provider;
mod servers;

use std::{path::PathBuf, process::Command, process::ExitCode, process::Stdio, time::Duration};

use attacks::{Attack, Attacking};
use clap::{Parser, ValueEnum};
use figures::{Figures, Memory, Of};
use hookswitch_sandbox::certs::Authority;
use load::{Connection, Window};
use servers::{Ground, Rules, Server};

/// Connections of the closed loops.
pub const CONNECTIONS: [usize; 3] = [16, 64, 128];
/// Connections that are open and have nothing to do.
pub const IDLE: usize = 1_000;
/// Calls after which memory is measured.
pub const REMEMBERED: u64 = 100_000;
/// Calls in a second of the open loop, and its connections.
pub const RATE: (u32, usize) = (1_000, 64);
/// Rules of a gateway; the first is what all other figures are measured with.
pub const RULES: [usize; 3] = [10, 1_000, 4_096];
/// Providers that share the calls of 64 rules.
pub const PROVIDERS: [usize; 2] = [1, 64];
/// Legitimate calls in a second while a gateway is attacked, and their connections.
pub const ATTACKED: (u32, usize) = (500, 16);
/// Connections of a measurement of rules and providers.
const FEW: usize = 16;
/// How long a server that has been called less may be called until memory is measured.
const CATCHING_UP: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Arguments {
    /// Measure each once and shortly: a look.
    #[arg(long)]
    quick: bool,
    /// Measure the gateway under attack alone.
    #[arg(long)]
    attacks: bool,
    /// Write what was measured into this page, between its marks.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Put load on one server alone.
    #[arg(long)]
    load: Option<One>,
    /// Connections of that load.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long it lasts.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum One {
    Nginx,
    Express,
    Gateway,
    GatewayHttp2,
}

/// How long and how often is measured.
pub struct Plan {
    /// Rounds of all servers in turn.
    pub rounds: usize,
    /// Warm-up and measurement of one load.
    pub times: (Duration, Duration),
    /// Whether the figures are good enough for the page.
    pub is_whole: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let processors = process::processors();
    let [first, .., last] = processors[..] else {
        eprintln!("bench: two processors are needed, one for the servers and one for load and provider");
        return ExitCode::FAILURE;
    };
    let gateway = std::env::current_exe().unwrap().with_file_name("hookswitch");
    if !gateway.exists() {
        eprintln!("bench: there is no {}: build it with the bench, as `make bench` does", gateway.display());
        return ExitCode::FAILURE;
    }
    let (nginx, express) = fetched();
    process::pin(last);
    process::raise_open_files();
    let folder = std::env::temp_dir().join(format!("hookswitch-bench-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::create().unwrap();
    let issued = authority.issue(&["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let ground = Ground {
        caller: load::caller(authority.cert_pem()),
        provider: provider::Provider::start(&issued.cert_pem, &issued.key_pem),
        folder,
        gateway,
        nginx,
        express,
        authority,
        issued,
        processor: first,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let is_right = match arguments.load {
        Some(one) => runtime.block_on(load_one(&ground, one, &arguments)),
        None => runtime.block_on(measure_all(&ground, &arguments, processors.len())),
    };
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is measured beside.
fn fetched() -> (PathBuf, PathBuf) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fetch.sh");
    let fetched = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    let told = String::from_utf8(fetched.stdout).unwrap();
    let [nginx, express] = told.lines().collect::<Vec<_>>()[..] else { panic!("what is measured beside is not there") };
    (nginx.into(), express.into())
}

async fn load_one(ground: &Ground, one: One, arguments: &Arguments) -> bool {
    let server = match one {
        One::Nginx => Server::nginx(ground).await,
        One::Express => Server::express(ground).await,
        One::Gateway => Server::gateway(ground, "gateway", false, Rules::Last(RULES[0])).await,
        One::GatewayHttp2 => Server::gateway(ground, "gateway HTTP/2", true, Rules::Last(RULES[0])).await,
    };
    println!(
        "{} runs as {:?}; {} connections for {} s",
        server.name, server.family, arguments.connections, arguments.seconds
    );
    let times = (Duration::from_secs(1), Duration::from_secs(arguments.seconds));
    let window = server.target(ground).closed(arguments.connections, times).await;
    println!("{}", figures::line(&window));
    let mut failures = Vec::new();
    note(&server, "load", &window, &mut failures);
    tell(&failures)
}

async fn measure_all(ground: &Ground, arguments: &Arguments, processors: usize) -> bool {
    let seconds = |warm, measured| (Duration::from_secs_f64(warm), Duration::from_secs_f64(measured));
    let plan = if arguments.quick {
        Plan { rounds: 1, times: seconds(0.3, 0.7), is_whole: false }
    } else {
        Plan { rounds: 3, times: seconds(1.0, 3.0), is_whole: true }
    };
    let mut run = Run::begin(ground, plan).await;
    if arguments.attacks {
        run.attacked().await;
    } else {
        run.idle_memory().await;
        run.closed().await;
        run.remembered_memory().await;
        run.open().await;
        run.anew().await;
        run.attacked().await;
        run.scale().await;
    }
    let (figures, failures) = run.end(processors);
    let text = page::text(&figures);
    println!("\n{text}");
    let is_right = tell(&failures);
    if let (true, false, Some(path)) = (is_right, arguments.attacks, &arguments.page) {
        page::write(path, &text);
    }
    is_right
}

/// Says what failed; a bench with an error has measured something else than it says.
fn tell(failures: &[String]) -> bool {
    for failure in failures {
        eprintln!("bench: {failure}");
    }
    if !failures.is_empty() {
        eprintln!("bench: FAILED: these figures are worth nothing");
    }
    failures.is_empty()
}

fn note(server: &Server, what: &str, window: &Window, failures: &mut Vec<String>) {
    if window.failures > 0 {
        let told = window.told.join("; ");
        failures.push(format!(
            "{}, {what}: {} failures: {told}\n{}",
            server.name,
            window.failures,
            server.last_words()
        ));
    } else if window.calls == 0 {
        failures.push(format!("{}, {what}: nothing was answered in time", server.name));
    }
}

/// A measurement of all.
struct Run<'a> {
    ground: &'a Ground,
    plan: Plan,
    /// nginx, Express, the gateway; what is compared.
    servers: Vec<Server>,
    shared: Server,
    figures: Figures,
    failures: Vec<String>,
}

impl<'a> Run<'a> {
    async fn begin(ground: &'a Ground, plan: Plan) -> Self {
        let mut figures = Figures::new(&plan, ground);
        let servers = vec![
            Server::nginx(ground).await,
            Server::express(ground).await,
            Server::gateway(ground, "gateway", false, Rules::Last(RULES[0])).await,
        ];
        let shared = Server::gateway(ground, "gateway, HTTP/2 to the provider", true, Rules::Last(RULES[0])).await;
        let mut failures = Vec::new();
        let mut agreed = Vec::new();
        for server in &servers {
            match Connection::open(server.target(ground).addr, &ground.caller).await {
                Ok(connection) => agreed.push(connection.agreed()),
                Err(reason) => failures.push(format!("{}: {reason}", server.name)),
            }
        }
        agreed.dedup();
        if agreed.len() != 1 {
            failures.push(format!("the servers agree to different TLS: {}", agreed.join(" · ")));
        }
        figures.tls = agreed.concat();
        Self { ground, plan, servers, shared, figures, failures }
    }

    async fn idle_memory(&mut self) {
        eprintln!("bench: memory");
        tokio::time::sleep(Duration::from_secs(1)).await;
        for at in 0..self.servers.len() {
            let idle = process::memory(&self.servers[at].family);
            let connected = self.with_idle_connections(at).await;
            self.figures.memory.insert(Of::ALL[at], Memory { idle, connected, ..Memory::default() });
        }
    }

    /// Memory while connections are open that have nothing to do.
    async fn with_idle_connections(&mut self, at: usize) -> f64 {
        let server = &self.servers[at];
        let open = server.target(self.ground).idle(IDLE).await;
        if let Err(reason) = &open {
            self.failures.push(format!("{}, {IDLE} connections: {reason}", server.name));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        process::memory(&server.family)
    }

    /// Closed loops, all servers in turn.
    async fn closed(&mut self) {
        for round in 1..=self.plan.rounds {
            eprintln!("bench: closed loops, round {round} of {}", self.plan.rounds);
            for connections in CONNECTIONS {
                for (of, server) in Of::ALL.into_iter().zip(&self.servers).chain([(Of::Shared, &self.shared)]) {
                    let window = server.target(self.ground).closed(connections, self.plan.times).await;
                    note(server, &format!("{connections} connections"), &window, &mut self.failures);
                    self.figures.closed.entry((of, connections)).or_default().push(window);
                }
            }
        }
    }

    async fn remembered_memory(&mut self) {
        eprintln!("bench: memory after calls");
        for at in 0..self.servers.len() {
            let server = &self.servers[at];
            let begun = std::time::Instant::now();
            while self.plan.is_whole && server.port.messages() < REMEMBERED && begun.elapsed() < CATCHING_UP {
                let window = server.target(self.ground).closed(64, (Duration::ZERO, Duration::from_secs(2))).await;
                note(server, "more calls", &window, &mut self.failures);
            }
            let after = process::memory(&server.family);
            let calls = server.port.messages();
            let both = self.with_idle_connections(at).await;
            let memory = self.figures.memory.get_mut(&Of::ALL[at]).unwrap();
            (memory.after, memory.calls, memory.both) = (after, calls, both);
        }
    }

    /// Open loops, all servers in turn.
    async fn open(&mut self) {
        for round in 1..=self.plan.rounds {
            eprintln!("bench: open loops, round {round} of {}", self.plan.rounds);
            for (of, server) in Of::ALL.into_iter().zip(&self.servers) {
                let window = server.target(self.ground).open(RATE.1, RATE.0, self.plan.times).await;
                note(server, "open loop", &window, &mut self.failures);
                self.figures.open.entry(of).or_default().push(window);
            }
        }
    }

    /// New connections, all servers in turn.
    async fn anew(&mut self) {
        for round in 1..=self.plan.rounds {
            eprintln!("bench: new connections, round {round} of {}", self.plan.rounds);
            for is_called in [false, true] {
                for (of, server) in Of::ALL.into_iter().zip(&self.servers) {
                    let window = server.target(self.ground).anew(is_called, self.plan.times).await;
                    note(server, "new connections", &window, &mut self.failures);
                    self.figures.anew.entry((of, is_called)).or_default().push(window);
                }
            }
        }
    }

    /// Legitimate calls while a gateway of its own is attacked, all attacks in turn.
    async fn attacked(&mut self) {
        let server = Server::gateway(self.ground, "gateway under attack", false, Rules::Last(RULES[0])).await;
        let target = server.target(self.ground);
        for round in 1..=self.plan.rounds {
            eprintln!("bench: attacks, round {round} of {}", self.plan.rounds);
            for attack in Attack::ALL {
                let attacking = Attacking::begin(attack, target.addr, target.caller);
                // as many are held as will be, and what was sent for them has been sent
                tokio::time::sleep(Duration::from_secs(1)).await;
                let window = target.open(ATTACKED.1, ATTACKED.0, self.plan.times).await;
                note(&server, attack.name(), &window, &mut self.failures);
                if attack != Attack::None && attacking.made() == 0 && attack.is_soon_over() {
                    self.failures.push(format!("{}: not one was made", attack.name()));
                }
                self.figures.attacked.entry(attack).or_default().push(window);
            }
        }
        self.figures.attacked_memory = process::memory(&server.family);
    }

    /// More rules and more providers, in turn, each in a gateway of its own.
    async fn scale(&mut self) {
        let all = RULES.map(Rules::Last).into_iter().chain(PROVIDERS.map(Rules::Spread));
        let mut gateways = Vec::new();
        for rules in all {
            let name = format!("gateway with {}", figures::name(rules));
            gateways.push((rules, Server::gateway(self.ground, &name, false, rules).await));
        }
        for round in 1..=self.plan.rounds {
            eprintln!("bench: rules and providers, round {round} of {}", self.plan.rounds);
            for (rules, server) in &gateways {
                let window = server.target(self.ground).closed(FEW, self.plan.times).await;
                note(server, "load", &window, &mut self.failures);
                self.figures.scale.entry(*rules).or_default().push(window);
            }
        }
        for (rules, server) in &gateways {
            self.figures.scale_memory.insert(*rules, process::memory(&server.family));
        }
    }

    /// Stops the servers, and finds how much of the machine's time was others'.
    fn end(mut self, processors: usize) -> (Figures, Vec<String>) {
        self.servers.clear();
        drop(self.shared);
        let figures = &mut self.figures;
        let ours = process::time_with_children() - figures.before.0;
        let all = process::machine_time() - figures.before.1;
        figures.spent = figures.begun.elapsed().as_secs_f64();
        figures.others = (all - ours).max(0.0) / figures.spent / processors as f64;
        (self.figures, self.failures)
    }
}
