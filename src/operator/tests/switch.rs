//! Reconciles over a switch, its hooks and their org, from a failing gateway to another active hook in Okta.

use std::{sync::Arc, time::Duration};

use base64::Engine as _;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::flow::{condition, gateway, hook, hook_pass, is, org_pass, secret, world};
use crate::operator::{
    probes,
    runtime::{
        error::ReconcileError,
        listing::{Listing, WatchScope},
        reconcile::{Reconcile as _, Requeue},
        triggers::{Target, Woken},
    },
    state::reports::Serving,
    testing::world::{GATEWAYS, HOOKS, REPORT_TOKEN, SECRETS, SWITCHES, World},
};
use hookswitch_api::{HookSwitch, Kind, OktaOrg, TelephonyGateway};
use hookswitch_gateway_config::report::{HookReport, ReplicaReport};
use hookswitch_okta::{Failure, ObjectRef, log, types::HookStatus};

pub const PATH: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/hookswitches/acme";

/// Two hooks, each with its gateway, and a switch over them.
pub fn scene(change: impl FnOnce(&mut Value)) -> World {
    let mut world = world(&[]);
    for name in ["a", "b"] {
        let mut of = gateway();
        of["metadata"]["name"] = json!(name);
        of["spec"]["publicURL"] = json!(format!("https://{name}.acme.com"));
        world.server.put(&format!("{GATEWAYS}/{name}"), of);
        let mut one = hook(name, "Active");
        one["spec"].as_object_mut().unwrap().remove("state");
        one["spec"]["target"]["gatewayRef"]["name"] = json!(name);
        world.server.put(&format!("{HOOKS}/{name}"), one);
        let mut report = secret(&format!("{name}-gateway-report"), "token", REPORT_TOKEN);
        for part in ["tls.crt", "tls.key"] {
            report["data"][part] = json!("eA==");
        }
        world.server.put(&format!("{SECRETS}/{name}-gateway-report"), report);
    }
    let mut switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
        "metadata": {"name": "acme", "namespace": "otp", "generation": 1},
        "spec": {"hooks": [{"name": "a"}, {"name": "b"}]}});
    change(&mut switch);
    world.server.put(PATH, switch);
    serve(&world, "a", true);
    serve(&world, "b", true);
    world.sync();
    world
}

/// Lets a gateway have a ready replica that serves its hook and has its providers, or none.
pub fn serve(world: &World, name: &str, serves: bool) {
    let serving = if serves { Serving::Yes { replicas: 1 } } else { Serving::Unknown };
    world.ctx.memory.reports.set_serving("otp", name, name, serving);
}

/// Lets a gateway take the secret of its hook as it is now.
fn accept(world: &World, name: &str) {
    let Some(secret) = world.server.get(&format!("{SECRETS}/{name}-hook-auth")) else { return };
    let value = base64::engine::general_purpose::STANDARD.decode(secret["data"]["value"].as_str().unwrap()).unwrap();
    let value = String::from_utf8(value).unwrap();
    let fingerprint = world.ctx.installation.key.secret(&ObjectRef::new("otp", name), "Authorization", &value);
    world.ctx.memory.reports.set_accepted("otp", name, name, fingerprint);
}

pub async fn switch_pass(world: &mut World) {
    world.sync();
    let switch = world.ctx.memory.caches.switches.get("otp", "acme").unwrap();
    HookSwitch::reconcile(switch, Arc::clone(&world.ctx)).await.unwrap();
}

/// One reconcile over everything, and what it wakes.
async fn reconcile_all(world: &mut World) {
    for name in ["a", "b"] {
        if world.server.get(&format!("{HOOKS}/{name}")).is_some() {
            hook_pass(world, name).await;
        }
        accept(world, name);
    }
    if world.server.get(PATH).is_some() {
        switch_pass(world).await;
    }
    org_pass(world).await;
    org_pass(world).await;
    if world.server.get(PATH).is_some() {
        switch_pass(world).await;
    }
}

/// Reconciles over everything as they follow each other, five seconds apart.
pub async fn reconciles(world: &mut World, count: usize) {
    for _ in 0..count {
        reconcile_all(world).await;
        tokio::time::advance(Duration::from_secs(5)).await;
    }
}

/// One reconcile over everything after the probes that are due.
pub async fn probed_reconcile(world: &mut World) {
    let mut asking = tokio::task::JoinSet::new();
    probes::round(&world.ctx.prober, &mut asking).await;
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    reconcile_all(world).await;
}

/// Reconciles five seconds apart, with the probes that are due before each of them.
pub async fn probed_reconciles(world: &mut World, count: usize) {
    for _ in 0..count {
        probed_reconcile(world).await;
        tokio::time::advance(Duration::from_secs(5)).await;
    }
}

/// What a source says of a hook, by status.
pub fn signal(world: &World, hook: &str, source: &str) -> String {
    let shown = status(world);
    let hooks = shown["hooks"].as_array().unwrap();
    let hook = hooks.iter().find(|shown| shown["name"] == hook).unwrap();
    let signals = hook["signals"].as_array().unwrap();
    let signal = signals.iter().find(|signal| signal["source"] == source).unwrap();
    signal["result"].as_str().unwrap().to_owned()
}

/// The names in Okta of active hooks.
pub fn active(world: &World) -> Vec<String> {
    let hooks = world.org.hooks();
    hooks.iter().filter(|hook| hook.status == HookStatus::Active).map(|hook| hook.name.clone()).collect()
}

pub fn status(world: &World) -> Value {
    world.server.get(PATH).unwrap()["status"].clone()
}

pub fn annotate(world: &World, name: &str, value: &str) {
    let mut switch = world.server.get(PATH).unwrap();
    switch["metadata"]["annotations"][name] = json!(value);
    world.server.put(PATH, switch);
}

