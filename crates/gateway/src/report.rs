//! The report endpoint: `GET /v1/report` over TLS, for the operator.
//!
//! The certificate and the bearer token are those of the configuration, so that the operator, which made both, needs
//! nothing else to trust a replica and to be trusted. What is in the report is the caller's affair.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use rustls::ServerConfig;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use hookswitch_gateway_config::{
    check::MIN_REPORT_TOKEN,
    document,
    report::{PATH, ReplicaReport},
};
use hookswitch_message::Secret;
use hookswitch_net as net;
use hookswitch_telemetry::endpoint::{self, EndpointBounds, HttpResponse};

const BOUNDS: EndpointBounds = EndpointBounds {
    connections: 16,
    handshake: Duration::from_secs(5),
    head: Duration::from_secs(15),
    lifetime: Duration::from_mins(5),
};

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
    #[error("the token is shorter than {MIN_REPORT_TOKEN} characters")]
    Token,
    /// The certificate or the key.
    #[error(transparent)]
    Identity(#[from] net::InvalidIdentity),
}

impl Credentials {
    /// Reads the report part of a configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`].
    pub fn new(report: &document::Report) -> Result<Self, InvalidCredentials> {
        if report.token.expose().len() < MIN_REPORT_TOKEN {
            return Err(InvalidCredentials::Token);
        }
        let mut tls = net::server_identity(&report.certificate, report.key.expose())?;
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

fn route(request: &request::Parts, credentials: Option<&Credentials>, snapshot: &Snapshot) -> HttpResponse {
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use arc_swap::ArcSwapOption;
    use rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsConnector, client};

    use super::*;

    const TOKEN: &str = "a-token-of-the-operator";

    fn settings(token: &str) -> document::Report {
        let made = rcgen::generate_simple_self_signed(["report".to_owned()]).unwrap();
        document::Report {
            token: Secret::new(token.to_owned()),
            certificate: made.cert.pem(),
            key: Secret::new(made.signing_key.serialize_pem()),
        }
    }

    struct Served {
        address: SocketAddr,
        credentials: Arc<ArcSwapOption<Credentials>>,
        stop: CancellationToken,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            self.stop.cancel();
        }
    }

    async fn start(settings: Option<&document::Report>) -> Served {
        let listener = endpoint::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let credentials =
            Arc::new(ArcSwapOption::new(settings.map(|report| Arc::new(Credentials::new(report).unwrap()))));
        let (present, stop) = (Arc::clone(&credentials), CancellationToken::new());
        let snapshot: Snapshot = Arc::new(|| ReplicaReport { generation: 7, ..ReplicaReport::default() });
        tokio::spawn(serve(listener, Arc::new(move || present.load_full()), snapshot, stop.clone()));
        Served { address, credentials, stop }
    }

    /// Connects as the operator does, trusting the certificate of the configuration and no other.
    async fn connect(served: &Served, trusted: &document::Report) -> Option<client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(served.address).await.unwrap();
        TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("report").unwrap(), stream).await.ok()
    }

    async fn ask(stream: &mut client::TlsStream<TcpStream>, request: &str, authorization: &str) -> String {
        let head = format!("{request} HTTP/1.1\r\nhost: report\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let length = stream.read(&mut buffer).await.unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn bearer(token: &str) -> String {
        format!("authorization: Bearer {token}\r\n")
    }

    #[tokio::test]
    async fn the_operator_gets_the_report() {
        let settings = settings(TOKEN);
        let served = start(Some(&settings)).await;
        let mut stream = connect(&served, &settings).await.unwrap();
        let answer = ask(&mut stream, "GET /v1/report", &bearer(TOKEN)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: application/json"), "{head}");
        assert_eq!(ReplicaReport::read(body.as_bytes()).unwrap().generation, 7);
        assert!(ask(&mut stream, "GET /v2/report", &bearer(TOKEN)).await.starts_with("HTTP/1.1 404 "));
        assert!(ask(&mut stream, "DELETE /v1/report", &bearer(TOKEN)).await.starts_with("HTTP/1.1 405 "));
    }

    #[tokio::test]
    async fn who_does_not_have_the_token_learns_nothing() {
        let settings = settings(TOKEN);
        let served = start(Some(&settings)).await;
        for (path, authorization) in [
            ("/v1/report", String::new()),
            ("/else", String::new()),
            ("/v1/report", bearer("")),
            ("/v1/report", bearer("a-token-of-the-operatoR")),
            ("/v1/report", bearer("a-token-of-the-operator2")),
            ("/v1/report", bearer("a-token-of-the-operato")),
            ("/v1/report", format!("authorization: Basic {TOKEN}\r\n")),
        ] {
            let mut stream = connect(&served, &settings).await.unwrap();
            let answer = ask(&mut stream, &format!("GET {path}"), &authorization).await;
            assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_new_configuration_changes_certificate_and_token_at_once() {
        let (old, new) = (settings(TOKEN), settings("another-token-of-the-operator"));
        let served = start(Some(&old)).await;
        let mut kept = connect(&served, &old).await.unwrap();
        served.credentials.store(Some(Arc::new(Credentials::new(&new).unwrap())));
        assert!(connect(&served, &old).await.is_none(), "the old certificate is still shown");
        let mut stream = connect(&served, &new).await.unwrap();
        assert!(ask(&mut stream, "GET /v1/report", &bearer(new.token.expose())).await.starts_with("HTTP/1.1 200 "));
        assert!(ask(&mut kept, "GET /v1/report", &bearer(TOKEN)).await.starts_with("HTTP/1.1 401 "));
    }

    #[tokio::test]
    async fn without_a_configuration_nobody_is_let_in() {
        let served = start(None).await;
        assert!(connect(&served, &settings(TOKEN)).await.is_none());
    }

    #[test]
    fn credentials_that_cannot_work_are_refused_by_what_is_wrong() {
        let (good, other) = (settings(TOKEN), settings(TOKEN));
        let with = |change: &dyn Fn(&mut document::Report)| {
            let mut changed = good.clone();
            change(&mut changed);
            Credentials::new(&changed).err()
        };
        assert_eq!(with(&|_| {}), None);
        assert_eq!(with(&|report| report.token = "short".into()), Some(InvalidCredentials::Token));
        assert_eq!(
            with(&|report| report.certificate = "x".into()),
            Some(InvalidCredentials::Identity(net::InvalidIdentity::Certificate))
        );
        assert_eq!(
            with(&|report| report.key = "x".into()),
            Some(InvalidCredentials::Identity(net::InvalidIdentity::Key))
        );
        assert_eq!(
            with(&|report| report.key = other.key.clone()),
            Some(InvalidCredentials::Identity(net::InvalidIdentity::Pair))
        );
    }
}
