//! A gateway process: follow the configuration, probe providers, serve Okta, report, and leave in good order.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    listener,
    metrics::GatewayMetrics,
    probes::{self, Cadence, FirstAnswer},
    provider::Provider,
    report,
    runtime::RunningConfig,
    service::Service,
    source::{self, Mount, SecretSource, SelectedConfig},
    tls::{Certificate, TlsError},
};
use hookswitch_gateway_config::{
    check::Fault,
    envelope,
    report::{MAX_FAULTS, MAX_HOOKS, MAX_NAME, MAX_PROVIDERS, RefusedConfig, ReplicaReport},
};
use hookswitch_telemetry::{
    endpoint::{self, ListenError},
    metrics::{self, Metrics},
};

/// How long a process that starts waits at most until each provider has answered once: then connections are open, and names and
/// TLS sessions known, before the first message. A provider that is away keeps no process from being ready.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);

/// Settings of a gateway process.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Folder of the mounted configuration.
    pub config_dir: PathBuf,
    /// Folder of the mounted serving certificate.
    pub tls_dir: PathBuf,
    /// Name of the configuration's Secret, watched besides the folder when the process runs in a cluster.
    pub secret_name: Option<String>,
    /// Where Okta is served.
    pub listen: SocketAddr,
    /// Where the report is served.
    pub report: SocketAddr,
    /// Where metrics and health are served.
    pub metrics: SocketAddr,
    /// Name of the pod.
    pub pod: String,
    /// How long the process serves on after it was asked to stop, so that nobody is sent to it any more when it goes.
    pub lame_duck: Duration,
    /// What callers may use up.
    pub bounds: listener::ListenerBounds,
}

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A gateway whose ports are open.
pub struct Gateway {
    settings: GatewaySettings,
    hooks: TcpListener,
    report: TcpListener,
    metrics: TcpListener,
}

/// The addresses of a gateway's ports.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Where Okta is served.
    pub hooks: SocketAddr,
    /// Where the report is served.
    pub report: SocketAddr,
    /// Where metrics and health are served.
    pub metrics: SocketAddr,
}

impl Gateway {
    /// Opens the ports.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`].
    pub async fn open(settings: GatewaySettings) -> Result<Self, ServeError> {
        Ok(Self {
            hooks: endpoint::listen(settings.listen).await?,
            report: endpoint::listen(settings.report).await?,
            metrics: endpoint::listen(settings.metrics).await?,
            settings,
        })
    }

