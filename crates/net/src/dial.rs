//! Making a connection: name, TCP, a proxy's tunnel where there is one, TLS.

use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, stream::FuturesUnordered};
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Position, Url};

use super::{
    exception::Exception,
    failure::{SendError, Unsent},
    guard::Guard,
    policy::{NetError, Policy, is_excepted},
    resolver::{Allowed, Guarded, Lookup, Unresolved},
    wire::{Gate, Transport, Wire},
};
use hookswitch_message::Secret;

/// Name, TCP and TLS together. Long enough for one lost SYN (sent again after 1 s) and the round trips of TLS, short enough
/// to leave another provider its turn within one hook call.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;
/// How long an address may take before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// The most bytes of a proxy's answer.
const MOST_OF_PROXY: usize = 8 * 1024;

/// A connection, made.
pub(super) type Connected = (TlsStream<Wire>, Gate);

/// Makes connections under a policy.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: Guarded,
    tls: TlsConnector,
    proxy: Option<Arc<Proxy>>,
}

struct Proxy {
    url: Url,
    /// What is called without it.
    exceptions: Vec<Exception>,
    resolver: Guarded,
    /// For a proxy that is spoken to over TLS; it offers no HTTP/2.
    tls: TlsConnector,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret<String>>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("by_proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(super) fn new(policy: &Policy, lookup: Arc<dyn Lookup>, tls: ClientConfig) -> Result<Self, NetError> {
        let guard = Guard::new(&policy.allowed_cidrs);
        let exceptions = &policy.proxy_exceptions;
        let at = |url| Proxy::at(url, exceptions.clone(), &lookup, &guard, tls.clone());
        let proxy = policy.checked_proxy()?.map(at);
        Ok(Self {
            resolver: Guarded::new(lookup, guard, None),
            tls: TlsConnector::from(Arc::new(tls)),
            proxy: proxy.map(Arc::new),
        })
    }

    /// The proxy that a URL is called by.
    fn proxy_for(&self, url: &Url) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|proxy| !is_excepted(url, &proxy.exceptions))
    }

    /// Connects, and closes again.
    ///
    /// # Errors
    /// [`SendError::NotSent`].
    pub(super) async fn reach(&self, url: &Url, deadline: Instant) -> Result<(), SendError> {
        if self.proxy_for(url).is_some() {
            return Err(SendError::NotSent { cause: Unsent::Proxy });
        }
        let (mut stream, _) = self.connect(url, deadline).await?;
        // it said who it is; whether it takes leave is no matter
        let _ = timeout_at(deadline, stream.shutdown()).await;
        Ok(())
    }

    /// Connects to the host of a URL.
    ///
    /// # Errors
    /// [`SendError::NotSent`].
    pub(super) async fn connect(&self, url: &Url, deadline: Instant) -> Result<Connected, SendError> {
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let connected = timeout_at(deadline, self.through(url)).await;
        connected.unwrap_or(Err(Unsent::ConnectTimeout)).map_err(|cause| SendError::NotSent { cause })
    }

    async fn through(&self, url: &Url) -> Result<Connected, Unsent> {
        let transport = match self.proxy_for(url) {
            None => Transport::Plain(tcp(url, &self.resolver).await?),
            Some(proxy) => proxy.tunnel(url).await?,
        };
        let (wire, gate) = Wire::over(transport);
        let stream = self.tls.connect(server_name(url)?, wire).await.map_err(|error| of_tls(&error))?;
        Ok((stream, gate))
    }
}

impl Proxy {
    fn at(
        url: &Url,
        exceptions: Vec<Exception>,
        lookup: &Arc<dyn Lookup>,
        guard: &Guard,
        mut tls: ClientConfig,
    ) -> Self {
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let authorization = (!url.username().is_empty()).then(|| {
            let mut pair = decoded(url.username());
            pair.push(b':');
            pair.extend(decoded(url.password().unwrap_or_default()));
            Secret::new(format!("Basic {}", STANDARD.encode(pair)))
        });
        tls.alpn_protocols.clear();
        Self {
            resolver: Guarded::new(Arc::clone(lookup), guard.clone(), url.host_str().map(str::to_owned)),
            url: url.clone(),
            exceptions,
            tls: TlsConnector::from(Arc::new(tls)),
            authorization,
        }
    }

    /// A way through the proxy to the host of a URL.
    async fn tunnel(&self, to: &Url) -> Result<Transport, Unsent> {
        let tcp = tcp(&self.url, &self.resolver).await?;
        if self.url.scheme() == "http" {
            return Ok(Transport::Plain(self.ask(tcp, to).await?));
        }
        let tls = self.tls.connect(server_name(&self.url)?, tcp).await.map_err(|error| of_tls(&error))?;
        Ok(Transport::Sealed(Box::new(self.ask(tls, to).await?)))
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, to: &Url) -> Result<S, Unsent> {
        let (host, port) = (&to[Position::BeforeHost..Position::AfterHost], port(to));
        let authorization = self
            .authorization
            .as_ref()
            .map_or_else(String::new, |value| format!("Proxy-Authorization: {}\r\n", value.expose()));
        let head = Secret::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n"));
        stream.write_all(head.expose().as_bytes()).await.map_err(|_| Unsent::Connect)?;
        stream.flush().await.map_err(|_| Unsent::Connect)?;
        let mut answer = Vec::new();
        // The server behind it says nothing before TLS is begun, so the answer ends where its head does.
        while !answer.ends_with(b"\r\n\r\n") {
            let read = (&mut stream).take(1_024).read_buf(&mut answer).await.map_err(|_| Unsent::Connect)?;
            if read == 0 || answer.len() > MOST_OF_PROXY {
                return Err(Unsent::Connect);
            }
        }
        let accepts = answer.starts_with(b"HTTP/1.") && answer.get(8..10) == Some(b" 2");
        if accepts { Ok(stream) } else { Err(Unsent::Connect) }
    }
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(443)
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Unsent> {
    match url.host().ok_or(Unsent::Dns)? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| Unsent::Tls),
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(address).into())),
    }
}

/// A TCP connection to the host of a URL.
async fn tcp(url: &Url, resolver: &Guarded) -> Result<TcpStream, Unsent> {
    let addresses = resolver.addresses(&url.host().ok_or(Unsent::Dns)?).await.map_err(Unresolved::unsent)?;
    let stream = first_to_connect(&addresses[..addresses.len().min(MOST_ADDRESSES)], port(url)).await?;
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    Ok(stream)
}

/// The first address that takes a connection. The next one is tried as soon as one refuses, and beside one that is slow.
#[expect(clippy::disallowed_methods, reason = "the addresses are those that the guard allows")]
async fn first_to_connect(addresses: &[Allowed], port: u16) -> Result<TcpStream, Unsent> {
    let mut to_come = addresses.iter();
    let mut trying = FuturesUnordered::new();
    loop {
        if let Some(address) = to_come.next() {
            trying.push(TcpStream::connect(address.at(port)));
        }
        let is_last = to_come.len() == 0;
        tokio::select! {
            connected = trying.next() => match connected {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(_)) => {}
                None => return Err(Unsent::Connect),
            },
            () = sleep(STAGGER), if !is_last => {}
        }
    }
}

fn of_tls(error: &io::Error) -> Unsent {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (refused, error.kind()) {
        (Some(_), _) => Unsent::Tls,
        (None, io::ErrorKind::TimedOut) => Unsent::ConnectTimeout,
        (None, _) => Unsent::Connect,
    }
}
