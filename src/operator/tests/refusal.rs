//! Reconciles over a hook whose calls the gateway refuses: because somebody set another secret in Okta, or because strangers call.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    flow::{condition, hook_pass, is, org_pass, settle, world},
    switch::{
        PATH, active, annotate, probed_reconcile, probed_reconciles, reconciles, repointing, scene, serve, signal,
        status, uri,
    },
};
use crate::operator::{
    runtime::{reconcile::Reconcile as _, triggers::Target},
    state::reports::Serving,
    testing::world::{HOOKS, ORGS, World},
};
use hookswitch_api::{Kind, OktaOrg};
use hookswitch_okta::{Failure, ObjectRef, log};

/// What a gateway counted at the path of its hook.
struct Counted {
    name: &'static str,
    refused: u64,
    answered: u64,
}

impl Counted {
    const fn of(name: &'static str) -> Self {
        Self { name, refused: 0, answered: 0 }
    }

    /// Okta calls the hook, with the secret that it has.
    fn okta_calls(&mut self, world: &World) {
        *(if world.org.is_spoilt() { &mut self.refused } else { &mut self.answered }) += 1;
        self.report(world);
    }

    /// A stranger calls the hook.
    fn stranger_calls(&mut self, world: &World) {
        self.refused += 1;
        self.report(world);
    }

    fn report(&self, world: &World) {
        world.ctx.memory.reports.set_counted("otp", self.name, self.name, self.refused, self.answered);
    }
}

