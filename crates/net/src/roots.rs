//! Whom TLS trusts, and how it is set up.
//!
//! Public roots are read from the system's bundle: the file that `SSL_CERT_FILE` names, else the usual places, the first
//! of which (`/etc/ssl/certs/ca-certificates.crt`) is where the image from scratch carries its bundle. A bundle in a file
//! rather than in the binary lets a platform team mount its own. It is read once per process and shared.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak},
};

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
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, roots| roots.strong_count() > 0);
    if let Some(roots) = known.get(pem).and_then(Weak::upgrade) {
        return Ok(roots);
    }
    let mut roots = RootCertStore::clone(&public);
    roots.roots.extend(ca_bundle(pem)?.roots);
    let roots = Arc::new(roots);
    known.insert(pem.to_owned(), Arc::downgrade(&roots));
    Ok(roots)
}

/// What is trusted besides the public roots, by its PEM, for as long as somebody trusts it: an installation's own roots are
/// the same for every org.
static KNOWN: LazyLock<Mutex<HashMap<String, Weak<RootCertStore>>>> = LazyLock::new(Mutex::default);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_trusts_the_same_shares_it_and_it_is_forgotten_with_the_last_of_them() {
        let pem = rcgen::generate_simple_self_signed(["roots.test".to_owned()]).unwrap().cert.pem();
        let (one, other) = (trusted(Some(&pem)).unwrap(), trusted(Some(&pem)).unwrap());
        assert!(Arc::ptr_eq(&one, &other) && one.len() == public().len() + 1);
        drop((one, other));
        assert!(KNOWN.lock().unwrap().get(&pem).is_none_or(|roots| roots.strong_count() == 0));
    }
}