#[tokio::test(start_paused = true)]
async fn the_first_hook_is_active_and_the_standby_exists_and_is_proven() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    assert_eq!(active(&world), ["Acme a"]);
    assert_eq!(world.org.hooks().len(), 2);
    let status = status(&world);
    assert_eq!(
        (&status["phase"], &status["active"], &status["standby"]),
        (&json!("Healthy"), &json!("a"), &json!("b"))
    );
    for (kind, expected) in [
        ("Ready", is("True", "Ready")),
        ("FailoverReady", is("True", "StandbyProven")),
        ("FailoverActive", is("False", "OnFirst")),
        ("Held", is("False", "NotHeld")),
    ] {
        assert_eq!(condition(&world, PATH, kind), expected, "{kind}");
    }
    for name in ["a", "b"] {
        assert_eq!(condition(&world, &format!("{HOOKS}/{name}"), "Ready"), is("True", "Ready"));
    }
    world.server.writes();
    world.org.calls();
    reconciles(&mut world, 12).await;
    assert_eq!(world.server.writes(), Vec::<String>::new(), "nothing is written while nothing changes");
    assert_eq!(world.org.calls(), ["list"], "the declared poll");
}

#[tokio::test(start_paused = true)]
async fn when_the_active_hooks_gateway_is_gone_the_standby_is_active_and_a_person_brings_the_first_back() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    world.org.calls();
    serve(&world, "a", false);
    reconciles(&mut world, 3).await;
    assert_eq!((active(&world), status(&world)["phase"].clone()), (vec!["Acme a".into()], json!("Suspect")));
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Acme b"]);
    let calls = world.org.calls();
    let swap: Vec<&str> = calls.iter().copied().skip_while(|call| *call != "deactivate").collect();
    assert_eq!(swap[..3], ["deactivate", "activate", "list"], "{calls:?}");
    let shown = status(&world);
    assert_eq!((&shown["phase"], &shown["active"]), (&json!("OnStandby"), &json!("b")));
    assert_eq!(shown["history"][0]["cause"], "Failed");
    let steps = shown["history"][0]["steps"].as_array().unwrap();
    let named: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(named, ["List", "Record", "Deactivate", "Activate", "ReadBack"]);
    assert!(steps.iter().all(|step| step["tookMs"].is_i64() && step["outcome"].is_null()), "{steps:?}");
    assert!(shown["history"][0]["withoutActiveMs"].is_i64());
    assert_eq!(condition(&world, PATH, "FailoverActive"), is("True", "OnStandby"));
    assert_eq!(condition(&world, PATH, "Ready"), is("True", "Ready"), "a switch on its standby is Ready");

    serve(&world, "a", true);
    reconciles(&mut world, 10).await;
    assert_eq!((active(&world), status(&world)["phase"].clone()), (vec!["Acme b".into()], json!("Recovering")));
    annotate(&world, "hookswitch.dev/failback", "ann, 10:42");
    reconciles(&mut world, 2).await;
    assert_eq!(active(&world), ["Acme a"]);
    assert_eq!(status(&world)["handled"]["failback"], "ann, 10:42");
    reconciles(&mut world, 10).await;
    assert_eq!((active(&world), status(&world)["phase"].clone()), (vec!["Acme a".into()], json!("Healthy")));
}

/// Reconciles over the switch and its org, each begun when it is woken, beside those that run; until all is still.
async fn woken(world: &mut World) {
    let (orgs, switches) =
        (world.ctx.runtime.triggers.listen(Kind::OktaOrg), world.ctx.runtime.triggers.listen(Kind::HookSwitch));
    let mut wakes = std::pin::pin!(futures::stream::select(orgs, switches));
    let mut running = tokio::task::JoinSet::<Result<(), ReconcileError>>::new();
    world.ctx.runtime.triggers.wake(Target::new(Kind::HookSwitch, "otp", "acme"));
    loop {
        let kind = tokio::select! {
            biased;
            Some(Woken { target, .. }) = wakes.next() => target.kind,
            ended = running.join_next() => match ended {
                Some(ended) => { ended.unwrap().unwrap(); continue }
                None => return,
            },
        };
        world.sync();
        let (ctx, org) = (Arc::clone(&world.ctx), world.ctx.memory.caches.orgs.get("otp", "acme").unwrap());
        let switch = world.ctx.memory.caches.switches.get("otp", "acme").unwrap();
        match kind {
            Kind::OktaOrg => running.spawn(async move { OktaOrg::reconcile(org, ctx).await.map(drop) }),
            _ => running.spawn(async move { HookSwitch::reconcile(switch, ctx).await.map(drop) }),
        };
    }
}

