//! What was done to carry out a switch's decision, call by call: the switch's history shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::ownership;
use hookswitch_api::HookSwitch;
use hookswitch_okta::{
    ObjectRef,
    plan::Verb,
    run::{AuditEntry, AuditResult, Purpose},
};

/// Most steps kept of one decision.
const MOST_STEPS: usize = 32;

/// One thing that was done, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressStep {
    /// `Record`, `List`, the verb of a call, or `PutBack`.
    pub step: &'static str,
    /// `ok`, or the stable reason why not.
    pub outcome: &'static str,
    /// When it began.
    pub begun: Instant,
    /// How long it took.
    pub took: Duration,
}

impl ProgressStep {
    /// A step that went well, from `begun` to `now`.
    #[must_use]
    pub fn ended(step: &'static str, begun: Instant, now: Instant) -> Self {
        Self { step, outcome: "ok", begun, took: now.duration_since(begun) }
    }

    fn of_call(entry: &AuditEntry, run_begun: Instant) -> Option<Self> {
        let outcome = match entry.result {
            AuditResult::Done => "ok",
            AuditResult::Failed(kind) | AuditResult::Unclear(kind) => kind.as_str(),
            AuditResult::NotSent => return None,
        };
        let step = if entry.why == Purpose::PutBack { "PutBack" } else { entry.verb.as_str() };
        Some(Self { step, outcome, begun: run_begun + entry.at, took: entry.took })
    }
}

/// For how long no hook of ours can have been active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Gap {
    /// Since when none can be.
    since: Option<Instant>,
    longest: Option<Duration>,
}

impl Gap {
    /// Takes in a call. `active`: the hooks that were active before it, as far as is known.
    fn called<'a>(&mut self, entry: &'a AuditEntry, run_begun: Instant, active: &mut BTreeSet<&'a ObjectRef>) {
        let Some(object) = &entry.object else { return };
        let sent = run_begun + entry.at;
        match (entry.verb, &entry.result) {
            (Verb::Deactivate, AuditResult::Done | AuditResult::Unclear(_)) => {
                active.remove(object);
                if active.is_empty() {
                    self.since.get_or_insert(sent);
                }
            }
            (Verb::Activate | Verb::Create, AuditResult::Done) => {
                active.insert(object);
                self.ends(sent + entry.took);
            }
            _ => {}
        }
    }

    fn ends(&mut self, at: Instant) {
        let Some(since) = self.since.take_if(|since| *since <= at) else { return };
        self.longest = self.longest.max(Some(at.duration_since(since)));
    }
}

/// A decision of a switch that is being carried out. Both parts are those of its status, and no two decisions have both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchDecision {
    /// The hook that is to be active.
    pub target: String,
    /// When that was decided.
    pub since: String,
}

impl SwitchDecision {
    /// What a switch has decided, while it is carried out.
    #[must_use]
    pub fn of(switch: &HookSwitch) -> Option<Self> {
        let status = switch.status.as_ref().filter(|status| status.switching.is_some())?;
        Some(Self { target: status.target.clone()?, since: status.since.clone()? })
    }
}

/// What this process did to carry out a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchProgress {
    /// The decision.
    pub decision: SwitchDecision,
    /// The latest steps, in order.
    pub steps: Vec<ProgressStep>,
    gap: Gap,
}

impl SwitchProgress {
    fn new(decision: SwitchDecision) -> Self {
        Self { decision, steps: Vec::new(), gap: Gap::default() }
    }

    /// The longest time for which no hook of ours can have been active: from when a deactivation was sent that was not refused,
    /// until an activation after it was answered, or a list showed its effect. `None` when there were not both.
    #[must_use]
    pub const fn without_active(&self) -> Option<Duration> {
        self.gap.longest
    }
}

/// What was done for the switches of a namespace, by name.
pub type ProgressBySwitch = BTreeMap<String, SwitchProgress>;

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// When it began.
    pub begun: Instant,
    /// What was done for it before that.
    pub before: &'a [ProgressStep],
    /// Our hooks that were active then, by what Okta listed.
    pub active: &'a BTreeSet<ObjectRef>,
    /// Its calls.
    pub audit: &'a [AuditEntry],
}

