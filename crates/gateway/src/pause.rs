//! Pauses that a provider asks for with `Retry-After`: what it refused for want of rest is not asked of it again before.
//!
//! Pure; the clock is an argument. Trouble is the whole provider's; a limit is that of the channel and the sender that met it.
//! Where nobody else is left one message is let through all the same, every [`TRIAL`]: a pause that was asked for in error
//! must not stop passcodes for a day.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::parts::Route;
use hookswitch_message::Channel;
use hookswitch_providers::{Class, Outcome, Refusal};

/// The longest pause that is kept: a daily limit is the longest that makes sense.
pub const LONGEST: Duration = Duration::from_hours(24);

/// How long at most nobody is let through where no other provider is left.
pub const TRIAL: Duration = Duration::from_secs(15);

/// A pause of so long is a reason to leave the hook: at its defaults a switch takes 25 s to be sure of a failure, so a shorter
/// one is over before anything is decided. Pauses one after the other, with nothing taken between, are one.
pub const LASTING: Duration = Duration::from_secs(30);

/// Pauses kept of one provider: each channel and sender has one at most.
const MAX: usize = 64;

/// What rests: the whole provider, or a sender of a channel.
type Rests = Option<(Channel, Option<Arc<str>>)>;

/// The pauses of one provider.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    all: BTreeMap<Rests, Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    /// When the first of those was asked for that follow one another, the last of which this is.
    first: Instant,
    since: Instant,
    until: Instant,
    /// From when on one may be let through for want of another provider.
    trial: Instant,
    asked: Duration,
}

impl Pauses {
    /// Takes in what became of an attempt that was begun at `begun`.
    pub fn record(&mut self, route: &Route, outcome: &Outcome, begun: Instant, now: Instant) {
        match outcome {
            Outcome::Accepted { .. } => {
                for rests in of(route) {
                    // one that was under way when the pause was asked for says nothing about it
                    if self.all.get(&rests).is_some_and(|pause| pause.since <= begun) {
                        self.all.remove(&rests);
                    }
                }
            }
            Outcome::Refused(Refusal { class, retry_after_s: Some(seconds), .. }) => {
                let [whole, sender] = of(route);
                let rests = if *class == Class::Throttled { sender } else { whole };
                self.ask(rests, Duration::from_secs(*seconds).min(LONGEST), now);
            }
            Outcome::Refused(_) | Outcome::Ambiguous { .. } => {}
        }
    }

    fn ask(&mut self, rests: Rests, asked: Duration, now: Instant) {
        self.all.retain(|_, pause| pause.until + TRIAL > now);
        if self.all.len() >= MAX {
            self.all.retain(|_, pause| pause.until > now);
        }
        if asked.is_zero() || self.all.len() >= MAX && !self.all.contains_key(&rests) {
            return;
        }
        let (first, until) = (self.all.get(&rests).map_or(now, |before| before.first), now + asked);
        self.all.insert(rests, Pause { first, since: now, until, trial: until.min(now + TRIAL), asked });
    }

    /// Whether messages of that route have to wait, and for so long from the first of them on that it is no matter of moments.
    #[must_use]
    pub fn lasts(&self, route: &Route, now: Instant) -> bool {
        let mut pauses = of(route).into_iter().filter_map(|rests| self.all.get(&rests));
        pauses.any(|pause| pause.until > now && pause.until.saturating_duration_since(pause.first) >= LASTING)
    }

    /// How long a message of that route has to wait; `None` when it need not.
    #[must_use]
    pub fn wait(&self, route: &Route, now: Instant) -> Option<Duration> {
        self.longest(route, now, |pause| pause.until)
    }

    /// How long a message has to wait for which no other provider is left.
    #[must_use]
    pub fn wait_of_last(&self, route: &Route, now: Instant) -> Option<Duration> {
        self.longest(route, now, |pause| pause.trial)
    }

    /// Lets one message through in spite of a pause; the next one waits its turn.
    pub fn try_one(&mut self, route: &Route, now: Instant) {
        for rests in of(route) {
            if let Some(pause) = self.all.get_mut(&rests) {
                pause.trial = pause.until.min(now + TRIAL);
            }
        }
    }

    /// What is left of the longest pause of those of a minute and more; shorter ones are over before anybody reads of them.
    #[must_use]
    pub fn reported(&self, now: Instant) -> Option<Duration> {
        let long = self.all.values().filter(|pause| pause.asked >= Duration::from_mins(1));
        long.map(|pause| pause.until.saturating_duration_since(now)).filter(|left| !left.is_zero()).max()
    }

    fn longest(&self, route: &Route, now: Instant, end: impl Fn(&Pause) -> Instant) -> Option<Duration> {
        let pauses = of(route).into_iter().filter_map(|rests| self.all.get(&rests));
        pauses.map(|pause| end(pause).saturating_duration_since(now)).filter(|left| !left.is_zero()).max()
    }
}

