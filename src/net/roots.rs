//! Whom TLS trusts, and how it is set up.
//!
//! Public roots are read from the system's bundle: the file that `SSL_CERT_FILE` names, else the usual places, the first
//! of which (`/etc/ssl/certs/ca-certificates.crt`) is where the image from scratch carries its bundle. A bundle in a file
//! rather than in the binary lets a platform team mount its own. It is read once per process and shared.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::policy::NetError;

/// TLS sessions remembered for resumption, per connector; it calls very few hosts.
const SESSIONS: usize = 8;

/// TLS settings that trust the public roots and `extra_pem`, and offer HTTP/2 before HTTP/1.1.
pub(super) fn tls(extra_pem: Option<&str>) -> Result<ClientConfig, NetError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(NetError::Tls)?
        .with_root_certificates(trusted(extra_pem)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn trusted(extra_pem: Option<&str>) -> Result<Arc<RootCertStore>, NetError> {
    let public = public();
    let Some(pem) = extra_pem else {
        return if public.is_empty() { Err(NetError::NoRoots) } else { Ok(public) };
    };
    let mut roots = RootCertStore::clone(&public);
    roots.roots.extend(ca_bundle(pem)?.roots);
    Ok(Arc::new(roots))
}

/// The certificates of a CA bundle in PEM, as whoever calls with it will trust them.
///
/// # Errors
/// [`NetError::CaBundle`] when a part of it is no certificate that can sign, or there is none.
pub fn ca_bundle(pem: &str) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| NetError::CaBundle)?).map_err(|_| NetError::CaBundle)?;
    }
    if roots.is_empty() { Err(NetError::CaBundle) } else { Ok(roots) }
}

/// The system's bundle. Single certificates that cannot be read are skipped; an empty result is for the caller to judge,
/// since a private bundle may be all that is wanted.
fn public() -> Arc<RootCertStore> {
    static PUBLIC: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let loaded = PUBLIC.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let (added, skipped) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        tracing::debug!(added, skipped, "loaded public root certificates");
        Arc::new(roots)
    });
    Arc::clone(loaded)
}
