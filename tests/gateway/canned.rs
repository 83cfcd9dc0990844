//! Providers that are no sandbox's: one answers each message with bytes of the test's choice, whatever it is asked, one speaks
//! HTTP/2 and takes one message at a time over each connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch_gateway_config::document::{Account, Probe, ProviderConfig};
use hookswitch_sandbox::Sandbox;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A provider of one answer.
pub struct Canned {
    url: String,
    ca: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Canned {
    pub async fn new(sandbox: &Sandbox) -> Self {
        let tls = acceptor(sandbox, b"http/1.1");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/v1/messages", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (saying, counting) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, saying, counting) = (tls.clone(), Arc::clone(&saying), Arc::clone(&counting));
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(socket).await else { return };
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
                            return;
                        }
                    }
                    if request.starts_with(b"POST") {
                        counting.fetch_add(1, Ordering::Relaxed);
                    }
                    let answer = saying.lock().unwrap().clone();
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, ca: sandbox.authority().cert_pem().to_owned(), answer, asked }
    }

    /// Says that from now on, with these headers beside the usual ones.
    pub fn says(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        *self.answer.lock().unwrap() = answer;
    }

    /// How many messages it was given.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn provider(&self) -> ProviderConfig {
        provider(&self.url, &self.ca)
    }
}

fn acceptor(sandbox: &Sandbox, protocol: &[u8]) -> TlsAcceptor {
    let issued = sandbox.authority().issue(&["127.0.0.1".to_owned()]).unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_no_client_auth().with_single_cert(chain, key).unwrap();
    tls.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

fn provider(url: &str, ca: &str) -> ProviderConfig {
    ProviderConfig {
        account: Account::Http { url: url.to_owned(), token: "token".into() },
        senders: Vec::new(),
        probe: Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight: 200,
        ca_bundle: Some(ca.to_owned()),
    }
}

/// A provider that speaks HTTP/2, takes one message at a time over each connection, and needs a while for it.
pub async fn of_one_stream(sandbox: &Sandbox, takes: Duration) -> ProviderConfig {
    let tls = acceptor(sandbox, b"h2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1/messages", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(socket).await else { return };
                let service =
                    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                        request.into_body().collect().await?;
                        tokio::time::sleep(takes).await;
                        Ok::<_, hyper::Error>(http::Response::new(r#"{"status":"accepted","id":"m-1"}"#.to_owned()))
                    });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.max_concurrent_streams(1).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    provider(&url, sandbox.authority().cert_pem())
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}