fn of(route: &Route) -> [Rests; 2] {
    [None, Some((route.channel, route.sender.clone()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn route(channel: Channel, sender: &str) -> Route {
        Route { channel, country: None, sender: Some(sender.into()), recipient: None }
    }

    fn refused(class: Class, seconds: u64) -> Outcome {
        Outcome::Refused(Refusal { class, code: "429".into(), retry_after_s: Some(seconds) })
    }

    #[test]
    fn a_limit_rests_its_sender_and_a_failure_rests_the_whole_provider_for_as_long_as_was_asked_up_to_a_day() {
        let now = Instant::now();
        let (sms, other, voice) = (route(Channel::Sms, "A"), route(Channel::Sms, "B"), route(Channel::Voice, "A"));
        for (class, asked, waits, others_wait) in [
            (Class::Throttled, 30, Some(30), None),
            (Class::Transient, 30, Some(30), Some(30)),
            (Class::Throttled, 0, None, None),
            (Class::Transient, u64::MAX, Some(86_400), Some(86_400)),
        ] {
            let mut pauses = Pauses::default();
            pauses.record(&sms, &refused(class, asked), now, now);
            let wait = |route| pauses.wait(route, now).map(|wait| wait.as_secs());
            assert_eq!(
                (wait(&sms), wait(&other), wait(&voice)),
                (waits, others_wait, others_wait),
                "{class:?} {asked}"
            );
            if let Some(waits) = waits {
                assert_eq!(pauses.wait(&sms, now + SECOND * u32::try_from(waits).unwrap()), None);
            }
        }
    }

    #[test]
    fn who_has_nobody_else_waits_fifteen_seconds_at_most_and_then_for_the_next_trial() {
        let now = Instant::now();
        let sms = route(Channel::Sms, "A");
        let mut pauses = Pauses::default();
        pauses.record(&sms, &refused(Class::Throttled, 3_600), now, now);
        assert_eq!(pauses.wait_of_last(&sms, now), Some(TRIAL));
        assert_eq!(pauses.wait_of_last(&sms, now + TRIAL), None);
        pauses.try_one(&sms, now + TRIAL);
        assert_eq!(pauses.wait_of_last(&sms, now + TRIAL), Some(TRIAL), "one at a time");
        assert!(pauses.wait(&sms, now + TRIAL).is_some());
        pauses.record(&sms, &refused(Class::Throttled, 2), now, now);
        assert_eq!(pauses.wait_of_last(&sms, now), Some(2 * SECOND), "a short pause is kept by everybody");
    }

    #[test]
    fn a_message_taken_later_ends_the_pause_and_one_that_was_under_way_does_not() {
        let before = Instant::now();
        let (asked, after) = (before + SECOND, before + 2 * SECOND);
        let sms = route(Channel::Sms, "A");
        let mut pauses = Pauses::default();
        pauses.record(&sms, &refused(Class::Throttled, 60), before, asked);
        let accepted = Outcome::Accepted { id: "SM1".into() };
        pauses.record(&sms, &accepted, before, after);
        assert!(pauses.wait(&sms, after).is_some());
        assert_eq!(pauses.reported(after), Some(59 * SECOND));
        pauses.record(&sms, &accepted, after, after);
        assert_eq!((pauses.wait(&sms, after), pauses.reported(after)), (None, None));
    }

    #[test]
    fn a_short_pause_does_not_last_and_short_ones_without_end_do() {
        let (began, sms) = (Instant::now(), route(Channel::Sms, "A"));
        let accepted = Outcome::Accepted { id: "SM1".into() };
        // asked for, a moment after the last one ended, so many times; when it lasts first
        for (asked, gap, expected) in [
            (1, 0, Some(29)),
            (10, 5, Some(30)),
            (10, 15, None),
            (29, 1, Some(30)),
            (30, 0, Some(0)),
            (86_400, 0, Some(0)),
        ] {
            let (mut pauses, mut at) = (Pauses::default(), 0);
            let mut lasts = None;
            while at < 100 && lasts.is_none() {
                let now = began + SECOND * at;
                pauses.record(&sms, &refused(Class::Throttled, asked), now, now);
                lasts = pauses.lasts(&sms, now).then_some(at);
                at += u32::try_from(asked).unwrap() + gap;
            }
            assert_eq!(lasts, expected, "{asked} s, {gap} s after the last one");
            let now = began + SECOND * 200_000;
            assert!(!pauses.lasts(&sms, now), "it is over");
            pauses.record(&sms, &refused(Class::Throttled, 20), now, now);
            pauses.record(&sms, &accepted, now, now + SECOND);
            pauses.record(&sms, &refused(Class::Throttled, 20), now + SECOND, now + SECOND);
            assert!(!pauses.lasts(&sms, now + SECOND), "something was taken between");
        }
    }

    #[test]
    fn a_pause_is_over_when_its_time_is_and_one_asked_for_at_once_goes_on_from_it() {
        let (began, sms, asked) = (Instant::now(), route(Channel::Sms, "A"), 20);
        let end = began + SECOND * asked;
        for (after, goes_on) in [(Duration::ZERO, true), (TRIAL.saturating_sub(SECOND), true), (TRIAL, false)] {
            let mut pauses = Pauses::default();
            pauses.record(&sms, &refused(Class::Throttled, asked.into()), began, began);
            assert!(!pauses.lasts(&sms, end) && pauses.wait(&sms, end).is_none(), "it is over");
            pauses.record(&sms, &refused(Class::Throttled, asked.into()), end + after, end + after);
            assert_eq!(pauses.lasts(&sms, end + after), goes_on, "{after:?} later");
        }
        let mut pauses = Pauses::default();
        pauses.record(&sms, &refused(Class::Throttled, 30), began, began);
        assert!(!pauses.lasts(&sms, began + LASTING), "a long one is over when its time is, too");
    }

    #[test]
    fn pauses_are_bounded() {
        let now = Instant::now();
        let mut pauses = Pauses::default();
        for n in 0..2 * MAX {
            pauses.record(&route(Channel::Sms, &n.to_string()), &refused(Class::Throttled, 60), now, now);
        }
        assert_eq!(pauses.all.len(), MAX);
        let later = now + 61 * SECOND;
        pauses.record(&route(Channel::Sms, "new"), &refused(Class::Throttled, 30), later, later);
        assert!(pauses.wait(&route(Channel::Sms, "new"), later).is_some(), "what is over makes room");
        assert_eq!(pauses.all.len(), 1);
        assert_eq!(pauses.reported(later), None, "half a minute is not told");
    }
}
