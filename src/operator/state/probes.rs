//! What the last probes of hooks found.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use hookswitch_failover::{
    fallback::Log,
    signal::{CheckResult, Signal, Source},
};
use hookswitch_fair::{Bounds, Fair, Lane, Permit};
use hookswitch_okta::{ObjectRef, limits::RateState, log};

/// Time between two rounds; in each, what is due is asked.
pub const ROUND: Duration = Duration::from_secs(1);

/// How soon Okta is asked again about a hook of which something fails.
pub const AGAIN: Duration = Duration::from_secs(15);

/// The time whose passcodes count.
pub const WINDOW: Duration = Duration::from_mins(2);

/// How soon a whole passcode is sent again after one that was not taken: as often as may be declared.
const TEST_AGAIN: Duration = Duration::from_mins(5);

/// How soon it is tried again to send one that could not be sent.
const UNSENT_AGAIN: Duration = Duration::from_mins(1);

/// The most that one probe may take, reading what it needs included.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it works.
    pub result: CheckResult,
    /// Why, for people. The same state has the same reason, so that status is not written anew.
    pub why: String,
    /// Whether Okta reached the hook and got no good answer, as where the hook's secret is wrong.
    pub is_answer_bad: bool,
}

impl Finding {
    /// A finding, with the reason for people.
    pub fn new(result: CheckResult, why: impl Into<String>) -> Self {
        Self { result, why: why.into(), is_answer_bad: false }
    }
}

/// What was read of an org's log, and where to read on.
#[derive(Debug, Default)]
pub struct OrgLog {
    /// Where to read on.
    pub from: Option<log::From>,
    /// What was read.
    pub log: Log,
    /// The log has a bucket of its own.
    pub rate: RateState,
}

/// Probes under way at once. The tenants are the namespaces, and a switch reads every one.
pub const PERMITS: Bounds = Bounds { all: 256, each: 64, urgent: 64, all_urgent: 512 };

/// What the last probes found.
#[derive(Debug)]
pub struct Probes {
    permits: Fair,
    hooks: Mutex<HashMap<ObjectRef, BTreeMap<Source, Probe>>>,
    logs: Mutex<HashMap<ObjectRef, Arc<tokio::sync::Mutex<OrgLog>>>>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { permits: Fair::new(PERMITS), hooks: Mutex::default(), logs: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Probe {
    begun: Option<Instant>,
    busy: bool,
    poll_interval: PollInterval,
    found: Option<Found>,
    /// When it failed lately.
    failures: VecDeque<Instant>,
}

impl Probe {
    /// When it began to fail, as it does now; one that passes now and then in between, but not three times in a row, began with
    /// the first time.
    fn began_to_fail(&self) -> Option<Instant> {
        self.found.as_ref().filter(|found| found.finding.result == CheckResult::Fail)?;
        let mut failures = self.failures.iter().rev().copied();
        let mut since = failures.next()?;
        for earlier in failures {
            if since.duration_since(earlier) > self.poll_interval.next * 3 {
                break;
            }
            since = earlier;
        }
        Some(since)
    }
}

/// How often a source is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollInterval {
    /// While all is well.
    pub declared: Duration,
    /// Now.
    pub now: Duration,
    /// How long after the last time it is asked next.
    pub next: Duration,
}

impl PollInterval {
    /// Asked so often, however long an answer takes.
    #[must_use]
    pub fn steady(every: Duration, patience: Duration) -> Self {
        let at_least = every.max(patience);
        Self { declared: at_least, now: at_least, next: every }
    }
}

#[derive(Debug)]
struct Found {
    finding: Finding,
    at: Instant,
    /// When the first of the latest findings was made that say the same of the hook.
    since: Instant,
    lasts: Duration,
}

impl Probes {
    /// Waits for a permit to probe a hook.
    pub async fn permit(&self, hook: &ObjectRef) -> Permit {
        self.permits.enter(&hook.namespace, &hook.name, Lane::Urgent).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, BTreeMap<Source, Probe>>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a source says of a hook.
    #[must_use]
    pub fn signal(&self, hook: &ObjectRef, source: Source) -> Signal {
        let found = self.fresh(hook, source);
        let Finding { result, why, .. } =
            found.unwrap_or_else(|| Finding::new(CheckResult::Unknown, "It was not tried lately."));
        Signal { source, result, why, failing_for: Duration::ZERO }
    }

    /// What the last probe found, unless that is older than three of the intervals in which it was made.
    #[must_use]
    pub fn fresh(&self, hook: &ObjectRef, source: Source) -> Option<Finding> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&source)?.found.as_ref()?;
        (found.at.elapsed() <= found.lasts).then(|| found.finding.clone())
    }

