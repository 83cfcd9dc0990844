//! Who is woken for a switch, and what is left of one that is gone.

use std::sync::Arc;

use serde_json::json;

use crate::operator::{
    controllers::context::Context,
    runtime::reconcile::Reconcile,
    testing::world::{SWITCHES, World},
    tests::switch::{PATH, reconciles, scene},
};
use hookswitch_api::HookSwitch;

fn read(world: &World, path: &str) -> Arc<HookSwitch> {
    Arc::new(serde_json::from_value(world.server.get(path).unwrap()).unwrap())
}

fn transitions(world: &World, path: &str) -> Vec<String> {
    read(world, path).dependents(&world.ctx).iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_hooks_their_org_and_rivals_over_one_of_them_are_woken_for_a_switch() {
    let mut world = scene(|_| {});
    let other = |name: &str, hooks: [&str; 2]| {
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"name": name, "namespace": "otp", "generation": 1},
            "spec": {"hooks": [{"name": hooks[0]}, {"name": hooks[1]}]}});
        world.server.put(&format!("{SWITCHES}/{name}"), switch);
    };
    other("rival", ["b", "c"]);
    other("stranger", ["c", "d"]);
    world.sync();
    let own = ["TelephonyHook otp/a", "TelephonyHook otp/b", "OktaOrg otp/acme"];
    assert_eq!(transitions(&world, PATH), [&own[..], &["HookSwitch otp/rival"]].concat());
    let rival = transitions(&world, &format!("{SWITCHES}/rival"));
    assert!(rival.contains(&"HookSwitch otp/acme".to_owned()) && rival.contains(&"HookSwitch otp/stranger".to_owned()));
    assert!(!rival.contains(&"HookSwitch otp/rival".to_owned()), "it knows of itself");
    // what hooks' addresses and Okta's log say is asked for as long as the operator leads
    assert_eq!(<HookSwitch as Reconcile>::watches(&world.ctx).len(), 1);
}

fn metrics(ctx: &Context) -> String {
    ctx.metrics.registry.render()
}

#[tokio::test(start_paused = true)]
async fn of_a_switch_that_is_gone_no_figure_is_left_and_one_of_its_name_begins_anew() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 4).await;
    let switch = read(&world, PATH);
    let key = super::key(&switch);
    assert!(metrics(&world.ctx).contains("\"otp/acme\""), "{}", metrics(&world.ctx));
    assert!(world.ctx.memory.switches.machine(&key).is_some());
    HookSwitch::gone(&switch, &world.ctx);
    let left = metrics(&world.ctx);
    let of_phase = left.lines().filter(|line| line.contains("\"otp/acme\"") && line.contains("phase"));
    assert_eq!(of_phase.count(), 0, "{left}");
    assert!(world.ctx.memory.switches.machine(&key).is_none());
}
