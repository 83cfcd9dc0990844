//! Caches that are behind: what Okta is changed for is read afresh.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::flow::{settle, world};
use crate::operator::{
    runtime::reconcile::Reconcile as _,
    testing::world::{HOOKS, World},
};
use hookswitch_api::OktaOrg;

/// Changes an object on the API server; the caches do not know of it yet.
fn change(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    let path = format!("{HOOKS}/{name}");
    let mut object = world.server.get(&path).unwrap();
    change(&mut object);
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
    world.server.put(&path, object);
}

/// A reconcile over the org as the caches have it; returns what it changed in Okta.
async fn stale_pass(world: &World) -> Vec<&'static str> {
    world.org.calls();
    let org = world.ctx.memory.caches.orgs.get("otp", "acme").unwrap();
    // that a cache is behind may end a reconcile; what counts is what Okta was asked
    drop(OktaOrg::reconcile(org, Arc::clone(&world.ctx)).await);
    world.org.calls().into_iter().filter(|call| !["list", "get", "identity", "log"].contains(call)).collect()
}

/// Two hooks, the first one active; both have what they need.
async fn at_rest() -> World {
    let mut world = world(&[("main", "Active"), ("other", "Inactive")]);
    world.ctx.memory.reports.serve("otp", "main", &["main", "other"]);
    for _ in 0..3 {
        settle(&mut world, &["main", "other"]).await;
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_was_taken_back_is_not_carried_out_because_a_cache_still_has_it() {
    for taken_back in [false, true] {
        let mut world = at_rest().await;
        change(&world, "main", |hook| hook["spec"]["state"] = json!("Inactive"));
        change(&world, "other", |hook| hook["spec"]["state"] = json!("Active"));
        world.sync();
        stale_pass(&world).await;
        tokio::time::advance(Duration::from_mins(1)).await;
        if taken_back {
            change(&world, "main", |hook| hook["spec"]["state"] = json!("Active"));
            change(&world, "other", |hook| hook["spec"]["state"] = json!("Inactive"));
        }
        let expected: &[&str] = if taken_back { &[] } else { &["deactivate", "activate"] };
        assert_eq!(stale_pass(&world).await, expected, "taken back: {taken_back}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_object_was_made_anew_is_not_deleted_because_a_cache_still_has_the_old_one() {
    for made_anew in [false, true] {
        let mut world = at_rest().await;
        change(&world, "other", |hook| {
            hook["spec"]["deletion"] = json!("Delete");
            hook["metadata"]["finalizers"] = json!(["hookswitch.dev/okta"]);
        });
        world.server.ask_to_delete(&format!("{HOOKS}/other"), Duration::from_secs(1));
        world.sync();
        if made_anew {
            change(&world, "other", |hook| {
                hook["metadata"]["deletionTimestamp"] = Value::Null;
                hook["metadata"]["uid"] = json!("another");
            });
        }
        let expected: &[&str] = if made_anew { &[] } else { &["delete"] };
        assert_eq!(stale_pass(&world).await, expected, "made anew: {made_anew}");
    }
}

#[tokio::test(start_paused = true)]
async fn content_is_written_as_it_is_declared_now_and_not_as_a_cache_has_it() {
    let mut world = at_rest().await;
    change(&world, "other", |hook| hook["spec"]["okta"]["name"] = json!("Renamed once"));
    world.sync();
    change(&world, "other", |hook| hook["spec"]["okta"]["name"] = json!("Renamed twice"));
    stale_pass(&world).await;
    let names: Vec<String> = world.org.hooks().into_iter().map(|hook| hook.name).collect();
    assert!(!names.contains(&"Renamed once".to_owned()), "{names:?}");
}