    /// How often a whole passcode is sent: sooner after one that was not taken, and soon after one that could not be sent.
    #[must_use]
    pub fn test_poll_interval(&self, hook: &ObjectRef, declared: Duration) -> PollInterval {
        let now = match self.fresh(hook, Source::Test).map(|found| found.result) {
            Some(CheckResult::Pass) => declared,
            Some(CheckResult::Fail) => declared.min(TEST_AGAIN),
            Some(CheckResult::Unknown) | None => UNSENT_AGAIN,
        };
        PollInterval { declared, now, next: now }
    }

    /// When a probe begins that is due, and so is under way from now on; nothing when none is.
    pub fn begin(&self, hook: &ObjectRef, source: Source, poll_interval: PollInterval) -> Option<Instant> {
        let mut hooks = self.lock();
        let probe = hooks.entry(hook.clone()).or_default().entry(source).or_default();
        probe.poll_interval = poll_interval;
        // one that never ended is over all the same
        let after = if probe.busy { PATIENCE * 2 } else { poll_interval.next };
        // rounds are not exact
        let due = probe.begun.is_none_or(|begun| begun.elapsed() + ROUND / 2 >= after);
        if due {
            (probe.begun, probe.busy) = (Some(Instant::now()), true);
        }
        probe.begun.filter(|_| due)
    }

    /// Takes in what a probe found that began then, and returns whether it says something else than the one before.
    pub fn found(&self, hook: &ObjectRef, source: Source, begun: Instant, finding: Finding) -> bool {
        let mut hooks = self.lock();
        // a hook that was let go meanwhile is not taken up again, and what is asked anew is not answered by what was asked before
        let probe = hooks.get_mut(hook).and_then(|sources| sources.get_mut(&source));
        let Some(probe) = probe.filter(|probe| probe.begun == Some(begun)) else { return false };
        probe.busy = false;
        let now = Instant::now();
        probe.failures.retain(|at| now.duration_since(*at) < WINDOW + AGAIN);
        if finding.result == CheckResult::Fail {
            probe.failures.push_back(now);
        }
        let news = probe.found.as_ref().is_none_or(|found| found.finding != finding);
        let every =
            if finding.result == CheckResult::Fail { probe.poll_interval.now } else { probe.poll_interval.declared };
        let before = probe.found.as_ref().filter(|found| found.finding.result == finding.result);
        let since = before.map_or(now, |found| found.since);
        probe.found = Some(Found { finding, at: now, since, lasts: every * 3 });
        news
    }

    /// Forgets what a source found, and lets it be asked in the next round: what it is asked about was changed.
    pub fn ask_anew(&self, hook: &ObjectRef, source: Source) {
        if let Some(probe) = self.lock().get_mut(hook).and_then(|sources| sources.get_mut(&source)) {
            (probe.begun, probe.busy, probe.found) = (None, false, None);
        }
    }

    /// Lets the last probe have found this.
    #[cfg(test)]
    pub fn set(&self, hook: &ObjectRef, source: Source, finding: Finding) {
        self.begin(hook, source, PollInterval::steady(PATIENCE, PATIENCE));
        self.answer(hook, source, finding);
    }

    /// Answers the probe that began last.
    #[cfg(test)]
    fn answer(&self, hook: &ObjectRef, source: Source, finding: Finding) -> bool {
        let begun = self.lock().get(hook).and_then(|sources| sources.get(&source)?.begun);
        begun.is_some_and(|begun| self.found(hook, source, begun, finding))
    }

    /// How often a source found a hook to fail within this time, of which the last two minutes are known.
    #[must_use]
    pub fn failures(&self, hook: &ObjectRef, source: Source, within: Duration) -> usize {
        let count = |probe: &Probe| probe.failures.iter().filter(|at| at.elapsed() <= within).count();
        self.lock().get(hook).and_then(|sources| sources.get(&source)).map_or(0, count)
    }

    /// Whether a source finds a hook to fail, or did within this time, of which the last two minutes are known.
    #[must_use]
    pub fn failed_within(&self, hook: &ObjectRef, source: Source, within: Duration) -> bool {
        self.signal(hook, source).result == CheckResult::Fail || self.failures(hook, source, within) > 0
    }

