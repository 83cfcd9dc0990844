//! Whether calls arrive at hooks: tried at their public addresses by this operator, and by Okta on its behalf (`execute`), as
//! long as it leads. What is found is a signal for switches; nothing is changed by it anywhere.

mod address;
mod call;
mod execute;
mod foreign;
mod log;
mod passcode;
#[cfg(test)]
pub(super) mod scale_tests;

pub use execute::whose_refusals;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::{task::JoinSet, time::Instant};

use super::{
    context::Context,
    gateway, hook,
    org::dial::OrgApi,
    switch::{
        ruling, seen, settings,
        unrest::{self, Unrest},
    },
    wake::{Kind, Target},
};
use hookswitch_api::{HookSwitch, HookTarget, TelephonyHook};
use hookswitch_failover::{
    machine::InOkta,
    refusals::Door,
    signal::{Sight, Signal, Source},
};
use hookswitch_fair::{Bounds, Fair, Lane};
use hookswitch_gateway_config::probe;
use hookswitch_okta::{CallError, HookId, ObjectRef, limits::Priority};

/// Time between two rounds; in each, what is due is asked.
const ROUND: Duration = Duration::from_secs(1);

/// How soon Okta is asked about a hook that seems to fail.
#[derive(Debug, Clone, Copy)]
struct Haste {
    /// Again, while something of it fails.
    again: Duration,
    /// The least after the last time, when another witness has begun to speak against it.
    least: Duration,
}

/// How soon Okta is asked again about a hook of which something fails.
const AGAIN: Duration = Duration::from_secs(15);

/// Of `execute`, to a gateway of ours.
const EXECUTE: Haste = Haste { again: AGAIN, least: ROUND };

/// The same where each time a message is sent, to the one whose number was given for that.
const EXECUTE_ELSEWHERE: Haste = Haste { again: Duration::from_mins(1), least: Duration::from_mins(1) };

/// Of looks at the System Log, whose rate limit is low.
const LOOK: Haste = Haste { again: AGAIN, least: Duration::from_secs(10) };

/// How soon a whole passcode is sent again after one that was not taken: as often as may be declared.
const TEST_AGAIN: Duration = Duration::from_mins(5);

/// How soon it is tried again to send one that could not be sent.
const UNSENT_AGAIN: Duration = Duration::from_mins(1);

/// The most that one probe may take, reading what it needs included.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked, and about which hook.
type About = (Arc<Context>, Arc<TelephonyHook>);

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it works.
    pub sight: Sight,
    /// Why, for people. The same state has the same reason, so that status is not written anew.
    pub why: String,
    /// Whether Okta reached the hook and got no good answer, as where the hook's secret is wrong.
    pub is_answer_bad: bool,
}

impl Finding {
    /// A finding, with the reason for people.
    pub fn new(sight: Sight, why: impl Into<String>) -> Self {
        Self { sight, why: why.into(), is_answer_bad: false }
    }
}

/// Probes under way at once. The tenants are the namespaces, and a switch looks at every one.
const PLACES: Bounds = Bounds { all: 256, each: 64, urgent: 64, all_urgent: 512 };

