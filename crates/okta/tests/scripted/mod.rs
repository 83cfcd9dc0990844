//! A management API that answers as it is scripted, byte by byte, and a client of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch_net as net;
use hookswitch_net::Policy;
use hookswitch_okta::client::OktaClient;
use hookswitch_okta::types::{ApiToken, OktaCredential, OrgUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

pub const TOKEN: &str = "00SecretTokenValue";

pub enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// Nothing, and the connection is closed.
    Nothing,
    /// Nothing, for longer than any deadline.
    Hang,
    /// These bytes, and then one byte of white space every 50 ms.
    Trickle(Vec<u8>),
}

/// A whole answer, after which the connection is closed.
pub fn answer(status: u16, headers: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    Reply::Bytes(format!("{head}{body}").into_bytes())
}

pub struct Server {
    pub client: OktaClient,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// What reaches this machine alone, and trusts one certificate more.
pub fn http(certificate: &str) -> net::Client {
    let allowed_cidrs = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let policy = Policy { allowed_cidrs, extra_roots_pem: Some(certificate.to_owned()), ..Policy::default() };
    net::Client::new(&policy).unwrap()
}

pub fn credential() -> OktaCredential {
    OktaCredential::ApiToken(ApiToken::new(TOKEN).unwrap())
}

/// Answers one connection after another with the script, then accepts none.
pub async fn serve(script: Vec<Reply>) -> Server {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![pair.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let received = requests.clone();
    let task = tokio::spawn(async move {
        for reply in script {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let request = read_request(&mut stream).await;
            received.lock().unwrap().push(request);
            match reply {
                Reply::Bytes(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                }
                Reply::Nothing => drop(stream),
                Reply::Hang => tokio::time::sleep(Duration::from_secs(30)).await,
                Reply::Trickle(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
    });
    let org = OrgUrl::parse(&format!("https://localhost:{port}")).unwrap();
    let client = OktaClient::new(org, credential(), http(&pair.cert.pem())).with_deadline(Duration::from_millis(800));
    Server { client, requests, task }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines().map(str::to_ascii_lowercase);
            let length = lines.find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return text,
        }
    }
}
