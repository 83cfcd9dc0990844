//! What people ask for by annotation: acted on once per value, and echoed in status. What stands there before the first evaluation is
//! not acted on: it came with a backup or a manifest.

use kube::ResourceExt as _;

use hookswitch_api::{ACKNOWLEDGE, FAILBACK, HandledRequests, HookSwitch, PROMOTE};
use hookswitch_failover::machine::SwitchRequest;

/// The longest value that is read; a longer one is cut, and still acted on once.
const LONGEST: usize = 500;

/// What is asked for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestedSwitch {
    /// A switch.
    pub request: Option<SwitchRequest>,
    /// The spent budget was seen.
    pub acknowledged: bool,
    /// What counts as acted on with this evaluation.
    pub handled: HandledRequests,
}

/// Reads the annotations against what was acted on already.
#[must_use]
pub fn read(switch: &HookSwitch) -> RequestedSwitch {
    let known = switch.status.as_ref().and_then(|status| status.handled.clone()).unwrap_or_default();
    let value = |name: &str| {
        let value = switch.annotations().get(name).filter(|value| !value.is_empty())?;
        Some(crate::operator::runtime::conditions::bounded(value.clone(), LONGEST))
    };
    let handled =
        HandledRequests { promote: value(PROMOTE), failback: value(FAILBACK), acknowledge: value(ACKNOWLEDGE) };
    // one that nobody decided for yet was restored or applied with what was asked of another one, long ago perhaps
    let decides = switch.status.as_ref().is_some_and(|status| status.phase.is_some());
    let fresh = |now: &Option<String>, before: &Option<String>| now.clone().filter(|_| decides && now != before);
    let promote = fresh(&handled.promote, &known.promote).map(|value| {
        let hook = value.split_once('/').map_or(value.as_str(), |(hook, _)| hook);
        SwitchRequest::Promote(hook.to_owned())
    });
    let failback = fresh(&handled.failback, &known.failback).map(|_| SwitchRequest::Failback);
    RequestedSwitch {
        // both at once: who names a hook knows which one
        request: promote.or(failback),
        acknowledged: fresh(&handled.acknowledge, &known.acknowledge).is_some(),
        handled,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(annotations: &Value, handled: &Value) -> RequestedSwitch {
        let switch = json!({"metadata": {"name": "main", "annotations": annotations},
            "spec": {"hooks": [{"name": "a"}, {"name": "b"}]}, "status": {"phase": "Healthy", "handled": handled}});
        read(&serde_json::from_value(switch).unwrap())
    }

    #[test]
    fn what_is_there_before_the_first_reconcile_is_not_asked_for() {
        let annotations = json!({(PROMOTE): "b", (FAILBACK): "1", (ACKNOWLEDGE): "ann"});
        for status in [json!(null), json!({}), json!({"conditions": []})] {
            let switch = json!({"metadata": {"name": "main", "annotations": annotations},
                "spec": {"hooks": [{"name": "a"}, {"name": "b"}]}, "status": status});
            let asked = read(&serde_json::from_value(switch).unwrap());
            assert_eq!((asked.request, asked.acknowledged), (None, false), "{status}");
            assert_eq!(asked.handled.promote.as_deref(), Some("b"));
        }
    }

    #[test]
    fn a_value_is_acted_on_once_and_another_one_again() {
        let first = asked(&json!({(PROMOTE): "b"}), &json!({}));
        assert_eq!(first.request, Some(SwitchRequest::Promote("b".into())));
        assert_eq!(first.handled.promote.as_deref(), Some("b"));
        assert_eq!(asked(&json!({(PROMOTE): "b"}), &json!({"promote": "b"})).request, None);
        let again = asked(&json!({(PROMOTE): "b/2026-11-24"}), &json!({"promote": "b"}));
        assert_eq!(again.request, Some(SwitchRequest::Promote("b".into())));
        assert_eq!(asked(&json!({(FAILBACK): "1"}), &json!({})).request, Some(SwitchRequest::Failback));
        assert!(asked(&json!({(ACKNOWLEDGE): "ann"}), &json!({})).acknowledged);
        assert!(!asked(&json!({(ACKNOWLEDGE): "ann"}), &json!({"acknowledge": "ann"})).acknowledged);
    }

    #[test]
    fn an_annotation_that_is_taken_away_may_come_again() {
        assert_eq!(asked(&json!({}), &json!({"promote": "b"})).handled.promote, None);
    }
}