    /// How long a source has found a hook to fail each time that it was asked; nothing when it does not now.
    #[must_use]
    pub fn fails_for(&self, hook: &ObjectRef, source: Source) -> Option<Duration> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&source)?.found.as_ref()?;
        (found.finding.result == CheckResult::Fail).then(|| found.since.elapsed())
    }

    /// How long Okta has found a hook to fail each time that it was asked to call it, when its last answer was no good one.
    #[must_use]
    pub fn bad_answers_for(&self, hook: &ObjectRef) -> Option<Duration> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&Source::Execute)?.found.as_ref()?;
        found.finding.is_answer_bad.then(|| found.since.elapsed())
    }

    /// How long ago the last of the other sources that fail a hook began to; nothing when none does now.
    #[must_use]
    pub fn others_fail_for(&self, hook: &ObjectRef, source: Source) -> Option<Duration> {
        let hooks = self.lock();
        let others = hooks.get(hook)?.iter().filter(|(other, _)| **other != source);
        others.filter_map(|(_, probe)| probe.began_to_fail()).map(|at| at.elapsed()).min()
    }

    /// What was read of an org's log. One at a time reads on.
    #[must_use]
    pub fn log(&self, org: &ObjectRef) -> Arc<tokio::sync::Mutex<OrgLog>> {
        Arc::clone(self.logs.lock().unwrap_or_else(PoisonError::into_inner).entry(org.clone()).or_default())
    }

    /// Forgets all other hooks and orgs.
    pub fn keep(&self, hooks: &BTreeSet<ObjectRef>, orgs: &BTreeSet<ObjectRef>) {
        self.lock().retain(|hook, _| hooks.contains(hook));
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).retain(|org, _| orgs.contains(org));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_due_once_an_interval_and_never_twice_at_a_time() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        assert!(probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_some());
        tokio::time::advance(EVERY * 2).await;
        assert!(
            probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_none(),
            "still under way"
        );
        tokio::time::advance(PATIENCE * 2).await;
        assert!(
            probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_some(),
            "one that never ended is over"
        );
        assert!(probes.begin(&hook, Source::Execute, PollInterval::steady(EVERY, EVERY)).is_some(), "another source");
        assert!(probes.answer(&hook, Source::PublicUrl, Finding::new(CheckResult::Pass, "well")), "it is news");
        tokio::time::advance(EVERY).await;
        assert!(probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_some());
        assert!(!probes.answer(&hook, Source::PublicUrl, Finding::new(CheckResult::Pass, "well")), "it is not");
        assert!(probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_none());
        tokio::time::advance(EVERY).await;
        assert!(probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_knows_how_long_the_others_have_failed_since_the_last_of_them_began_to() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        let rounds = |source| probes.others_fail_for(&hook, source).map(|failing| failing.as_secs() / ROUND.as_secs());
        let find = |source, result| {
            probes.begin(&hook, source, PollInterval::steady(ROUND, ROUND));
            probes.answer(&hook, source, Finding::new(result, ""));
        };
        find(Source::Execute, CheckResult::Pass);
        let mut answers = Vec::new();
        for result in [
            CheckResult::Fail,
            CheckResult::Fail,
            CheckResult::Pass,
            CheckResult::Unknown,
            CheckResult::Fail,
            CheckResult::Fail,
        ] {
            tokio::time::advance(ROUND).await;
            find(Source::PublicUrl, result);
            answers.push(rounds(Source::Execute));
        }
        assert_eq!(answers, [Some(0), Some(1), None, None, Some(4), Some(5)]);
        assert_eq!(rounds(Source::PublicUrl), None, "it alone fails");
        find(Source::Execute, CheckResult::Fail);
        tokio::time::advance(ROUND).await;
        assert_eq!((rounds(Source::PublicUrl), rounds(Source::Execute)), (Some(1), Some(6)));
        assert_eq!(rounds(Source::SystemLog), Some(1), "the last one");
        tokio::time::advance(ROUND * 3).await;
        find(Source::PublicUrl, CheckResult::Fail);
        assert_eq!(rounds(Source::Execute), Some(0), "it was well in between, as far as anybody knows");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_or_let_go_says_nothing() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY));
        probes.answer(&hook, Source::PublicUrl, Finding::new(CheckResult::Fail, "broken"));
        tokio::time::advance(EVERY * 3).await;
        assert_eq!(probes.signal(&hook, Source::PublicUrl).result, CheckResult::Fail);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(probes.signal(&hook, Source::PublicUrl).result, CheckResult::Unknown);
        probes.begin(&hook, Source::PublicUrl, PollInterval::steady(EVERY, EVERY));
        probes.keep(&BTreeSet::new(), &BTreeSet::new());
        assert!(!probes.answer(&hook, Source::PublicUrl, Finding::new(CheckResult::Pass, "")));
        assert_eq!(probes.signal(&hook, Source::PublicUrl).result, CheckResult::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_anew_is_not_answered_by_what_was_asked_before() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        let before = probes.begin(&hook, Source::Execute, PollInterval::steady(EVERY, EVERY)).unwrap();
        tokio::time::advance(ROUND).await;
        probes.ask_anew(&hook, Source::Execute);
        assert!(!probes.found(&hook, Source::Execute, before, Finding::new(CheckResult::Fail, "of before")));
        let now = probes.begin(&hook, Source::Execute, PollInterval::steady(EVERY, EVERY)).unwrap();
        assert!(!probes.found(&hook, Source::Execute, before, Finding::new(CheckResult::Fail, "of before")));
        assert!(probes.found(&hook, Source::Execute, now, Finding::new(CheckResult::Pass, "of now")));
        assert_eq!(probes.signal(&hook, Source::Execute).result, CheckResult::Pass);
    }
}
