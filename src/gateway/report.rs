//! The report endpoint: `GET /v1/report` over TLS, for the operator.
//!
//! The certificate and the bearer token are those of the configuration, so that the operator, which made both, needs
//! nothing else to trust a replica and to be trusted. What is in the report is the caller's affair.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        document,
        report::{PATH, ReplicaReport},
    },
    message::Secret,
    telemetry::endpoint::{self, Answer, Bounds},
};

const BOUNDS: Bounds = Bounds {
    connections: 16,
    handshake: Duration::from_secs(5),
    head: Duration::from_secs(15),
    lifetime: Duration::from_secs(300),
};

/// The shortest token that is accepted from a configuration; one can be guessed that is shorter.
const MIN_TOKEN: usize = 16;

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What the endpoint shows and asks for; made from a configuration once, used until the next one.
pub struct Credentials {
    token: Secret<String>,
    tls: Arc<ServerConfig>,
}

/// Why the report part of a configuration cannot be used. Holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// The token is too short.
    #[error("the report token is shorter than {MIN_TOKEN} characters")]
    Token,
    /// The certificate chain is not PEM, or empty.
    #[error("the report certificate is not a PEM certificate chain")]
    Certificate,
    /// The key is not PEM.
    #[error("the report key is not a PEM private key")]
    Key,
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("the report certificate and key cannot be used together for TLS")]
    Pair,
}

impl Credentials {
    /// Reads the report part of a configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`].
    pub fn new(report: &document::Report) -> Result<Self, InvalidCredentials> {
        if report.token.expose().len() < MIN_TOKEN {
            return Err(InvalidCredentials::Token);
        }
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(report.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| InvalidCredentials::Certificate)?;
        if chain.is_empty() {
            return Err(InvalidCredentials::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(report.key.expose().as_bytes()).map_err(|_| InvalidCredentials::Key)?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidCredentials::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| InvalidCredentials::Pair)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { token: report.token.clone(), tls: Arc::new(tls) })
    }

    fn admit(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| given.ct_eq(self.token.expose().as_bytes()).into())
    }
}

/// The credentials of the configuration being served; `None` while there is none, and nobody is let in then.
pub type Present = Arc<dyn Fn() -> Option<Arc<Credentials>> + Send + Sync>;

/// Makes a report of the present.
pub type Snapshot = Arc<dyn Fn() -> ReplicaReport + Send + Sync>;

/// Serves the report until `stop`. A new configuration's certificate counts from the next connection on, its token
/// from the next request.
pub async fn serve(listener: TcpListener, credentials: Present, snapshot: Snapshot, stop: CancellationToken) {
    let present = Arc::clone(&credentials);
    let wrap = move |stream| handshake(stream, present());
    let answer = move |request: &request::Parts| route(request, credentials().as_deref(), &snapshot);
    endpoint::serve(listener, BOUNDS, wrap, answer, stop).await;
}

async fn handshake(stream: TcpStream, credentials: Option<Arc<Credentials>>) -> Option<TlsStream<TcpStream>> {
    TlsAcceptor::from(Arc::clone(&credentials?.tls)).accept(stream).await.ok()
}

fn route(request: &request::Parts, credentials: Option<&Credentials>, snapshot: &Snapshot) -> Answer {
    if !credentials.is_some_and(|credentials| credentials.admit(&request.headers)) {
        let mut answer = endpoint::text(StatusCode::UNAUTHORIZED, PLAIN, "bearer token expected\n");
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return answer;
    }
    if request.uri.path() != PATH {
        return endpoint::text(StatusCode::NOT_FOUND, PLAIN, format!("only {PATH}\n"));
    }
    if request.method != Method::GET {
        return endpoint::text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n");
    }
    match serde_json::to_vec(&snapshot()) {
        Ok(body) => endpoint::text(StatusCode::OK, JSON, body),
        Err(_) => endpoint::text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the report could not be written\n"),
    }
}