/// What the last probes found.
#[derive(Debug)]
pub struct Probes {
    places: Fair,
    hooks: Mutex<HashMap<ObjectRef, BTreeMap<Source, Probe>>>,
    logs: Mutex<HashMap<ObjectRef, Arc<tokio::sync::Mutex<log::OrgLog>>>>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { places: Fair::new(PLACES), hooks: Mutex::default(), logs: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Probe {
    begun: Option<Instant>,
    busy: bool,
    pace: Pace,
    found: Option<Found>,
    /// When it failed lately.
    failures: VecDeque<Instant>,
}

impl Probe {
    /// When it began to fail, as it does now; one that passes now and then in between, but not three times in a row, began with
    /// the first time.
    fn began_to_fail(&self) -> Option<Instant> {
        self.found.as_ref().filter(|found| found.finding.sight == Sight::Fail)?;
        let mut failures = self.failures.iter().rev().copied();
        let mut since = failures.next()?;
        for earlier in failures {
            if since.duration_since(earlier) > self.pace.next * 3 {
                break;
            }
            since = earlier;
        }
        Some(since)
    }
}

/// How often a source is asked.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// While all is well.
    declared: Duration,
    /// Now.
    now: Duration,
    /// How long after the last time it is asked next.
    next: Duration,
}

impl Pace {
    /// Asked so often, however long an answer takes.
    fn steady(every: Duration, patience: Duration) -> Self {
        let lasting = every.max(patience);
        Self { declared: lasting, now: lasting, next: every }
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
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, BTreeMap<Source, Probe>>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a source says of a hook.
    #[must_use]
    pub fn signal(&self, hook: &ObjectRef, source: Source) -> Signal {
        let found = self.fresh(hook, source);
        let Finding { sight, why, .. } =
            found.unwrap_or_else(|| Finding::new(Sight::Unknown, "It was not tried lately."));
        Signal { source, sight, why, failing_for: Duration::ZERO }
    }

    /// What the last probe found, unless that is older than three of the intervals in which it was made.
    #[must_use]
    pub fn fresh(&self, hook: &ObjectRef, source: Source) -> Option<Finding> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&source)?.found.as_ref()?;
        (found.at.elapsed() <= found.lasts).then(|| found.finding.clone())
    }

    /// How often a whole passcode is sent: sooner after one that was not taken, and soon after one that could not be sent.
    fn test_pace(&self, hook: &ObjectRef, declared: Duration) -> Pace {
        let now = match self.fresh(hook, Source::Test).map(|found| found.sight) {
            Some(Sight::Pass) => declared,
            Some(Sight::Fail) => declared.min(TEST_AGAIN),
            Some(Sight::Unknown) | None => UNSENT_AGAIN,
        };
        Pace { declared, now, next: now }
    }

    /// When a probe begins that is due, and so is under way from now on; nothing when none is.
    fn begin(&self, hook: &ObjectRef, source: Source, pace: Pace) -> Option<Instant> {
        let mut hooks = self.lock();
        let probe = hooks.entry(hook.clone()).or_default().entry(source).or_default();
        probe.pace = pace;
        // one that never ended is over all the same
        let after = if probe.busy { PATIENCE * 2 } else { pace.next };
        // rounds are not exact
        let due = probe.begun.is_none_or(|begun| begun.elapsed() + ROUND / 2 >= after);
        if due {
            (probe.begun, probe.busy) = (Some(Instant::now()), true);
        }
        probe.begun.filter(|_| due)
    }

    /// Takes in what a probe found that began then, and tells whether it says something else than the one before.
    fn found(&self, hook: &ObjectRef, source: Source, begun: Instant, finding: Finding) -> bool {
        let mut hooks = self.lock();
        // a hook that was let go meanwhile is not taken up again, and what is asked anew is not answered by what was asked before
        let probe = hooks.get_mut(hook).and_then(|sources| sources.get_mut(&source));
        let Some(probe) = probe.filter(|probe| probe.begun == Some(begun)) else { return false };
        probe.busy = false;
        let now = Instant::now();
        probe.failures.retain(|at| now.duration_since(*at) < log::WINDOW + AGAIN);
        if finding.sight == Sight::Fail {
            probe.failures.push_back(now);
        }
        let news = probe.found.as_ref().is_none_or(|found| found.finding != finding);
        let every = if finding.sight == Sight::Fail { probe.pace.now } else { probe.pace.declared };
        let before = probe.found.as_ref().filter(|found| found.finding.sight == finding.sight);
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
        self.begin(hook, source, Pace::steady(PATIENCE, PATIENCE));
        self.answer(hook, source, finding);
    }

