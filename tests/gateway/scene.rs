//! The scene: one gateway in this process, the sandbox's providers behind it, and Okta's calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hookswitch_gateway::listener::{KEEP_ALIVE, ListenerBounds};
use hookswitch_gateway::serve::{Addresses, Gateway, GatewaySettings, ServeError};
use hookswitch_gateway::testing::{self, REPORT_TOKEN};
pub use hookswitch_gateway::testing::{NUMBER, SECRET, rule, sms};
use hookswitch_gateway_config::document::{GatewayConfig, ProviderConfig};
use hookswitch_gateway_config::envelope;
use hookswitch_gateway_config::report::{self, ReplicaReport};
use hookswitch_sandbox::faults::{Fault, FaultKind};
use hookswitch_sandbox::{Options, ProviderOptions, Sandbox};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// Connections that a gateway of these tests has open at once.
pub const CONNECTIONS: usize = 128;
/// Okta waits three seconds; the configuration promises less.
pub const DEADLINE: Duration = Duration::from_millis(2_500);

/// Whether matrices are played whole (`HOOKSWITCH_TESTS=full`).
pub fn is_full() -> bool {
    std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full")
}

/// One gateway, its providers `one` and `two`, and a client that trusts it.
pub struct Scene {
    pub sandbox: Sandbox,
    pub config: GatewayConfig,
    pub folder: PathBuf,
    pub at: Addresses,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    pub running: JoinHandle<Result<(), ServeError>>,
}

pub struct Got {
    pub status: u16,
    pub body: Value,
    pub took: Duration,
}

impl Got {
    /// What Okta reads: the status and the provider. Anything that is not exactly Okta's shape fails the test.
    pub fn answer(&self) -> (&str, Option<&str>) {
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
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::leaving_after(Duration::ZERO, change).await
    }

    /// One whose gateway serves on for so long when it is asked to stop.
    pub async fn leaving_after(lame_duck: Duration, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::before(Vec::new(), lame_duck, |_, config| change(config)).await
    }

