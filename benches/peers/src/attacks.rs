//! Attacks at a rate that one cheap host has no trouble with, while legitimate calls are measured. They come from many addresses
//! of this machine, in a thread of their own on the processor of the load, so they cost the load a little, too.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::call;

/// How long a connection is held that the server does not close.
const HELD: Duration = Duration::from_secs(10);
/// How much of a head is said that does not end.
const SLOW_HEAD: usize = 100;
/// Addresses that they come from.
const SOURCES: u64 = 200;

/// What is done to a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Nothing: what the others are compared with.
    None,
    /// Connections that say nothing.
    Idle,
    /// Handshakes that are begun and not gone on with.
    HalfHandshakes,
    /// Handshakes that the server does its share of, in vain.
    Handshakes,
    /// Heads that do not end.
    SlowHeads,
    /// Bodies that do not end, by who has the secret.
    SlowBodies,
    /// Calls with a wrong secret.
    WrongSecrets,
    /// One call again and again, by who has the secret.
    Repeated,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Idle,
        Self::HalfHandshakes,
        Self::Handshakes,
        Self::SlowHeads,
        Self::SlowBodies,
        Self::WrongSecrets,
        Self::Repeated,
    ];

    /// As a table says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no attack",
            Self::Idle => "idle connections",
            Self::HalfHandshakes => "half handshakes",
            Self::Handshakes => "handshakes without a call",
            Self::SlowHeads => "slow heads",
            Self::SlowBodies => "slow bodies with the secret",
            Self::WrongSecrets => "calls with a wrong secret",
            Self::Repeated => "one call again and again with the secret",
        }
    }

    /// Whether each of its connections comes to an end by itself.
    pub const fn is_soon_over(self) -> bool {
        matches!(self, Self::Handshakes | Self::WrongSecrets | Self::Repeated)
    }

    /// Connections made in a second.
    pub const fn rate(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Idle => 1_000,
            Self::HalfHandshakes | Self::Handshakes => 500,
            Self::SlowHeads | Self::SlowBodies | Self::WrongSecrets | Self::Repeated => 100,
        }
    }
}

/// What all connections of an attack need.
struct Means {
    attack: Attack,
    to: SocketAddr,
    caller: TlsConnector,
    hello: Vec<u8>,
    request: Vec<u8>,
}

/// An attack that goes on until this is dropped.
pub struct Attacking {
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Attacking {
    /// Begins an attack.
    pub fn begin(attack: Attack, to: SocketAddr, caller: &TlsConnector) -> Self {
        let (is_over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let means =
            Means { attack, to, caller: caller.clone(), hello: hello(), request: call::Request::new().next().to_vec() };
        let (until, count) = (Arc::clone(&is_over), Arc::clone(&made));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(rush(Arc::new(means), &until, &count));
            runtime.shutdown_background();
        });
        Self { is_over, made, thread: Some(thread) }
    }

    /// Connections made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Attacking {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// What a client begins a handshake with.
fn hello() -> Vec<u8> {
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(tls), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

async fn rush(means: Arc<Means>, is_over: &AtomicBool, made: &Arc<AtomicU64>) {
    let begun = Instant::now();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * f64::from(means.attack.rate())) as u64;
        while number < due {
            let (means, made) = (Arc::clone(&means), Arc::clone(made));
            tokio::spawn(async move {
                if means.once(number).await.is_some() {
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
            number += 1;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

impl Means {
    /// One connection. Nothing when it could not be made as meant.
    async fn once(&self, number: u64) -> Option<()> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(format!("127.0.1.{}:0", 1 + number % SOURCES).parse().unwrap()).ok()?;
        let mut stream = socket.connect(self.to).await.ok()?;
        match self.attack {
            Attack::None => {}
            Attack::Idle => hold(stream).await,
            Attack::HalfHandshakes => {
                stream.write_all(&self.hello[..self.hello.len() / 2]).await.ok()?;
                hold(stream).await;
            }
            Attack::Handshakes => {
                stream.write_all(&self.hello).await.ok()?;
                let read = stream.read(&mut [0; 1_024]).await.ok()?;
                return (read > 0).then_some(());
            }
            Attack::SlowHeads => self.say(stream, &self.request[..SLOW_HEAD]).await?,
            Attack::SlowBodies => self.say(stream, &self.request[..self.request.len() - 10]).await?,
            Attack::Repeated => self.say(stream, &self.request).await?,
            Attack::WrongSecrets => {
                let request = format!(
                    "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: no\r\ncontent-length: 0\r\n\r\n",
                    call::PATH
                );
                self.say(stream, request.as_bytes()).await?;
            }
        }
        Some(())
    }

    /// Says that over TLS, and waits for whatever the answer is.
    async fn say(&self, stream: TcpStream, what: &[u8]) -> Option<()> {
        let mut stream = self.secure(stream).await?;
        stream.write_all(what).await.ok()?;
        stream.flush().await.ok()?;
        let _ = timeout(HELD, stream.read(&mut [0; 1_024])).await;
        Some(())
    }

    async fn secure(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        self.caller.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()
    }
}

/// Until the server closes it, and not much longer.
async fn hold(mut stream: TcpStream) {
    let _ = timeout(HELD, stream.read(&mut [0; 1])).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_request_of_an_attack_is_no_whole_one() {
        let request = call::Request::new().next().to_vec();
        let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        assert!(end > SLOW_HEAD, "a slow head does not end");
        assert!(request.len() - 10 > end + 4, "the head of a slow body does");
        assert_eq!(Attack::ALL.map(Attack::name).iter().collect::<std::collections::BTreeSet<_>>().len(), 8);
        assert!(hello().len() > 100);
    }
}
