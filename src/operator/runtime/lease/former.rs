//! The Lease that all releases shared, and when it need not be held any more beside one's own.
//!
//! An operator of before knows that Lease alone. So one that has another leads only with both, until no pod of before can be
//! there: its Deployment has been wholly of the new version for longer than a pod takes to end. That is then written on
//! its own Lease, and the shared one is left to whom it belongs. From then on it is only read: when a pod of the same
//! Deployment holds it, somebody went back to the version of before. Then that pod leads, and the word on the Lease is taken back:
//! the next upgrade begins as the first one did.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use tokio::time::Instant;

/// The annotation of a Lease by which its release is known to need no other.
pub const ALONE: &str = "hookswitch.dev/holds-no-former-lease";

/// How long the Deployment must have been of one version: a pod that ends has 40 s.
pub const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// What is done about the shared Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is held too.
    Both,
    /// It is not needed any more, which is to be written down.
    Leave,
    /// It was left before.
    Alone,
}

/// How long a Deployment has been wholly of one version, as far as this process saw.
#[derive(Debug, Default)]
pub struct Rollout {
    whole_since: Option<Instant>,
}

impl Rollout {
    /// What is to be done, by one's own Lease and the Deployment as they are at `now`.
    pub fn way(&mut self, own: Option<&Lease>, deployment: Option<&Deployment>, now: Instant) -> Way {
        if own.is_some_and(is_alone) {
            return Way::Alone;
        }
        if !deployment.is_some_and(is_whole) {
            self.whole_since = None;
            return Way::Both;
        }
        let since = *self.whole_since.get_or_insert(now);
        if now.duration_since(since) >= ENDS_WITHIN { Way::Leave } else { Way::Both }
    }
}

/// Whether a Lease says that its release needs no other.
#[must_use]
pub fn is_alone(lease: &Lease) -> bool {
    lease.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ALONE))
}

/// Whether all pods of a Deployment are of its newest version; those that end are not counted by Kubernetes.
fn is_whole(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    status.observed_generation >= deployment.metadata.generation && updated == wanted && all == updated
}

/// Whether the holder of a Lease is a pod of a Deployment, by its name: `<deployment>-<hash>-<five characters>`, of which a
/// long one lacks the end of the hash and what separates it.
#[must_use]
pub fn is_pod_of(holder: &str, deployment: &str) -> bool {
    let Some(rest) = holder.strip_prefix(deployment).and_then(|rest| rest.strip_prefix('-')) else { return false };
    match rest.split_once('-') {
        None => !rest.is_empty(),
        Some((hash, end)) => !hash.is_empty() && end.len() == 5 && !end.contains('-'),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_distinguished_from_one_of_a_release_with_a_longer_name() {
        for (holder, expected) in [
            ("prod-hookswitch-6d4cf56db6-x2x9z", true),
            ("prod-hookswitch-6d4cf5x2x9z", true),
            ("prod-hookswitch-2-6d4cf56db6-x2x9z", false),
            ("prod-hookswitch", false),
            ("prod-hookswitch-", false),
            ("hookswitch-6d4cf56db6-x2x9z", false),
            ("", false),
        ] {
            assert_eq!(is_pod_of(holder, "prod-hookswitch"), expected, "{holder}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_leases_are_held_until_the_deployment_has_been_of_one_version_for_longer_than_a_pod_takes_to_end() {
        let deployment = |all: i32, updated: i32, observed: i64| -> Deployment {
            serde_json::from_value(
                json!({"metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "replicas": all, "updatedReplicas": updated}}),
            )
            .unwrap()
        };
        let whole = deployment(2, 2, 2);
        let mut rollout = Rollout::default();
        for part in [Some(deployment(3, 2, 2)), Some(deployment(2, 1, 2)), Some(deployment(2, 2, 1)), None] {
            assert_eq!(rollout.way(None, part.as_ref(), Instant::now()), Way::Both, "{part:?}");
            tokio::time::advance(ENDS_WITHIN).await;
        }
        assert_eq!(rollout.way(None, Some(&whole), Instant::now()), Way::Both);
        tokio::time::advance(ENDS_WITHIN / 2).await;
        assert_eq!(rollout.way(None, Some(&deployment(3, 2, 2)), Instant::now()), Way::Both, "and it begins anew");
        assert_eq!(rollout.way(None, Some(&whole), Instant::now()), Way::Both);
        tokio::time::advance(ENDS_WITHIN).await;
        assert_eq!(rollout.way(None, Some(&whole), Instant::now()), Way::Leave);
        let mut own = Lease::default();
        own.metadata.annotations = Some([(ALONE.to_owned(), "true".to_owned())].into());
        assert_eq!(Rollout::default().way(Some(&own), None, Instant::now()), Way::Alone);
    }
}
