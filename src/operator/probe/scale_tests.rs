//! What a round costs where many switches are in one namespace.

use serde_json::json;
use tokio::task::JoinSet;

use super::super::{
    double::{GATEWAYS, HOOKS, SWITCHES, World},
    flow_tests::{gateway, hook, world},
    switch::ruling::tests::LOOKED,
};

/// So many switches with two hooks each, all of one org.
fn many(switches: usize) -> World {
    let mut world = world(&[]);
    world.server.put(&format!("{GATEWAYS}/main"), gateway());
    for number in 0..switches {
        let hooks = ["a", "b"].map(|side| format!("{side}-{number:04}"));
        for name in &hooks {
            let mut one = hook(name, "Active");
            one["spec"].as_object_mut().unwrap().remove("state");
            world.server.put(&format!("{HOOKS}/{name}"), one);
        }
        let name = format!("switch-{number:04}");
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"name": name, "namespace": "otp", "generation": 1},
            "spec": {"hooks": hooks.map(|name| json!({"name": name}))}});
        world.server.put(&format!("{SWITCHES}/{name}"), switch);
    }
    world.sync();
    world
}

/// How many declarations a round looks at; what is asked is not waited for.
async fn looks(switches: usize) -> usize {
    let world = many(switches);
    let (before, mut asking) = (LOOKED.get(), JoinSet::new());
    super::round(&world.ctx, &mut asking).await;
    // the first round begins every probe, so all of it was looked at
    assert_eq!(asking.len(), switches * 2);
    LOOKED.get() - before
}

#[tokio::test(start_paused = true)]
async fn a_round_over_ten_times_as_many_switches_of_one_org_looks_at_ten_times_as_many_declarations() {
    let (few, many) = (looks(50).await, looks(500).await);
    assert!(few >= 50 && many <= few * 10, "{few} for 50 switches, {many} for 500");
}