    /// The ports, also when they were chosen by the system.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let of = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
        Addresses {
            hooks: of(&self.hooks, self.settings.listen),
            report: of(&self.report, self.settings.report),
            metrics: of(&self.metrics, self.settings.metrics),
        }
    }

    /// Serves until `stop`, then for the lame duck's time, then until nothing is under way.
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServeError> {
        self.run_once(hookswitch_net::prepare, stop).await
    }

    /// Serves as [`run`](Self::run) does; ready once `prepare`, which may block, has ended.
    async fn run_once(
        self,
        prepare: impl FnOnce() + Send + 'static,
        stop: CancellationToken,
    ) -> Result<(), ServeError> {
        let prepared = tokio::task::spawn_blocking(prepare);
        let metrics = Metrics::new("gateway");
        let counters = Arc::new(GatewayMetrics::new(&metrics));
        let service = Arc::new(Service::new(Arc::clone(&counters)));
        let certificate = Certificate::of(&self.settings.tls_dir);
        // Everything behind the hooks' port goes on until the last call is answered.
        let end = CancellationToken::new();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();

        let mount = Mount { file: self.settings.config_dir.join(envelope::KEY), poll: source::POLL };
        let secret = self.settings.secret_name.as_deref().and_then(|name| match SecretSource::in_cluster(name) {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::warn!(%error, "the configuration is read from the mounted file alone");
                None
            }
        });
        let check: source::Check =
            Arc::new(|config| RunningConfig::new(config, "", None).map(drop).map_err(|error| error.to_string()));
        let selected = source::follow(Some(mount), secret, check, end.clone());
        let warm = Arc::new(AtomicBool::new(false));
        let configured = tokio::spawn(configure(
            selected.clone(),
            Arc::clone(&service),
            Arc::clone(&counters),
            Probing::new(self.settings.pod.clone(), started, end.clone()),
            Arc::clone(&warm),
            end.clone(),
        ));
        let certified = tokio::spawn(Arc::clone(&certificate).follow(end.clone()));

        let ready: metrics::Readiness = {
            let (service, certificate) = (Arc::clone(&service), Arc::clone(&certificate));
            Arc::new(move || {
                let obstacles = [
                    (service.is_leaving(), "stopping"),
                    (service.runtime().is_none(), "no good configuration yet"),
                    (!certificate.is_there(), "no serving certificate yet"),
                    (!prepared.is_finished(), "TLS is being prepared"),
                    (!warm.load(Ordering::Acquire), "providers are being asked for the first time"),
                ];
                match obstacles.into_iter().find(|(is_there, _)| *is_there) {
                    Some((_, obstacle)) => Err(obstacle.to_owned()),
                    None => Ok("ok".to_owned()),
                }
            })
        };
        let measured = tokio::spawn(metrics::serve(self.metrics, metrics, ready, end.clone()));
        let credentials: report::Present = {
            let service = Arc::clone(&service);
            Arc::new(move || service.runtime().map(|runtime| Arc::clone(&runtime.report)))
        };
        let snapshot: report::Snapshot = {
            let (service, counters, pod) = (Arc::clone(&service), Arc::clone(&counters), self.settings.pod.clone());
            Arc::new(move || snapshot(&service, &counters, &selected, &pod, started.as_secs()))
        };
        let reported = tokio::spawn(report::serve(self.report, credentials, snapshot, end.clone()));

        let close = CancellationToken::new();
        let serving = tokio::spawn(listener::serve(
            self.hooks,
            certificate.listener()?,
            Arc::clone(&service),
            Arc::clone(&counters),
            self.settings.bounds,
            close.clone(),
        ));
        tracing::info!(pod = self.settings.pod, "serving");

        stop.cancelled().await;
        service.leave();
        tracing::info!(lame_duck_s = self.settings.lame_duck.as_secs(), "stopping: not ready from now on");
        tokio::time::sleep(self.settings.lame_duck).await;
        close.cancel();
        finished("hooks", serving).await;
        service.idle().await;
        end.cancel();
        for (name, task) in
            [("configuration", configured), ("certificate", certified), ("metrics", measured), ("report", reported)]
        {
            finished(name, task).await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn finished(name: &str, task: JoinHandle<()>) {
    if task.await.is_err() {
        tracing::error!(task = name, "ended by a panic");
    }
}

/// Puts each good configuration into service, and has its providers probed; `warm` once those of the first one have answered, or
/// have had their time.
async fn configure(
    mut selected: watch::Receiver<SelectedConfig>,
    service: Arc<Service>,
    counters: Arc<GatewayMetrics>,
    mut probing: Probing,
    warm: Arc<AtomicBool>,
    end: CancellationToken,
) {
    let mut refused = None;
    loop {
        let now = selected.borrow_and_update().clone();
        if now.refused.is_some() && now.refused != refused {
            counters.config_refused();
        }
        refused = now.refused;
        if let Some(candidate) = now.current
            && service.runtime().is_none_or(|runtime| runtime.hash != candidate.hash)
        {
            match RunningConfig::new(&candidate.config, &candidate.hash, service.runtime().as_deref()) {
                Ok(runtime) => {
                    if service.runtime().is_none() {
                        let (first, all) = FirstAnswer::new();
                        probing.follow(&runtime, Some(&first));
                        let warm = Arc::clone(&warm);
                        tokio::spawn(async move {
                            let _ = tokio::time::timeout(FIRST_ANSWERS, all).await;
                            warm.store(true, Ordering::Release);
                        });
                    } else {
                        probing.follow(&runtime, None);
                    }
                    counters.configured(runtime.generation);
                    for fault in &runtime.faults {
                        counters.config_refused();
                        tracing::error!(%fault, hash = runtime.hash, "part of the configuration refused; what was there before serves on");
                    }
                    tracing::info!(hash = runtime.hash, generation = runtime.generation, "configuration in service");
                    service.swap(Arc::new(runtime));
                }
                Err(error) => {
                    counters.config_refused();
                    tracing::error!(%error, hash = candidate.hash, "configuration refused; the last good one serves on");
                }
            }
        }
        tokio::select! {
            () = end.cancelled() => break,
            changed = selected.changed() => if changed.is_err() { end.cancelled().await; break },
        }
    }
}

/// What is done for each provider beside calls: one task probes it, and one keeps its credential where it has one.
struct Probing {
    pod: String,
    started: Duration,
    end: CancellationToken,
    replicas: watch::Sender<u32>,
    tasks: BTreeMap<String, (Arc<Provider>, CancellationToken)>,
}

impl Probing {
    fn new(pod: String, started: Duration, end: CancellationToken) -> Self {
        Self { pod, started, end, replicas: watch::Sender::new(1), tasks: BTreeMap::new() }
    }

    /// Probes the providers of a configuration from now on; those that have not changed as before.
    fn follow(&mut self, runtime: &RunningConfig, first: Option<&FirstAnswer>) {
        self.replicas.send_replace(runtime.replicas);
        let mut before = std::mem::take(&mut self.tasks);
        for provider in runtime.providers() {
            let entry = match before.remove(&provider.name) {
                Some((same, stop)) if same.probes_like(provider) => (same, stop),
                changed => {
                    if let Some((_, stop)) = changed {
                        stop.cancel();
                    }
                    let stop = self.end.child_token();
                    let cadence = Cadence::new(provider.probe_settings(), &self.pod, &provider.name);
                    if provider.has_credential_to_keep() {
                        let (provider, first, stop) = (Arc::clone(provider), first.cloned(), stop.clone());
                        tokio::spawn(async move { provider.keep_credential(first, stop).await });
                    }
                    let (replicas, subject) = (self.replicas.subscribe(), Arc::clone(provider));
                    tokio::spawn(probes::run(cadence, self.started, replicas, subject, first.cloned(), stop.clone()));
                    (Arc::clone(provider), stop)
                }
            };
            self.tasks.insert(provider.name.clone(), entry);
        }
        for (_, stop) in before.into_values() {
            stop.cancel();
        }
    }
}

fn snapshot(
    service: &Service,
    counters: &GatewayMetrics,
    selected: &watch::Receiver<SelectedConfig>,
    pod: &str,
    started_at: u64,
) -> ReplicaReport {
    let mut report = ReplicaReport {
        replica: pod.to_owned(),
        started_at,
        refused: selected.borrow().refused.clone(),
        ..ReplicaReport::default()
    };
    let Some(runtime) = service.runtime() else { return report };
    report.config_hash.clone_from(&runtime.hash);
    report.generation = runtime.generation;
    report.faults = runtime.faults.iter().take(MAX_FAULTS).map(sentence).collect();
    report.faults_in_all = u64::try_from(runtime.faults.len()).unwrap_or(u64::MAX);
    if let (None, Some(reason)) = (&report.refused, report.faults.first().cloned()) {
        report.refused = Some(RefusedConfig { hash: runtime.hash.clone(), reason });
    }
    // a report of more than its reader takes would be refused whole
    report.hooks = runtime.hooks().take(MAX_HOOKS).map(|hook| (hook.to_owned(), counters.hook(hook))).collect();
    report.rules = runtime.rule_reports(counters);
    report.providers = runtime
        .providers()
        .take(MAX_PROVIDERS)
        .map(|provider| {
            let mut of_provider = provider.report();
            of_provider.outcomes = counters.outcomes(&provider.name);
            (provider.name.clone(), of_provider)
        })
        .collect();
    report
}

/// A fault as far as a report has room for it.
fn sentence(fault: &Fault) -> String {
    let mut text = fault.to_string();
    text.truncate(text.floor_char_boundary(MAX_NAME));
    text
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::testing;
    use hookswitch_gateway_config::{
        check,
        document::{Account, GatewayConfig, HookConfig, HookCredential, ProviderConfig},
    };

    fn config() -> GatewayConfig {
        let mut config: GatewayConfig =
            serde_json::from_slice(include_bytes!("../../gateway-config/src/testdata/document.v1.json")).unwrap();
        config.report = testing::report();
        config.rules.clear();
        config.providers.clear();
        config
    }

    /// What `/readyz` says.
    async fn readiness(at: SocketAddr) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.trim().to_owned()
    }

    /// Waits until `/readyz` says that, and nothing but what is in `before` meanwhile.
    async fn becomes(at: SocketAddr, expected: &str, before: &[&str]) {
        loop {
            let said = readiness(at).await;
            if said == expected {
                return;
            }
            assert!(before.contains(&said.as_str()), "{said}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_gateway_is_ready_once_tls_is_prepared_and_no_sooner() {
        let folder = std::env::temp_dir().join(format!("hookswitch-prepared-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = config();
        std::fs::write(folder.join("tls.crt"), &config.report.certificate).unwrap();
        std::fs::write(folder.join("tls.key"), config.report.key.expose()).unwrap();
        let document = serde_json::to_vec(&config).unwrap();
        std::fs::write(folder.join(envelope::KEY), envelope::seal(&[(1, document)]).unwrap()).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = GatewaySettings {
            config_dir: folder.clone(),
            tls_dir: folder.clone(),
            secret_name: None,
            listen: any,
            report: any,
            metrics: any,
            pod: "gateway-0".to_owned(),
            lame_duck: Duration::ZERO,
            bounds: listener::ListenerBounds { connections: 8, keep_alive: listener::KEEP_ALIVE },
        };
        let gateway = Gateway::open(settings).await.unwrap();
        let (at, stop) = (gateway.addresses().metrics, CancellationToken::new());
        let (end, may_end) = std::sync::mpsc::channel::<()>();
        let running = tokio::spawn(gateway.run_once(move || _ = may_end.recv(), stop.clone()));
        let before = ["no good configuration yet", "no serving certificate yet"];
        becomes(at, "TLS is being prepared", &before).await;
        for _ in 0..50 {
            assert_eq!(readiness(at).await, "TLS is being prepared");
        }
        drop(end);
        becomes(at, "ok", &["TLS is being prepared"]).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// The report of a replica that serves a configuration, as the operator reads it.
    fn reported(config: &GatewayConfig) -> ReplicaReport {
        let metrics = Metrics::new("gateway");
        let counters = Arc::new(GatewayMetrics::new(&metrics));
        let service = Service::new(Arc::clone(&counters));
        service.swap(Arc::new(RunningConfig::new(config, "hash", None).unwrap()));
        let (_, selected) = watch::channel(SelectedConfig::default());
        let written = serde_json::to_vec(&snapshot(&service, &counters, &selected, "pod", 0)).unwrap();
        ReplicaReport::read(&written).unwrap()
    }

    #[test]
    fn every_part_at_fault_is_reported_up_to_a_bound_and_how_many_there_are() {
        let mut config = config();
        config.hooks.get_mut("main").unwrap().header = "with space".into();
        config.hooks.get_mut("spare").unwrap().former =
            vec![HookCredential { header: "x-before".into(), secret: "two\nlines".into() }];
        config.timing.deadline_ms = 100;
        let report = reported(&config);
        assert_eq!(report.faults_in_all, 3);
        for part in ["timing: ", "hook main: ", "hook spare: "] {
            assert!(report.faults.iter().any(|fault| fault.starts_with(part)), "{part} {:?}", report.faults);
        }
        assert_eq!(report.refused.unwrap().reason, report.faults[0], "for an operator of the release before");
        for number in 0..40 {
            config.hooks.insert(format!("hook-{number}"), HookConfig::new(String::new(), vec!["secret".into()]));
        }
        let report = reported(&config);
        assert_eq!((report.faults.len(), report.faults_in_all), (MAX_FAULTS, 43));
        assert!(check::faults(&config, &super::super::runtime::JUDGES).len() == 43);
    }

    #[test]
    fn a_report_of_more_hooks_and_providers_than_it_has_room_for_can_be_read() {
        let mut config = config();
        for number in 0..=MAX_HOOKS {
            config.hooks.insert(format!("h{number}"), HookConfig::new("authorization".into(), vec!["a secret".into()]));
        }
        for number in 0..=MAX_PROVIDERS {
            let account = Account::Http { url: "https://a.example/".into(), token: "token".into() };
            config.providers.insert(format!("p{number}"), ProviderConfig { account, ..ProviderConfig::absent() });
        }
        let report = reported(&config);
        assert_eq!((report.hooks.len(), report.providers.len()), (MAX_HOOKS, MAX_PROVIDERS));
    }
}