/// Takes in a run for each switch that it carried out.
pub fn take_in(known: &mut ProgressBySwitch, switches: &[Arc<HookSwitch>], run: Done<'_>) {
    known.retain(|name, _| switches.iter().any(|switch| switch.name_any() == *name));
    for switch in switches {
        let Some(decision) = SwitchDecision::of(switch) else { continue };
        let of_switch = |entry: &&AuditEntry| {
            entry.object.as_ref().is_none_or(|object| {
                switch.namespace().as_ref() == Some(&object.namespace) && ownership::names(switch, &object.name)
            })
        };
        if !run.audit.iter().any(|entry| entry.object.is_some() && of_switch(&entry)) {
            continue;
        }
        let progress = known.entry(switch.name_any()).or_insert_with(|| SwitchProgress::new(decision.clone()));
        if progress.decision != decision {
            *progress = SwitchProgress::new(decision);
        }
        let calls = run.audit.iter().filter(of_switch).filter_map(|entry| ProgressStep::of_call(entry, run.begun));
        progress.steps.extend(run.before.iter().cloned().chain(calls));
        let surplus = progress.steps.len().saturating_sub(MOST_STEPS);
        progress.steps.drain(..surplus);
        let mut active = run.active.iter().collect();
        for entry in run.audit {
            progress.gap.called(entry, run.begun, &mut active);
        }
    }
}

