//! A provider on this machine that misbehaves in one way, and a resolver that leads to it.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use rcgen::CertifiedKey;
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::NAME;
use crate::{Connector, Policy, resolver::Lookup};

/// What a server does once it has read a request; each variant is one way for a provider to fail.
#[derive(Clone)]
pub(super) enum Then {
    Answer(String),
    /// Answers so much later.
    AnswerAfter(String, Duration),
    AnswerAndClose(String),
    /// Answers, and closes so much later without a word of TLS.
    AnswerAndCloseAfter(String, Duration),
    /// Answers the first request, reads the second and closes.
    AnswerThenRead(String),
    Hang,
    Close,
    Trickle,
    Flood,
}

/// A provider on this machine.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) ca: String,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    closing: Arc<Notify>,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

pub(super) fn certificate() -> (ServerConfig, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([NAME.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (config, cert.pem())
}

/// Reads one request with a body of known length.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(String::from_utf8_lossy(&received).into_owned());
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.extend_from_slice(&piece[..read]),
        }
    }
}

async fn behave(mut stream: impl AsyncRead + AsyncWrite + Unpin, then: Then, requests: &Mutex<Vec<String>>) {
    while let Some(request) = read_request(&mut stream).await {
        requests.lock().unwrap().push(request);
        match &then {
            Then::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Then::AnswerAfter(answer, moment) => {
                sleep(*moment).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Then::AnswerAndClose(answer) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
                return;
            }
            Then::AnswerAndCloseAfter(answer, moment) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                sleep(*moment).await;
                return;
            }
            Then::AnswerThenRead(answer) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                if let Some(second) = read_request(&mut stream).await {
                    requests.lock().unwrap().push(second);
                }
                return;
            }
            Then::Hang => pending::<()>().await,
            Then::Close => return,
            Then::Trickle => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n").await;
                while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            Then::Flood => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while stream.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
            }
        }
    }
}

impl Server {
    pub(super) async fn on(address: (Ipv4Addr, u16), then: Then) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (config, ca) = certificate();
        let server = Self {
            address: listener.local_addr().unwrap(),
            ca,
            connections: Arc::default(),
            open: Arc::default(),
            closing: Arc::default(),
            requests: Arc::default(),
        };
        let closing = Arc::clone(&server.closing);
        let (connections, open, requests) =
            (Arc::clone(&server.connections), Arc::clone(&server.open), Arc::clone(&server.requests));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, then, requests) = (acceptor.clone(), then.clone(), Arc::clone(&requests));
                let (open, closing) = (Arc::clone(&open), Arc::clone(&closing));
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        tokio::select! {
                            () = behave(stream, then, &requests) => {}
                            () = closing.notified() => {}
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub(super) async fn that(then: Then) -> Self {
        Self::on((Ipv4Addr::LOCALHOST, 0), then).await
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            allowed_cidrs: vec!["127.0.0.1/32".parse().unwrap()],
            proxy: None,
            proxy_exceptions: Vec::new(),
            extra_roots_pem: Some(self.ca.clone()),
            keep_no_connection: false,
            lookups: None,
        }
    }

    pub(super) fn connector(&self) -> Connector {
        Connector::resolving_by(&self.policy(), Fixed::to(&["127.0.0.1"])).unwrap()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes every connection; it is done when this returns.
    pub(super) async fn close_all(&self) {
        self.closing.notify_waiters();
        while self.open() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Connections open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// A resolver whose answers are written down beforehand: one list per lookup, the last one for ever.
pub(super) struct Fixed(Mutex<VecDeque<Vec<SocketAddr>>>);

impl Fixed {
    pub(super) fn to(addresses: &[&str]) -> Arc<Self> {
        Self::one_after_the_other(&[addresses])
    }

    pub(super) fn one_after_the_other(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        Arc::new(Self(Mutex::new(answers.iter().map(|answer| answer.iter().map(parse).collect()).collect())))
    }
}

impl Lookup for Fixed {
    fn lookup(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}
