//! Connections that are kept for the next request, and for how long.
//!
//! A connection of HTTP/1.1 carries one request at a time and says nothing before it is closed, so a request may meet the
//! close half way: it is then unknown whether it was received. It is therefore given up well before servers close it.
//! A server that closes earlier all the same is remembered ([`super::wary`]), so that this happens to few requests.
//! One of HTTP/2 carries many, and its close names the requests that were not processed, so it is kept longer. It carries no
//! more than the server takes at once; what is beyond gets another one, up to a bound, and waits for room then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{HeaderMap, header};
use hyper::client::conn::{http1, http2};
use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::{Instant, sleep},
};
use url::Url;

use super::{
    body::Watched,
    shared::{Driver, Shared, Turn},
    wary::{Rest, Wary},
    wire::Gate,
};

/// How long an idle connection of HTTP/1.1 is kept when the server does not say how long it keeps it: less than the 5 s
/// that are the shortest usual time (Node, Apache, uvicorn).
const IDLE: Duration = Duration::from_secs(4);
/// How much earlier than the server a connection is given up: the close and a request may pass each other on the way.
const MARGIN: Duration = Duration::from_secs(1);
/// How long any idle connection is kept: three provider probes at their default interval, which keep it in use.
const LONGEST: Duration = Duration::from_secs(90);
/// How long one is kept idle beside those that are enough to begin with: one of HTTP/2 that leads to the same origin,
/// [`ENOUGH`] of HTTP/1.1.
const SURPLUS: Duration = Duration::from_secs(10);
/// Connections of HTTP/1.1 that wait for a burst for as long as they may.
const ENOUGH: usize = 32;
/// The most of HTTP/1.1 that are kept: as many as requests may be under way to a provider at once. So who was under way is kept,
/// and a steady run opens none.
const MOST_LINES: usize = 4_096;
/// Connections of HTTP/2 that are kept.
const MOST: usize = 128;
/// Connections of HTTP/2 to one origin.
pub(super) const MOST_SHARED: usize = 32;
/// How long no more of them are tried after one did not come although others are there: some servers take few of each client.
const CROWDED: Duration = Duration::from_secs(5);
/// The shortest time that is worth keeping a connection for.
const SHORTEST: Duration = Duration::from_millis(1);
/// Time between two searches for connections to close.
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
    /// Its rest before this request; `None` for its first.
    pub(super) rest: Option<Rest>,
}

/// A connection, ready for a request.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Line),
    Http2(Turn),
}

/// How a request gets its connection.
pub(super) enum Way {
    /// Over one that is kept.
    Kept(Connection),
    /// Over a new one: there is none.
    New,
    /// Over one of those of HTTP/2, which are all full: one more may be made, where there is room for it. The rest ends when
    /// there may be room.
    Full(Option<Reservation>, OwnedNotified),
}

/// Connections kept; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    kept: Arc<Mutex<Kept>>,
    /// Told when there may be room for one more request.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one used last is used next, so that the others become idle when they are not needed.
    lines: Vec<Idle>,
    /// The first of those to one origin with room is used, so that the others become idle when they are not needed.
    shared: Vec<Open>,
    /// Where connections are being made for want of room.
    coming: Vec<Origin>,
    /// Where no more of them are tried, until then.
    crowded: Vec<(Origin, Instant)>,
    wary: Wary,
    is_swept: bool,
}

#[derive(Debug)]
struct Idle {
    origin: Origin,
    since: Instant,
    until: Instant,
    line: Line,
}

#[derive(Debug)]
struct Open {
    origin: Origin,
    shared: Shared,
    /// When it was given a request last, and when it brought an answer last.
    used: Instant,
    heard: Option<Instant>,
}

impl Idle {
    /// Whether it can be used still.
    fn is_good(&self, wary: &mut Wary, now: Instant) -> bool {
        let (is_in_time, is_closed) = (now < self.until, self.line.sender.is_closed());
        if is_in_time && is_closed {
            wary.closed(&self.origin, Rest { since: self.since, time: now - self.since }, now);
        }
        is_in_time && !is_closed
    }
}

impl Kept {
    /// Drops what is not to be kept any longer.
    fn sweep(&mut self, now: Instant) {
        let (count, mut at) = (self.lines.len(), 0);
        let Self { lines, wary, .. } = self;
        lines.retain(|idle| {
            at += 1;
            let is_surplus = count - at >= ENOUGH && now >= idle.since + SURPLUS;
            !is_surplus && idle.is_good(wary, now)
        });
        self.sweep_shared(now);
    }

    fn sweep_shared(&mut self, now: Instant) {
        let mut firsts: Vec<Origin> = Vec::new();
        self.shared.retain(|open| {
            let is_first = !firsts.contains(&open.origin);
            let time = if is_first { LONGEST } else { SURPLUS };
            let stays = !open.shared.is_closed() && (open.shared.is_busy() || now < open.used + time);
            if stays && is_first {
                firsts.push(open.origin.clone());
            }
            stays
        });
        self.wary.sweep(now);
        self.crowded.retain(|(_, until)| now < *until);
    }

    /// The line to an origin that was used last, of those that can be used still.
    fn line(&mut self, origin: &Origin, now: Instant) -> Option<Line> {
        while let Some(at) = self.lines.iter().rposition(|idle| idle.origin == *origin) {
            let idle = self.lines.remove(at);
            if idle.is_good(&mut self.wary, now) {
                let rest = Some(Rest { since: idle.since, time: now - idle.since });
                return Some(Line { rest, ..idle.line });
            }
        }
        None
    }