/// In simulated time, where only waiting takes any: what the machine's own work adds is for benchmarks.
#[tokio::test(start_paused = true)]
async fn a_switch_waits_for_four_calls_to_okta_and_for_reading_and_recording_its_plan() {
    let (of_okta, of_kubernetes) = (Duration::from_millis(80), Duration::from_millis(10));
    let mut world = scene(|_| {});
    reconciles(&mut world, 8).await;
    serve(&world, "a", false);
    reconciles(&mut world, 4).await;
    assert_eq!(status(&world)["phase"], "Suspect");
    world.org.slow_down(of_okta);
    world.server.slow_down(of_kubernetes);
    while active(&world) == ["Acme a"] {
        woken(&mut world).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let shown = status(&world);
    let record = &shown["history"][0];
    let millis = |of: Duration| i64::try_from(of.as_millis()).unwrap();
    assert_eq!(record["withoutActiveMs"], millis(of_okta * 2), "between two calls there is nothing else: {record}");
    // the decision and the plan are recorded, hooks and switches are read anew at the same time; the two secrets, read twice
    // here, are watched in a cluster
    let beside = of_kubernetes * (2 + 1 + 2 * 2);
    assert_eq!(record["tookMs"], millis(of_okta * 4 + beside), "{record}");
}

#[tokio::test(start_paused = true)]
async fn a_person_promotes_the_standby_once_per_value() {
    let mut world = scene(|switch| switch["spec"]["mode"] = json!("Manual"));
    reconciles(&mut world, 4).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Acme b"]);
    annotate(&world, "hookswitch.dev/failback", "1");
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Acme a"], "the promotion that stands there still is not done again");
}

#[tokio::test(start_paused = true)]
async fn with_okta_silent_nothing_is_switched_and_the_switch_says_so() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    world.org.fail(Some(Failure::Unreachable { detail: "connection refused".into() }));
    tokio::time::advance(Duration::from_secs(61)).await;
    serve(&world, "a", false);
    world.org.calls();
    reconciles(&mut world, 10).await;
    assert!(world.org.calls().iter().all(|call| *call == "list" || *call == "identify"));
    assert_eq!(condition(&world, PATH, "Held"), is("True", "OktaUnknown"));
    world.org.fail(None);
    tokio::time::advance(Duration::from_mins(6)).await;
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Acme b"]);
}

#[tokio::test(start_paused = true)]
async fn when_every_hook_fails_nothing_is_switched() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    serve(&world, "a", false);
    serve(&world, "b", false);
    reconciles(&mut world, 20).await;
    assert_eq!(active(&world), ["Acme a"]);
    assert_eq!(condition(&world, PATH, "Held"), is("True", "AllHooksFail"));
}

#[tokio::test(start_paused = true)]
async fn who_decides_must_be_declared_without_contradiction_or_no_call_is_made() {
    let mut world = scene(|_| {});
    let mut conflicting = world.server.get(&format!("{HOOKS}/b")).unwrap();
    conflicting["spec"]["state"] = json!("Active");
    world.server.put(&format!("{HOOKS}/b"), conflicting);
    reconciles(&mut world, 6).await;
    assert!(world.org.calls().iter().all(|call| *call == "list" || *call == "identify"));
    assert_eq!(condition(&world, PATH, "Ready"), is("False", "SwitchConflict"));
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("False", "SwitchConflict"));
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_deleted_changes_nothing_in_okta() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 3).await;
    let before = world.org.hooks();
    world.server.delete(PATH);
    world.org.calls();
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 10).await;
    assert_eq!(world.org.hooks(), before);
    assert!(world.org.calls().iter().all(|call| *call == "list"));
    assert!(SWITCHES.len() < PATH.len());
}

#[tokio::test(start_paused = true)]
async fn whoever_switches_in_okta_between_the_hooks_is_not_fought_and_who_switches_all_off_is_mended() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    in_console(&world, "Acme b");
    tokio::time::advance(Duration::from_secs(61)).await;
    world.org.calls();
    reconciles(&mut world, 6).await;
    assert_eq!(active(&world), ["Acme b"]);
    assert!(world.org.calls().iter().all(|call| *call == "list"), "nobody is fought");
    let shown = status(&world);
    assert_eq!((&shown["target"], &shown["history"][0]["cause"]), (&json!("b"), &json!("ChangedInOkta")));
    assert_eq!(shown["history"][0]["steps"], Value::Null, "it was not ours");

    world.org.edit(|hooks| hooks.iter_mut().for_each(|hook| hook.status = HookStatus::Inactive));
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 2).await;
    assert_eq!(active(&world), ["Acme b"], "none active is repaired at the next poll");
}

/// A person exchanges the active hook in Okta.
fn in_console(world: &World, name: &str) {
    world.org.edit(|hooks| {
        for hook in hooks {
            hook.status = if hook.name == name { HookStatus::Active } else { HookStatus::Inactive };
        }
    });
}

/// An operator that remembers nothing but what is in the API server.
fn next_leader(world: &World) -> World {
    let (server, org) = (world.server.clone(), world.org.clone());
    let next = World::between(server, org.clone(), Arc::new(org));
    for name in ["a", "b"] {
        serve(&next, name, true);
    }
    next
}

#[tokio::test(start_paused = true)]
async fn whoever_switches_in_okta_while_nobody_leads_is_not_fought_by_the_next_leader() {
    for b_is_well in [true, false] {
        let mut world = scene(|_| {});
        reconciles(&mut world, 4).await;
        assert_eq!(active(&world), ["Acme a"]);
        in_console(&world, "Acme b");
        world.org.calls();
        let mut next = next_leader(&world);
        serve(&next, "b", b_is_well);
        reconciles(&mut next, 2).await;
        assert_eq!(active(&next), ["Acme b"], "a person's word, whatever is known of the hook");
        let shown = status(&next);
        assert_eq!((&shown["target"], &shown["history"][0]["cause"]), (&json!("b"), &json!("ChangedInOkta")));
        assert!(next.org.calls().iter().all(|call| ["identify", "list"].contains(call)), "nothing is changed in Okta");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_becomes_active_inside_a_switch_is_reported_and_not_fought_and_ours_follows_when_he_goes() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    world.org.usurp("Theirs");
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Theirs"]);
    assert_eq!(condition(&world, PATH, "Held"), is("True", "Conflict"));
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("False", "Conflict"));
    world.org.calls();
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 6).await;
    assert!(world.org.calls().iter().all(|call| *call == "list"), "nobody is fought");
    world.org.edit(|hooks| hooks.retain(|hook| hook.name != "Theirs"));
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 3).await;
    assert_eq!(active(&world), ["Acme b"], "what was refused because of him is asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_was_recorded_is_carried_out_by_the_next_leader() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    switch_pass(&mut world).await;
    assert_eq!((status(&world)["target"].clone(), active(&world)), (json!("b"), vec!["Acme a".to_owned()]));
    // this operator is gone before Okta hears of it
    let mut next = next_leader(&world);
    reconciles(&mut next, 2).await;
    assert_eq!(active(&next), ["Acme b"]);
    assert_eq!(status(&next)["history"][0]["cause"], "Promoted");
}

