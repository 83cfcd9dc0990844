//! The provider: TLS, an answer at once, and a count of what came. Each server under measurement has a port of its own here,
//! so that its connections and messages are told apart. It runs in a thread of its own, so that its work is too.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{call, process};

/// What a server shows the provider.
pub const TOKEN: &str = "a-token-of-the-bench";
/// Where messages are sent; all else is for a proxy that hands Okta's calls on as they are.
pub const MESSAGES: &str = "/v1/messages";

/// A port of the provider.
pub struct Port {
    /// Where it is.
    pub addr: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    messages: AtomicU64,
    refused: AtomicU64,
}

impl Port {
    /// Connections opened so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Messages accepted so far.
    pub fn messages(&self) -> u64 {
        self.counts.messages.load(Ordering::Relaxed)
    }

    /// Requests that were none.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }
}

/// The provider's thread.
pub struct Provider {
    asked: mpsc::Sender<mpsc::Sender<f64>>,
    open: tokio::sync::mpsc::UnboundedSender<(bool, mpsc::Sender<Port>)>,
}

impl Provider {
    /// Starts it; it ends with the process.
    pub fn start(certificate: &str, key: &str) -> Self {
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let (open, mut opened) = tokio::sync::mpsc::unbounded_channel::<(bool, mpsc::Sender<Port>)>();
        let (asked, asks) = mpsc::channel::<mpsc::Sender<f64>>();
        thread::Builder::new()
            .name("provider".into())
            .spawn(move || {
                // a thread can tell its own time only while it runs, so another reads the file of it
                let own = std::fs::read_link("/proc/thread-self").unwrap();
                thread::spawn(move || {
                    for ask in asks {
                        let _ = ask.send(process::seconds(&format!("/proc/{}/stat", own.display())));
                    }
                });
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    while let Some((shared, tell)) = opened.recv().await {
                        let protocols: &[&[u8]] = if shared { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
                        tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
                        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                        let counts = Arc::new(Counts::default());
                        let port = Port { addr: listener.local_addr().unwrap(), counts: Arc::clone(&counts) };
                        tokio::spawn(listen(listener, TlsAcceptor::from(Arc::new(tls.clone())), counts));
                        let _ = tell.send(port);
                    }
                });
            })
            .unwrap();
        Self { asked, open }
    }

    /// Opens a port; `shared` offers HTTP/2.
    pub fn open(&self, shared: bool) -> Port {
        let (tell, told) = mpsc::channel();
        self.open.send((shared, tell)).unwrap();
        told.recv().unwrap()
    }

    /// Processor time so far, in seconds.
    pub fn time(&self) -> f64 {
        let (tell, told) = mpsc::channel();
        self.asked.send(tell).unwrap();
        told.recv().unwrap()
    }
}

async fn listen(listener: TcpListener, tls: TlsAcceptor, counts: Arc<Counts>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, counts) = (tls.clone(), Arc::clone(&counts));
        counts.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = tls.accept(stream).await else { return };
            let is_shared = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let answer = service_fn(move |request| {
                let counts = Arc::clone(&counts);
                async move { Ok::<_, Infallible>(answer(request, &counts).await) }
            });
            let stream = TokioIo::new(stream);
            // how a connection ended is told by who opened it
            if is_shared {
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await;
            } else {
                let _ = http1::Builder::new().serve_connection(stream, answer).await;
            }
        });
    }
}

async fn answer(request: Request<Incoming>, counts: &Counts) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if head.method == Method::GET {
        return reply(StatusCode::NO_CONTENT, String::new());
    }
    let shown = head.headers.get("authorization").map_or(&b""[..], |value| value.as_bytes());
    let (expected, is_handed_on) = match head.uri.path() {
        MESSAGES => (format!("Bearer {TOKEN}"), false),
        _ => (call::secret(), true),
    };
    if shown != expected.as_bytes() || body.len() < 100 {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return reply(StatusCode::UNAUTHORIZED, String::new());
    }
    let id = counts.messages.fetch_add(1, Ordering::Relaxed);
    let text = if is_handed_on {
        format!(
            r#"{{"commands":[{{"type":"com.okta.telephony.action","value":[{{"status":"SUCCESSFUL","provider":"mock","transactionId":"m-{id}","transactionMetadata":""}}]}}]}}"#
        )
    } else {
        format!(r#"{{"status":"accepted","id":"m-{id}"}}"#)
    };
    reply(StatusCode::OK, text)
}

fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