    /// Answers the probe that began last.
    #[cfg(test)]
    fn answer(&self, hook: &ObjectRef, source: Source, finding: Finding) -> bool {
        let begun = self.lock().get(hook).and_then(|sources| sources.get(&source)?.begun);
        begun.is_some_and(|begun| self.found(hook, source, begun, finding))
    }

    /// How often a source found a hook to fail within this time, of which the last two minutes are known.
    fn failures(&self, hook: &ObjectRef, source: Source, within: Duration) -> usize {
        let count = |probe: &Probe| probe.failures.iter().filter(|at| at.elapsed() <= within).count();
        self.lock().get(hook).and_then(|sources| sources.get(&source)).map_or(0, count)
    }

    /// Whether a source finds a hook to fail, or did within this time, of which the last two minutes are known.
    #[must_use]
    pub fn failed_within(&self, hook: &ObjectRef, source: Source, within: Duration) -> bool {
        self.signal(hook, source).sight == Sight::Fail || self.failures(hook, source, within) > 0
    }

    /// How long a source has found a hook to fail each time that it was asked; nothing when it does not now.
    #[must_use]
    pub fn fails_for(&self, hook: &ObjectRef, source: Source) -> Option<Duration> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&source)?.found.as_ref()?;
        (found.finding.sight == Sight::Fail).then(|| found.since.elapsed())
    }

    /// How long Okta has found a hook to fail each time that it was asked to call it, when its last answer was no good one.
    #[must_use]
    pub fn bad_answers_for(&self, hook: &ObjectRef) -> Option<Duration> {
        let hooks = self.lock();
        let found = hooks.get(hook)?.get(&Source::Execute)?.found.as_ref()?;
        found.finding.is_answer_bad.then(|| found.since.elapsed())
    }

    /// How long ago the last of the other sources that fail a hook began to; nothing when none does now.
    fn others_fail_for(&self, hook: &ObjectRef, source: Source) -> Option<Duration> {
        let hooks = self.lock();
        let others = hooks.get(hook)?.iter().filter(|(other, _)| **other != source);
        others.filter_map(|(_, probe)| probe.began_to_fail()).map(|at| at.elapsed()).min()
    }

    /// What was read of an org's log. One at a time reads on.
    fn log(&self, org: &ObjectRef) -> Arc<tokio::sync::Mutex<log::OrgLog>> {
        Arc::clone(self.logs.lock().unwrap_or_else(PoisonError::into_inner).entry(org.clone()).or_default())
    }

    fn keep(&self, hooks: &BTreeSet<ObjectRef>, orgs: &BTreeSet<ObjectRef>) {
        self.lock().retain(|hook, _| hooks.contains(hook));
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).retain(|org, _| orgs.contains(org));
    }
}

/// Asks for ever; the caller drops it when the lease is lost.
pub async fn run(ctx: Arc<Context>) {
    let mut asking = JoinSet::new();
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        while asking.try_join_next().is_some() {}
        round(&ctx, &mut asking).await;
    }
}

/// Switches after which others have their turn within a round.
const AT_ONCE: usize = 32;

/// Begins what is due.
pub(super) async fn round(ctx: &Arc<Context>, asking: &mut JoinSet<()>) {
    let (mut named, mut orgs) = (BTreeSet::new(), BTreeSet::new());
    let mut since_others = 0;
    for (namespace, declared) in ctx.caches.all_declarations() {
        let unrest = unrest::by_org(&declared);
        for switch in declared.switches() {
            since_others += 1;
            if since_others == AT_ONCE {
                since_others = 0;
                tokio::task::yield_now().await;
            }
            if ruling::problem(switch, &declared).is_some() {
                continue;
            }
            let in_use = seen::in_use(switch, ctx);
            let org = declared.org(switch);
            let of_org = org.and_then(|org| unrest.get(org).copied()).unwrap_or(Unrest::AtRest);
            orgs.extend(org.map(|org| ObjectRef::new(&namespace, org)));
            for hook in switch.spec.hooks.iter().filter_map(|hook| declared.hook(&hook.name)) {
                let object = ObjectRef::new(&namespace, hook.name_any());
                named.insert(object.clone());
                let failing = is_failing(ctx, hook);
                let priority = unrest::of(switch).probes(of_org, failing);
                let is_used = in_use == InOkta::Ours(object.name.clone());
                of_hook(ctx, switch, hook, &object, priority.filter(|_| is_used), asking);
            }
        }
    }
    ctx.probes.keep(&named, &orgs);
}

