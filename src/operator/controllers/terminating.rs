//! Letting objects go that nobody will be left to do anything for: of namespaces that go, and of an operator that is uninstalled.
//!
//! An object in a namespace that goes is let go whatever it owes. With a namespace go the operator's rights in it, and with the operator's own
//! its pod, so such namespaces are checked as long as objects in them are held. The API server waits some seconds between
//! marking a namespace and deleting what is in it; that is the time there is.

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use kube::Client;

use crate::operator::{
    runtime::{
        Runtime,
        backoff::{after, jittered},
        error::{DEADLINE, ReconcileError},
        finalizer::{self, LetGo},
        listing::Listing,
        namespace::goes,
    },
    state::caches::Caches,
};
use hookswitch_api::{Kind, OktaOrg, TelephonyGateway, TelephonyHook};

/// The kinds of which objects may be held.
pub const HELD: &[Kind] = &[Kind::TelephonyHook, Kind::TelephonyGateway, Kind::OktaOrg];

/// How often a namespace is checked while objects in it are held.
const LOOK: Duration = Duration::from_secs(2);

/// How often it is checked once that was in vain many times in a row.
const SLOWEST: Duration = Duration::from_secs(30);

/// Takes every finalizer of ours off every object of a namespace (of all, when none is named).
///
/// # Errors
/// [`ReconcileError::Api`] for the first object that could not be let go; the others are tried all the same.
pub async fn let_go(client: &Client, namespace: Option<&str>) -> Result<LetGo, ReconcileError> {
    let hooks = finalizer::let_go::<TelephonyHook>(client, namespace).await;
    let gateways = finalizer::let_go::<TelephonyGateway>(client, namespace).await;
    let orgs = finalizer::let_go::<OktaOrg>(client, namespace).await;
    Ok(hooks?.and(gateways?).and(orgs?))
}

/// Lets objects go once their namespace is being deleted, where the operator's rights go with it: in the namespaces that it
/// is configured to manage, and in its own.
pub fn watch(runtime: &Runtime, caches: &Caches, own_namespace: &str) -> BoxFuture<'static, ()> {
    let mut namespaces = runtime.namespaces.clone();
    if !namespaces.iter().any(|namespace| namespace == own_namespace) {
        namespaces.push(own_namespace.to_owned());
    }
    // one that is slow to answer is waited for by no other
    let checks = |namespace| NamespaceChecks {
        client: runtime.kube.client.clone(),
        listing: runtime.listing.clone(),
        caches: caches.clone(),
        namespace,
    };
    let followed: Vec<_> = namespaces.into_iter().map(|namespace| checks(namespace).run()).collect();
    Box::pin(async move {
        join_all(followed).await;
    })
}

/// The time until the next check, after so many in a row that were in vain.
fn pause(in_vain: u32, fraction: f64) -> Duration {
    match in_vain {
        0 => LOOK,
        _ => jittered(after(in_vain.saturating_add(1)).min(SLOWEST), fraction),
    }
}

/// What a check of a namespace came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// It stays, or its objects were let go, or there is nothing to do.
    Answered,
    /// It did not say, or there was nothing to do, or nobody knows what it would be for.
    InVain,
}

/// The checks of one namespace.
struct NamespaceChecks {
    client: Client,
    listing: Listing,
    caches: Caches,
    namespace: String,
}

impl NamespaceChecks {
    /// Checks a namespace for ever: more and more seldom while that is in vain, and at once when its objects can be listed again.
    async fn run(self) {
        let mut in_vain: u32 = 0;
        loop {
            let recovers = self.listing.recovers(&self.namespace, HELD);
            let check = tokio::time::timeout(DEADLINE, self.check()).await.unwrap_or(Check::InVain);
            in_vain = match check {
                Check::Answered => 0,
                Check::InVain => in_vain.saturating_add(1),
            };
            tokio::select! {
                () = tokio::time::sleep(pause(in_vain, rand::random())) => {}
                () = recovers => in_vain = 0,
            }
        }
    }

    async fn check(&self) -> Check {
        let (held, namespace) = (self.holds_any(), self.namespace.as_str());
        if held == Some(false) {
            return Check::Answered;
        }
        match goes(&self.client, namespace).await {
            Ok(true) => {}
            Ok(false) if held == Some(true) => return Check::Answered,
            Ok(false) | Err(_) => return Check::InVain,
        }
        match let_go(&self.client, Some(namespace)).await {
            Ok(LetGo { count: 0, denied: None }) => Check::InVain,
            Ok(LetGo { count, denied: None }) => {
                tracing::warn!(namespace, count, "a namespace goes: its objects are let go");
                Check::Answered
            }
            Ok(LetGo { denied: Some(error), .. }) | Err(error) => {
                tracing::warn!(namespace, %error, "objects of a namespace that goes could not be let go");
                Check::InVain
            }
        }
    }