/// Takes in that a list of `at` shows a hook of ours active. That the one shows which is to be off may be of before.
pub fn observe_active(known: &mut ProgressBySwitch, active: &ObjectRef, at: Instant) {
    for progress in known.values_mut().filter(|progress| progress.decision.target == active.name) {
        progress.gap.ends(at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use hookswitch_okta::FailureKind;

    use super::*;

    fn switch(target: &str, since: &str, switching: bool) -> Arc<HookSwitch> {
        let mut switch = json!({"metadata": {"name": "acme", "namespace": "otp"},
            "spec": {"hooks": [{"name": "a"}, {"name": "b"}]}, "status": {"target": target, "since": since}});
        if switching {
            switch["status"]["switching"] = json!({"cause": "Failed"});
        }
        Arc::new(serde_json::from_value(switch).unwrap())
    }

    fn call(verb: Verb, object: Option<&str>, why: Purpose, result: AuditResult, at: u64) -> AuditEntry {
        AuditEntry {
            verb,
            object: object.map(|name| ObjectRef::new("otp", name)),
            hook: None,
            why,
            result,
            message: None,
            request_id: None,
            at: Duration::from_millis(at),
            took: Duration::from_millis(80),
        }
    }

    fn outcomes(progress: &SwitchProgress) -> Vec<(&'static str, &'static str)> {
        progress.steps.iter().map(|step| (step.step, step.outcome)).collect()
    }

    fn run(
        known: &mut ProgressBySwitch,
        switch: Arc<HookSwitch>,
        active: &[&str],
        audit: &[AuditEntry],
        begun: Instant,
    ) {
        let active = active.iter().map(|name| ObjectRef::new("otp", *name)).collect();
        take_in(known, &[switch], Done { begun, before: &[], active: &active, audit });
    }

    #[tokio::test]
    async fn a_switch_gets_its_own_steps_and_how_long_no_hook_can_have_been_active() {
        use AuditResult::{Done as Ok, Failed, NotSent};
        let (mut known, now) = (ProgressBySwitch::new(), Instant::now());
        let before = [ProgressStep::ended("List", now, now), ProgressStep::ended("Record", now, now)];
        let audit = [
            call(Verb::Deactivate, Some("a"), Purpose::Planned, Ok, 0),
            call(Verb::Activate, Some("b"), Purpose::Planned, Failed(FailureKind::Refused), 80),
            call(Verb::Activate, Some("a"), Purpose::PutBack, Ok, 160),
            call(Verb::Replace, Some("c"), Purpose::Planned, Ok, 240),
            call(Verb::Activate, Some("a"), Purpose::Planned, NotSent, 240),
            call(Verb::ReadBack, None, Purpose::Check, Ok, 320),
        ];
        run(&mut known, switch("b", "10:00", false), &["a"], &audit, now);
        assert!(known.is_empty(), "what is done while nothing is switched is no switch's");
        let active = [ObjectRef::new("otp", "a")].into();
        let done = Done { begun: now, before: &before, active: &active, audit: &audit };
        take_in(&mut known, &[switch("b", "10:00", true)], done);
        let progress = &known["acme"];
        let expected = [
            ("List", "ok"),
            ("Record", "ok"),
            ("Deactivate", "ok"),
            ("Activate", "OktaRefused"),
            ("PutBack", "ok"),
            ("ReadBack", "ok"),
        ];
        assert_eq!(outcomes(progress), expected, "nothing of another hook");
        assert_eq!(progress.without_active(), Some(Duration::from_millis(240)));
        assert_eq!(progress.decision, SwitchDecision { target: "b".into(), since: "10:00".into() });

        let repointed = [call(Verb::Replace, Some("a"), Purpose::Planned, Ok, 0)];
        run(&mut known, switch("b", "10:01", true), &["a"], &repointed, now);
        assert_eq!((outcomes(&known["acme"]), known["acme"].without_active()), (vec![("Replace", "ok")], None));
        for _ in 0..100 {
            run(&mut known, switch("b", "10:01", true), &["a"], &repointed, now);
        }
        run(&mut known, switch("b", "10:01", true), &["a"], &audit[..1], now);
        assert_eq!(known["acme"].steps.len(), MOST_STEPS);
        assert_eq!(outcomes(&known["acme"]).last(), Some(&("Deactivate", "ok")), "the latest are kept");
        take_in(&mut known, &[], done);
        assert!(known.is_empty(), "a switch that is gone");
    }

    #[tokio::test]
    async fn without_an_active_hook_is_the_longest_of_the_gaps_that_calls_and_lists_leave_open() {
        use AuditResult::{Done as Ok, Failed, Unclear};
        let off = |of, result, at| call(Verb::Deactivate, Some(of), Purpose::Planned, result, at);
        let on = |of, result, at| call(Verb::Activate, Some(of), Purpose::Planned, result, at);
        let (refused, lost) = (|| Failed(FailureKind::Refused), || Unclear(FailureKind::Unreachable));
        for (case, active, audit, listed, expected) in [
            ("a swap", &["a"][..], vec![off("a", Ok, 0), on("b", Ok, 80)], None, Some(160)),
            ("a refused deactivation", &["a"], vec![off("a", refused(), 0), on("b", Ok, 900)], None, None),
            (
                "the second gap is the longer one",
                &["a"],
                vec![off("a", Ok, 0), on("a", Ok, 80), off("a", Ok, 1_000), on("b", Ok, 2_000)],
                None,
                Some(1_080),
            ),
            (
                "a refused one does not begin it",
                &["a"],
                vec![off("a", refused(), 0), off("a", Ok, 5_000), on("b", Ok, 5_080)],
                None,
                Some(160),
            ),
            ("a lost one may have begun it", &["a"], vec![off("a", lost(), 0), on("b", Ok, 2_000)], None, Some(2_080)),
            ("a list shows the effect", &["a"], vec![off("a", Ok, 0), on("b", lost(), 80)], Some("b"), Some(9_000)),
            ("the one that is off is listed late", &["a"], vec![off("a", Ok, 0), on("b", lost(), 80)], Some("a"), None),
            ("another one was active", &["a", "b"], vec![off("a", Ok, 0)], Some("b"), None),
        ] {
            let (mut known, begun) = (ProgressBySwitch::new(), Instant::now());
            run(&mut known, switch("b", "10:00", true), active, &audit, begun);
            if let Some(listed) = listed {
                observe_active(&mut known, &ObjectRef::new("otp", listed), begun + Duration::from_secs(9));
            }
            assert_eq!(known["acme"].without_active(), expected.map(Duration::from_millis), "{case}");
        }
    }
}
