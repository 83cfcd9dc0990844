//! Servers that closed idle connections earlier than these were given up, and what is made of it. Pure; the clock is an argument.
//!
//! One close may be a server that keeps connections for a shorter time than most, or one that was restarted: the first closes
//! again and again, the second never. So wariness begins with a moment, grows with each close that comes in spite of it, and
//! ends when a connection lasts longer than the one that was closed.

use std::time::Duration;

use tokio::time::Instant;

use super::pool::Origin;

/// How long the first close counts; each further one counts four times as long.
const FIRST: Duration = Duration::from_secs(1);
/// How long a close counts at most, and how long afterwards it is remembered, for the next one to count longer.
const LONGEST: Duration = Duration::from_mins(5);
/// Servers remembered.
const MOST: usize = 128;

/// The rest that a connection had between two requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) since: Instant,
    pub(super) time: Duration,
}

/// The servers that closed connections early.
#[derive(Debug, Default)]
pub(super) struct Wary(Vec<(Origin, Early)>);

#[derive(Debug)]
struct Early {
    /// The shortest rest after which a connection was closed.
    rest: Duration,
    /// When the last close was noticed that counts, and until when it does.
    since: Instant,
    until: Instant,
    times: u32,
}

impl Wary {
    /// How long a connection to a server may rest at most; `None` where nothing is known.
    pub(super) fn limit(&self, origin: &Origin, now: Instant) -> Option<Duration> {
        let (_, early) = self.0.iter().find(|(of, _)| of == origin)?;
        (now < early.until).then(|| early.rest / 2)
    }

    /// A server closed a connection that rested.
    pub(super) fn closed(&mut self, origin: &Origin, rest: Rest, now: Instant) {
        if let Some((_, early)) = self.0.iter_mut().find(|(of, _)| of == origin) {
            early.rest = early.rest.min(rest.time);
            // what rested already when the last one was noticed was closed by the same event
            if rest.since > early.since {
                early.times = early.times.saturating_add(1);
                (early.since, early.until) = (now, now + counts_for(early.times));
            }
        } else if self.0.len() < MOST {
            let early = Early { rest: rest.time, since: now, until: now + FIRST, times: 1 };
            self.0.push((origin.clone(), early));
        }
    }

    /// A connection was good for another request after its rest.
    pub(super) fn lasted(&mut self, origin: &Origin, rest: Rest) {
        self.0.retain(|(of, early)| of != origin || rest.time < early.rest || rest.since <= early.since);
    }

    /// Forgets what was long ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.0.retain(|(_, early)| now < early.until + LONGEST);
    }
}

fn counts_for(times: u32) -> Duration {
    FIRST.saturating_mul(4_u32.saturating_pow(times.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn origin(host: &str) -> Origin {
        Origin::of(&Url::parse(&format!("https://{host}/")).unwrap())
    }

    fn rest(since: Instant, time: Duration) -> Rest {
        Rest { since, time }
    }

    #[test]
    fn a_restart_that_closes_all_connections_at_once_costs_a_second() {
        let (mut wary, here, began) = (Wary::default(), origin("here"), Instant::now());
        for n in 0..50 {
            wary.closed(&here, rest(began - MILLI * n, MILLI * n), began + MILLI * n);
        }
        let first = began;
        assert_eq!(wary.limit(&here, first + MILLI * 999), Some(Duration::ZERO), "the shortest counts");
        assert_eq!(wary.limit(&here, first + SECOND), None);
        assert_eq!(wary.limit(&origin("there"), first), None);
    }

    #[test]
    fn who_closes_again_and_again_is_trusted_for_longer_and_longer_no_more() {
        let (mut wary, here, mut now) = (Wary::default(), origin("here"), Instant::now());
        let mut closes = Vec::new();
        let began = now;
        while now < began + Duration::from_hours(1) {
            closes.push((now - began).as_secs());
            wary.closed(&here, rest(now, MILLI), now + MILLI);
            now += MILLI;
            while wary.limit(&here, now).is_some() {
                now += SECOND / 2;
            }
            wary.sweep(now);
        }
        assert_eq!(closes[..7], [0, 1, 5, 21, 85, 341, 641]);
        assert!(closes.len() < 20, "{closes:?}");
    }

    #[test]
    fn a_connection_that_lasts_longer_than_the_one_that_was_closed_ends_it() {
        let (here, began) = (origin("here"), Instant::now());
        for (since, time, ends) in [
            (2 * SECOND, 3 * MILLI, true),
            (2 * SECOND, 2 * MILLI, true),
            (2 * SECOND, MILLI, false),
            // it rested before the close already, over another server behind the same name, say
            (Duration::ZERO, 3 * MILLI, false),
        ] {
            let mut wary = Wary::default();
            wary.closed(&here, rest(began, 2 * MILLI), began + MILLI);
            wary.lasted(&here, rest(began + since, time));
            wary.closed(&here, rest(began + 3 * SECOND, 2 * MILLI), began + 4 * SECOND);
            assert_eq!(wary.limit(&here, began + 6 * SECOND).is_none(), ends, "{since:?} {time:?}");
        }
    }

    #[test]
    fn memory_is_bounded_and_ends() {
        let (mut wary, now) = (Wary::default(), Instant::now());
        for n in 0..2 * MOST {
            wary.closed(&origin(&format!("host-{n}")), rest(now, MILLI), now);
        }
        assert_eq!(wary.0.len(), MOST);
        wary.sweep(now + FIRST + LONGEST);
        assert_eq!(wary.0.len(), 0);
    }
}
