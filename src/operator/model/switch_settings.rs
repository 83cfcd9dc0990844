//! From the spec and the last status to what the machine takes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::operator::runtime::conditions;
use hookswitch_api::{
    HookSwitchSpec, HookSwitchStatus, HookTarget, SwitchMode, UnprovenStandby, UrlTest,
    reason::{Held, Reason as _},
};
use hookswitch_failover::{
    fallback::Threshold,
    machine::{Cause, Machine, Moment, Phase, Restored},
    settings::{Failback, Mode, Settings, Unproven},
    signal::Source,
};

/// A suspicion older than this says nothing to a new process.
const OLDEST_SUSPICION: Duration = Duration::from_mins(10);

/// What Okta gives a hook.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Rare enough to cost nothing of the rate limit: 100 hooks make 20 calls a minute.
const EXECUTE_INTERVAL: Duration = Duration::from_mins(5);

/// The log has a rate limit of its own, of some dozens a minute.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Half of the passcodes not sent by the hook is an outage; a few are somebody's phone.
const FALLBACKS: u8 = 50;

/// Fewer passcodes than this are one or two people who try again.
const MINIMUM: usize = 5;

/// What a hook must cover when the spec does not say, in percent.
const COVERAGE: u8 = 50;

/// The thresholds in force.
#[must_use]
pub fn of(spec: &HookSwitchSpec) -> Settings {
    let default = Settings::default();
    let detection = spec.detection.clone().unwrap_or_default();
    let budget = spec.budget.clone().unwrap_or_default();
    Settings {
        mode: match spec.mode {
            None | Some(SwitchMode::Automatic) => Mode::Automatic,
            Some(SwitchMode::Observe) => Mode::Observe,
            Some(SwitchMode::Manual) => Mode::Manual,
            Some(SwitchMode::Disabled) => Mode::Disabled,
        },
        fall: detection.fall.unwrap_or(default.fall),
        rise: detection.rise.unwrap_or(default.rise),
        interval: detection.interval.map_or(default.interval, hookswitch_api::Duration::get),
        delay: spec.delay.map_or(default.delay, hookswitch_api::Duration::get),
        cooldown: spec.cooldown.map_or(default.cooldown, hookswitch_api::Duration::get),
        budget: budget.switches.unwrap_or(default.budget),
        window: budget.window.map_or(default.window, hookswitch_api::Duration::get),
        margin: detection.margin.unwrap_or(default.margin),
        unproven: match detection.unproven_standby {
            Some(UnprovenStandby::Allow) => Unproven::Allow,
            Some(UnprovenStandby::Hold) => Unproven::Hold,
            None => default.unproven,
        },
        failback: spec.failback.as_ref().map_or(Failback::ByPerson, |failback| Failback::After(failback.after.get())),
    }
}

/// Which hooks' addresses are called, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Time between two evaluations, and so between two calls of this operator.
    pub interval: Duration,
    /// How long an address may take to answer this operator; `None`: it is not called.
    pub address: Option<Duration>,
    /// Whether whole passcodes are sent where that is allowed.
    pub test: bool,
    /// How often Okta is asked to call the active hook; `None`: never.
    pub execute: Option<Duration>,
    /// How often the System Log is read, and from when on it speaks against the active hook; `None`: never.
    pub log: Option<(Duration, Threshold)>,
}

impl ProbeSettings {
    /// The corroborating signals that are heard of a hook.
    pub fn corroborating_sources(self, target: &HookTarget) -> impl Iterator<Item = Source> + use<> {
        let address = self.address.map(|_| Source::PublicUrl);
        let test = self.test_of(target).map(|_| Source::Test);
        let execute = self.execute_of(target).map(|_| Source::Execute);
        let log = self.log.map(|_| Source::SystemLog);
        address.into_iter().chain(test).chain(execute).chain(log)
    }

