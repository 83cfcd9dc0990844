//! Connections that are kept for the next request, and for how long.
//!
//! A connection of HTTP/1.1 carries one request at a time and says nothing before it is closed, so a request may meet the
//! close half way: nobody can tell then whether it was received. It is therefore given up well before servers close it.
//! A server that closes earlier all the same is remembered, so that this happens to few requests.
//! One of HTTP/2 carries many, and its close names the requests that were not looked at, so it is kept longer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{HeaderMap, header};
use hyper::client::conn::{http1, http2};
use tokio::time::{Instant, sleep};
use url::Url;

use super::{body::Watched, wire::Gate};

/// How long an idle connection of HTTP/1.1 is kept when the server does not say how long it keeps it: less than the 5 s
/// that are the shortest usual time (Node, Apache, uvicorn).
const IDLE: Duration = Duration::from_secs(4);
/// How much earlier than the server a connection is given up: the close and a request may pass each other on the way.
const MARGIN: Duration = Duration::from_secs(1);
/// How long any idle connection is kept: three carrier probes at their default interval, which keep it in use.
const LONGEST: Duration = Duration::from_secs(90);
/// Idle connections kept; as many may be needed again at once.
const MOST: usize = 128;
/// How long a server is remembered that closed a connection earlier than it was given up.
const WARY: Duration = Duration::from_mins(5);
/// The shortest time that is worth keeping a connection for.
const SHORTEST: Duration = Duration::from_millis(1);
/// Time between two looks for connections to close.
const SWEEP: Duration = Duration::from_secs(1);

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin(String, u16);

impl Origin {
    pub(super) fn of(url: &Url) -> Self {
        Self(url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(443))
    }
}

/// A connection that carries one request at a time.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sender: http1::SendRequest<Watched>,
    pub(super) gate: Gate,
    /// How long it lay idle before this request; `None` for its first.
    pub(super) idle: Option<Duration>,
}

/// A connection, ready for a request.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Line),
    Http2(http2::SendRequest<Watched>),
}

/// Connections kept; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<Idle>,
    shared: Vec<(Origin, Instant, http2::SendRequest<Watched>)>,
    wary: Vec<(Origin, Instant, Duration)>,
    is_swept: bool,
}

#[derive(Debug)]
struct Idle {
    origin: Origin,
    since: Instant,
    until: Instant,
    line: Line,
}

impl Kept {
    fn sweep(&mut self, now: Instant) {
        let before = std::mem::take(&mut self.lines);
        for idle in before {
            if now >= idle.until {
                continue;
            }
            if idle.line.sender.is_closed() {
                self.learn(&idle.origin, now - idle.since, now);
            } else {
                self.lines.push(idle);
            }
        }
        self.shared.retain(|(_, until, sender)| now < *until && !sender.is_closed());
        self.wary.retain(|(_, until, _)| now < *until);
    }

    /// The server closed a connection that was idle for so long: from now on they are given up in half that time.
    fn learn(&mut self, origin: &Origin, idle: Duration, now: Instant) {
        let (until, limit) = (now + WARY, idle / 2);
        if let Some((_, known_until, known)) = self.wary.iter_mut().find(|(of, ..)| of == origin) {
            (*known_until, *known) = (until, limit.min(*known));
        } else if self.wary.len() < MOST {
            self.wary.push((origin.clone(), until, limit));
        }
    }
}

impl Pool {
    /// A kept connection to an origin, the one used last first.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let (mut kept, now) = (self.lock(), Instant::now());
        kept.sweep(now);
        if let Some((_, until, sender)) = kept.shared.iter_mut().find(|(of, ..)| of == origin) {
            *until = now + LONGEST;
            return Some(Connection::Http2(sender.clone()));
        }
        let at = kept.lines.iter().rposition(|idle| idle.origin == *origin)?;
        let Idle { since, mut line, .. } = kept.lines.remove(at);
        line.idle = Some(now - since);
        Some(Connection::Http1(line))
    }

    /// Keeps a connection that has just carried a whole answer with these headers.
    pub(super) fn keep(&self, origin: Origin, line: Line, answer: &HeaderMap) {
        let (mut kept, since) = (self.lock(), Instant::now());
        let mut time = keeping_time(answer);
        if let Some((.., limit)) = kept.wary.iter().find(|(of, until, _)| *of == origin && since < *until) {
            time = time.min(*limit);
        }
        if time < SHORTEST || line.sender.is_closed() {
            return;
        }
        if kept.lines.len() >= MOST {
            kept.lines.remove(0);
        }
        kept.lines.push(Idle { origin, since, until: since + time, line });
        self.swept(&mut kept);
    }

    /// The server closed a connection that was idle for so long, before or while the next request was sent over it.
    pub(super) fn was_closed(&self, origin: &Origin, idle: Duration) {
        self.lock().learn(origin, idle, Instant::now());
    }

    /// Lets others use a connection too, unless there is one already.
    pub(super) fn share(&self, origin: Origin, sender: http2::SendRequest<Watched>) {
        let mut kept = self.lock();
        if kept.shared.iter().any(|(of, ..)| *of == origin) || kept.shared.len() >= MOST {
            return;
        }
        kept.shared.push((origin, Instant::now() + LONGEST, sender));
        self.swept(&mut kept);
    }

    /// Takes the shared connection to an origin away from those who come next.
    pub(super) fn forget(&self, origin: &Origin) {
        self.lock().shared.retain(|(of, ..)| of != origin);
    }

    /// Sees to it that what is idle too long is closed although nobody asks for a connection.
    fn swept(&self, kept: &mut Kept) {
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(kept: Weak<Mutex<Kept>>) {
    loop {
        sleep(SWEEP).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = lock(&kept);
        kept.sweep(Instant::now());
        if kept.lines.is_empty() && kept.shared.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

/// How long a connection is kept after an answer with these headers. `Keep-Alive: timeout=5` is what servers say.
fn keeping_time(answer: &HeaderMap) -> Duration {
    let tokens = answer.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    if tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("close")) {
        return Duration::ZERO;
    }
    let said = answer.get_all("keep-alive").iter().filter_map(|value| value.to_str().ok());
    let seconds = said.flat_map(|value| value.split(',')).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        value.trim().trim_matches('"').parse().ok().filter(|_| is_timeout)
    });
    seconds.map_or(IDLE, |seconds| Duration::from_secs(seconds).saturating_sub(MARGIN).min(LONGEST))
}