/// Begins what is due of one hook. Okta is asked with `priority`; nothing: not at all.
fn of_hook(
    ctx: &Arc<Context>,
    switch: &HookSwitch,
    hook: &Arc<TelephonyHook>,
    object: &ObjectRef,
    priority: Option<Priority>,
    asking: &mut JoinSet<()>,
) {
    let (watched, target) = (settings::watched(&switch.spec), &hook.spec.target);
    let about = || (Arc::clone(ctx), Arc::clone(hook));
    let stands = || ruling::in_okta(switch, &object.name).to_owned();
    let mut ask = |source, pace, asked: &dyn Fn() -> BoxFuture<'static, Finding>| {
        if let Some(begun) = ctx.probes.begin(object, source, pace) {
            asking.spawn(ask(Arc::clone(ctx), object.clone(), source, begun, asked()));
        }
    };
    if let Some(timeout) = watched.address {
        ask(Source::PublicUrl, Pace::steady(watched.interval, timeout), &|| match target {
            HookTarget::Gateway(_) => address::ask(about(), timeout).boxed(),
            HookTarget::Url(url) => foreign::reach(about(), url.clone(), timeout).boxed(),
        });
    }
    if let Some(every) = watched.test_of(target) {
        ask(Source::Test, ctx.probes.test_pace(object, every), &|| foreign::test(about(), stands()).boxed());
    }
    let Some(priority) = priority else { return };
    let fails = priority > Priority::Routine;
    let pace = |source, every, hurried, haste| pace(ctx, switch, object, source, every, hurried, haste);
    if let Some(every) = watched.execute_of(target) {
        let haste = if target.gateway().is_some() { EXECUTE } else { EXECUTE_ELSEWHERE };
        // that tells strangers' calls from Okta's; for theirs alone nothing more is asked, and nothing out of turn
        let hurried = fails || seen::door(hook, ctx).is_some_and(Door::refused_last);
        ask(Source::Execute, pace(Source::Execute, every, hurried, haste), &|| {
            execute::ask(about(), stands(), priority).boxed()
        });
    }
    if let Some((every, threshold)) = watched.log {
        let active = active_since(switch, &object.name);
        ask(Source::SystemLog, pace(Source::SystemLog, every, fails, LOOK), &|| {
            log::ask(about(), stands(), active, threshold, priority).boxed()
        });
    }
}

/// Waits for a place and a finding, within bounds, and tells of it.
async fn ask(ctx: Arc<Context>, hook: ObjectRef, source: Source, begun: Instant, asked: BoxFuture<'static, Finding>) {
    let late = |_| Finding::new(Sight::Unknown, "The probe took too long.");
    let asked = async {
        let _place = ctx.probes.places.enter(&hook.namespace, &hook.name, Lane::Urgent).await;
        asked.await
    };
    let finding = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late);
    tell(&ctx, &hook, source, begun, finding);
}

/// Since when the active hook is, when a switch made it so: what the log says of before is another's.
fn active_since(switch: &HookSwitch, hook: &str) -> Option<Timestamp> {
    let last = switch.status.as_ref()?.history.iter().rev().find(|record| record.outcome == "Switched")?;
    last.at.parse().ok().filter(|_| last.to == hook)
}

/// The client of an org that answers.
async fn api(ctx: &Context, org: &ObjectRef, priority: Priority) -> Result<Arc<dyn OrgApi>, &'static str> {
    let session = ctx.orgs.session(&org.namespace, &org.name);
    let state = session.state.lock().await;
    if state.still_in_trouble(priority, Instant::now()).is_some() {
        return Err("Okta's management API is failing.");
    }
    state.api.clone().ok_or("The org has not been reached yet.")
}