    /// One whose sandbox has further providers.
    pub async fn before(
        others: Vec<ProviderOptions>,
        lame_duck: Duration,
        change: impl FnOnce(&Sandbox, &mut GatewayConfig),
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = ["one", "two"].map(|name| ProviderOptions::json(name, format!("token-of-{name}")));
        let providers = own.into_iter().chain(others).collect();
        let sandbox = Sandbox::start(Options { providers, ..Options::default() }).await.unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hookswitch-gateway-{}-{count}", std::process::id()));
        let (config_dir, tls_dir) = (folder.join("config"), folder.join("tls"));
        std::fs::create_dir_all(&config_dir).unwrap();
        std::fs::create_dir_all(&tls_dir).unwrap();
        let issued = sandbox.authority().issue(&["localhost".to_owned()]).unwrap();
        std::fs::write(tls_dir.join("tls.crt"), &issued.cert_pem).unwrap();
        std::fs::write(tls_dir.join("tls.key"), &issued.key_pem).unwrap();
        let mut config = configuration(&sandbox);
        change(&sandbox, &mut config);
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = GatewaySettings {
            config_dir,
            tls_dir,
            secret_name: None,
            listen: any,
            report: any,
            metrics: any,
            pod: "gateway-0".to_owned(),
            lame_duck,
            bounds: ListenerBounds { connections: CONNECTIONS, keep_alive: KEEP_ALIVE },
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

    pub fn url(&self, hook: &str) -> String {
        format!("https://localhost:{}/hooks/{hook}", self.at.hooks.port())
    }

    pub fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(self.url("h")).header("content-type", "application/json").body(body)
    }

    pub async fn call(&self, body: &Value) -> Got {
        got(self.post(body.to_string()).header("authorization", SECRET)).await
    }

    /// TLS as Okta speaks it, trusting the sandbox's authority.
    pub fn tls(&self) -> TlsConnector {
        let authority = CertificateDer::from_pem_slice(self.sandbox.authority().cert_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(tls))
    }

    /// A connection of one's own, with TLS made, and nothing said yet.
    pub async fn connect(&self) -> Line {
        let tcp = TcpStream::connect(self.at.hooks).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Line(self.tls().connect(name, tcp).await.unwrap())
    }

    pub fn fault(&self, provider: &str, kind: FaultKind) {
        self.sandbox.provider(provider).unwrap().set_fault(Fault::always(kind)).unwrap();
    }

    /// What the operator reads.
    pub async fn report(&self) -> ReplicaReport {
        let pinned = reqwest::Certificate::from_pem(self.config.report.certificate.as_bytes()).unwrap();
        let operator = reqwest::Client::builder().tls_certs_only([pinned]).resolve("report", self.at.report).no_proxy();
        let url = format!("https://report:{}{}", self.at.report.port(), report::PATH);
        let told = operator.build().unwrap().get(url).bearer_auth(REPORT_TOKEN).send().await.unwrap();
        ReplicaReport::read(&told.bytes().await.unwrap()).unwrap()
    }

    pub fn delivered(&self) -> usize {
        self.sandbox.inbox().messages(None).len()
    }

    /// How many messages a provider was asked to send.
    pub fn asked(&self, provider: &str) -> usize {
        let calls = self.sandbox.provider(provider).unwrap().calls();
        calls.iter().filter(|call| call.what == "sms").count()
    }
}

/// A gateway in a process of its own.
pub struct Spawned {
    pub hooks: SocketAddr,
    pub metrics: String,
    pub process: Child,
    http: reqwest::Client,
}

impl Scene {
    /// Starts the program for the files of this scene, by a command that ends where the program's arguments begin.
    pub async fn spawn(&self, mut command: Command) -> Spawned {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let [hooks, report, metrics] = [free(), free(), free()].map(|address| address.to_string());
        command.arg("gateway");
        command.arg("--config-dir").arg(self.folder.join("config")).arg("--tls-dir").arg(self.folder.join("tls"));
        command.args(["--listen", &hooks, "--report", &report, "--metrics", &metrics, "--lame-duck", "0s"]);
        let process = command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        // without roots, which take their time to be read; and no connection is kept, for those of the program are counted
        let http = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().pool_max_idle_per_host(0);
        let http = http.tls_certs_only([]).build().unwrap();
        let spawned = Spawned { hooks: hooks.parse().unwrap(), metrics, process, http };
        for _ in 0..200 {
            if spawned.told("readyz").await.is_some_and(|(status, _)| status == 200) {
                return spawned;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the gateway does not serve");
    }
}

impl Spawned {
    /// What it tells of itself at that path.
    pub async fn told(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.http.get(format!("http://{}/{path}", self.metrics)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }
}

/// One connection to the gateway.
pub struct Line(pub TlsStream<TcpStream>);

impl Line {
    pub async fn write(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// A call over this connection; nothing when it is closed.
    pub async fn call(&mut self, body: &Value) -> Option<Got> {
        let begun = Instant::now();
        let body = body.to_string();
        let head = format!(
            "POST /hooks/h HTTP/1.1\r\nhost: localhost\r\nauthorization: {SECRET}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        self.0.flush().await.ok()?;
        let mut observed = Vec::new();
        loop {
            if self.0.read_buf(&mut observed).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8(observed.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Some(Got { status, body: serde_json::from_str(body).unwrap(), took: begun.elapsed() });
            }
        }
    }

    /// Waits until the other side closes it.
    pub async fn closed(&mut self) {
        while self.0.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    }
}

pub async fn got(request: reqwest::RequestBuilder) -> Got {
    let begun = Instant::now();
    let answer = request.timeout(Duration::from_secs(10)).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    Got { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), took: begun.elapsed() }
}

/// Puts a file in the place of another one, in one step.
pub fn replace(file: &Path, bytes: &[u8]) {
    let beside = file.with_extension("next");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

pub fn sealed(config: &GatewayConfig) -> Vec<u8> {
    let versions = config.versions();
    let documents = versions.iter().map(|(version, config)| (*version, serde_json::to_vec(config).unwrap()));
    envelope::seal(&documents.collect::<Vec<_>>()).unwrap()
}

/// By the sandbox's two providers.
pub fn configuration(sandbox: &Sandbox) -> GatewayConfig {
    testing::config(["one", "two"].map(|name| {
        let url = format!("https://{}/v1/messages", sandbox.provider(name).unwrap().addr());
        let ca_bundle = Some(sandbox.authority().cert_pem().to_owned());
        (name, ProviderConfig { ca_bundle, ..testing::provider(&url, &format!("token-of-{name}")) })
    }))
}

pub fn refuse(class: &str, scope: Option<&str>) -> FaultKind {
    let (class, scope) = (Some(class.to_owned()), scope.map(str::to_owned));
    FaultKind::Refuse { code: "no".to_owned(), status: None, class, scope }
}