    /// How often a whole passcode is sent to a hook, as its owner allows; `None`: never.
    #[must_use]
    pub fn test_of(self, target: &HookTarget) -> Option<Duration> {
        target.test().map(UrlTest::interval).filter(|_| self.test)
    }

    /// How often Okta is asked to call a hook while it is active; `None`: never. What Okta sends is a whole passcode, so a URL
    /// that somebody else serves is called as its owner allows.
    #[must_use]
    pub fn execute_of(self, target: &HookTarget) -> Option<Duration> {
        match target {
            HookTarget::Gateway(_) => self.execute,
            HookTarget::Url(url) => url.test.as_ref().map(UrlTest::interval).filter(|_| self.execute.is_some()),
        }
    }
}

/// Which hooks' addresses are called. A switch that decides nothing asks nobody.
#[must_use]
pub fn watched(spec: &HookSwitchSpec) -> ProbeSettings {
    let detection = spec.detection.clone().unwrap_or_default();
    let address = detection.public_url.unwrap_or_default();
    let execute = detection.execute.unwrap_or_default();
    let log = detection.system_log.unwrap_or_default();
    let minimum = log.minimum.and_then(|minimum| usize::try_from(minimum).ok()).unwrap_or(MINIMUM);
    let threshold = Threshold { percent: log.fallbacks.unwrap_or(FALLBACKS), minimum };
    let asks = |enabled: Option<bool>| enabled.unwrap_or(true) && spec.mode != Some(SwitchMode::Disabled);
    let or =
        |duration: Option<hookswitch_api::Duration>, default| duration.map_or(default, hookswitch_api::Duration::get);
    ProbeSettings {
        interval: or(detection.interval, Settings::default().interval),
        address: asks(address.enabled).then(|| or(address.timeout, ADDRESS_TIMEOUT)),
        test: asks(None),
        execute: asks(execute.enabled).then(|| or(execute.interval, EXECUTE_INTERVAL)),
        log: asks(log.enabled).then(|| (or(log.interval, LOG_INTERVAL), threshold)),
    }
}

/// What a hook must cover, in percent.
#[must_use]
pub fn coverage(spec: &HookSwitchSpec) -> u8 {
    spec.detection.as_ref().and_then(|detection| detection.coverage).unwrap_or(COVERAGE)
}

/// The machine as the last status left it.
#[must_use]
pub fn restored(status: Option<&HookSwitchStatus>, now: Moment, wall: Timestamp) -> Machine {
    let Some(status) = status else { return Machine::new(now) };
    let age = |at: &String| {
        let at: Timestamp = at.parse().ok()?;
        // a clock that was put back makes nothing younger than now
        Some(Duration::from_millis(u64::try_from(wall.as_millisecond() - at.as_millisecond()).unwrap_or_default()))
    };
    let suspect = status.phase.as_deref() == Some(Phase::Suspect.as_str());
    let suspect_for = status.since.as_ref().filter(|_| suspect).and_then(age);
    let held = |reason| {
        conditions::get(&status.conditions, Held::CONDITION)
            .is_some_and(|held| conditions::says_true(held) && held.reason == reason)
    };
    let restored = Restored {
        target: status.target.clone(),
        failing_over: status.switching.as_ref().map(|switching| (switching.from.clone(), cause(&switching.cause))),
        confirmed: status.switching.is_none() && status.active.is_some() && status.active == status.target,
        suspect_for: suspect_for.filter(|age| *age < OLDEST_SUSPICION),
        switches: status.automatic.iter().filter_map(age).collect(),
        budget_spent: held(Held::BudgetSpent.as_str()),
    };
    Machine::restore(restored, now)
}

