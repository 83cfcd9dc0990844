//! What was done to carry out a switch's decision, call by call: the switch's history tells it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::super::switch::ruling;
use crate::{
    api::HookSwitch,
    okta::{
        plan::Verb,
        run::{AuditEntry, AuditResult, Purpose},
    },
};

/// Most steps kept of one decision.
const MOST_STEPS: usize = 32;

/// One thing that was done, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `Record`, `List`, the verb of a call, or `PutBack`.
    pub step: &'static str,
    /// `ok`, or the stable reason why not.
    pub outcome: &'static str,
    /// When it began.
    pub begun: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Step {
    /// A step that went well and ends now.
    #[must_use]
    pub fn ended(step: &'static str, begun: Instant) -> Self {
        Self { step, outcome: "ok", begun, took: begun.elapsed() }
    }

    fn of_call(entry: &AuditEntry, run_begun: Instant) -> Option<Self> {
        let outcome = match entry.result {
            AuditResult::Done => "ok",
            AuditResult::Failed(reason) | AuditResult::Unclear(reason) => reason,
            AuditResult::NotSent => return None,
        };
        let step = if entry.why == Purpose::PutBack { "PutBack" } else { entry.verb.as_str() };
        Some(Self { step, outcome, begun: run_begun + entry.at, took: entry.took })
    }

    fn is(&self, verb: Verb) -> bool {
        self.step == verb.as_str()
    }
}

/// A decision of a switch that is being carried out. Both parts are those of its status, and no two decisions have both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The hook that is to be active.
    pub target: String,
    /// When that was decided.
    pub since: String,
}

impl Decision {
    /// What a switch has decided, while it is carried out.
    #[must_use]
    pub fn of(switch: &HookSwitch) -> Option<Self> {
        let status = switch.status.as_ref().filter(|status| status.switching.is_some())?;
        Some(Self { target: status.target.clone()?, since: status.since.clone()? })
    }
}

/// What this process did to carry out a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The decision.
    pub decision: Decision,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Carried {
    /// The longest time for which no hook of ours can have been active: from when a deactivation was sent until an activation
    /// after it was answered. `None` when there were not both.
    #[must_use]
    pub fn without_active(&self) -> Option<Duration> {
        let off = self.steps.iter().position(|step| step.is(Verb::Deactivate))?;
        let activates = |step: &&Step| {
            (step.is(Verb::Activate) || step.is(Verb::Create) || step.step == "PutBack") && step.outcome == "ok"
        };
        let on = self.steps[off..].iter().find(activates)?;
        Some((on.begun + on.took).duration_since(self.steps[off].begun))
    }
}

/// What was done for the switches of a namespace, by name.
pub type ForSwitches = BTreeMap<String, Carried>;

/// Takes in a run that began at `begun`, with what was done `before` it, for each switch that it carried out.
pub fn take_in(
    known: &mut ForSwitches,
    switches: &[Arc<HookSwitch>],
    before: &[Step],
    audit: &[AuditEntry],
    begun: Instant,
) {
    known.retain(|name, _| switches.iter().any(|switch| switch.name_any() == *name));
    for switch in switches {
        let Some(decision) = Decision::of(switch) else { continue };
        let of_switch = |entry: &&AuditEntry| {
            entry.object.as_ref().is_none_or(|object| {
                switch.namespace().as_ref() == Some(&object.namespace) && ruling::names(switch, &object.name)
            })
        };
        if !audit.iter().any(|entry| entry.object.is_some() && of_switch(&entry)) {
            continue;
        }
        let calls = audit.iter().filter(of_switch).filter_map(|entry| Step::of_call(entry, begun));
        let steps: Vec<Step> = before.iter().cloned().chain(calls).collect();
        let name = switch.name_any();
        let carried = known.entry(name).or_insert_with(|| Carried { decision: decision.clone(), steps: Vec::new() });
        if carried.decision != decision {
            *carried = Carried { decision, steps: Vec::new() };
        }
        carried.steps.extend(steps);
        carried.steps.truncate(MOST_STEPS);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::okta::ObjectRef;

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

    fn told(carried: &Carried) -> Vec<(&'static str, &'static str)> {
        carried.steps.iter().map(|step| (step.step, step.outcome)).collect()
    }

    #[tokio::test]
    async fn a_switch_is_told_its_own_steps_and_how_long_no_hook_can_have_been_active() {
        use AuditResult::{Done, Failed, NotSent};
        let (mut known, now) = (ForSwitches::new(), Instant::now());
        let before = [Step::ended("List", now), Step::ended("Record", now)];
        let audit = [
            call(Verb::Deactivate, Some("a"), Purpose::Planned, Done, 0),
            call(Verb::Activate, Some("b"), Purpose::Planned, Failed("OktaRefused"), 80),
            call(Verb::Activate, Some("a"), Purpose::PutBack, Done, 160),
            call(Verb::Replace, Some("c"), Purpose::Planned, Done, 240),
            call(Verb::Activate, Some("a"), Purpose::Planned, NotSent, 240),
            call(Verb::ReadBack, None, Purpose::Look, Done, 320),
        ];
        take_in(&mut known, &[switch("b", "10:00", false)], &before, &audit, now);
        assert!(known.is_empty(), "what is done while nothing is switched is no switch's");
        take_in(&mut known, &[switch("b", "10:00", true)], &before, &audit, now);
        let carried = &known["acme"];
        let expected = [
            ("List", "ok"),
            ("Record", "ok"),
            ("Deactivate", "ok"),
            ("Activate", "OktaRefused"),
            ("PutBack", "ok"),
            ("ReadBack", "ok"),
        ];
        assert_eq!(told(carried), expected, "nothing of another hook");
        assert_eq!(carried.without_active(), Some(Duration::from_millis(240)));
        assert_eq!(carried.decision, Decision { target: "b".into(), since: "10:00".into() });

        let repointed = [call(Verb::Replace, Some("a"), Purpose::Planned, Done, 0)];
        take_in(&mut known, &[switch("b", "10:01", true)], &[], &repointed, now);
        assert_eq!((told(&known["acme"]), known["acme"].without_active()), (vec![("Replace", "ok")], None));
        for _ in 0..100 {
            take_in(&mut known, &[switch("b", "10:01", true)], &[], &repointed, now);
        }
        assert_eq!(known["acme"].steps.len(), MOST_STEPS);
        take_in(&mut known, &[], &[], &repointed, now);
        assert!(known.is_empty(), "a switch that is gone");
    }
}
