//! Whom a server of ours claims to be.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Why a certificate and its key cannot be served by. Holds nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// The certificate chain is not PEM, or empty.
    #[error("the certificate is not a PEM certificate chain")]
    Certificate,
    /// The key is not PEM.
    #[error("the key is not a PEM private key")]
    Key,
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used together for TLS")]
    Pair,
}

/// TLS for a server with that certificate chain and key, both in PEM.
///
/// # Errors
/// [`InvalidIdentity`].
pub fn server_identity(certificate: &str, key: &str) -> Result<ServerConfig, InvalidIdentity> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| InvalidIdentity::Certificate)?;
    if chain.is_empty() {
        return Err(InvalidIdentity::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| InvalidIdentity::Key)?;
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| InvalidIdentity::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| InvalidIdentity::Pair)
}
