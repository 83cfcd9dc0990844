//! What of Okta's rate limit is kept for a failover, and how soon one follows when Okta answers again.

use std::time::Duration;

use serde_json::json;

use super::{
    flow::{condition, hook, hook_pass, is, org_pass},
    switch::{PATH, active, probed_reconciles, reconciles, repointing, scene, serve, status, switch_pass},
};
use crate::operator::{
    runtime::reconcile::Requeue,
    testing::world::{HOOKS, World},
};
use hookswitch_okta::Failure;

/// A scene with a third hook, which no switch names; somebody has changed it in Okta.
async fn with_drift() -> World {
    let mut world = scene(|_| {});
    world.server.put(&format!("{HOOKS}/c"), hook("c", "Inactive"));
    world.ctx.memory.reports.serve("otp", "main", &["c"]);
    reconciles(&mut world, 4).await;
    hook_pass(&mut world, "c").await;
    reconciles(&mut world, 4).await;
    assert_eq!(world.org.hooks().len(), 3);
    world.org.edit(|hooks| of_c(hooks).uri = Some("https://changed.acme.com".into()));
    world
}

fn of_c(hooks: &mut [hookswitch_okta::ObservedHook]) -> &mut hookswitch_okta::ObservedHook {
    hooks.iter_mut().find(|hook| hook.name == "Acme c").unwrap()
}

fn is_mended(world: &World) -> bool {
    of_c(&mut world.org.hooks()).uri.as_deref() == Some("https://otp.acme.com/hooks/c")
}

#[tokio::test(start_paused = true)]
async fn with_few_calls_left_a_failover_happens_at_once_and_drift_waits_for_the_next_window() {
    let expected = vec!["list", "list", "deactivate", "activate", "list"];
    for left in 6..=9 {
        let mut world = with_drift().await;
        tokio::time::advance(Duration::from_secs(50)).await;
        world.org.calls();
        serve(&world, "a", false);
        // somebody else uses the limit up, and the poll that is due shows it
        world.org.leave(left + 1);
        reconciles(&mut world, 6).await;
        assert_eq!(active(&world), ["Acme b"], "{left} left");
        let calls = world.org.calls();
        assert_eq!((calls, is_mended(&world)), (expected.clone(), false), "{left} left");
        assert_eq!(status(&world)["history"][0]["outcome"], "Switched", "{left} left");
        tokio::time::advance(Duration::from_secs(50)).await;
        reconciles(&mut world, 3).await;
        assert!(is_mended(&world), "{left} left");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_a_failover_is_what_the_org_declares() {
    let mut world = with_drift().await;
    let path = format!("{}/acme", crate::operator::testing::world::ORGS);
    let mut org = world.server.get(&path).unwrap();
    org["spec"]["rateLimit"] = json!({"reserve": 100});
    world.server.put(&path, org);
    tokio::time::advance(Duration::from_secs(61)).await;
    world.org.leave(100);
    reconciles(&mut world, 8).await;
    assert!(!is_mended(&world), "100 left");
    assert_eq!(condition(&world, PATH, "Held"), is("False", "NotHeld"));
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 2).await;
    assert!(is_mended(&world), "a new window");
}

#[tokio::test(start_paused = true)]
async fn one_put_suffices_for_a_failover_by_repointing_when_nearly_nothing_is_left() {
    let mut world = repointing();
    reconciles(&mut world, 6).await;
    serve(&world, "a", false);
    tokio::time::advance(Duration::from_secs(50)).await;
    // two lists, the PUT and the list that confirms it
    world.org.leave(4);
    reconciles(&mut world, 7).await;
    assert_eq!(status(&world)["active"], "b", "{:?}", world.org.calls());
}

#[tokio::test(start_paused = true)]
async fn while_a_switch_is_under_way_no_probe_asks_okta() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 6).await;
    super::switch::annotate(&world, "hookswitch.dev/promote", "b");
    switch_pass(&mut world).await;
    assert_eq!(status(&world)["phase"], "FailingOver");
    tokio::time::advance(Duration::from_mins(6)).await;
    world.sync();
    world.org.calls();
    let mut asking = tokio::task::JoinSet::new();
    crate::operator::probes::round(&world.ctx.prober, &mut asking).await;
    while asking.join_next().await.is_some() {}
    assert_eq!(world.org.calls(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failover_follows_within_ten_seconds_of_okta_answering_again_however_long_it_did_not() {
    for (before, during) in [(0, 12), (300, 12), (3_600, 6)] {
        let mut world = scene(|_| {});
        reconciles(&mut world, 6).await;
        tokio::time::advance(Duration::from_secs(61)).await;
        world.org.fail(Some(Failure::Server { status: 503, code: None }));
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(before) {
            let Requeue::After(wait) = org_pass(&mut world).await else { panic!("it is looked at again") };
            tokio::time::advance(wait).await;
            waited += wait;
        }
        serve(&world, "a", false);
        reconciles(&mut world, during).await;
        assert_eq!(condition(&world, PATH, "Held"), is("True", "OktaUnknown"));
        let Requeue::After(often) = org_pass(&mut world).await else { panic!("it is looked at again") };
        assert!(often <= Duration::from_secs(8), "{often:?} after {waited:?}");

        world.org.fail(None);
        assert_switched_within_ten_seconds(&mut world, &format!("{before} s and {during} looks of 503")).await;
    }
}

async fn assert_switched_within_ten_seconds(world: &mut World, after: &str) {
    let mut seconds = 0;
    while active(world) != ["Acme b"] {
        switch_pass(world).await;
        org_pass(world).await;
        switch_pass(world).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds <= 10, "{after}: {:?}", status(world)["phase"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_after_a_long_outage_delays_a_failover_by_what_okta_asks_for_and_not_by_the_outage() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    tokio::time::advance(Duration::from_secs(61)).await;
    world.org.fail(Some(Failure::Server { status: 503, code: None }));
    serve(&world, "a", false);
    reconciles(&mut world, 36).await;
    assert_eq!(condition(&world, PATH, "Held"), is("True", "OktaUnknown"));
    world.org.calls();
    world.org.fail(Some(Failure::RateLimited { wait: Duration::from_secs(5), concurrency: false }));
    while world.org.calls().is_empty() {
        tokio::time::advance(Duration::from_secs(1)).await;
        org_pass(&mut world).await;
    }
    world.org.fail(None);
    assert_switched_within_ten_seconds(&mut world, "503 for three minutes, then one 429").await;
}

#[tokio::test(start_paused = true)]
async fn what_okta_asks_for_after_a_429_is_heeded_by_a_failover_too() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    serve(&world, "a", false);
    tokio::time::advance(Duration::from_secs(50)).await;
    world.org.leave(0);
    reconciles(&mut world, 6).await;
    world.org.calls();
    reconciles(&mut world, 4).await;
    assert_eq!((active(&world), world.org.calls()), (vec!["Acme a".to_owned()], vec![]), "until the window resets");
    reconciles(&mut world, 4).await;
    assert_eq!(active(&world), ["Acme b"]);
}