/// What is said while the rate limit is kept for what is more urgent.
const HELD_BACK: &str = "What is left of Okta's rate limit is kept for more urgent calls.";

/// Okta's id of the hook that is named `stands` there.
fn id(ctx: &Context, org: &ObjectRef, stands: &str) -> Option<HookId> {
    let view = ctx.orgs.view(&org.namespace, &org.name);
    view.hooks.get(&ObjectRef::new(&org.namespace, stands))?.verdict.hook.clone()
}

/// The key of a hook's gateway.
async fn key(ctx: &Context, hook: &TelephonyHook) -> Result<probe::Key, &'static str> {
    let gateway = hook::gateway_of(hook, ctx).ok_or("Its gateway does not exist.")?;
    let key = gateway::probe_key(&gateway, ctx).await.map_err(|_| "Its gateway's credentials cannot be read now.")?;
    key.ok_or("Its gateway has no credentials yet.")
}

/// Counts a call to Okta.
fn count<T>(ctx: &Context, verb: &'static str, result: &Result<T, CallError>) {
    ctx.metrics.okta_call(verb, result.as_ref().err().map_or("ok", CallError::reason));
}

/// Whether a witness speaks against a hook, or did a short time ago and says nothing now: what it said was forgotten, because it
/// is to be asked anew.
fn is_failing(ctx: &Context, hook: &TelephonyHook) -> bool {
    let object = ObjectRef::new(hook.namespace().unwrap_or_default(), hook.name_any());
    let mut witnesses = Source::ALL.into_iter().filter(|source| !source.suffices());
    witnesses.any(|source| match ctx.probes.fresh(&object, source) {
        Some(found) => found.sight == Sight::Fail,
        None => ctx.probes.failed_within(&object, source, log::WINDOW),
    })
}

/// How often Okta is asked: soon and often while something of the hook seems to fail or the switch is not at rest
/// (`hurried`), or what Okta said last is too old. When another witness has begun to fail, then at the switch's next look, and
/// again each time that it has failed twice as long, so that it does not stay alone for longer than it was: of several replicas
/// one may have failed first, and Okta may have come to another.
fn pace(
    ctx: &Context,
    switch: &HookSwitch,
    object: &ObjectRef,
    source: Source,
    declared: Duration,
    hurried: bool,
    haste: Haste,
) -> Pace {
    let forgotten = ctx.probes.fresh(object, source).is_none();
    let now = if hurried || forgotten { declared.min(haste.again) } else { declared };
    let soon = settings::watched(&switch.spec).interval.max(haste.least);
    let next = ctx.probes.others_fail_for(object, source).map_or(now, |failing| now.min(soon.max(failing / 2)));
    Pace { declared, now, next }
}

fn tell(ctx: &Context, hook: &ObjectRef, source: Source, begun: Instant, finding: Finding) {
    if ctx.probes.found(hook, source, begun, finding) {
        let naming = ctx.caches.naming(&hook.namespace, &hook.name);
        ctx.wake
            .wake_all(naming.iter().map(|switch| Target::new(Kind::HookSwitch, &hook.namespace, switch.name_any())));
        let elsewhere = |hook: &Arc<TelephonyHook>| source == Source::PublicUrl && hook.spec.target.gateway().is_none();
        if let Some(seen) = ctx.caches.hooks.get(&hook.namespace, &hook.name).filter(elsewhere) {
            // whether such a URL is reached is all that its place is known by
            ctx.wake.wake_all(super::switch::org_of(&seen, ctx));
            ctx.wake.wake(Target::new(Kind::TelephonyHook, &hook.namespace, &hook.name));
        }
    }
}

