//! What becomes of hooks over time: drift, adoption, handing over, deletion. From manifests to Okta and back to status.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::flow::{condition, hook, is, settle, world};
use crate::operator::testing::world::{HOOKS, ORGS, SECRETS, World};
use hookswitch_okta::{
    Failure, HookId, ObjectRef, ObservedHook,
    testing::theirs,
    types::{Header, HookStatus},
};

const POLL: Duration = Duration::from_secs(61);
const STILL: Duration = Duration::from_secs(31);

/// A world in which everything declared is so.
async fn settled(hooks: &[(&str, &str)]) -> World {
    let mut world = world(hooks);
    let names: Vec<&str> = hooks.iter().map(|(name, _)| *name).collect();
    world.ctx.memory.reports.serve("otp", "main", &names);
    settle(&mut world, &names).await;
    world.org.calls();
    world
}

fn change(world: &World, name: &str, edit: impl FnOnce(&mut Value)) {
    let path = format!("{HOOKS}/{name}");
    let mut object = world.server.get(&path).unwrap();
    edit(&mut object["spec"]);
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    object["metadata"]["generation"] = json!(generation + 1);
    world.server.put(&path, object);
}

fn exists(world: &World, name: &str) -> bool {
    world.server.get(&format!("{HOOKS}/{name}")).is_some()
}

fn active(world: &World) -> Vec<String> {
    let hooks = world.org.hooks();
    hooks.into_iter().filter(|hook| hook.status == HookStatus::Active).map(|hook| hook.name).collect()
}

fn foreign(name: &str, uri: &str) -> ObservedHook {
    theirs(name, uri).in_okta(HookId::new("calforeign").unwrap(), HookStatus::Active)
}

/// One way in which somebody changes an org's hooks.
type Edit = fn(&mut Vec<ObservedHook>);

