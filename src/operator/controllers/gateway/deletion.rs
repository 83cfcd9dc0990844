//! Deleting a gateway's object: one that Okta calls stays until it is not called any more.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::operator::{
    runtime::{error::ReconcileError, finalizer, kube::Kube, namespace},
    state::caches::{By, Caches},
};
use hookswitch_api::{HookState, TelephonyGateway, TelephonyHook, TelephonyHookStatus};

/// Whether a gateway's reconcile goes on, and what holds the gateway when it is being deleted.
pub struct GatewayDeletion {
    /// The gateway as it is now.
    pub gateway: Arc<TelephonyGateway>,
    /// The hook that holds it although it is being deleted.
    pub held_by: Option<String>,
}

/// Holds a gateway while a hook that is declared or seen ACTIVE points at it. `None`: the object is gone, or as good as.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn settle(
    gateway: &Arc<TelephonyGateway>,
    kube: &Kube,
    caches: &Caches,
) -> Result<Option<GatewayDeletion>, ReconcileError> {
    let space = gateway.namespace().unwrap_or_default();
    let user = user(gateway, caches);
    if gateway.metadata.deletion_timestamp.is_none() {
        let gateway = finalizer::set(kube, gateway, &[(finalizer::IN_USE, user.is_some())]).await?;
        return Ok(Some(GatewayDeletion { gateway, held_by: None }));
    }
    if !finalizer::holds(&**gateway, finalizer::IN_USE) {
        return Ok(None);
    }
    if user.is_some() && !finalizer::is_forced(&**gateway) && !namespace::is_terminating(&kube.client, &space).await? {
        return Ok(Some(GatewayDeletion { gateway: Arc::clone(gateway), held_by: user }));
    }
    finalizer::set(kube, gateway, &[(finalizer::IN_USE, false)]).await?;
    Ok(None)
}

/// The first hook that Okta calls, or is to call, at this gateway.
fn user(gateway: &TelephonyGateway, caches: &Caches) -> Option<String> {
    let pointing = caches.hooks.found(&gateway.namespace().unwrap_or_default(), &By::Gateway(gateway.name_any()));
    let uses = |hook: &&Arc<TelephonyHook>| {
        let live = hook.metadata.deletion_timestamp.is_none() || finalizer::is_held(&***hook);
        let is_active = hook.status.as_ref().is_some_and(TelephonyHookStatus::is_active_in_okta);
        let used = is_active || hook.spec.state == Some(HookState::Active) || caches.pointed_here(hook).is_some();
        live && used
    };
    pointing.iter().find(uses).map(|hook| hook.name_any())
}

/// What is said of a gateway that is held.
pub fn message(hook: &str) -> String {
    format!(
        "It is being deleted, and keeps serving because Okta uses TelephonyHook {hook}, which points at it. Make another \
         hook active, or set the annotation {}=true to delete it anyway.",
        finalizer::FORCE
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::operator::testing::world::{GATEWAYS, HOOKS, World};

    fn world(state: &str, okta_state: &str) -> World {
        let mut world = World::new();
        world.server.put(
            &format!("{GATEWAYS}/main"),
            json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
                "metadata": {"name": "main", "namespace": "otp"},
                "spec": {"policies": {"names": ["default"]}, "publicURL": "https://otp.acme.com"}}),
        );
        world.server.put(
            &format!("{HOOKS}/main"),
            json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook",
                "metadata": {"name": "main", "namespace": "otp"}, "status": {"oktaState": okta_state},
                "spec": {"target": {"gatewayRef": {"name": "main"}}, "state": state,
                    "okta": {"orgRef": {"name": "acme"}, "name": "Acme"}}}),
        );
        world.sync();
        world
    }

    async fn settled(world: &mut World) -> Option<GatewayDeletion> {
        world.sync();
        let gateway = world.ctx.memory.caches.gateways.get("otp", "main").unwrap();
        settle(&gateway, &world.ctx.runtime.kube, &world.ctx.memory.caches).await.unwrap()
    }

    fn is_there(world: &World) -> bool {
        world.server.get(&format!("{GATEWAYS}/main")).is_some()
    }

    #[tokio::test]
    async fn a_gateway_that_okta_calls_serves_on_until_it_is_not_called_any_more() {
        for (state, okta_state) in [("Active", "INACTIVE"), ("Inactive", "ACTIVE")] {
            let mut world = world(state, okta_state);
            assert!(settled(&mut world).await.is_some_and(|settled| settled.held_by.is_none()));
            world.server.ask_to_delete(&format!("{GATEWAYS}/main"), Duration::ZERO);
            let held = settled(&mut world).await.unwrap();
            assert_eq!(held.held_by.as_deref(), Some("main"), "{state} {okta_state}");
            assert!(message("main").contains("TelephonyHook main"));
            world.server.delete(&format!("{HOOKS}/main"));
            assert!(settled(&mut world).await.is_none() && !is_there(&world));
        }
    }

    #[tokio::test]
    async fn a_gateway_that_nobody_calls_is_not_held() {
        let mut world = world("Inactive", "INACTIVE");
        settled(&mut world).await;
        world.server.ask_to_delete(&format!("{GATEWAYS}/main"), Duration::ZERO);
        assert!(!is_there(&world));
    }

    #[tokio::test]
    async fn a_person_may_let_a_gateway_go_all_the_same() {
        let mut world = world("Active", "ACTIVE");
        settled(&mut world).await;
        let mut forced = world.server.get(&format!("{GATEWAYS}/main")).unwrap();
        forced["metadata"]["annotations"] = json!({finalizer::FORCE: "true"});
        world.server.put(&format!("{GATEWAYS}/main"), forced);
        world.server.ask_to_delete(&format!("{GATEWAYS}/main"), Duration::ZERO);
        assert!(settled(&mut world).await.is_none() && !is_there(&world));
    }
}
