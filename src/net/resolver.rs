//! Resolving names, with the guard's word on every address that comes out.

use std::{
    future::ready,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Host;

use super::guard::Guard;

/// Look-ups under way at once, per connector: each one occupies a thread until the system's resolver gives up.
const MAX_LOOKUPS: usize = 8;

/// Where addresses come from.
pub(super) trait Lookup: Send + Sync + 'static {
    /// The addresses of a name, with port 0.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver, so that `/etc/hosts` and the cluster's search domains apply.
pub(super) struct System {
    permits: Arc<Semaphore>,
}

impl System {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Lookup for System {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let (name, permits) = (name.to_owned(), Arc::clone(&self.permits));
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
                drop(permit);
                found
            });
            found.await.map_err(io::Error::other)?
        })
    }
}

/// Why a name has no address to connect to. Found again in the error chain of a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// The resolver found none.
    #[error("the name has no address")]
    NotFound,
    /// It found some, and the guard refuses every one.
    #[error(
        "every address of the name is private, local or reserved, and not among the allowed ranges (network.allowedCIDRs)"
    )]
    Guarded,
}

impl Unresolved {
    /// The cause of [`SendError::NotSent`](super::SendError::NotSent).
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "dns",
            Self::Guarded => "guard",
        }
    }
}

/// A resolver that gives out only what the guard allows. Clones share the look-ups.
#[derive(Clone)]
pub(super) struct Guarded {
    lookup: Arc<dyn Lookup>,
    guard: Guard,
    exempt: Option<String>,
}

impl Guarded {
    /// `exempt` is the name of the proxy, whose address is not checked.
    pub(super) fn new(lookup: Arc<dyn Lookup>, guard: Guard, exempt: Option<String>) -> Self {
        Self { lookup, guard, exempt }
    }
}

/// An address that the guard let through. There is no other way to have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed(IpAddr);

impl Allowed {
    /// Where a port of it is.
    pub(super) const fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.0, port)
    }
}

impl Guarded {
    /// The addresses of a host that may be called, at least one: those of a name, or the one that it is.
    pub(super) fn addresses(&self, host: &Host<&str>) -> BoxFuture<'static, Result<Vec<Allowed>, Unresolved>> {
        let guard = self.guard.clone();
        let is_exempt = self.exempt.as_deref().is_some_and(|exempt| exempt.eq_ignore_ascii_case(&host.to_string()));
        let found: BoxFuture<'static, io::Result<Vec<IpAddr>>> = match *host {
            Host::Domain(name) => {
                let looked_up = self.lookup.lookup(name);
                Box::pin(async move { Ok(looked_up.await?.into_iter().map(|found| found.ip()).collect()) })
            }
            Host::Ipv4(address) => Box::pin(ready(Ok(vec![address.into()]))),
            Host::Ipv6(address) => Box::pin(ready(Ok(vec![address.into()]))),
        };
        Box::pin(async move {
            let found = found.await.map_err(|_| Unresolved::NotFound)?;
            if found.is_empty() {
                return Err(Unresolved::NotFound);
            }
            let kept: Vec<_> =
                found.into_iter().filter(|found| is_exempt || guard.allows(*found)).map(Allowed).collect();
            if kept.is_empty() { Err(Unresolved::Guarded) } else { Ok(kept) }
        })
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.addresses(&Host::Domain(name.as_str()));
        Box::pin(async move { Ok(Box::new(addresses.await?.into_iter().map(|allowed| allowed.at(0))) as Addrs) })
    }
}