    fn leads_to(&self, origin: &Origin) -> bool {
        self.shared.iter().any(|open| open.origin == *origin && !open.shared.is_closed())
    }

    fn may_have_more(&self, origin: &Origin) -> bool {
        let open = self.shared.iter().map(|open| &open.origin);
        let of_it = open.chain(&self.coming).filter(|of| *of == origin).count();
        let is_crowded = self.crowded.iter().any(|(of, _)| of == origin);
        !is_crowded && of_it < MOST_SHARED && self.shared.len() + self.coming.len() < MOST
    }
}

/// A reservation among the connections of HTTP/2 for one that is being made, until this is dropped.
pub(super) struct Reservation {
    pool: Pool,
    origin: Origin,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut kept = self.pool.lock();
        if let Some(at) = kept.coming.iter().position(|of| *of == self.origin) {
            kept.coming.swap_remove(at);
        }
        self.pool.freed.notify_waiters();
    }
}

impl Pool {
    /// The way of a request to an origin: of the connections kept, one of HTTP/2 that has room, or the one used last. Whoever
    /// has one coming already needs no reservation for another.
    pub(super) fn way(&self, origin: &Origin, has_one_coming: bool) -> Way {
        // from here on it is notified of room, also of what comes while it looks
        let freed = Arc::clone(&self.freed).notified_owned();
        let (mut kept, now) = (self.lock(), Instant::now());
        // lines are looked at once a second, and each when it is taken
        kept.sweep_shared(now);
        if let Some(open) = kept.shared.iter_mut().find(|open| open.origin == *origin && open.shared.has_room()) {
            open.used = now;
            return Way::Kept(Connection::Http2(open.shared.turn()));
        }
        if kept.leads_to(origin) {
            let reservation = (!has_one_coming && kept.may_have_more(origin)).then(|| {
                kept.coming.push(origin.clone());
                Reservation { pool: self.clone(), origin: origin.clone() }
            });
            return Way::Full(reservation, freed);
        }
        kept.line(origin, now).map_or(Way::New, |line| Way::Kept(Connection::Http1(line)))
    }

    /// Keeps a connection that has just carried a whole answer with these headers.
    pub(super) fn keep(&self, origin: Origin, line: Line, answer: &HeaderMap) {
        let (mut kept, since) = (self.lock(), Instant::now());
        if let Some(rest) = line.rest {
            kept.wary.lasted(&origin, rest);
        }
        let mut time = keeping_time(answer);
        if let Some(limit) = kept.wary.limit(&origin, since) {
            time = time.min(limit);
        }
        if time < SHORTEST || line.sender.is_closed() {
            return;
        }
        if kept.lines.len() >= MOST_LINES {
            kept.lines.remove(0);
        }
        kept.lines.push(Idle { origin, since, until: since + time, line });
        self.swept(&mut kept);
    }

    /// The server closed a connection that rested, before or while the next request was sent over it.
    pub(super) fn was_closed(&self, origin: &Origin, rest: Rest) {
        self.lock().wary.closed(origin, rest, Instant::now());
    }

    /// Opens a connection of HTTP/2 for its first request. Others may use it too, unless there is room for them already.
    pub(super) fn share(&self, origin: Origin, sender: http2::SendRequest<Watched>, driver: Driver) -> Turn {
        let (mut kept, now) = (self.lock(), Instant::now());
        let shared = Shared::open(sender, driver, Arc::clone(&self.freed));
        let turn = shared.turn();
        let to_it: Vec<&Open> = kept.shared.iter().filter(|open| open.origin == origin).collect();
        let is_full = to_it.len() >= MOST_SHARED || kept.shared.len() >= MOST;
        if !is_full && !to_it.iter().any(|open| open.shared.has_room()) {
            kept.shared.push(Open { origin, shared, used: now, heard: None });
            self.swept(&mut kept);
        }
        turn
    }

    /// One more connection to an origin did not come. Whether others are there, to be waited for; no more are tried for a while
    /// then.
    pub(super) fn is_crowded(&self, origin: &Origin) -> bool {
        let mut kept = self.lock();
        let leads_to = kept.leads_to(origin);
        if leads_to && kept.crowded.len() < MOST {
            kept.crowded.push((origin.clone(), Instant::now() + CROWDED));
        }
        leads_to
    }

    /// A connection has brought a whole answer.
    pub(super) fn heard(&self, shared: &Shared) {
        if let Some(open) = self.lock().shared.iter_mut().find(|open| open.shared.is(shared)) {
            open.heard = Some(Instant::now());
        }
    }

    /// Takes a connection away from those who come next.
    pub(super) fn forget(&self, shared: &Shared) {
        self.lock().shared.retain(|open| !open.shared.is(shared));
        self.freed.notify_waiters();
    }

    /// Takes the connections to an origin away that have brought no answer since then.
    pub(super) fn forget_silent(&self, origin: &Origin, since: Instant) {
        self.lock().shared.retain(|open| open.origin != *origin || open.heard.is_some_and(|heard| heard > since));
        self.freed.notify_waiters();
    }

    /// Sees to it that what is idle too long is closed although nobody asks for a connection.
    fn swept(&self, kept: &mut Kept) {
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.kept)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
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