/// A marker that no other probe has.
fn marker(key: &probe::Key, hook: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    key.marker(hook, now, rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_due_once_an_interval_and_never_twice_at_a_time() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        assert!(probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_some());
        tokio::time::advance(EVERY * 2).await;
        assert!(probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_none(), "still under way");
        tokio::time::advance(PATIENCE * 2).await;
        assert!(
            probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_some(),
            "one that never ended is over"
        );
        assert!(probes.begin(&hook, Source::Execute, Pace::steady(EVERY, EVERY)).is_some(), "another source");
        assert!(probes.answer(&hook, Source::PublicUrl, Finding::new(Sight::Pass, "well")), "it is news");
        tokio::time::advance(EVERY).await;
        assert!(probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_some());
        assert!(!probes.answer(&hook, Source::PublicUrl, Finding::new(Sight::Pass, "well")), "it is not");
        assert!(probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_none());
        tokio::time::advance(EVERY).await;
        assert!(probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_told_how_long_the_others_have_failed_since_the_last_of_them_began_to() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        let rounds = |source| probes.others_fail_for(&hook, source).map(|failing| failing.as_secs() / ROUND.as_secs());
        let find = |source, sight| {
            probes.begin(&hook, source, Pace::steady(ROUND, ROUND));
            probes.answer(&hook, source, Finding::new(sight, ""));
        };
        find(Source::Execute, Sight::Pass);
        let mut told = Vec::new();
        for sight in [Sight::Fail, Sight::Fail, Sight::Pass, Sight::Unknown, Sight::Fail, Sight::Fail] {
            tokio::time::advance(ROUND).await;
            find(Source::PublicUrl, sight);
            told.push(rounds(Source::Execute));
        }
        assert_eq!(told, [Some(0), Some(1), None, None, Some(4), Some(5)]);
        assert_eq!(rounds(Source::PublicUrl), None, "it alone fails");
        find(Source::Execute, Sight::Fail);
        tokio::time::advance(ROUND).await;
        assert_eq!((rounds(Source::PublicUrl), rounds(Source::Execute)), (Some(1), Some(6)));
        assert_eq!(rounds(Source::SystemLog), Some(1), "the last one");
        tokio::time::advance(ROUND * 3).await;
        find(Source::PublicUrl, Sight::Fail);
        assert_eq!(rounds(Source::Execute), Some(0), "it was well in between, as far as anybody knows");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_or_let_go_says_nothing() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY));
        probes.answer(&hook, Source::PublicUrl, Finding::new(Sight::Fail, "broken"));
        tokio::time::advance(EVERY * 3).await;
        assert_eq!(probes.signal(&hook, Source::PublicUrl).sight, Sight::Fail);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(probes.signal(&hook, Source::PublicUrl).sight, Sight::Unknown);
        probes.begin(&hook, Source::PublicUrl, Pace::steady(EVERY, EVERY));
        probes.keep(&BTreeSet::new(), &BTreeSet::new());
        assert!(!probes.answer(&hook, Source::PublicUrl, Finding::new(Sight::Pass, "")));
        assert_eq!(probes.signal(&hook, Source::PublicUrl).sight, Sight::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_anew_is_not_answered_by_what_was_asked_before() {
        let (probes, hook) = (Probes::default(), ObjectRef::new("otp", "a"));
        let before = probes.begin(&hook, Source::Execute, Pace::steady(EVERY, EVERY)).unwrap();
        tokio::time::advance(ROUND).await;
        probes.ask_anew(&hook, Source::Execute);
        assert!(!probes.found(&hook, Source::Execute, before, Finding::new(Sight::Fail, "of before")));
        let now = probes.begin(&hook, Source::Execute, Pace::steady(EVERY, EVERY)).unwrap();
        assert!(!probes.found(&hook, Source::Execute, before, Finding::new(Sight::Fail, "of before")));
        assert!(probes.found(&hook, Source::Execute, now, Finding::new(Sight::Pass, "of now")));
        assert_eq!(probes.signal(&hook, Source::Execute).sight, Sight::Pass);
    }
}