#[tokio::test(start_paused = true)]
async fn in_mode_disabled_nothing_is_done_at_all() {
    let mut world = scene(|switch| switch["spec"]["mode"] = json!("Disabled"));
    reconciles(&mut world, 6).await;
    let before = world.org.hooks();
    serve(&world, "a", false);
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 20).await;
    assert_eq!(world.org.hooks(), before);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_neither_we_nor_okta_reach_is_left_and_okta_is_asked_at_once_and_seldom_else() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 10).await;
    for hook in ["a", "b"] {
        assert_eq!(signal(&world, hook, "PublicURL"), "Pass");
    }
    assert_eq!((signal(&world, "a", "Execute"), signal(&world, "b", "Execute")), ("Pass".into(), "Unknown".into()));
    world.org.calls();
    world.server.writes();
    for _ in 0..119 {
        // an hour's reports come in between
        serve(&world, "a", true);
        serve(&world, "b", true);
        probed_reconciles(&mut world, 1).await;
    }
    let calls = world.org.calls();
    let count = |verb: &str| calls.iter().filter(|call| **call == verb).count();
    assert_eq!((count("execute"), count("log")), (2, 20), "in ten minutes: every five minutes, every thirty seconds");
    assert_eq!(world.server.writes(), Vec::<String>::new());

    world.org.break_addresses(&["https://a."]);
    probed_reconciles(&mut world, 2).await;
    assert_eq!((signal(&world, "a", "PublicURL"), signal(&world, "a", "Execute")), ("Fail".into(), "Fail".into()));
    probed_reconciles(&mut world, 5).await;
    assert_eq!(active(&world), ["Acme b"]);
    assert_eq!(status(&world)["history"][0]["cause"], "Failed");

    world.org.break_addresses(&[]);
    probed_reconciles(&mut world, 16).await;
    assert_eq!(signal(&world, "b", "Execute"), "Pass");
    assert_eq!(status(&world)["phase"], "Recovering", "the first hook is well by all that is known");
}

#[tokio::test(start_paused = true)]
async fn okta_is_asked_soon_about_a_hook_that_is_active_again() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a."]);
    probed_reconciles(&mut world, 8).await;
    world.org.break_addresses(&[]);
    probed_reconciles(&mut world, 12).await;
    annotate(&world, "hookswitch.dev/failback", "1");
    probed_reconciles(&mut world, 2).await;
    assert_eq!(active(&world), ["Acme a"]);
    world.org.calls();
    probed_reconciles(&mut world, 12).await;
    assert_eq!(signal(&world, "a", "Execute"), "Pass");
    assert!(world.org.calls().iter().filter(|call| **call == "execute").count() <= 1);
}