#[tokio::test(start_paused = true)]
async fn each_change_made_behind_our_back_is_named_once_and_mended() {
    let edits: [(Edit, &str); 5] = [
        (|hooks| hooks[0].uri = Some("https://elsewhere.test".into()), "uri different"),
        (|hooks| hooks[0].headers.push(Header::new("X-New", "1")), "header x-new unexpected"),
        (|hooks| hooks[0].name = "Other".into(), "name different"),
        (|hooks| hooks[0].status = HookStatus::Inactive, "state INACTIVE"),
        (Vec::clear, "hook deleted"),
    ];
    for (edit, reported) in edits {
        let mut world = settled(&[("main", "Active")]).await;
        world.org.edit(edit);
        tokio::time::advance(POLL).await;
        settle(&mut world, &["main"]).await;
        let status = world.server.get(&format!("{HOOKS}/main")).unwrap()["status"].clone();
        assert_eq!(status["lastDrift"]["fields"], json!([reported]));
        assert!(status["lastDrift"]["foundAt"].is_string() && status["secretAppliedAt"].is_string());
        assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"), "{reported}");
        assert_eq!(active(&world), ["Acme main"], "{reported}");
        assert_eq!(world.org.hooks()[0].uri.as_deref(), Some("https://otp.acme.com/hooks/main"), "{reported}");
        world.server.writes();
        tokio::time::advance(POLL).await;
        settle(&mut world, &["main"]).await;
        assert_eq!(world.server.writes(), Vec::<String>::new(), "{reported}: nothing is told twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_mind_acts_at_once_and_is_no_drift() {
    let mut world = settled(&[("main", "Active")]).await;
    change(&world, "main", |spec| spec["headers"] = json!([{"name": "X-Env", "value": "prod"}]));
    settle(&mut world, &["main"]).await;
    assert!(world.org.hooks()[0].headers.iter().any(|header| header.name == "X-Env"), "without waiting for the poll");
    let status = world.server.get(&format!("{HOOKS}/main")).unwrap()["status"].clone();
    assert!(status["lastDrift"].is_null());
}

#[tokio::test(start_paused = true)]
async fn each_change_made_in_okta_is_in_a_bounded_history_with_keyed_hashes() {
    let mut world = settled(&[("main", "Active")]).await;
    let history = |world: &World| world.server.get(&format!("{ORGS}/acme")).unwrap()["status"]["history"].clone();
    let first = history(&world);
    assert_eq!(
        (&first[0]["verb"], &first[0]["outcome"], &first[0]["object"]),
        (&json!("Create"), &json!("ok"), &json!("otp/main"))
    );
    assert!(first[0]["before"].is_null() && first[0]["after"].as_str().is_some_and(|mark| mark.len() == 43));
    for turn in 0..30 {
        change(&world, "main", |spec| spec["headers"] = json!([{"name": "X-Turn", "value": turn.to_string()}]));
        settle(&mut world, &["main"]).await;
    }
    let last = history(&world);
    assert_eq!(last.as_array().map(Vec::len), Some(20));
    assert_eq!(last[18]["after"], last[19]["before"], "one hook, seen twice");
    assert_ne!(last[19]["before"], last[19]["after"]);
}

#[tokio::test(start_paused = true)]
async fn handing_over_waits_for_quiet_and_ends_with_the_other_one_active() {
    let mut world = settled(&[("one", "Active"), ("two", "Inactive")]).await;
    assert_eq!(active(&world), ["Acme one"]);
    assert_eq!(world.org.hooks().len(), 2, "a standby is created and put to rest");
    change(&world, "one", |spec| spec["state"] = json!("Inactive"));
    settle(&mut world, &["one", "two"]).await;
    assert_eq!(active(&world), ["Acme one"], "half of a change is not acted upon");
    change(&world, "two", |spec| spec["state"] = json!("Active"));
    settle(&mut world, &["one", "two"]).await;
    assert_eq!(active(&world), ["Acme one"]);
    tokio::time::advance(Duration::from_secs(6)).await;
    settle(&mut world, &["one", "two"]).await;
    assert_eq!(active(&world), ["Acme two"]);
    for name in ["one", "two"] {
        assert_eq!(condition(&world, &format!("{HOOKS}/{name}"), "Ready"), is("True", "Ready"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_of_nobody_is_adopted_only_when_it_may_be_and_matches() {
    let ours = "https://otp.acme.com/hooks/main";
    for (policy, uri, reason) in
        [("IfMatches", ours, "Ready"), ("Never", ours, "NameTaken"), ("IfMatches", "https://other.test/x", "NameTaken")]
    {
        let mut world = world(&[]);
        let mut adopting = hook("main", "Active");
        adopting["spec"]["adoption"] = json!(policy);
        world.server.put(&format!("{HOOKS}/main"), adopting);
        world.org.edit(|hooks| hooks.push(foreign("Acme main", uri)));
        world.ctx.memory.reports.serve("otp", "main", &["main"]);
        settle(&mut world, &["main"]).await;
        let found = world.org.hooks();
        assert_eq!(found.len(), 1, "{policy} {uri}");
        assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready").1, reason, "{policy} {uri}");
        let tagged = found[0].headers.iter().any(|header| header.value == "test/otp/main");
        assert_eq!(tagged, reason == "Ready");
        if reason != "Ready" {
            assert_eq!(found[0], foreign("Acme main", uri), "what is not ours is not touched");
        }
    }
}

async fn owed(hooks: &[(&str, &str)]) -> World {
    let mut world = world(&[]);
    for (name, state) in hooks {
        let mut object = hook(name, state);
        object["spec"]["deletion"] = json!("Delete");
        world.server.put(&format!("{HOOKS}/{name}"), object);
    }
    let names: Vec<&str> = hooks.iter().map(|(name, _)| *name).collect();
    world.ctx.memory.reports.serve("otp", "main", &names);
    settle(&mut world, &names).await;
    assert_eq!(world.org.hooks().len(), hooks.len());
    world
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_to_be_deleted_with_its_object_is_deactivated_and_deleted_in_okta() {
    let mut world = owed(&[("main", "Active")]).await;
    assert_eq!(
        world.server.get(&format!("{HOOKS}/main")).unwrap()["metadata"]["finalizers"],
        json!(["hookswitch.dev/okta", "hookswitch.dev/in-use"])
    );
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO);
    settle(&mut world, &["main"]).await;
    assert!(
        exists(&world, "main") && active(&world) == ["Acme main"],
        "the last active one goes after 30 s of stillness"
    );
    tokio::time::advance(STILL).await;
    settle_gone(&mut world, "main").await;
    assert!(world.org.hooks().is_empty());
    assert!(!exists(&world, "main"));
}

/// Reconciles until the object is gone.
async fn settle_gone(world: &mut World, name: &str) {
    for _ in 0..4 {
        if exists(world, name) {
            settle_once(world, name).await;
        }
    }
}

async fn settle_once(world: &mut World, name: &str) {
    super::flow::org_pass(world).await;
    if exists(world, name) {
        super::flow::hook_pass(world, name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_retained_hook_that_okta_calls_is_held_until_another_one_is_active_and_stays_in_okta() {
    let mut world = settled(&[("main", "Active"), ("next", "Inactive")]).await;
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::from_hours(1));
    world.org.calls();
    settle(&mut world, &["main", "next"]).await;
    tokio::time::advance(POLL).await;
    settle(&mut world, &["main", "next"]).await;
    assert_eq!(active(&world), ["Acme main"]);
    assert!(world.org.calls().iter().all(|call| *call == "list"), "nothing is changed in Okta");
    let held = world.server.get(&format!("{HOOKS}/main")).unwrap();
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("Unknown", "InUse"));
    for way in ["Make another hook active", "Workflow > Inline Hooks", "hookswitch.dev/force-delete=true"] {
        assert!(held["status"]["conditions"].to_string().contains(way), "{way}: {held}");
    }
    change(&world, "next", |spec| spec["state"] = json!("Active"));
    settle(&mut world, &["main", "next"]).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    settle_gone(&mut world, "main").await;
    assert_eq!(active(&world), ["Acme next"]);
    assert!(!exists(&world, "main"));
    assert_eq!(world.org.hooks().len(), 2, "it is retained");
}

#[tokio::test(start_paused = true)]
async fn a_retained_hook_that_somebody_deactivates_in_okta_is_let_go_and_not_fought_for() {
    let mut world = settled(&[("main", "Active")]).await;
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO);
    settle(&mut world, &["main"]).await;
    world.org.edit(|hooks| hooks[0].status = HookStatus::Inactive);
    tokio::time::advance(POLL).await;
    settle_gone(&mut world, "main").await;
    assert!(!exists(&world, "main") && active(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_okta_does_not_call_is_not_held() {
    let mut world = settled(&[("main", "Active"), ("next", "Inactive")]).await;
    world.server.ask_to_delete(&format!("{HOOKS}/next"), Duration::ZERO);
    assert!(!exists(&world, "next"));
    settle(&mut world, &["main"]).await;
    assert_eq!(active(&world), ["Acme main"]);
}

#[tokio::test(start_paused = true)]
async fn a_person_may_let_a_hook_go_although_okta_calls_it_and_that_is_reported() {
    for (mut world, reported) in [
        (settled(&[("main", "Active")]).await, "StillActiveInOkta"),
        (owed(&[("main", "Active")]).await, "NotDeletedInOkta"),
    ] {
        world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO);
        settle(&mut world, &["main"]).await;
        let mut forced = world.server.get(&format!("{HOOKS}/main")).unwrap();
        forced["metadata"]["annotations"] = json!({"hookswitch.dev/force-delete": "true"});
        world.server.put(&format!("{HOOKS}/main"), forced);
        world.events().await;
        super::flow::hook_pass(&mut world, "main").await;
        assert!(!exists(&world, "main"), "{reported}");
        assert_eq!(active(&world), ["Acme main"], "{reported}");
        assert!(world.events().await.contains(&reported.to_owned()), "{reported}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_in_use_is_let_go_before_the_operator_is_uninstalled() {
    let mut world = settled(&[("main", "Active")]).await;
    super::flow::org_pass(&mut world).await;
    for path in [format!("{HOOKS}/main"), format!("{ORGS}/acme")] {
        world.server.ask_to_delete(&path, Duration::ZERO);
        assert!(world.server.get(&path).is_some(), "{path} is held");
    }
    assert!(
        crate::operator::controllers::terminating::let_go(&world.ctx.runtime.kube.client, Some("otp"))
            .await
            .unwrap()
            .count
            >= 2
    );
    assert!(!exists(&world, "main") && world.server.get(&format!("{ORGS}/acme")).is_none());
}

/// One command deletes everything that was applied.
#[tokio::test(start_paused = true)]
async fn an_org_that_is_deleted_with_a_hook_that_okta_calls_stays_until_that_may_go() {
    let mut world = settled(&[("main", "Active")]).await;
    super::flow::org_pass(&mut world).await;
    world.server.ask_to_delete(&format!("{ORGS}/acme"), Duration::from_mins(1));
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::from_mins(1));
    settle(&mut world, &["main"]).await;
    assert!(exists(&world, "main") && world.server.get(&format!("{ORGS}/acme")).is_some());
    world.org.edit(|hooks| hooks[0].status = HookStatus::Inactive);
    tokio::time::advance(POLL).await;
    settle_gone(&mut world, "main").await;
    assert!(!exists(&world, "main"));
    super::flow::org_pass(&mut world).await;
    assert!(world.server.get(&format!("{ORGS}/acme")).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_org_that_is_deleted_with_its_hook_stays_until_the_hook_is_gone_from_okta() {
    let mut world = owed(&[("main", "Active")]).await;
    world.server.ask_to_delete(&format!("{ORGS}/acme"), Duration::from_mins(1));
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::from_mins(1));
    settle(&mut world, &["main"]).await;
    tokio::time::advance(STILL).await;
    settle_gone(&mut world, "main").await;
    assert!(world.org.hooks().is_empty() && !exists(&world, "main"));
    super::flow::org_pass(&mut world).await;
    assert!(world.server.get(&format!("{ORGS}/acme")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_live_hook_does_not_keep_its_org() {
    let mut world = owed(&[("main", "Active")]).await;
    world.server.ask_to_delete(&format!("{ORGS}/acme"), Duration::from_mins(1));
    super::flow::org_pass(&mut world).await;
    assert!(world.server.get(&format!("{ORGS}/acme")).is_none());
    super::flow::hook_pass(&mut world, "main").await;
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("False", "OrgNotFound"));
    assert_eq!(active(&world), ["Acme main"]);
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO);
    super::flow::hook_pass(&mut world, "main").await;
    assert!(!exists(&world, "main"), "nobody could call Okta any more");
}

#[tokio::test(start_paused = true)]
async fn with_the_token_gone_a_deletion_gives_up_after_some_minutes_and_says_so() {
    for (ago, gone) in [(Duration::from_mins(1), false), (Duration::from_secs(301), true)] {
        let mut world = owed(&[("main", "Active")]).await;
        world.org.fail(Some(Failure::Unauthorized));
        tokio::time::advance(POLL).await;
        world.server.ask_to_delete(&format!("{HOOKS}/main"), ago);
        settle_gone(&mut world, "main").await;
        assert_eq!(!exists(&world, "main"), gone);
        assert_eq!(world.org.hooks().len(), 1, "it is left in Okta");
    }
}

#[tokio::test(start_paused = true)]
async fn changes_that_a_firewall_refuses_are_reported_at_the_org_tried_seldom_and_hold_no_deletion_for_ever() {
    let mut world = owed(&[("main", "Active")]).await;
    let ready = |world: &World| condition(world, &format!("{ORGS}/acme"), "Ready");
    world.org.intercept(&["replace", "deactivate", "delete"]);
    change(&world, "main", |spec| spec["headers"] = json!([{"name": "X-Env", "value": "prod"}]));
    world.org.calls();
    for _ in 0..60 {
        settle_once(&mut world, "main").await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let tried = world.org.calls().iter().filter(|call| **call == "replace").count();
    assert!((5..=9).contains(&tried), "{tried} times in a minute");
    assert_eq!(ready(&world), is("False", "NotOkta"));
    world.org.intercept(&["deactivate", "delete"]);
    for _ in 0..60 {
        settle_once(&mut world, "main").await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(ready(&world), is("True", "Ready"));
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::from_secs(301));
    for _ in 0..90 {
        if exists(&world, "main") {
            settle_once(&mut world, "main").await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
    assert!(!exists(&world, "main"), "it would be held for as long as the firewall is there");
    assert_eq!(active(&world), ["Acme main"], "it is left in Okta, and that is told");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_is_never_held() {
    for mut world in [settled(&[("main", "Active")]).await, owed(&[("main", "Active")]).await] {
        super::flow::org_pass(&mut world).await;
        let path = "/api/v1/namespaces/otp";
        let mut namespace = world.server.get(path).unwrap();
        namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        world.server.put(path, namespace);
        for object in [format!("{ORGS}/acme"), format!("{HOOKS}/main")] {
            world.server.ask_to_delete(&object, Duration::ZERO);
        }
        world.server.delete(&format!("{SECRETS}/okta"));
        super::flow::hook_pass(&mut world, "main").await;
        super::flow::org_pass(&mut world).await;
        assert!(!exists(&world, "main") && world.server.get(&format!("{ORGS}/acme")).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_active_hook_is_a_conflict_and_ours_takes_over_when_it_goes() {
    let mut world = world(&[("main", "Active")]);
    world.org.edit(|hooks| hooks.push(foreign("Their hook", "https://their.test/x")));
    world.ctx.memory.reports.serve("otp", "main", &["main"]);
    settle(&mut world, &["main"]).await;
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("False", "Conflict"));
    assert!(world.org.calls().iter().all(|call| ["list", "identify"].contains(call)));
    world.org.edit(|hooks| hooks[0].status = HookStatus::Inactive);
    tokio::time::advance(POLL).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(active(&world), ["Acme main"]);
    assert_eq!(world.org.hooks()[0].name, "Their hook");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_reaches_okta_only_when_the_replicas_take_it() {
    let mut world = world(&[]);
    let mut own = hook("main", "Active");
    own["spec"]["auth"] = json!({"header": {"secretRef": {"name": "own", "key": "value"}}});
    let stored = |value: &str| super::flow::secret("own", "value", value);
    world.server.put(&format!("{HOOKS}/main"), own);
    world.server.put(&format!("{SECRETS}/own"), stored("the first value of enough characters"));
    world.ctx.memory.reports.serve("otp", "main", &["main"]);
    settle(&mut world, &["main"]).await;
    let id = world.org.hooks()[0].id.clone();
    // another name is another watch
    let next = "the second value of enough characters";
    world.server.put(&format!("{SECRETS}/next"), super::flow::secret("next", "value", next));
    change(&world, "main", |spec| spec["auth"]["header"]["secretRef"]["name"] = json!("next"));
    settle(&mut world, &["main"]).await;
    assert!(world.org.content(&id).unwrap().secret.expose().starts_with("the first"));
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready").1, "GatewayNotServing");
    let mark = world.ctx.installation.key.secret(&ObjectRef::new("otp", "main"), "Authorization", next);
    let _arriving =
        world.ctx.memory.reports.expect("otp", "main", "", [("main".to_owned(), vec![mark])].into(), Vec::new());
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.content(&id).unwrap().secret.expose(), next);
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"));
}

#[tokio::test(start_paused = true)]
async fn another_header_for_the_secret_reaches_okta_only_when_the_replicas_take_it() {
    let mut world = settled(&[("main", "Active")]).await;
    let id = world.org.hooks()[0].id.clone();
    change(&world, "main", |spec| spec["auth"] = json!({"header": {"name": "X-Secret"}}));
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.content(&id).unwrap().auth_header, "Authorization", "no replica takes the other one yet");
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready").1, "GatewayNotServing");
    let secret = world.org.content(&id).unwrap().secret;
    let mark = world.ctx.installation.key.secret(&ObjectRef::new("otp", "main"), "X-Secret", secret.expose());
    let _arriving =
        world.ctx.memory.reports.expect("otp", "main", "", [("main".to_owned(), vec![mark])].into(), Vec::new());
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.content(&id).unwrap().auth_header, "X-Secret");
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"));
}

/// A hook that has the name in Okta that `main` has, with these annotations.
fn successor(name: &str, annotations: &Value) -> Value {
    let mut object = hook(name, "Active");
    object["metadata"]["annotations"] = annotations.clone();
    object["spec"]["okta"]["name"] = json!("Acme main");
    object
}

fn tag_of(world: &World) -> String {
    let hooks = world.org.hooks();
    assert_eq!(hooks.len(), 1, "no other one is made");
    assert_eq!(hooks[0].status, HookStatus::Active, "it is never switched off");
    let mark = hooks[0].headers.iter().find(|header| header.name == "X-Hookswitch-Owner").unwrap();
    mark.value.clone()
}

/// Lets every replica of the gateway take the secret of a hook as it is now.
fn accept(world: &World, name: &str) {
    let stored = world.server.get(&format!("{SECRETS}/{name}-hook-auth")).unwrap();
    let value = STANDARD.decode(stored["data"]["value"].as_str().unwrap()).unwrap();
    let value = String::from_utf8(value).unwrap();
    let mark = world.ctx.installation.key.secret(&ObjectRef::new("otp", name), "Authorization", &value);
    world.ctx.memory.reports.set_accepted("otp", "main", name, mark);
}

#[tokio::test(start_paused = true)]
async fn a_renamed_hook_takes_over_in_okta_when_the_old_object_is_gone_and_a_person_says_so() {
    let mut world = settled(&[("main", "Active")]).await;
    let id = world.org.hooks()[0].id.clone();
    world.server.delete(&format!("{HOOKS}/main"));
    let path = format!("{HOOKS}/renamed");
    world.server.put(&path, successor("renamed", &json!({})));
    world.ctx.memory.reports.serve("otp", "main", &["renamed"]);
    settle(&mut world, &["renamed"]).await;
    assert_eq!((tag_of(&world), condition(&world, &path, "Ready").1), ("test/otp/main".into(), "NameTaken".into()));

    world.server.put(&path, successor("renamed", &json!({"hookswitch.dev/takes-over": "main"})));
    settle(&mut world, &["renamed"]).await;
    assert_eq!(tag_of(&world), "test/otp/main", "not before its place takes the new secret");
    world.org.calls();
    accept(&world, "renamed");
    tokio::time::advance(POLL).await;
    settle(&mut world, &["renamed"]).await;
    assert_eq!(tag_of(&world), "test/otp/renamed");
    let taken = &world.org.hooks()[0];
    assert_eq!((&taken.id, taken.uri.as_deref()), (&id, Some("https://otp.acme.com/hooks/renamed")));
    assert_eq!(condition(&world, &path, "Ready"), is("True", "Ready"));
    let changes: Vec<_> = world.org.calls().into_iter().filter(|call| !["list", "identify"].contains(call)).collect();
    assert_eq!(changes, ["replace"], "mark, address and secret come in one write");
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_object_is_there_is_taken_over_only_when_that_object_says_so_too() {
    let mut world = settled(&[("main", "Active")]).await;
    let path = format!("{HOOKS}/next");
    world.server.put(&path, successor("next", &json!({"hookswitch.dev/takes-over": "main"})));
    world.ctx.memory.reports.serve("otp", "main", &["main", "next"]);
    settle(&mut world, &["main", "next"]).await;
    accept(&world, "next");
    tokio::time::advance(POLL).await;
    settle(&mut world, &["main", "next"]).await;
    assert_eq!((tag_of(&world), condition(&world, &path, "Ready").1), ("test/otp/main".into(), "Conflict".into()));
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"), "it is not disturbed");

    let mut old = world.server.get(&format!("{HOOKS}/main")).unwrap();
    old["metadata"]["annotations"] = json!({"hookswitch.dev/hands-over-to": "next"});
    world.server.put(&format!("{HOOKS}/main"), old);
    settle(&mut world, &["main", "next"]).await;
    assert_eq!(tag_of(&world), "test/otp/next");
    for name in ["main", "next"] {
        assert_eq!(condition(&world, &format!("{HOOKS}/{name}"), "Ready"), is("True", "Ready"), "{name}");
    }
    // and the old object goes without anything being done in Okta
    world.org.calls();
    world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO);
    settle_gone(&mut world, "main").await;
    settle(&mut world, &["next"]).await;
    assert!(!exists(&world, "main") && world.org.calls().iter().all(|call| *call == "list"));
    assert_eq!(tag_of(&world), "test/otp/next");
}

#[tokio::test(start_paused = true)]
async fn a_hook_of_another_namespace_is_taken_over_only_by_that_namespaces_word() {
    let elsewhere = "/apis/hookswitch.dev/v1alpha1/namespaces/elsewhere/telephonyhooks/main";
    for (object, moved) in [
        (None, false),
        (Some(json!({})), false),
        (Some(json!({"hookswitch.dev/hands-over-to": "next"})), false),
        (Some(json!({"hookswitch.dev/hands-over-to": "otp/next"})), true),
    ] {
        let mut world = settled(&[("main", "Active")]).await;
        world.server.delete(&format!("{HOOKS}/main"));
        world.org.edit(|hooks| hooks[0].headers = vec![Header::new("X-Hookswitch-Owner", "test/elsewhere/main")]);
        if let Some(annotations) = &object {
            let mut old = hook("main", "Active");
            old["metadata"]["namespace"] = json!("elsewhere");
            old["metadata"]["annotations"] = annotations.clone();
            world.server.put(elsewhere, old);
        }
        let takes = json!({"hookswitch.dev/takes-over": "elsewhere/main"});
        world.server.put(&format!("{HOOKS}/next"), successor("next", &takes));
        world.ctx.memory.reports.serve("otp", "main", &["next"]);
        settle(&mut world, &["next"]).await;
        accept(&world, "next");
        tokio::time::advance(POLL).await;
        settle(&mut world, &["next"]).await;
        let (mark, reason) = if moved { ("test/otp/next", "Ready") } else { ("test/elsewhere/main", "Conflict") };
        assert_eq!(tag_of(&world), mark, "{object:?}");
        assert_eq!(condition(&world, &format!("{HOOKS}/next"), "Ready").1, reason, "{object:?}");
    }
}
