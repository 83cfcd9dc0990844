//! What a round costs where many switches are in one namespace.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::super::{
    double::{GATEWAYS, HOOKS, SWITCHES, World},
    flow_tests::{gateway, hook, world},
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

/// The shortest of a few rounds; what is asked is not waited for.
async fn takes(switches: usize) -> Duration {
    let world = many(switches);
    let mut shortest = Duration::MAX;
    for number in 0..3 {
        let mut asking = JoinSet::new();
        let begun = Instant::now();
        super::round(&world.ctx, &mut asking).await;
        shortest = shortest.min(begun.elapsed());
        // the first round of all begins every probe, so all of it was looked at
        assert_eq!(asking.len(), if number == 0 { switches * 2 } else { 0 });
    }
    shortest
}

#[tokio::test(start_paused = true)]
async fn a_round_over_ten_times_as_many_switches_takes_about_ten_times_as_long() {
    let mut took = Vec::new();
    for switches in [50, 200, 500] {
        took.push(takes(switches).await);
        println!("{switches} switches: {:?}", took.last());
    }
    assert!(took[2] < took[0] * 30, "not as the square: {took:?}");
}
