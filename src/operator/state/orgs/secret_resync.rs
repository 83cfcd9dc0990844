//! Which hooks' secrets are to be written to Okta again. Okta shows a secret to nobody, but its calls are refused when somebody
//! set another.
//!
//! Who sees that asks for a resync, as often as it is seen, and the org's planner has the secret written anew. One that nobody
//! raises any more is let go. Anybody can make calls that are refused, so one hook's secret is written for a resync at most once
//! in [`AT_MOST_EVERY`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::operator::runtime::status;
use hookswitch_okta::ObjectRef;

/// The least time between two writes of one hook's secret for a resync.
pub const AT_MOST_EVERY: Duration = Duration::from_mins(10);

/// How long a resync is believed that is not raised again: longer than the longest pause between two evaluations of a switch, and than a
/// window of Okta's rate limit.
const BELIEVED: Duration = Duration::from_mins(2);

/// The resyncs of one org.
#[derive(Debug, Default)]
pub struct SecretResyncs {
    hooks: Mutex<BTreeMap<ObjectRef, SecretResync>>,
}

#[derive(Debug)]
struct SecretResync {
    /// The hook whose destination Okta was given, and whose gateway refuses its calls.
    destination: String,
    /// When it was last raised, then when it was settled.
    at: Instant,
    open: bool,
    /// When Okta took the secret anew (RFC 3339).
    written: Option<String>,
}

impl SecretResync {
    fn is_open(&self, now: Instant) -> bool {
        self.open && now.duration_since(self.at) < BELIEVED
    }

    fn is_settled(&self, now: Instant) -> bool {
        !self.open && now.duration_since(self.at) < AT_MOST_EVERY
    }
}

impl SecretResyncs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectRef, SecretResync>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in that the calls of `hook` in Okta are refused at `destination`, and returns whether that is news: not when it is known,
    /// or was settled a short time ago.
    pub fn raise(&self, hook: ObjectRef, destination: &str, now: Instant) -> bool {
        let mut hooks = self.lock();
        hooks.retain(|_, resync| resync.is_open(now) || resync.is_settled(now));
        if let Some(known) = hooks.get_mut(&hook) {
            if known.open {
                known.at = now;
            }
            return false;
        }
        hooks.insert(hook, SecretResync { destination: destination.to_owned(), at: now, open: true, written: None });
        true
    }

    /// Whether the secret of a hook is to be written anew.
    #[must_use]
    pub fn is_open(&self, hook: &ObjectRef, now: Instant) -> bool {
        self.lock().get(hook).is_some_and(|resync| resync.is_open(now))
    }

    /// Whether any hook's is.
    #[must_use]
    pub fn any_open(&self, now: Instant) -> bool {
        self.lock().values().any(|resync| resync.is_open(now))
    }

    /// Forgets the hooks that are not declared any more.
    pub fn keep(&self, declared: &BTreeSet<ObjectRef>) {
        self.lock().retain(|hook, _| declared.contains(hook));
    }

    /// Takes in that Okta took the secret, or refused it. Returns the destination where calls were refused, when one was open.
    pub fn settle(&self, hook: &ObjectRef, taken: bool, now: Instant) -> Option<String> {
        let mut hooks = self.lock();
        let resync = hooks.get_mut(hook).filter(|resync| resync.is_open(now))?;
        (resync.open, resync.at) = (false, now);
        resync.written = taken.then(|| status::second(Timestamp::now()));
        Some(resync.destination.clone())
    }

    /// When Okta last took a hook's secret for a resync, for as long as no other may be raised.
    #[must_use]
    pub fn written(&self, hook: &ObjectRef) -> Option<String> {
        self.lock().get(hook).and_then(|resync| resync.written.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_doubted_once_in_ten_minutes_whoever_knocks_and_others_are_not_kept_waiting() {
        let (resyncs, begun) = (SecretResyncs::default(), Instant::now());
        let (hook, other) = (ObjectRef::new("otp", "a"), ObjectRef::new("otp", "b"));
        let mut written = 0;
        for second in 0..3_600 {
            let now = begun + Duration::from_secs(second);
            resyncs.raise(hook.clone(), "a", now);
            // the planner comes a little later
            if second % 7 == 6 && resyncs.is_open(&hook, now) {
                assert_eq!(resyncs.settle(&hook, true, now).as_deref(), Some("a"));
                written += 1;
            }
        }
        assert_eq!(written, 6, "in an hour");
        assert!(resyncs.raise(other, "b", begun) && resyncs.written(&hook).is_some());
    }

    #[test]
    fn a_secret_resync_stays_while_it_is_raised_until_okta_took_the_secret_or_refused_it() {
        let (resyncs, now) = (SecretResyncs::default(), Instant::now());
        let hook = ObjectRef::new("otp", "a");
        assert_eq!(resyncs.settle(&hook, true, now), None, "a secret that is written for another reason");
        assert!(resyncs.raise(hook.clone(), "a", now));
        let mut later = now;
        for _ in 0..40 {
            later += BELIEVED * 3 / 4;
            assert!(!resyncs.raise(hook.clone(), "a", later) && resyncs.is_open(&hook, later), "Okta did not answer");
        }
        assert!(resyncs.settle(&hook, false, later).is_some());
        assert!(!resyncs.is_open(&hook, later) && resyncs.written(&hook).is_none());
        assert!(!resyncs.raise(hook.clone(), "a", later + AT_MOST_EVERY / 2), "not soon after the last one");
        assert!(resyncs.raise(hook, "a", later + AT_MOST_EVERY));
    }

    #[test]
    fn a_secret_resync_that_nobody_raises_any_more_or_of_a_hook_that_is_gone_is_let_go() {
        let (resyncs, now) = (SecretResyncs::default(), Instant::now());
        let (hook, gone) = (ObjectRef::new("otp", "a"), ObjectRef::new("otp", "b"));
        assert!(resyncs.raise(hook.clone(), "a", now) && resyncs.raise(gone.clone(), "b", now));
        resyncs.keep(&[hook.clone()].into());
        assert!(resyncs.is_open(&hook, now) && !resyncs.is_open(&gone, now));
        let later = now + BELIEVED;
        assert!(!resyncs.is_open(&hook, later) && !resyncs.any_open(later));
        assert_eq!(resyncs.settle(&hook, true, later), None, "what is written then is written for another reason");
        assert!(resyncs.raise(hook.clone(), "a", later) && resyncs.is_open(&hook, later), "it is seen again");
    }
}