/// Calls that change Okta.
fn changes(world: &World) -> Vec<&'static str> {
    let calls = world.org.calls();
    calls.into_iter().filter(|call| !["list", "execute", "log", "identify"].contains(call)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_somebody_set_in_okta_is_mended_by_one_put_and_nothing_is_switched() {
    let mut world = scene(|_| {});
    let mut counted = Counted::of("a");
    for _ in 0..8 {
        counted.okta_calls(&world);
        probed_reconciles(&mut world, 1).await;
    }
    assert_eq!((signal(&world, "a", "Refusals"), signal(&world, "b", "Refusals")), ("Pass".into(), "Unknown".into()));
    let before = world.server.get(&format!("{HOOKS}/a")).unwrap()["status"].clone();
    changes(&world);
    world.events().await;
    world.org.spoil("Acme a", true);
    for _ in 0..24 {
        counted.okta_calls(&world);
        probed_reconciles(&mut world, 1).await;
    }
    assert_eq!(changes(&world), ["replace"], "the secret is written once");
    let shown = status(&world);
    assert_eq!(
        (active(&world), &shown["phase"], &shown["history"]),
        (vec!["Acme a".into()], &json!("Healthy"), &Value::Null)
    );
    assert_eq!((signal(&world, "a", "Refusals"), signal(&world, "a", "Execute")), ("Pass".into(), "Pass".into()));
    let events = world.events().await;
    assert_eq!(events.iter().filter(|reason| *reason == "SecretReapplied").count(), 1, "{events:?}");
    let history = world.server.get(&format!("{ORGS}/acme")).unwrap()["status"]["history"].clone();
    assert_eq!(history.as_array().unwrap().last().unwrap()["verb"], "Replace");
    let after = world.server.get(&format!("{HOOKS}/a")).unwrap()["status"].clone();
    assert_eq!(after["appliedSecretMark"], before["appliedSecretMark"]);
    assert!(
        after["secretAppliedAt"].as_str() >= before["secretAppliedAt"].as_str() && after["secretAppliedAt"].is_string()
    );
    assert_eq!(condition(&world, &format!("{HOOKS}/a"), "Drifted"), is("False", "InSync"));
}

#[tokio::test(start_paused = true)]
async fn the_put_comes_before_the_switch_however_soon_that_may_come_and_the_standby_takes_over_when_it_does_not_help() {
    // where many people log in, Okta's log shows it at once, and calls had the right secret a moment ago
    for (heals, busy) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = scene(|switch| {
            switch["spec"]["detection"] = json!({"interval": "1s", "fall": 1});
            switch["spec"]["delay"] = json!("1s");
        });
        let mut counted = Counted::of("a");
        for _ in 0..6 {
            if busy {
                counted.okta_calls(&world);
            }
            probed_reconciles(&mut world, 1).await;
        }
        changes(&world);
        world.org.spoil("Acme a", heals);
        for _ in 0..60 {
            if active(&world) == ["Acme a"] {
                counted.okta_calls(&world);
                if busy {
                    world.org.log_events(log::LogEventKind::Sent { fell_back: world.org.is_spoilt() }, 3);
                }
            }
            probed_reconcile(&mut world).await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let expected: &[&str] = if heals { &["replace"] } else { &["replace", "deactivate", "activate"] };
        assert_eq!(changes(&world), expected, "heals: {heals}, busy: {busy}");
        assert_eq!(active(&world), [if heals { "Acme a" } else { "Acme b" }]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_few_calls_left_the_put_still_comes_before_the_switch_and_leaves_what_a_switch_needs() {
    // with fewer than 13, Okta can be asked once more whether it helped, and again in the next window
    for (left, heals) in [(9, true), (11, true), (13, true), (13, false)] {
        let mut world = scene(|_| {});
        let mut counted = Counted::of("a");
        probed_reconciles(&mut world, 8).await;
        // the poll that is due shows it
        tokio::time::advance(Duration::from_secs(50)).await;
        world.org.leave(left + 1);
        probed_reconciles(&mut world, 1).await;
        changes(&world);
        world.org.spoil("Acme a", heals);
        for _ in 0..11 {
            if active(&world) == ["Acme a"] {
                counted.okta_calls(&world);
            }
            probed_reconciles(&mut world, 1).await;
        }
        let expected: &[&str] = if heals { &["replace"] } else { &["replace", "deactivate", "activate"] };
        assert_eq!(changes(&world), expected, "{left} left, heals: {heals}");
        assert_eq!(active(&world), [if heals { "Acme a" } else { "Acme b" }], "{left} left");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_with_the_secret_speak_for_it_whoever_knocks_and_whatever_okta_says_of_its_own() {
    let mut world = scene(|switch| {
        switch["spec"]["detection"] = json!({"interval": "1s"});
        switch["spec"]["delay"] = json!("2s");
    });
    let mut counted = Counted::of("a");
    for _ in 0..12 {
        counted.okta_calls(&world);
        probed_reconciles(&mut world, 1).await;
    }
    changes(&world);
    world.server.writes();
    world.org.keep_from_hooks(Some("E0000135"));
    for second in 0..300 {
        counted.stranger_calls(&world);
        if second % 3 == 0 {
            counted.okta_calls(&world);
        }
        serve(&world, "b", true);
        probed_reconcile(&mut world).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let made = changes(&world);
    assert!(["replace"].starts_with(&made), "{made:?}: one harmless PUT, before it is known that calls still come");
    assert_eq!((active(&world), &status(&world)["phase"]), (vec!["Acme a".to_owned()], &json!("Healthy")));
    let writes = world.server.writes().len();
    assert!(writes <= 20, "{writes} in five minutes");
}

#[tokio::test(start_paused = true)]
async fn strangers_that_knock_for_half_an_hour_while_okta_reaches_the_hook_change_and_write_nothing() {
    let mut world = scene(|_| {});
    let mut counted = Counted::of("a");
    counted.report(&world);
    probed_reconciles(&mut world, 12).await;
    changes(&world);
    world.server.writes();
    let (mut executed, mut read) = (0, 0);
    for round in 0..360 {
        // now and then, and for minutes on end
        if round % 17 == 0 || round % 200 < 60 {
            counted.stranger_calls(&world);
        }
        serve_other(&world);
        probed_reconcile(&mut world).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        let calls = world.org.calls();
        assert!(!calls.contains(&"replace") && !calls.contains(&"deactivate"), "{calls:?}");
        executed += calls.iter().filter(|call| **call == "execute").count();
        read += calls.iter().filter(|call| **call == "log").count();
    }
    assert_eq!(world.server.writes(), Vec::<String>::new());
    assert!((30..=120).contains(&executed), "{executed}: at most every 15 s");
    assert!((55..=61).contains(&read), "{read}: every 30 s, as without them");
    assert_eq!((active(&world), signal(&world, "a", "Refusals")), (vec!["Acme a".to_owned()], "Unknown".into()));
}

#[tokio::test(start_paused = true)]
async fn strangers_get_nothing_of_the_rate_limit_that_is_kept_for_what_is_more_urgent() {
    let mut world = scene(|_| {});
    let mut counted = Counted::of("a");
    counted.report(&world);
    probed_reconciles(&mut world, 12).await;
    world.org.calls();
    world.org.leave(9);
    for _ in 0..11 {
        counted.stranger_calls(&world);
        serve_other(&world);
        probed_reconciles(&mut world, 1).await;
    }
    let calls = world.org.calls();
    let executed = calls.iter().filter(|call| **call == "execute").count();
    assert!(executed <= 1, "the first says how little is left: {calls:?}");
}

/// Reports of the standby come in between.
fn serve_other(world: &World) {
    serve(world, "b", true);
}

#[tokio::test(start_paused = true)]
async fn strangers_that_nobody_can_distinguish_from_okta_cause_one_harmless_put_in_ten_minutes_and_never_a_switch() {
    for broken in [&[][..], &["https://a."][..], &["https://"][..]] {
        let mut world = scene(|switch| switch["spec"]["detection"]["execute"]["enabled"] = json!(false));
        let mut counted = Counted::of("a");
        counted.report(&world);
        probed_reconciles(&mut world, 12).await;
        world.org.break_addresses(broken);
        let content = world.org.content(&world.org.hooks()[0].id).unwrap();
        changes(&world);
        world.events().await;
        for _ in 0..360 {
            counted.stranger_calls(&world);
            serve_other(&world);
            probed_reconciles(&mut world, 1).await;
        }
        let made = changes(&world);
        // in half an hour; an operator that does not get through itself takes refusals for no sign of Okta's
        assert_eq!(made, vec!["replace"; if broken.is_empty() { 3 } else { 0 }], "{broken:?}");
        assert_eq!(active(&world), ["Acme a"]);
        let now = world.org.content(&world.org.hooks()[0].id).unwrap();
        assert_eq!((now.uri, now.secret.expose()), (content.uri, content.secret.expose()), "what was there is there");
        let reported = world.events().await.iter().filter(|reason| *reason == "SecretReapplied").count();
        assert_eq!(reported, made.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_operators_that_was_refused_a_moment_ago_is_not_taken_for_oktas() {
    let mut world = scene(|switch| switch["spec"]["detection"]["execute"]["enabled"] = json!(false));
    let mut counted = Counted::of("a");
    counted.report(&world);
    probed_reconciles(&mut world, 12).await;
    changes(&world);
    world.org.break_addresses(&["https://a."]);
    probed_reconciles(&mut world, 1).await;
    world.org.break_addresses(&[]);
    // reported when the operator gets in again
    counted.stranger_calls(&world);
    for _ in 0..8 {
        probed_reconciles(&mut world, 1).await;
        assert_eq!(
            (signal(&world, "a", "PublicURL"), signal(&world, "a", "Refusals")),
            ("Pass".into(), "Unknown".into())
        );
    }
    assert_eq!(changes(&world), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_no_second_corroborating_signal_when_okta_does_not_get_as_far_as_the_gateway() {
    for code in ["E0000134", "E0000137"] {
        let mut world = scene(|_| {});
        let mut counted = Counted::of("a");
        counted.report(&world);
        probed_reconciles(&mut world, 12).await;
        changes(&world);
        world.org.keep_from_hooks(Some(code));
        for _ in 0..24 {
            counted.stranger_calls(&world);
            serve_other(&world);
            probed_reconciles(&mut world, 1).await;
        }
        assert_eq!(signal(&world, "a", "Execute"), "Fail");
        assert_eq!((changes(&world), active(&world)), (Vec::<&str>::new(), vec!["Acme a".to_owned()]), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_no_switch_names_is_mended_too_and_not_while_valid_calls_come() {
    let mut world = world(&[("main", "Active")]);
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    let mut counted = Counted::of("main");
    counted.report(&world);
    changes(&world);
    let round = async |world: &mut World| {
        hook_pass(world, "main").await;
        org_pass(world).await;
        hook_pass(world, "main").await;
        tokio::time::advance(Duration::from_secs(5)).await;
    };
    for _ in 0..60 {
        counted.stranger_calls(&world);
        counted.okta_calls(&world);
        round(&mut world).await;
    }
    assert_eq!(changes(&world), Vec::<&str>::new(), "valid calls come too");
    world.org.spoil("Acme main", true);
    for _ in 0..60 {
        counted.okta_calls(&world);
        round(&mut world).await;
    }
    assert_eq!(changes(&world), ["replace"]);
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_resync_that_okta_could_not_be_given_in_time_is_let_go_when_the_refused_calls_end() {
    for (away, expected) in [(Duration::from_secs(20), &["replace"][..]), (Duration::from_mins(10), &[])] {
        let mut world = scene(|_| {});
        let mut counted = Counted::of("a");
        counted.okta_calls(&world);
        probed_reconciles(&mut world, 8).await;
        changes(&world);
        world.events().await;
        world.org.fail(Some(Failure::Server { status: 503, code: None }));
        counted.stranger_calls(&world);
        probed_reconciles(&mut world, 8).await;
        tokio::time::advance(away).await;
        world.org.fail(None);
        probed_reconciles(&mut world, 6).await;
        assert_eq!(changes(&world), expected, "Okta is away for {away:?} more");
        let reported = world.events().await.iter().filter(|reason| *reason == "SecretReapplied").count();
        assert_eq!(reported, expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_goes_on_after_its_reconcile_was_cut_settles_the_resync_all_the_same() {
    let mut world = scene(|_| {});
    probed_reconciles(&mut world, 8).await;
    changes(&world);
    let org = world.ctx.memory.caches.orgs.get("otp", "acme").unwrap();
    let target = Target::new(Kind::OktaOrg, "otp", "acme");
    assert!(world.ctx.memory.orgs.resync_secret(&target, ObjectRef::new("otp", "a"), "a"));
    world.ctx.runtime.triggers.wake(target);
    // a list, the PUT, and a list
    world.org.slow_down(Duration::from_millis(500));
    let pass = OktaOrg::reconcile(org, Arc::clone(&world.ctx));
    assert!(tokio::time::timeout(Duration::from_millis(750), pass).await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(changes(&world), ["replace"]);
    let reported =
        async |world: &World| world.events().await.iter().filter(|reason| *reason == "SecretReapplied").count();
    assert_eq!(reported(&world).await, 1);
    world.org.slow_down(Duration::ZERO);
    probed_reconciles(&mut world, 6).await;
    // the recorded plan, whose end no reconcile wrote down, is made sure of
    assert_eq!((changes(&world), reported(&world).await), (vec!["replace"], 0), "told once");
}

#[tokio::test(start_paused = true)]
async fn a_repointed_hook_is_given_the_secret_of_the_destination_that_it_points_at() {
    let mut world = repointing();
    probed_reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 4).await;
    assert_eq!(uri(&world), "https://b.acme.com/hooks/b");
    let before = world.org.content(&world.org.hooks()[0].id).unwrap();
    changes(&world);
    world.org.spoil("Acme a", true);
    let mut counted = Counted::of("b");
    for _ in 0..12 {
        counted.okta_calls(&world);
        probed_reconciles(&mut world, 1).await;
    }
    assert_eq!((changes(&world), uri(&world)), (vec!["replace"], "https://b.acme.com/hooks/b".to_owned()));
    let after = world.org.content(&world.org.hooks()[0].id).unwrap();
    assert_eq!(after.secret.expose(), before.secret.expose());
    assert_eq!(signal(&world, "b", "Execute"), "Pass");
}

#[tokio::test(start_paused = true)]
async fn in_mode_disabled_no_secret_is_written_and_in_mode_manual_it_is() {
    for (mode, expected) in [("Disabled", &[][..]), ("Manual", &["replace"][..])] {
        let mut world = scene(|_| {});
        probed_reconciles(&mut world, 6).await;
        let mut switch = world.server.get(PATH).unwrap();
        switch["spec"]["mode"] = json!(mode);
        world.server.put(PATH, switch);
        changes(&world);
        world.org.spoil("Acme a", true);
        let mut counted = Counted::of("a");
        for _ in 0..12 {
            counted.okta_calls(&world);
            probed_reconciles(&mut world, 1).await;
        }
        assert_eq!(changes(&world), expected, "{mode}");
        let refusals = if mode == "Disabled" { "Unknown" } else { "Pass" };
        assert_eq!(signal(&world, "a", "Refusals"), refusals, "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_is_confirmed_by_the_first_call_once_whoever_leads() {
    let confirmed = |world: &World| condition(world, PATH, "TrafficConfirmed");
    let reported =
        async |world: &World| world.events().await.iter().filter(|reason| *reason == "TrafficConfirmed").count();
    let mut world = scene(|_| {});
    reconciles(&mut world, 6).await;
    assert_eq!(confirmed(&world), is("Unknown", "NoCallYet"));
    world.ctx.memory.reports.set_called("otp", "a", "a", 0);
    reconciles(&mut world, 2).await;
    assert_eq!(
        (confirmed(&world), reported(&world).await),
        (is("True", "CallsArrive"), 1),
        "the first activation counts"
    );

    annotate(&world, "hookswitch.dev/promote", "b");
    reconciles(&mut world, 3).await;
    assert_eq!((active(&world), confirmed(&world)), (vec!["Acme b".to_owned()], is("Unknown", "NoCallYet")));
    // another leads before the first call, and a third one after it
    let (server, org) = (world.server.clone(), world.org.clone());
    let mut next = World::between(server.clone(), org.clone(), Arc::new(org.clone()));
    serve(&next, "a", true);
    serve(&next, "b", true);
    reconciles(&mut next, 2).await;
    assert_eq!((confirmed(&next), reported(&next).await), (is("Unknown", "NoCallYet"), 0));
    next.ctx.memory.reports.set_called("otp", "b", "b", 0);
    reconciles(&mut next, 2).await;
    assert_eq!((confirmed(&next), reported(&next).await), (is("True", "CallsArrive"), 1));
    assert!(status(&next)["history"][0]["firstCallAfterMs"].is_u64());
    let mut third = World::between(server, org.clone(), Arc::new(org));
    serve(&third, "a", true);
    third.ctx.memory.reports.set_called("otp", "b", "b", 0);
    third.server.writes();
    reconciles(&mut third, 3).await;
    assert_eq!((confirmed(&third), reported(&third).await), (is("True", "CallsArrive"), 0));
}
