//! The sandbox's own certificate authority: it signs for the simulated parties, and for the
//! gateway that the simulated Okta is to trust.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Names of the authority's files in a directory.
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

/// What went wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// Making or signing failed.
    #[error("making a certificate for {0}")]
    Make(String, #[source] rcgen::Error),
    /// A PEM given to the sandbox could not be read.
    #[error("reading {what} as PEM: {reason}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The certificate and key do not make a TLS server.
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    /// A file could not be read or written.
    #[error("{action} {path}")]
    File {
        /// `reading` or `writing`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// A certificate authority.
#[derive(Clone, Debug)]
pub struct Authority {
    own: Issued,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn create() -> Result<Self, CertError> {
        let wrong = |e| CertError::Make("the authority".to_owned(), e);
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, "Hookswitch sandbox CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).map_err(wrong)?;
        Ok(Self { own: Issued { cert_pem: cert.pem(), key_pem: key.serialize_pem() } })
    }

    /// The authority kept in `dir`, made there when there is none.
    ///
    /// # Errors
    /// When its files cannot be read, written or understood.
    pub fn in_dir(dir: &Path) -> Result<Self, CertError> {
        let (cert, key) = (dir.join(CA_CERT), dir.join(CA_KEY));
        if cert.exists() && key.exists() {
            let authority = Self { own: Issued { cert_pem: read(&cert)?, key_pem: read(&key)? } };
            authority.issuer()?;
            return Ok(authority);
        }
        let authority = Self::create()?;
        write(&cert, &authority.own.cert_pem)?;
        write_private(&key, &authority.own.key_pem)?;
        Ok(authority)
    }

    /// The authority's certificate, PEM: what a client must trust.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.own.cert_pem
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, CertError> {
        let wrong = |e| CertError::Make("the authority".to_owned(), e);
        let key = KeyPair::from_pem(&self.own.key_pem).map_err(wrong)?;
        Issuer::from_ca_cert_pem(&self.own.cert_pem, key).map_err(wrong)
    }

    /// A server certificate for these DNS names and addresses.
    ///
    /// # Errors
    /// When a name is not one, or signing fails.
    pub fn issue(&self, hosts: &[String]) -> Result<Issued, CertError> {
        let wrong = |e| CertError::Make(hosts.join(", "), e);
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::new(hosts.to_vec()).map_err(wrong)?;
        if let Some(first) = hosts.first() {
            params.distinguished_name.push(DnType::CommonName, first.chars().take(64).collect::<String>());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer()?).map_err(wrong)?;
        Ok(Issued { cert_pem: cert.pem(), key_pem: key.serialize_pem() })
    }
}

impl Issued {
    /// Reads the two PEM files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, CertError> {
        Ok(Self { cert_pem: read(cert)?, key_pem: read(key)? })
    }

    /// Writes `<name>.crt` and `<name>.key` to `dir`; the key is readable by its owner alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), CertError> {
        let (cert, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        write(&cert, &self.cert_pem)?;
        write_private(&key, &self.key_pem)?;
        Ok((cert, key))
    }

    /// A TLS server with this certificate, speaking HTTP/1.1, and HTTP/2 where `both`.
    pub(crate) fn acceptor(&self, both: bool) -> Result<TlsAcceptor, CertError> {
        let unread = |what| move |e: rustls::pki_types::pem::Error| CertError::Pem { what, reason: e.to_string() };
        let chain = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(unread("the certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(unread("the private key"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = both.then(|| b"h2".to_vec()).into_iter().chain([b"http/1.1".to_vec()]).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn read(path: &Path) -> Result<String, CertError> {
    std::fs::read_to_string(path).map_err(|source| CertError::File { action: "reading", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), CertError> {
    let wrong = |source| CertError::File { action: "writing", path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(wrong)?;
    }
    std::fs::write(path, text).map_err(wrong)
}

fn write_private(path: &Path, text: &str) -> Result<(), CertError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let wrong = |source| CertError::File { action: "writing", path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(wrong)?;
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)
}