#[tokio::test(start_paused = true)]
async fn okta_is_asked_at_once_about_a_hook_whose_address_begins_to_fail_and_then_ever_more_seldom() {
    let mut world = scene(|switch| switch["spec"]["detection"]["interval"] = json!("1s"));
    probed_reconciles(&mut world, 12).await;
    world.org.calls();
    let mut asked = Vec::new();
    for second in 0..45 {
        if second == 3 {
            world.org.break_addresses(&["https://a."]);
        }
        let mut asking = tokio::task::JoinSet::new();
        probes::round(&world.ctx.prober, &mut asking).await;
        while let Some(asked) = asking.join_next().await {
            asked.unwrap();
        }
        asked.extend(world.org.calls().contains(&"execute").then_some(second));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(asked, [4, 5, 6, 8, 12, 20, 35], "as long again as it has failed, at most 15 s");
}

#[tokio::test(start_paused = true)]
async fn a_corroborating_signal_that_is_not_asked_any_more_hurries_nobody_for_long() {
    let mut world = scene(|switch| switch["spec"]["detection"] = json!({"interval": "1s"}));
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a.", "https://b."]);
    probed_reconciles(&mut world, 3).await;
    assert_ne!(signal(&world, "a", "PublicURL"), "Pass");
    let mut switch = world.server.get(PATH).unwrap();
    switch["spec"]["detection"]["publicURL"] = json!({"enabled": false});
    world.server.put(PATH, switch);
    world.org.break_addresses(&[]);
    probed_reconciles(&mut world, 30).await;
    world.org.calls();
    probed_reconciles(&mut world, 120).await;
    let calls = world.org.calls();
    let count = |verb: &str| calls.iter().filter(|call| **call == verb).count();
    assert_eq!((count("execute"), count("log")), (2, 20), "in ten minutes, as when all is well");
}

#[tokio::test(start_paused = true)]
async fn gateways_are_asked_as_often_as_their_hurried_switch_evaluates_and_know_whom_to_wake() {
    let interval = |change: fn(&mut Value)| {
        let world = scene(change);
        let woken = world.ctx.memory.caches.over("otp", "a");
        assert_eq!(woken.len(), 1, "{woken:?}");
        assert_eq!(world.ctx.memory.caches.over("otp", "other"), []);
        let intervals = world.ctx.memory.caches.intervals();
        ["a", "b"].map(|name| intervals.get(&("otp".into(), name.into())).map(Duration::as_secs))
    };
    assert_eq!(interval(|_| {}), [Some(5); 2]);
    assert_eq!(interval(|switch| switch["spec"]["detection"]["interval"] = json!("1s")), [Some(1); 2]);
    assert_eq!(interval(|switch| switch["spec"]["mode"] = json!("Disabled")), [None; 2], "it decides nothing");
}

#[tokio::test(start_paused = true)]
async fn one_corroborating_signal_alone_switches_nothing() {
    let mut world = scene(|switch| switch["spec"]["detection"]["execute"]["enabled"] = json!(false));
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a."]);
    probed_reconciles(&mut world, 20).await;
    assert_eq!((active(&world), signal(&world, "a", "PublicURL")), (vec!["Acme a".to_owned()], "Fail".into()));
    assert!(!world.org.calls().contains(&"execute"));
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_reaches_no_hook_is_blind_and_a_standby_out_of_reach_is_not_proven() {
    let mut world = scene(|switch| switch["spec"]["detection"]["execute"]["enabled"] = json!(false));
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a.", "https://b."]);
    probed_reconciles(&mut world, 20).await;
    assert_eq!((active(&world), signal(&world, "a", "PublicURL")), (vec!["Acme a".to_owned()], "Unknown".into()));

    world.org.break_addresses(&["https://b."]);
    serve(&world, "a", false);
    probed_reconciles(&mut world, 20).await;
    assert_eq!(active(&world), ["Acme a"], "the standby's address does not answer");
    assert_eq!(condition(&world, PATH, "Held"), is("True", "StandbyNotReady"));
}

#[tokio::test(start_paused = true)]
async fn what_okta_itself_reaches_is_not_left_for_what_other_signals_say() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a."]);
    for _ in 0..20 {
        world.ctx.memory.reports.set_called("otp", "a", "a", 1);
        probed_reconciles(&mut world, 1).await;
    }
    assert_eq!((active(&world), signal(&world, "a", "PublicURL")), (vec!["Acme a".to_owned()], "Unknown".into()));
    assert_eq!(signal(&world, "a", "Execute"), "Fail", "what Okta says of itself is not doubted");
}

/// One hook in Okta, and a standby that is only a destination.
pub fn repointing() -> World {
    let mut world = scene(|switch| switch["spec"]["strategy"] = json!("Repoint"));
    let path = format!("{HOOKS}/b");
    let mut standby = world.server.get(&path).unwrap();
    standby["spec"].as_object_mut().unwrap().remove("okta");
    world.server.put(&path, standby);
    world.sync();
    world
}

pub fn uri(world: &World) -> String {
    let hooks = world.org.hooks();
    let [hook] = &hooks[..] else { panic!("{hooks:?}") };
    assert_eq!((hook.name.as_str(), hook.status), ("Acme a", HookStatus::Active));
    hook.uri.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_repointed_by_one_call_and_back_and_is_never_inactive() {
    let mut world = repointing();
    probed_reconciles(&mut world, 6).await;
    assert_eq!(uri(&world), "https://a.acme.com/hooks/a");
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"));
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("True", "Ready"));
    world.org.calls();
    serve(&world, "a", false);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(uri(&world), "https://b.acme.com/hooks/b");
    let calls = world.org.calls();
    let writes: Vec<&str> = calls.iter().copied().filter(|call| !["list", "execute", "log"].contains(call)).collect();
    assert_eq!(writes, ["replace"], "{calls:?}");
    let secret = world.server.get(&format!("{SECRETS}/b-hook-auth"));
    let hook = &world.org.hooks()[0];
    let written = world.org.content(&hook.id).unwrap();
    let expected = secret.unwrap()["data"]["value"].as_str().map(str::to_owned).unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.encode(written.secret.expose()), expected);
    assert_eq!((status(&world)["active"].clone(), status(&world)["phase"].clone()), (json!("b"), json!("OnStandby")));
    assert_eq!(signal(&world, "b", "Execute"), "Pass", "Okta reaches the standby by the first hook");
    for name in ["a", "b"] {
        assert_eq!(condition(&world, &format!("{HOOKS}/{name}"), "Active"), is("True", "Active"), "{name}");
    }
    assert_eq!(condition(&world, &format!("{HOOKS}/a"), "Drifted"), is("False", "InSync"));

    serve(&world, "a", true);
    probed_reconciles(&mut world, 20).await;
    annotate(&world, "hookswitch.dev/failback", "1");
    probed_reconciles(&mut world, 3).await;
    assert_eq!(uri(&world), "https://a.acme.com/hooks/a");
    assert_eq!(status(&world)["phase"], "Healthy");
}

#[tokio::test(start_paused = true)]
async fn drift_of_a_repointed_hook_is_measured_against_what_the_switch_wants_and_a_deleted_switch_changes_nothing() {
    let mut world = repointing();
    reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 4).await;
    assert_eq!(uri(&world), "https://b.acme.com/hooks/b");
    world.org.edit(|hooks| hooks[0].uri = Some("https://a.acme.com/hooks/a".into()));
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 4).await;
    assert_eq!(uri(&world), "https://b.acme.com/hooks/b", "somebody pointed it back by hand");
    assert_eq!(
        world.server.get(&format!("{HOOKS}/a")).unwrap()["status"]["lastDrift"]["fields"],
        json!(["uri different"])
    );

    world.server.delete(PATH);
    world.org.calls();
    tokio::time::advance(Duration::from_secs(61)).await;
    reconciles(&mut world, 6).await;
    assert_eq!(uri(&world), "https://b.acme.com/hooks/b");
    assert!(world.org.calls().iter().all(|call| *call == "list"));
}

