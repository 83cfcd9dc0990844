//! How calls leave this process, and why a policy cannot be followed.

use std::fmt;

use ipnet::IpNet;
use url::Url;

use super::{exception::Exception, resolver::Lookups};

/// How calls leave this process.
#[derive(Clone, Default)]
pub struct Policy {
    /// Ranges that may be called although they are private or local.
    pub allowed_cidrs: Vec<IpNet>,
    /// A proxy (`http` or `https`, with user and password in the URL if it wants them) that calls go through.
    ///
    /// Only this field and the next one decide: environment variables such as `HTTPS_PROXY` and `NO_PROXY` are not read. The
    /// proxy's own address is exempt from the guard. Names are resolved by the proxy, so the guard cannot see where they
    /// lead; addresses written in a URL are still checked.
    pub proxy: Option<Url>,
    /// What is called directly although there is a proxy, and under the guard like every direct call.
    pub proxy_exceptions: Vec<Exception>,
    /// PEM certificates trusted besides the public ones.
    pub extra_roots_pem: Option<String>,
    /// Every request makes a connection of its own: name, TCP and TLS are asked anew each time.
    pub keep_no_connection: bool,
    /// Who resolves names, where that is shared with others.
    pub lookups: Option<Lookups>,
}

impl Policy {
    /// The proxy that calls leave by.
    ///
    /// # Errors
    /// [`NetError::Proxy`].
    pub(super) fn checked_proxy(&self) -> Result<Option<&Url>, NetError> {
        let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match &self.proxy {
            Some(url) if !usable(url) => Err(NetError::Proxy),
            proxy => Ok(proxy.as_ref()),
        }
    }
}

/// Whether a URL is called without a proxy because of one of these exceptions.
pub(super) fn is_excepted(url: &Url, exceptions: &[Exception]) -> bool {
    exceptions.iter().any(|exception| exception.covers(url))
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("allowed_cidrs", &self.allowed_cidrs)
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .field("proxy_exceptions", &self.proxy_exceptions)
            .field("extra_roots", &self.extra_roots_pem.is_some())
            .field("keep_no_connection", &self.keep_no_connection)
            .field("lookups", &self.lookups)
            .finish()
    }
}

/// Why a policy cannot be followed. Never holds a proxy's password.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The extra roots are not certificates.
    #[error("read the CA bundle: it is not one or more PEM certificates that can sign")]
    CaBundle,
    /// There is nothing to trust.
    #[error(
        "load public root certificates: none found; SSL_CERT_FILE or /etc/ssl/certs/ca-certificates.crt should hold them"
    )]
    NoRoots,
    /// The proxy's URL is not usable.
    #[error("use the proxy: its URL must be http or https, with a host")]
    Proxy,
    /// TLS refused its settings.
    #[error("set up TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refused its settings.
    #[error("set up the HTTP client")]
    Client(#[source] reqwest::Error),
}