    /// Whether an object in a namespace is held. Nothing: they were not all listed yet.
    fn holds_any(&self) -> Option<bool> {
        let (namespace, caches) = (self.namespace.as_str(), &self.caches);
        self.listing.is_listed(namespace, HELD).then(|| {
            caches.hooks.in_namespace(namespace).iter().any(|hook| finalizer::is_held(&**hook))
                || caches.gateways.in_namespace(namespace).iter().any(|gateway| finalizer::is_held(&**gateway))
                || caches.orgs.in_namespace(namespace).iter().any(|org| finalizer::is_held(&**org))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::operator::{
        runtime::listing::{Listing, WatchScope},
        testing::world::{HOOKS, World},
    };

    const NAMESPACE: &str = "/api/v1/namespaces/otp";

    /// An operator that has not listed its namespace, in which a hook is held, and its checks of namespaces.
    fn unlisted() -> (World, tokio::task::JoinHandle<()>) {
        let mut world = World::new();
        world.server.put(
            &format!("{HOOKS}/main"),
            json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook",
                "metadata": {"name": "main", "namespace": "otp", "generation": 1, "finalizers": [finalizer::OKTA]},
                "spec": {"orgRef": {"name": "acme"}, "target": {"gatewayRef": {"name": "a"}}}}),
        );
        world.sync();
        world.change(|parts| parts.listing = Listing::new(&["otp".to_owned()]));
        let checks = tokio::spawn(watch(&world.ctx.runtime, &world.ctx.memory.caches, "hookswitch"));
        (world, checks)
    }

    fn list(world: &World) {
        for kind in HELD {
            world.ctx.runtime.listing.listed(&WatchScope::Namespace("otp".into()), *kind);
        }
    }

    fn is_held(world: &World) -> bool {
        world.server.get(&format!("{HOOKS}/main")).is_some_and(|hook| hook["metadata"]["finalizers"] != json!([]))
    }

    /// How long it takes until the hook is let go once its namespace is being deleted.
    async fn let_go_within(world: &World) -> Duration {
        world.server.put(
            NAMESPACE,
            json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "otp", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        let begun = Instant::now();
        while is_held(world) && begun.elapsed() < Duration::from_mins(2) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    }

    #[test]
    fn the_pause_grows_from_two_seconds_to_half_a_minute() {
        let seconds: Vec<f64> = (0..8).map(|in_vain| pause(in_vain, 0.5).as_secs_f64()).collect();
        assert_eq!(seconds, [2.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!((pause(0, 1.0), pause(u32::MAX, 0.0)), (LOOK, SLOWEST.mul_f64(0.8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_cannot_be_listed_is_checked_less_and_less_often_until_it_can_be() {
        let (world, checks) = unlisted();
        tokio::time::sleep(Duration::from_mins(10)).await;
        let reads = world.server.reads();
        assert!((15..=30).contains(&reads), "{reads} in ten minutes");
        list(&world);
        tokio::time::sleep(Duration::from_mins(1)).await;
        let reads = world.server.reads();
        assert!((29..=32).contains(&reads), "{reads} in a minute: a hook is held there");
        let took = let_go_within(&world).await;
        assert!(took <= LOOK + Duration::from_millis(200), "{took:?}");
        checks.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_goes_before_it_was_listed_is_noticed_within_a_bounded_time() {
        let (world, checks) = unlisted();
        tokio::time::sleep(Duration::from_mins(10)).await;
        let took = let_go_within(&world).await;
        assert!(took <= Duration::from_secs(40), "{took:?}");
        checks.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_may_not_be_read_is_asked_for_less_and_less_often_too() {
        for status in [http::StatusCode::FORBIDDEN, http::StatusCode::INTERNAL_SERVER_ERROR] {
            let (world, checks) = unlisted();
            list(&world);
            world.server.refuse_to_read(NAMESPACE, Some(status));
            tokio::time::sleep(Duration::from_mins(10)).await;
            let reads = world.server.reads();
            assert!((15..=30).contains(&reads), "{status}: {reads} in ten minutes");
            world.server.refuse_to_read(NAMESPACE, None);
            tokio::time::sleep(Duration::from_mins(1)).await;
            let took = let_go_within(&world).await;
            assert!(took <= LOOK + Duration::from_millis(200), "{status}: {took:?}");
            checks.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_is_gone_though_its_objects_were_observed_is_not_asked_for_every_time() {
        let (world, checks) = unlisted();
        list(&world);
        world.server.delete(&format!("{HOOKS}/main"));
        world.server.delete(NAMESPACE);
        tokio::time::sleep(Duration::from_mins(10)).await;
        // each check is four reads: the namespace, and what may be held there
        let reads = world.server.reads();
        assert!((4 * 15..=4 * 30).contains(&reads), "{reads} in ten minutes");
        checks.abort();
    }
}
