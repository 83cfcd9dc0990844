//! A connection that nothing is sent over: whether a server is there and its certificate is good.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    connector::CONNECT_TIMEOUT,
    exception::Exception,
    failure::SendError,
    guard::Guard,
    policy::Policy,
    resolver::{Guarded, Lookup},
};

/// Addresses of a name that are tried, one after the other.
const MOST_ADDRESSES: usize = 4;

/// Makes bare connections, under the policy of the connector that it belongs to.
#[derive(Clone)]
pub(super) struct Bare {
    resolver: Guarded,
    tls: TlsConnector,
    /// What is called without the proxy; `None` without a proxy.
    by_proxy_but: Option<Vec<Exception>>,
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bare").field("by_proxy_but", &self.by_proxy_but).finish_non_exhaustive()
    }
}

impl Bare {
    pub(super) fn new(guard: Guard, lookup: Arc<dyn Lookup>, tls: ClientConfig, policy: &Policy) -> Self {
        let by_proxy_but = policy.proxy.is_some().then(|| policy.proxy_exceptions.clone());
        Self { resolver: Guarded::new(lookup, guard, None), tls: TlsConnector::from(Arc::new(tls)), by_proxy_but }
    }

    /// Connects and closes.
    ///
    /// # Errors
    /// [`SendError::NotSent`].
    pub(super) async fn reach(&self, url: &Url, deadline: Instant) -> Result<(), SendError> {
        let not_sent = |cause| SendError::NotSent { cause };
        if self.by_proxy_but.as_ref().is_some_and(|but| !but.iter().any(|exception| exception.covers(url))) {
            return Err(not_sent("proxy"));
        }
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let connected = timeout_at(deadline, self.connect(url, deadline)).await;
        connected.unwrap_or(Err("timeout-connect")).map_err(not_sent)
    }

    async fn connect(&self, url: &Url, deadline: Instant) -> Result<(), &'static str> {
        let (name, addresses) = match url.host().ok_or("dns")? {
            Host::Domain(name) => {
                let name = name.to_owned();
                let addresses = self.resolver.addresses(&name).await.map_err(super::resolver::Unresolved::word)?;
                (ServerName::try_from(name).map_err(|_| "tls")?, addresses)
            }
            Host::Ipv4(address) => literal(address.into()),
            Host::Ipv6(address) => literal(address.into()),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let tcp = dial(&addresses[..addresses.len().min(MOST_ADDRESSES)], port, deadline).await?;
        let mut stream = self.tls.connect(name, tcp).await.map_err(|error| of_tls(&error))?;
        // it said who it is; whether it takes leave is no matter
        let _ = stream.shutdown().await;
        Ok(())
    }
}

fn literal(address: IpAddr) -> (ServerName<'static>, Vec<SocketAddr>) {
    (ServerName::IpAddress(address.into()), vec![SocketAddr::new(address, 0)])
}

/// The first address that takes a connection. Each may use its part of the time that is left.
async fn dial(addresses: &[SocketAddr], port: u16, deadline: Instant) -> Result<TcpStream, &'static str> {
    let mut cause = "connect";
    for (to_come, address) in (1..=addresses.len()).rev().zip(addresses) {
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(to_come).unwrap_or(1);
        let address = SocketAddr::new(address.ip(), port);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => cause = "connect",
            Err(_) => cause = "timeout-connect",
        }
    }
    Err(cause)
}

fn of_tls(error: &io::Error) -> &'static str {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if refused.is_some() { "tls" } else { "connect" }
}
