//! The metric registry and the endpoints that tell of it: `/metrics`, `/livez`, `/readyz`.
//!
//! One registry per process. Families of the product bear the prefix `hookswitch_`; those of the process have the names
//! that Prometheus client libraries agree on. `docs/metrics.md` lists them and the rules for labels.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, request};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{self, Answer, Bounds},
    process,
};

/// Prefix of all families but those of the process.
const PREFIX: &str = "hookswitch";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

const BOUNDS: Bounds = Bounds {
    connections: 16,
    handshake: Duration::from_secs(1),
    head: Duration::from_secs(10),
    lifetime: Duration::from_secs(600),
};

/// All metric families of a process. Cheap to clone; clones share the families.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// A registry with the families that every process has: build information, memory, start time, open files.
    ///
    /// `component` is the value of the label of `hookswitch_build_info`, such as `gateway`.
    #[must_use]
    pub fn new(component: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Collector::new()));
        registry.sub_registry_with_prefix(PREFIX).register(
            "build",
            "What is running; always 1",
            Info::new(vec![("component", component), ("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self { registry: Arc::new(Mutex::new(registry)) }
    }

    /// Adds families; their names get the prefix `hookswitch_`.
    pub fn register(&self, families: impl FnOnce(&mut Registry)) {
        families(self.lock().sub_registry_with_prefix(PREFIX));
    }

    /// Adds families under names that other programs agree on; they get no prefix.
    pub fn register_shared(&self, families: impl FnOnce(&mut Registry)) {
        families(&mut self.lock());
    }

    /// All families in the `OpenMetrics` text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.lock()) {
            Ok(()) => text,
            Err(fmt::Error) => String::from("# EOF\n"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Whether a process may get traffic, and else why not, in a few words for people.
pub type Readiness = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// Serves metrics, liveness and readiness over plain HTTP until `stop`.
///
/// `/livez` answers 200 as long as the process runs at all; `/readyz` answers what `ready` says.
pub async fn serve(listener: TcpListener, metrics: Metrics, ready: Readiness, stop: CancellationToken) {
    let answer = move |request: &request::Parts| route(request, &metrics, &ready);
    endpoint::serve(listener, BOUNDS, endpoint::plain, answer, stop).await;
}

fn route(request: &request::Parts, metrics: &Metrics, ready: &Readiness) -> Answer {
    if request.method != Method::GET && request.method != Method::HEAD {
        return endpoint::text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n");
    }
    match request.uri.path() {
        "/metrics" => endpoint::text(StatusCode::OK, OPEN_METRICS, metrics.render()),
        "/livez" => endpoint::text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match ready() {
            Ok(()) => endpoint::text(StatusCode::OK, PLAIN, "ok\n"),
            Err(reason) => endpoint::text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        _ => endpoint::text(StatusCode::NOT_FOUND, PLAIN, "/metrics, /livez or /readyz\n"),
    }
}
