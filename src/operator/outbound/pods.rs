//! How gateways' pods are asked for their reports.
//!
//! They are ours, and the address guard for providers would refuse them, so they are dialled by a dialer of this module's own.
//! The connection is trusted for one certificate alone, the one that the operator made for this gateway.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::operator::model::gateway_names::{REPORT_NAME, REPORT_PORT};
use hookswitch_gateway_config::{
    document,
    report::{MAX_REPORT, PATH, ReplicaReport},
};

/// How a pod is asked for its report, at its addresses.
pub type Ask =
    dyn Fn(Arc<document::Report>, BTreeSet<IpAddr>) -> BoxFuture<'static, Option<ReplicaReport>> + Send + Sync;

/// Asks pods over the network.
#[must_use]
pub fn over_network() -> Arc<Ask> {
    Arc::new(|report, addresses| ask(report, addresses).boxed())
}

/// The report of the pod at these addresses, from the first that answers with one.
async fn ask(report: Arc<document::Report>, addresses: BTreeSet<IpAddr>) -> Option<ReplicaReport> {
    let asking = &Asking::new(&report)?;
    let mut asked: FuturesUnordered<_> =
        addresses.into_iter().map(|address| asking.exchange(SocketAddr::new(address, REPORT_PORT))).collect();
    while let Some(report) = asked.next().await {
        if report.is_some() {
            return report;
        }
    }
    None
}

/// How the pods of one gateway are asked.
struct Asking {
    tls: TlsConnector,
    token: hookswitch_message::Secret<String>,
}

impl Asking {
    fn new(report: &document::Report) -> Option<Self> {
        let pinned = CertificateDer::pem_slice_iter(report.certificate.as_bytes()).next()?.ok()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { certificate: pinned, provider }))
            .with_no_client_auth();
        Some(Self { tls: TlsConnector::from(Arc::new(config)), token: report.token.clone() })
    }

    #[expect(clippy::disallowed_methods, reason = "a pod of the gateway, whose certificate is known")]
    async fn exchange(&self, address: SocketAddr) -> Option<ReplicaReport> {
        let stream = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from(REPORT_NAME).ok()?;
        let stream = self.tls.connect(name, stream).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = http::Request::get(PATH)
            .header(http::header::HOST, REPORT_NAME)
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .body(Empty::<Bytes>::new())
            .ok()?;
        let asked = async {
            let answer = sender.send_request(request).await.ok()?;
            if answer.status() != http::StatusCode::OK {
                return None;
            }
            let body = Limited::new(answer.into_body(), MAX_REPORT).collect().await.ok()?.to_bytes();
            ReplicaReport::read(&body).ok()
        };
        tokio::select! {
            report = asked => report,
            // The connection is driven beside the exchange; when it ends first there is no answer.
            _ = connection => None,
        }
    }
}

/// Trusts one certificate and checks nothing else of it: it was made for this and never leaves the cluster.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
