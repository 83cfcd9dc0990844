//! Whether a switch waits for Okta, and so how urgent calls are. Pure.

use std::collections::BTreeMap;

use super::ownership::{self, Declarations};
use crate::operator::runtime::conditions;
use hookswitch_api::{
    HookSwitch,
    reason::{Held, Reason as _},
};
use hookswitch_failover::machine::Phase;
use hookswitch_okta::limits::Priority;

/// How urgent Okta's answers are to a switch, or to the most urgent one of an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It does not.
    AtRest,
    /// Its active hook failed, and it may have to switch within seconds.
    Suspicious,
    /// It switches, or would if it were known which hook Okta uses.
    Switching,
}

impl Urgency {
    /// What the lists of an org are for.
    #[must_use]
    pub fn reads(self) -> Priority {
        if self == Self::AtRest { Priority::Routine } else { Priority::Failover }
    }

    /// What Okta is asked about the active hook for, by a switch that is so in an org that is so; `failing`: some corroborating signal
    /// speaks against the hook. `None`: it steps back for what is more urgent.
    #[must_use]
    pub fn probes(self, of_org: Self, failing: bool) -> Option<Priority> {
        match (self, of_org) {
            (Self::Suspicious, _) => Some(Priority::Suspicion),
            (Self::AtRest, Self::AtRest) if failing => Some(Priority::Suspicion),
            (Self::AtRest, Self::AtRest) => Some(Priority::Routine),
            (Self::AtRest | Self::Switching, _) => None,
        }
    }
}

/// How urgent a switch is, by its status.
#[must_use]
pub fn of(switch: &HookSwitch) -> Urgency {
    let Some(status) = &switch.status else { return Urgency::AtRest };
    let is = |phase: &Phase| status.phase.as_deref() == Some(phase.as_str());
    let held = conditions::get(&status.conditions, Held::CONDITION).filter(|held| conditions::says_true(held));
    if status.switching.is_some() || held.is_some_and(|held| held.reason == Held::OktaUnknown.as_str()) {
        Urgency::Switching
    } else if is(&Phase::Suspect) {
        Urgency::Suspicious
    } else {
        Urgency::AtRest
    }
}

/// How urgent the most urgent switch of each org of a namespace is. One that cannot decide says nothing: its status is of before.
#[must_use]
pub fn by_org(declared: &Declarations) -> BTreeMap<String, Urgency> {
    let mut orgs = BTreeMap::new();
    for switch in declared.switches().iter().filter(|switch| ownership::problem(switch, declared).is_none()) {
        if let Some(org) = declared.org(switch) {
            let most = orgs.entry(org.to_owned()).or_insert(Urgency::AtRest);
            *most = of(switch).max(*most);
        }
    }
    orgs
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_switch_waits_for_okta_while_it_suspects_switches_or_does_not_know_which_hook_okta_uses() {
        let held = |reason: &str, status: &str| {
            let condition = json!({"type": "Held", "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-11-27T00:00:00Z"});
            json!({"phase": if status == "True" { "Held" } else { "Healthy" }, "conditions": [condition]})
        };
        for (status, expected) in [
            (Value::Null, Urgency::AtRest),
            (json!({"phase": "Healthy"}), Urgency::AtRest),
            (json!({"phase": "Recovering"}), Urgency::AtRest),
            (json!({"phase": "Suspect"}), Urgency::Suspicious),
            (json!({"phase": "FailingOver", "switching": {"cause": "Failed"}}), Urgency::Switching),
            (held("OktaUnknown", "True"), Urgency::Switching),
            (held("OktaUnknown", "False"), Urgency::AtRest),
            (held("Cooldown", "True"), Urgency::AtRest),
        ] {
            let switch = json!({"metadata": {"name": "acme"}, "spec": {"hooks": []}, "status": status});
            let switch: HookSwitch = serde_json::from_value(switch).unwrap();
            assert_eq!(of(&switch), expected, "{status}");
        }
    }

    #[test]
    fn who_asks_okta_and_how_urgently_follows_from_where_the_switches_of_the_org_are() {
        use Urgency::{AtRest, Suspicious, Switching};
        assert_eq!(
            [AtRest, Suspicious, Switching].map(Urgency::reads),
            [Priority::Routine, Priority::Failover, Priority::Failover]
        );
        for (own, of_org, failing, expected) in [
            (AtRest, AtRest, false, Some(Priority::Routine)),
            (AtRest, AtRest, true, Some(Priority::Suspicion)),
            (AtRest, Suspicious, true, None),
            (AtRest, Switching, false, None),
            (Suspicious, Suspicious, false, Some(Priority::Suspicion)),
            (Suspicious, Switching, true, Some(Priority::Suspicion)),
            (Switching, Switching, true, None),
        ] {
            assert_eq!(own.probes(of_org, failing), expected, "{own:?} in an org that is {of_org:?}");
        }
    }
}