#[tokio::test(start_paused = true)]
async fn passcodes_that_okta_sends_itself_speak_against_the_hook_and_two_corroborating_signals_suffice() {
    let mut world = scene(|switch| switch["spec"]["detection"]["execute"]["enabled"] = json!(false));
    probed_reconciles(&mut world, 6).await;
    assert_eq!(signal(&world, "a", "SystemLog"), "Unknown", "no passcodes");
    world.org.log_events(log::LogEventKind::Sent { fell_back: false }, 5);
    probed_reconciles(&mut world, 6).await;
    assert_eq!(signal(&world, "a", "SystemLog"), "Pass");
    world.org.log_events(log::LogEventKind::Sent { fell_back: true }, 6);
    probed_reconciles(&mut world, 10).await;
    assert_eq!((signal(&world, "a", "SystemLog"), active(&world)), ("Fail".into(), vec!["Acme a".to_owned()]));
    world.org.break_addresses(&["https://a."]);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(active(&world), ["Acme b"]);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(
        signal(&world, "b", "SystemLog"),
        "Unknown",
        "what was before the switch says nothing of the other hook"
    );
}

#[tokio::test(start_paused = true)]
async fn numbers_that_fail_by_an_attackers_doing_are_no_fault_of_the_hook() {
    let mut world = scene(|_| {});
    for failed in 0..30 {
        world.ctx.memory.reports.set_failed("otp", "a", "a", failed * 4);
        world.org.log_events(log::LogEventKind::Sent { fell_back: true }, 4);
        probed_reconciles(&mut world, 1).await;
    }
    assert_eq!((signal(&world, "a", "SystemLog"), active(&world)), ("Pass".into(), vec!["Acme a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_okta_confirms_and_the_standby_shares_is_not_taken_for_blindness() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 6).await;
    world.org.break_addresses(&["https://a.", "https://b."]);
    probed_reconciles(&mut world, 20).await;
    assert_eq!((active(&world), signal(&world, "b", "PublicURL")), (vec!["Acme a".to_owned()], "Fail".into()));
    assert_eq!(condition(&world, PATH, "Held"), is("True", "StandbyNotReady"));
}

#[tokio::test(start_paused = true)]
async fn cooldown_and_budget_are_the_same_for_the_next_leader() {
    for (budget, cooldown, window, reason) in
        [(1, "10s", "1h", "BudgetSpent"), (9, "1h", "1h", "Cooldown"), (9, "1h", "1m", "Cooldown")]
    {
        let mut world = scene(|switch| {
            switch["spec"]["budget"] = json!({"switches": budget, "window": window});
            switch["spec"]["cooldown"] = json!(cooldown);
        });
        reconciles(&mut world, 6).await;
        serve(&world, "a", false);
        reconciles(&mut world, 8).await;
        assert_eq!(active(&world), ["Acme b"]);
        let (server, org) = (world.server.clone(), world.org.clone());
        let mut next = World::between(server, org.clone(), Arc::new(org));
        for _ in 0..20 {
            serve(&next, "a", true);
            serve(&next, "b", false);
            reconciles(&mut next, 1).await;
        }
        assert_eq!((active(&next), condition(&next, PATH, "Held")), (vec!["Acme b".to_owned()], is("True", reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_came_with_a_restored_switch_switches_nothing() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 2).await;
    assert_eq!(active(&world), ["Acme b"]);
    annotate(&world, "hookswitch.dev/promote", "a/back");
    reconciles(&mut world, 2).await;
    // a backup of the time before, by a tool that leaves status out; and one that was found invalid first
    for invalid in [false, true] {
        let mut restored = world.server.get(PATH).unwrap();
        restored["metadata"]["annotations"] = json!({"hookswitch.dev/promote": "b", "hookswitch.dev/failback": "1"});
        restored.as_object_mut().unwrap().remove("status");
        let hooks = restored["spec"]["hooks"].clone();
        if invalid {
            restored["spec"]["hooks"] = json!([{"name": "a"}, {"name": "misspelt"}]);
        }
        world.server.delete(PATH);
        world.server.put(PATH, restored);
        let (server, org) = (world.server.clone(), world.org.clone());
        let mut next = World::between(server, org.clone(), Arc::new(org));
        serve(&next, "a", true);
        serve(&next, "b", true);
        reconciles(&mut next, 1).await;
        let mut object = next.server.get(PATH).unwrap();
        object["spec"]["hooks"] = hooks;
        next.server.put(PATH, object);
        reconciles(&mut next, 6).await;
        assert_eq!(active(&next), ["Acme a"], "unfit: {invalid}");
        assert_eq!(status(&next)["handled"], json!({"promote": "b", "failback": "1"}));
        annotate(&next, "hookswitch.dev/promote", "b/now");
        reconciles(&mut next, 2).await;
        assert_eq!(active(&next), ["Acme b"], "another value is asked now");
        annotate(&next, "hookswitch.dev/promote", "a/again");
        reconciles(&mut next, 2).await;
        world = next;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_acknowledged_the_next_leader_knows_too() {
    let mut world = scene(|switch| {
        switch["spec"]["budget"] = json!({"switches": 1});
        switch["spec"]["cooldown"] = json!("10s");
    });
    reconciles(&mut world, 6).await;
    serve(&world, "a", false);
    reconciles(&mut world, 8).await;
    assert_eq!(active(&world), ["Acme b"]);
    assert_eq!(status(&world)["automatic"].as_array().map(Vec::len), Some(1));
    annotate(&world, "hookswitch.dev/acknowledge", "seen");
    reconciles(&mut world, 1).await;
    assert_eq!(status(&world)["automatic"], Value::Null, "nothing of it counts any more");
    let mut next = next_leader(&world);
    for _ in 0..12 {
        serve(&next, "a", true);
        serve(&next, "b", false);
        reconciles(&mut next, 1).await;
    }
    assert_eq!(active(&next), ["Acme a"]);
}

/// Deletes the object of the standby while it is the active one.
async fn standby_deleted(policy: &str, mode: &str, first_is_well: bool) -> World {
    let mut world = scene(|switch| switch["spec"]["mode"] = json!(mode));
    let mut standby = world.server.get(&format!("{HOOKS}/b")).unwrap();
    standby["spec"]["deletion"] = json!(policy);
    world.server.put(&format!("{HOOKS}/b"), standby);
    reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 6).await;
    assert_eq!(active(&world), ["Acme b"]);
    serve(&world, "a", first_is_well);
    reconciles(&mut world, 6).await;
    world.server.ask_to_delete(&format!("{HOOKS}/b"), Duration::ZERO);
    for _ in 0..12 {
        if world.server.get(&format!("{HOOKS}/b")).is_none() {
            break;
        }
        reconciles(&mut world, 1).await;
        assert_eq!(active(&world).len(), 1, "{policy} {mode}");
    }
    world
}

#[tokio::test(start_paused = true)]
async fn when_the_object_of_the_active_standby_is_deleted_the_first_hook_replaces_it_before_that() {
    for (policy, mode) in [("Retain", "Automatic"), ("Delete", "Automatic"), ("Delete", "Manual")] {
        let world = standby_deleted(policy, mode, true).await;
        assert_eq!(active(&world), ["Acme a"], "{policy} {mode}");
        assert!(world.server.get(&format!("{HOOKS}/b")).is_none(), "{policy} {mode}");
        let history = status(&world)["history"].clone();
        let last = history.as_array().unwrap().last().unwrap();
        assert_eq!((&last["cause"], &last["outcome"]), (&json!("HookDeleted"), &json!("Switched")), "{policy} {mode}");
        assert_eq!(world.org.hooks().len(), if policy == "Retain" { 2 } else { 1 }, "{policy} {mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_active_hook_of_a_switch_is_held_and_says_why_as_long_as_no_other_is_ready_to_replace_it() {
    for policy in ["Retain", "Delete"] {
        let mut world = standby_deleted(policy, "Automatic", false).await;
        assert_eq!(active(&world), ["Acme b"], "{policy}");
        assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("Unknown", "InUse"), "{policy}");
        let said = world.server.get(&format!("{HOOKS}/b")).unwrap()["status"]["conditions"].to_string();
        assert!(said.contains("HookSwitch acme") && said.contains("hookswitch.dev/force-delete=true"), "{said}");
        serve(&world, "a", true);
        for _ in 0..12 {
            if world.server.get(&format!("{HOOKS}/b")).is_some() {
                reconciles(&mut world, 1).await;
            }
        }
        assert_eq!(active(&world), ["Acme a"], "{policy}");
        assert!(world.server.get(&format!("{HOOKS}/b")).is_none(), "{policy}");
    }
}

/// Points a hook at a Secret that does not exist.
fn lose_secret(world: &World, name: &str) {
    let path = format!("{HOOKS}/{name}");
    let mut hook = world.server.get(&path).unwrap();
    hook["spec"]["auth"] = json!({"header": {"secretRef": {"name": "missing", "key": "value"}}});
    hook["metadata"]["generation"] = json!(2);
    world.server.put(&path, hook);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_could_not_be_made_active_is_not_ready_and_no_failover_to_it_begins() {
    for repoints in [false, true] {
        let mut world = if repoints { repointing() } else { scene(|_| {}) };
        reconciles(&mut world, 8).await;
        assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"), "{repoints}");
        lose_secret(&world, "b");
        if !repoints {
            // with what was written last it could still take over: somebody changed it
            world.org.edit(|hooks| {
                let standby = hooks.iter_mut().find(|hook| hook.name == "Acme b").unwrap();
                standby.uri = Some("https://elsewhere.test/".into());
            });
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        reconciles(&mut world, 4).await;
        assert_eq!(condition(&world, PATH, "FailoverReady"), is("False", "StandbyNotReady"), "{repoints}");
        let before = world.org.hooks();
        serve(&world, "a", false);
        reconciles(&mut world, 30).await;
        assert_eq!(condition(&world, PATH, "Held"), is("True", "StandbyNotReady"), "{repoints}");
        assert!(status(&world)["history"].is_null(), "no switch was begun: {}", status(&world));
        assert_eq!(world.org.hooks(), before, "{repoints}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_whose_secret_is_missing_takes_over_with_what_okta_and_its_gateway_have() {
    let mut world = scene(|_| {});
    reconciles(&mut world, 8).await;
    lose_secret(&world, "b");
    reconciles(&mut world, 4).await;
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("False", "SecretNotFound"));
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"));
    serve(&world, "a", false);
    reconciles(&mut world, 12).await;
    assert_eq!(active(&world), ["Acme b"]);
    assert_eq!(status(&world)["history"][0]["outcome"], "Switched");
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/otp/deployments";

/// The image of a gateway's pods.
fn image(world: &World, name: &str) -> String {
    let deployment = world.server.get(&format!("{DEPLOYMENTS}/{name}-gateway")).unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

/// What the Deployment's controller says of a gateway's pods.
fn rolled(world: &World, name: &str, ready: bool, ago: Duration) {
    let path = format!("{DEPLOYMENTS}/{name}-gateway");
    let mut deployment = world.server.get(&path).unwrap();
    let (updated, reason) = if ready { (2, "NewReplicaSetAvailable") } else { (1, "ReplicaSetUpdated") };
    let at = (k8s_openapi::jiff::Timestamp::now() - ago).to_string();
    let condition = json!({"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": at, "lastTransitionTime": at});
    deployment["status"] =
        json!({"replicas": 2, "updatedReplicas": updated, "readyReplicas": updated, "conditions": [condition]});
    world.server.put(&path, deployment);
}

/// Two replicas that report the configuration in force, or an older one.
fn report(world: &World, name: &str, current: bool) {
    let hash =
        world.server.get(&format!("{GATEWAYS}/{name}")).unwrap()["status"]["configHash"].as_str().unwrap().to_owned();
    let config_hash = if current { hash } else { "older".to_owned() };
    let mut report = ReplicaReport { config_hash, ..ReplicaReport::default() };
    report.hooks.insert(name.to_owned(), HookReport::default());
    let round = ["pod-0", "pod-1"].map(|pod| (pod.to_owned(), Some(report.clone()))).into();
    world.ctx.memory.reports.take(&("otp".to_owned(), name.to_owned()), round);
}

/// A reconcile over each gateway; returns those that wait for their turn.
async fn gateway_passes(world: &mut World) -> Vec<&'static str> {
    let mut waiting = Vec::new();
    for name in ["a", "b"] {
        world.sync();
        let gateway = world.ctx.memory.caches.gateways.get("otp", name).unwrap();
        let after = TelephonyGateway::reconcile(gateway, Arc::clone(&world.ctx)).await.unwrap();
        waiting.extend((after == Requeue::After(Duration::from_secs(5))).then_some(name));
    }
    waiting
}

/// Two hooks with gateways that run, the first one active; then the chart is upgraded.
async fn upgraded() -> World {
    let mut world = scene(|_| {});
    for name in ["a", "b"] {
        // its report is made by its reconcile
        world.server.delete(&format!("{SECRETS}/{name}-gateway-report"));
    }
    reconciles(&mut world, 6).await;
    gateway_passes(&mut world).await;
    for name in ["a", "b"] {
        rolled(&world, name, true, Duration::from_hours(1));
        report(&world, name, true);
    }
    world.sync();
    world.change(|parts| {
        (parts.options.image, parts.options.log) = ("hookswitch/hookswitch:next".to_owned(), "debug".to_owned());
    });
    world
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_changes_the_pods_of_the_standby_first_and_those_in_use_once_it_is_proven() {
    let (old, new) = ("hookswitch/hookswitch:test", "hookswitch/hookswitch:next");
    let mut world = upgraded().await;
    let images = |world: &World| [image(world, "a"), image(world, "b")];
    assert_eq!(gateway_passes(&mut world).await, ["a"]);
    assert_eq!(images(&world), [old, new]);
    rolled(&world, "b", false, Duration::ZERO);
    let log = world.server.get(&format!("{DEPLOYMENTS}/a-gateway")).unwrap()["spec"]["template"].to_string();
    assert!(log.contains("info") && !log.contains("debug"), "nothing of the pods is changed, {log}");
    // a changed number of replicas is no change of pods
    let mut gateway = world.server.get(&format!("{GATEWAYS}/a")).unwrap();
    gateway["spec"]["replicas"] = json!(3);
    world.server.put(&format!("{GATEWAYS}/a"), gateway);
    gateway_passes(&mut world).await;
    assert_eq!(world.server.get(&format!("{DEPLOYMENTS}/a-gateway")).unwrap()["spec"]["replicas"], 3);
    for (ready, current, ago) in [(false, true, 3_600), (true, false, 3_600), (true, true, 5)] {
        rolled(&world, "b", ready, Duration::from_secs(ago));
        report(&world, "b", current);
        assert_eq!(gateway_passes(&mut world).await, ["a"]);
        assert_eq!(images(&world), [old, new], "{ready} {current} {ago}");
    }
    rolled(&world, "b", true, Duration::from_secs(31));
    gateway_passes(&mut world).await;
    assert_eq!(images(&world), [new, new]);
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_under_way_goes_before_an_upgrade_and_a_person_before_both() {
    let mut world = upgraded().await;
    let mut switch = world.server.get(PATH).unwrap();
    switch["status"]["switching"] = json!({"from": "a", "cause": "Failed"});
    world.server.put(PATH, switch);
    assert_eq!(gateway_passes(&mut world).await, ["a", "b"]);
    assert_eq!([image(&world, "a"), image(&world, "b")], ["hookswitch/hookswitch:test"; 2]);
    let mut gateway = world.server.get(&format!("{GATEWAYS}/a")).unwrap();
    gateway["metadata"]["annotations"] = json!({"hookswitch.dev/out-of-turn": "true"});
    world.server.put(&format!("{GATEWAYS}/a"), gateway);
    gateway_passes(&mut world).await;
    assert_eq!(image(&world, "a"), "hookswitch/hookswitch:next");
}

#[tokio::test(start_paused = true)]
async fn pods_are_not_changed_before_it_is_known_whose_turn_it_is_but_for_those_that_serve_nobody() {
    let (old, new) = ("hookswitch/hookswitch:test", "hookswitch/hookswitch:next");
    let mut world = upgraded().await;
    let unlisted = Listing::new(&["otp".to_owned()]);
    let scope = || WatchScope::of(&["otp".to_owned()]).remove(0);
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::HookSwitch) {
        unlisted.listed(&scope(), kind);
    }
    world.change(|parts| parts.listing = unlisted.clone());
    assert_eq!(gateway_passes(&mut world).await, ["a", "b"]);
    assert_eq!([image(&world, "a"), image(&world, "b")], [old, old]);
    // none of its pods is ready: there is nothing to lose, and the change may be what mends it
    let path = format!("{DEPLOYMENTS}/a-gateway");
    let mut down = world.server.get(&path).unwrap();
    down["status"]["readyReplicas"] = json!(0);
    world.server.put(&path, down);
    assert_eq!(gateway_passes(&mut world).await, ["b"]);
    assert_eq!([image(&world, "a"), image(&world, "b")], [new, old]);
    unlisted.listed(&scope(), Kind::HookSwitch);
    rolled(&world, "a", true, Duration::from_hours(1));
    report(&world, "a", true);
    gateway_passes(&mut world).await;
    assert_eq!(image(&world, "b"), new);
}
