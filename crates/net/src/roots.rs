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
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::policy::NetError;

/// TLS sessions remembered for resumption, per connector; it calls very few hosts.
const SESSIONS: usize = 8;

/// TLS settings that trust the public roots and `extra_pem`, and offer HTTP/2 before HTTP/1.1.
pub(super) fn tls(extra_pem: Option<&str>) -> Result<ClientConfig, NetError> {
    let builder = ClientConfig::builder_with_provider(crypto()).with_safe_default_protocol_versions();
    let mut config = builder
        .map_err(NetError::Tls)?
        // What is dangerous is a judge of one's own; these are the library's.
        .dangerous()
        .with_custom_certificate_verifier(trusted(extra_pem)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn crypto() -> Arc<CryptoProvider> {
    static CRYPTO: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&CRYPTO)
}

fn trusted(extra_pem: Option<&str>) -> Result<Arc<dyn ServerCertVerifier>, NetError> {
    let Some(pem) = extra_pem else {
        return match public() {
            Some(public) => Ok(public),
            None => Err(NetError::NoRoots),
        };
    };
    let own = judge(own(pem)?).ok_or(NetError::CaBundle)?;
    Ok(match public() {
        Some(public) => Arc::new(Either { own, public }),
        None => own,
    })
}

/// Who judges by these roots; nobody where there are none.
fn judge(roots: Arc<RootCertStore>) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(roots, crypto()).build().ok()
}

/// Trusts what roots of one's own or the public ones vouch for, without a copy of the public ones.
#[derive(Debug)]
struct Either {
    own: Arc<WebPkiServerVerifier>,
    public: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Either {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by = |judge: &WebPkiServerVerifier| {
            judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        by(&self.own).or_else(|own| {
            // who vouches for the chain says what else is wrong with it
            let is_strange = own == Error::InvalidCertificate(CertificateError::UnknownIssuer);
            by(&self.public).map_err(|public| if is_strange { public } else { own })
        })
    }

    // How a handshake is signed has nothing to do with roots.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

/// The roots of a CA bundle, shared by all who trust the same one.
fn own(pem: &str) -> Result<Arc<RootCertStore>, NetError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, roots| roots.strong_count() > 0);
    if let Some(roots) = known.get(pem).and_then(Weak::upgrade) {
        return Ok(roots);
    }
    let roots = Arc::new(ca_bundle(pem)?);
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

/// Who judges by the system's bundle. Single certificates that cannot be read are skipped; that there are none is for the caller
/// to judge, since a private bundle may be all that is wanted.
pub(super) fn public() -> Option<Arc<WebPkiServerVerifier>> {
    static PUBLIC: OnceLock<Option<Arc<WebPkiServerVerifier>>> = OnceLock::new();
    let loaded = PUBLIC.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let (added, skipped) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        tracing::debug!(added, skipped, "loaded public root certificates");
        judge(Arc::new(roots))
    });
    loaded.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    #[test]
    fn a_ca_bundle_is_kept_once_without_the_public_roots_and_forgotten_with_the_last_who_trusts_it() {
        let pem = rcgen::generate_simple_self_signed(["roots.test".to_owned()]).unwrap().cert.pem();
        let configs = [tls(Some(&pem)).unwrap(), tls(Some(&pem)).unwrap()];
        let roots = own(&pem).unwrap();
        assert_eq!(roots.len(), 1, "the public roots are not copied");
        assert_eq!(Arc::strong_count(&roots), 1 + configs.len(), "each shares it");
        drop((configs, roots));
        assert!(KNOWN.lock().unwrap().get(&pem).is_none_or(|roots| roots.strong_count() == 0));
    }

    #[test]
    fn who_trusts_the_public_roots_alone_shares_them() {
        let public = public().expect("this machine has public roots");
        let judges = [trusted(None).unwrap(), trusted(None).unwrap()];
        for judge in judges {
            assert!(std::ptr::addr_eq(Arc::as_ptr(&judge), Arc::as_ptr(&public)));
        }
    }

    /// An authority, and the certificate of a server that it vouches for.
    fn authority(name: &str) -> (Arc<WebPkiServerVerifier>, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let (server_key, server) =
            (KeyPair::generate().unwrap(), CertificateParams::new(["a.test".to_owned()]).unwrap());
        let server = server.signed_by(&server_key, &Issuer::new(params, key)).unwrap();
        (judge(Arc::new(roots)).unwrap(), server.der().clone())
    }

    #[test]
    fn what_own_or_public_roots_vouch_for_is_trusted_and_nothing_else() {
        let ((own, of_own), (public, of_public), (_, of_others)) =
            (authority("own"), authority("public"), authority("x"));
        let either = Either { own, public };
        let verified = |certificate: &CertificateDer<'_>, name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            either.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(drop)
        };
        for certificate in [&of_own, &of_public] {
            assert_eq!(verified(certificate, "a.test"), Ok(()));
            let wrong = verified(certificate, "b.test");
            let is_about_the_name = matches!(
                wrong,
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                ))
            );
            assert!(is_about_the_name, "its issuer is known: {wrong:?}");
        }
        let strange = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(verified(&of_others, "a.test"), strange);
    }
}