fn cause(word: &str) -> Cause {
    let all = [Cause::Failed, Cause::Recovered, Cause::Promoted, Cause::FailedBack, Cause::InOkta, Cause::Deleted];
    all.into_iter().find(|cause| cause.as_str() == word).unwrap_or(Cause::Failed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use hookswitch_failover::machine::{Hold, Phase};

    const NOW: &str = "2026-11-27T12:00:00Z";

    fn restored_from(status: &Value) -> Machine {
        let status: HookSwitchStatus = serde_json::from_value(status.clone()).unwrap();
        restored(Some(&status), Moment::at(10_000_000), NOW.parse().unwrap())
    }

    fn phase(status: &Value) -> Phase {
        restored_from(status).phase().clone()
    }

    fn spent(kind: &str, value: &str, reason: &str) -> Value {
        json!({"target": "a", "conditions": [{"type": kind, "status": value, "reason": reason, "message": "",
            "lastTransitionTime": NOW}]})
    }

    #[test]
    fn a_spent_budget_is_remembered_by_its_condition_alone() {
        assert_eq!(phase(&spent("Held", "True", "BudgetSpent")), Phase::Held(Hold::BudgetSpent));
        for other in [
            spent("Held", "False", "BudgetSpent"),
            spent("Held", "True", "Cooldown"),
            spent("Ready", "True", "BudgetSpent"),
            json!({"target": "a"}),
        ] {
            assert_eq!(phase(&other), Phase::Healthy, "{other}");
        }
    }

    #[test]
    fn a_suspicion_is_as_old_as_it_was_and_one_of_ten_minutes_says_nothing() {
        let suspect = |phase: &str, since: Value| json!({"target": "a", "phase": phase, "since": since});
        let machine = restored_from(&suspect("Suspect", json!("2026-11-27T11:50:01Z")));
        assert_eq!(machine.phase(), &Phase::Suspect);
        assert_eq!(machine.since().age(Moment::at(10_000_000)), Duration::from_secs(599));
        // a clock that was put back makes nothing younger than now
        let machine = restored_from(&suspect("Suspect", json!("2026-11-27T12:30:00Z")));
        assert_eq!((machine.phase(), machine.since()), (&Phase::Suspect, Moment::at(10_000_000)));
        for gone in [
            suspect("Suspect", json!("2026-11-27T11:50:00Z")),
            suspect("Suspect", json!("no time")),
            suspect("Suspect", Value::Null),
            suspect("Healthy", json!("2026-11-27T11:59:00Z")),
        ] {
            assert_eq!(phase(&gone), Phase::Healthy, "{gone}");
        }
    }

    #[test]
    fn a_switch_under_way_goes_on_for_its_cause_and_its_switches_count_as_before() {
        for (word, cause) in [
            ("Failed", Cause::Failed),
            ("Recovered", Cause::Recovered),
            ("Promoted", Cause::Promoted),
            ("FailedBack", Cause::FailedBack),
            ("ChangedInOkta", Cause::InOkta),
            ("HookDeleted", Cause::Deleted),
            ("a word of another release", Cause::Failed),
        ] {
            let under_way = json!({"target": "b", "switching": {"from": "a", "cause": word},
                "automatic": ["2026-11-27T11:59:40Z", "no time"]});
            let machine = restored_from(&under_way);
            assert_eq!(machine.phase(), &Phase::FailingOver { from: Some("a".into()), cause }, "{word}");
            assert_eq!(machine.switches(Moment::at(10_000_000)), [Duration::from_secs(20)]);
        }
        assert_eq!(restored(None, Moment::at(0), NOW.parse().unwrap()).target(), None);
    }

    #[test]
    fn what_a_hook_must_cover_is_said_or_half_of_what_counts() {
        let spec = |detection: Value| -> HookSwitchSpec {
            serde_json::from_value(json!({"hooks": [{"name": "a"}, {"name": "b"}], "detection": detection})).unwrap()
        };
        assert_eq!(coverage(&spec(Value::Null)), 50);
        assert_eq!(coverage(&spec(json!({}))), 50);
        assert_eq!(coverage(&spec(json!({"coverage": 80}))), 80);
    }
}
