//! A connection of HTTP/2, and the turns of the requests that it carries at once.
//!
//! The other side says how many it takes at once. What is beyond that waits within the client's library, unseen, so a turn is
//! given only where there is room.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

use super::{body::Watched, wire::Wire};

/// Requests at once before the other side has said how many it takes: the one that the connection was made for.
pub(super) const UNTOLD: usize = 1;

/// What reads and writes a connection.
pub(super) type Driver = http2::Connection<TokioIo<TlsStream<Wire>>, Watched, TokioExecutor>;

/// A connection that carries many requests at once. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Watched>,
    /// For as long as the connection is open.
    driver: Weak<Mutex<Driver>>,
    under_way: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Shared {
    /// Opens a connection for business. `freed` is notified when there may be room, on it or for another one.
    pub(super) fn open(sender: http2::SendRequest<Watched>, driver: Driver, freed: Arc<Notify>) -> Self {
        let driver = Arc::new(Mutex::new(driver));
        let shared = Self { sender, driver: Arc::downgrade(&driver), under_way: Arc::default(), freed };
        let freed = Arc::clone(&shared.freed);
        tokio::spawn(async move {
            Driving(driver).await;
            freed.notify_waiters();
        });
        shared
    }

    /// Whether the other side takes one more request now.
    pub(super) fn has_room(&self) -> bool {
        let most = self.driver.upgrade().map_or(0, |driver| lock(&driver).current_max_send_streams());
        self.under_way.load(Ordering::Acquire) < most
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.under_way, &other.under_way)
    }

    /// A turn of one request.
    pub(super) fn turn(&self) -> Turn {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Turn(self.clone())
    }
}

/// The turn of one request, until this is dropped.
pub(super) struct Turn(Shared);

impl Turn {
    pub(super) const fn connection(&self) -> &Shared {
        &self.0
    }

    pub(super) fn sender(&self) -> http2::SendRequest<Watched> {
        self.0.sender.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.0).finish()
    }
}

/// Drives a connection until it ends, and is asked meanwhile what the other side allows.
struct Driving(Arc<Mutex<Driver>>);

impl Future for Driving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *lock(&self.0)).poll(context).map(|_| ())
    }
}

fn lock(driver: &Mutex<Driver>) -> MutexGuard<'_, Driver> {
    driver.lock().unwrap_or_else(PoisonError::into_inner)
}
