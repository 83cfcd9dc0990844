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

/// As the square of their number it took 25 s; what is left is thirty times what it takes on a machine with nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_round_over_five_hundred_switches_of_one_org_takes_no_noticeable_part_of_a_second() {
    for switches in [50, 200, 500] {
        let took = takes(switches).await;
        println!("a round over {switches} switches: {took:?}");
        assert!(took < Duration::from_millis(500), "{switches} switches: {took:?}");
    }
}
