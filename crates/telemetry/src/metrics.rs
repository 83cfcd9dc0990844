//! The metric registry and the endpoints that show it: `/metrics`, `/livez`, `/readyz`.
//!
//! One registry per process. Families of the product bear the prefix `hookswitch_`; those of the process have the names
//! that Prometheus client libraries agree on. `docs/reference/metrics.md` lists them and the rules for labels.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, request};
use prometheus_client::{
    encoding::text::{encode, encode_registry},
    metrics::info::Info,
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{self, EndpointBounds, HttpResponse},
    logs, process,
};

/// Prefix of all families but those of the process.
const PREFIX: &str = "hookswitch";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

const BOUNDS: EndpointBounds = EndpointBounds {
    connections: 64,
    handshake: Duration::from_secs(1),
    head: Duration::from_secs(10),
    lifetime: Duration::from_mins(10),
};

/// All metric families of a process. Cheap to clone; clones share the families.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registries>>);

struct Registries {
    /// Under the product's prefix.
    own: Registry,
    /// Under names that other programs agree on.
    shared: Registry,
}

impl Metrics {
    /// A registry with the families that every process has: build information, lost log lines, memory, start time, open files.
    ///
    /// `component` is the value of the label of `hookswitch_build_info`, such as `gateway`.
    #[must_use]
    pub fn new(component: &'static str) -> Self {
        let mut shared = Registry::default();
        shared.register_collector(Box::new(process::Collector::new()));
        let mut own = Registry::with_prefix(PREFIX);
        own.register(
            "build",
            "What is running; always 1",
            Info::new(vec![("component", component), ("version", env!("CARGO_PKG_VERSION"))]),
        );
        own.register("log_lines_lost", "Log lines that nobody took in time", logs::lost());
        Self(Arc::new(Mutex::new(Registries { own, shared })))
    }

    /// Adds families; their names get the prefix `hookswitch_`.
    pub fn register<T>(&self, families: impl FnOnce(&mut Registry) -> T) -> T {
        families(&mut self.lock().own)
    }

    /// The same; to the second registry go families under names that other programs agree on, which get no prefix.
    pub fn register_with_shared<T>(&self, families: impl FnOnce(&mut Registry, &mut Registry) -> T) -> T {
        let registries = &mut *self.lock();
        families(&mut registries.own, &mut registries.shared)
    }

    /// All families in the `OpenMetrics` text format.
    #[must_use]
    pub fn render(&self) -> String {
        let (mut text, registries) = (String::new(), self.lock());
        match encode_registry(&mut text, &registries.shared).and_then(|()| encode(&mut text, &registries.own)) {
            Ok(()) => text,
            Err(fmt::Error) => String::from("# EOF\n"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Whether a process may get traffic and what there is to say of it, and else why not, in a few words for people.
pub type Readiness = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Serves metrics, liveness and readiness over plain HTTP until `stop`.
///
/// `/livez` answers 200 as long as the process runs at all; `/readyz` answers what `ready` says.
pub async fn serve(listener: TcpListener, metrics: Metrics, ready: Readiness, stop: CancellationToken) {
    let answer = move |request: &request::Parts| route(request, &metrics, &ready);
    endpoint::serve(listener, BOUNDS, endpoint::plain, answer, stop).await;
}

fn route(request: &request::Parts, metrics: &Metrics, ready: &Readiness) -> HttpResponse {
    if request.method != Method::GET && request.method != Method::HEAD {
        return endpoint::text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n");
    }
    match request.uri.path() {
        "/metrics" => endpoint::text(StatusCode::OK, OPEN_METRICS, metrics.render()),
        "/livez" => endpoint::text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match ready() {
            Ok(said) => endpoint::text(StatusCode::OK, PLAIN, format!("{said}\n")),
            Err(reason) => endpoint::text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        _ => endpoint::text(StatusCode::NOT_FOUND, PLAIN, "/metrics, /livez or /readyz\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use prometheus_client::metrics::counter::Counter;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn families_of_the_product_have_its_prefix_and_those_of_the_process_have_not() {
        let metrics = Metrics::new("gateway");
        let calls: Counter = Counter::default();
        calls.inc();
        metrics.register(|registry| registry.register("calls", "Calls", calls.clone()));
        metrics.register(|registry| registry.register("others", "Others", Counter::<u64>::default()));
        let text = metrics.render();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "hookswitch_calls_total 1".to_owned(),
            "hookswitch_others_total 0".to_owned(),
            format!("hookswitch_build_info{{component=\"gateway\",version=\"{version}\"}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name)).expect(name);
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_open_fds") >= 3.0);
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn metrics_life_and_readiness_are_served_over_http() {
        let listener = endpoint::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, is_ready) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let ready = Arc::clone(&is_ready);
        let ready: Readiness =
            Arc::new(
                move || if ready.load(Ordering::SeqCst) { Ok("ok".into()) } else { Err("no configuration yet".into()) },
            );
        let serving = tokio::spawn(serve(listener, Metrics::new("gateway"), ready, stop.clone()));

        let unready = ask(address, "GET /readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("no configuration yet\n"), "{unready}");
        is_ready.store(true, Ordering::SeqCst);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "POST /livez").await.starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "GET /else").await.starts_with("HTTP/1.1 404 "));
        let metrics = ask(address, "GET /metrics").await;
        assert!(
            metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{metrics}"
        );
        assert!(metrics.ends_with("# EOF\n"));
        stop.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
