//! The serving certificate: read from mounted files, and read again when they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Time between two reads of the files.
const POLL: Duration = Duration::from_secs(2);
/// The most bytes of either file.
const MAX_FILE: u64 = 256 * 1024;

/// TLS sessions that clients may go on with.
const SESSIONS: usize = 256;

/// Why a certificate cannot be served. Holds nothing of the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The chain is not PEM certificates.
    #[error("{} holds no PEM certificate", .0.display())]
    Certificate(PathBuf),
    /// The key is not a PEM key.
    #[error("{} holds no PEM private key", .0.display())]
    Key(PathBuf),
    /// They do not belong together.
    #[error("the private key does not belong to the certificate")]
    Pair,
    /// TLS refused its settings.
    #[error("set up TLS: {0}")]
    Settings(#[from] rustls::Error),
}

/// The certificate being served.
#[derive(Debug)]
pub struct Certificate {
    folder: PathBuf,
    present: ArcSwapOption<CertifiedKey>,
    sessions: Arc<Sessions>,
}

impl Certificate {
    /// The certificate of `tls.crt` and `tls.key` in a folder; nothing is read yet.
    #[must_use]
    pub fn of(folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.to_owned(),
            present: ArcSwapOption::empty(),
            sessions: Arc::new(Sessions::new()),
        })
    }

    /// Whether there is one to serve.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.present.load().is_some()
    }

    /// Settings of a listener that serves whatever certificate is there: TLS 1.3 and 1.2, HTTP/1.1 alone.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`].
    pub fn listener(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::clone(&self.sessions) as Arc<dyn StoresServerSessions>;
        Ok(Arc::new(config))
    }

    /// Reads the files until `stop`; what cannot be used is logged once per content, and the last good one serves on.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut content = None;
        loop {
            let this = Arc::clone(&self);
            let before = content.take();
            content = tokio::task::spawn_blocking(move || this.reload_if_changed(before)).await.ok().flatten();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Reads the files once and returns their content, so that the same content is not judged twice.
    fn reload_if_changed(&self, before: Option<Content>) -> Option<Content> {
        let content = match Content::read(&self.folder) {
            Ok(content) => content,
            Err(error) => {
                if !self.is_there() {
                    tracing::warn!(%error, "no serving certificate yet");
                }
                return before;
            }
        };
        if before.as_ref() == Some(&content) {
            return before;
        }
        match content.load(&self.folder) {
            Ok(key) => {
                self.present.store(Some(Arc::new(key)));
                self.sessions.forget();
                tracing::info!("serving certificate loaded");
            }
            Err(error) => tracing::error!(%error, "serving certificate refused; the last good one serves on"),
        }
        Some(content)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.present.load_full()
    }
}

/// The TLS sessions of the certificate being served. Whoever goes on with a session is not shown the certificate, so those of
/// one before would hide from its clients that it is another, or that it is none they trust.
#[derive(Debug)]
struct Sessions(ArcSwap<ServerSessionMemoryCache>);

impl Sessions {
    fn new() -> Self {
        Self(ArcSwap::new(ServerSessionMemoryCache::new(SESSIONS)))
    }

    fn forget(&self) {
        self.0.store(ServerSessionMemoryCache::new(SESSIONS));
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.load().put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.load().get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.load().take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[derive(PartialEq, Eq)]
struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Content {
    fn read(folder: &Path) -> Result<Self, TlsError> {
        Ok(Self { chain: read(&folder.join("tls.crt"))?, key: Zeroizing::new(read(&folder.join("tls.key"))?) })
    }

    fn load(&self, folder: &Path) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate(folder.join("tls.crt")))?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(folder.join("tls.crt")));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Key(folder.join("tls.key")))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|_| TlsError::Pair)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 KiB")));
    }
    fs::read(path).map_err(failed)
}
