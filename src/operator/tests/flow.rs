//! Reconciles over an org and its hooks, from manifests to Okta and back to status.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{FutureExt as _, StreamExt as _};
use http::StatusCode;
use serde_json::{Value, json};

use crate::operator::{
    runtime::{
        reconcile::{Reconcile as _, Requeue},
        triggers::{Target, Woken},
    },
    state::reports::Serving,
    testing::world::{GATEWAYS, HOOKS, ORGS, SECRETS, World, WriteFault, leave_lease},
};
use hookswitch_api::{Kind, OktaOrg, TelephonyGateway, TelephonyHook};
use hookswitch_okta::{
    Failure,
    types::{HookStatus, ObservedHook},
};

pub fn org() -> Value {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "OktaOrg",
        "metadata": {"name": "acme", "namespace": "otp", "generation": 1},
        "spec": {"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": {"name": "okta", "key": "token"}}}}})
}

pub fn gateway() -> Value {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
        "metadata": {"name": "main", "namespace": "otp", "generation": 1},
        "spec": {"policies": {"names": ["default"]}, "publicURL": "https://otp.acme.com"}})
}

pub fn hook(name: &str, state: &str) -> Value {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook",
        "metadata": {"name": name, "namespace": "otp", "generation": 1},
        "spec": {"target": {"gatewayRef": {"name": "main"}},
            "okta": {"orgRef": {"name": "acme"}, "name": format!("Acme {name}")}, "state": state}})
}

pub fn secret(name: &str, key: &str, value: &str) -> Value {
    let value = STANDARD.encode(value);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "otp"}, "data": {key: value}})
}

/// An org, a gateway and hooks as a user applies them.
pub fn world(hooks: &[(&str, &str)]) -> World {
    let mut world = World::new();
    world.server.put(&format!("{ORGS}/acme"), org());
    world.server.put(&format!("{GATEWAYS}/main"), gateway());
    world.server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org\n"));
    for (name, state) in hooks {
        world.server.put(&format!("{HOOKS}/{name}"), hook(name, state));
    }
    world.sync();
    world
}

pub async fn org_pass(world: &mut World) -> Requeue {
    world.sync();
    let org = world.ctx.memory.caches.orgs.get("otp", "acme").unwrap();
    OktaOrg::reconcile(org, Arc::clone(&world.ctx)).await.unwrap()
}

pub async fn hook_pass(world: &mut World, name: &str) {
    world.sync();
    let hook = world.ctx.memory.caches.hooks.get("otp", name).unwrap();
    TelephonyHook::reconcile(hook, Arc::clone(&world.ctx)).await.unwrap();
}

/// Reconciles as wake-ups would run them, until all is still.
pub async fn settle(world: &mut World, hooks: &[&str]) {
    for _ in 0..4 {
        for name in hooks {
            hook_pass(world, name).await;
        }
        org_pass(world).await;
    }
    for name in hooks {
        hook_pass(world, name).await;
    }
    org_pass(world).await;
}

pub fn condition(world: &World, path: &str, kind: &str) -> (String, String) {
    let object = world.server.get(path).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(Value::Null);
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

pub fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_created_active_with_our_tag_once_its_gateway_serves_it() {
    let mut world = world(&[("main", "Active")]);
    let path = format!("{HOOKS}/main");
    settle(&mut world, &["main"]).await;
    assert!(world.org.hooks().is_empty(), "Okta is not pointed at a gateway that does not serve");
    assert_eq!(condition(&world, &path, "Ready"), is("Unknown", "GatewayNotServing"));

    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    let hooks = world.org.hooks();
    assert_eq!(hooks.len(), 1);
    assert_eq!(
        (hooks[0].status, hooks[0].uri.as_deref()),
        (HookStatus::Active, Some("https://otp.acme.com/hooks/main"))
    );
    assert!(hooks[0].headers.iter().any(|h| h.name == "X-Hookswitch-Owner" && h.value == "test/otp/main"));
    assert_eq!(condition(&world, &path, "Ready"), is("True", "Ready"));
    assert_eq!(condition(&world, &path, "Active"), is("True", "Active"));
    assert_eq!(condition(&world, &format!("{ORGS}/acme"), "Ready"), is("True", "Ready"));

    let status = world.server.get(&format!("{ORGS}/acme")).unwrap()["status"].clone();
    assert_eq!(status["orgID"], "00o1");
    assert_eq!(status["activeHook"]["owner"], "otp/main");
    assert!(status["plan"].is_null(), "a plan that is over is forgotten");
    let generated = world.server.get(&format!("{SECRETS}/main-hook-auth")).unwrap();
    let value = generated["data"]["value"].as_str().unwrap();
    let value = STANDARD.decode(value).unwrap();
    let content = world.org.content(&hooks[0].id).unwrap();
    assert_eq!(content.secret.expose().as_bytes(), value, "Okta has the value that the Secret holds");
    let stored = world.server.get(&path).unwrap().to_string();
    assert!(!stored.contains(content.secret.expose().as_str()) && stored.contains("appliedSecretMark"));
}

#[tokio::test(start_paused = true)]
async fn a_second_reconcile_of_an_unchanged_world_writes_nothing_and_asks_okta_nothing() {
    let mut world = world(&[("main", "Active")]);
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    world.server.writes();
    world.org.calls();
    settle(&mut world, &["main"]).await;
    assert_eq!(world.server.writes(), Vec::<String>::new());
    assert_eq!(world.org.calls(), Vec::<&str>::new());
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.calls(), ["list"], "the declared poll, once");
    assert_eq!(world.server.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_in_okta_is_put_right_at_the_next_poll() {
    let mut world = world(&[("main", "Active")]);
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    world.org.edit(|hooks| hooks[0].uri = Some("https://elsewhere.test".into()));
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.hooks()[0].uri.as_deref(), Some("https://otp.acme.com/hooks/main"));
}

#[tokio::test(start_paused = true)]
async fn two_hooks_declared_active_are_both_reported_and_okta_is_left_alone() {
    let mut world = world(&[("one", "Active"), ("two", "Active")]);
    for name in ["one", "two"] {
        world.ctx.memory.reports.set_serving("otp", "main", name, Serving::Yes { replicas: 1 });
    }
    settle(&mut world, &["one", "two"]).await;
    for name in ["one", "two"] {
        assert_eq!(condition(&world, &format!("{HOOKS}/{name}"), "Ready"), is("False", "TwoActive"));
    }
    assert!(world.org.hooks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_secret_goes_missing_stays_as_it_is_in_okta() {
    let mut world = world(&[("main", "Active")]);
    let mut own = hook("main", "Active");
    own["spec"]["auth"] = json!({"header": {"secretRef": {"name": "own", "key": "value"}}});
    world.server.put(&format!("{HOOKS}/main"), own);
    world.server.put(&format!("{SECRETS}/own"), secret("own", "value", "a value of enough characters"));
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.hooks()[0].status, HookStatus::Active);

    // another name is another watch, and that Secret does not exist
    let mut broken = world.server.get(&format!("{HOOKS}/main")).unwrap();
    broken["spec"]["auth"]["header"]["secretRef"]["name"] = json!("missing");
    broken["metadata"]["generation"] = json!(2);
    world.server.put(&format!("{HOOKS}/main"), broken);
    world.org.calls();
    settle(&mut world, &["main"]).await;
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("False", "SecretNotFound"));
    assert_eq!(world.org.hooks()[0].status, HookStatus::Active, "the last good configuration serves on");
    assert!(world.org.calls().iter().all(|call| *call == "list"));

    // somebody deactivates it: what Okta and the gateway have works, and is used again
    world.org.edit(|hooks| hooks[0].status = HookStatus::Inactive);
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.hooks()[0].status, HookStatus::Active);
    assert!(!world.org.calls().contains(&"replace"), "nothing is written without a whole declaration");
    // one that is gone is not made without its secret, and one that was changed is not used
    world.org.edit(|hooks| {
        hooks[0].status = HookStatus::Inactive;
        hooks[0].uri = Some("https://elsewhere.test".into());
    });
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.hooks()[0].status, HookStatus::Inactive);
    world.org.edit(Vec::clear);
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert!(world.org.hooks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_shows_on_the_org_and_its_hooks_and_is_not_tried_in_a_loop() {
    let mut world = world(&[("main", "Active")]);
    world.org.fail(Some(Failure::Unauthorized));
    settle(&mut world, &["main"]).await;
    assert_eq!(condition(&world, &format!("{ORGS}/acme"), "Ready"), is("False", "TokenRejected"));
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("False", "OrgNotReady"));
    assert_eq!(world.org.calls().len(), 1, "six passes, one call");
    let shown = world.server.get(&format!("{ORGS}/acme")).unwrap().to_string();
    assert!(!shown.contains("00token-of-the-org"));
}

#[tokio::test(start_paused = true)]
async fn while_okta_is_silent_hooks_keep_what_was_last_said_of_them() {
    let mut world = world(&[("main", "Active")]);
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    world.org.fail(Some(Failure::Unreachable { detail: "connection refused".into() }));
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(condition(&world, &format!("{ORGS}/acme"), "Reachable"), is("False", "Unreachable"));
    assert_eq!(condition(&world, &format!("{HOOKS}/main"), "Ready"), is("True", "Ready"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_hook_object_leaves_okta_as_it_is() {
    let mut world = world(&[("main", "Active")]);
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    // whoever held it is gone: nobody asks any more
    world.server.delete(&format!("{HOOKS}/main"));
    world.org.calls();
    settle(&mut world, &[]).await;
    assert_eq!(world.org.hooks()[0].status, HookStatus::Active);
    assert!(world.org.calls().iter().all(|call| *call == "list"));
}

/// What a reconcile showed differs from what is shown only once, so nobody would wake the hooks again.
#[tokio::test(start_paused = true)]
async fn hooks_hear_of_what_a_reconcile_saw_although_its_writes_fail() {
    // the hook's own status, and the org's
    for write in [1, 2] {
        for write_fault in [WriteFault::Fails, WriteFault::LostAnswer] {
            let mut world = world(&[("main", "Active")]);
            world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
            settle(&mut world, &["main"]).await;
            world.org.edit(|hooks| hooks[0].uri = Some("https://elsewhere.test".into()));
            tokio::time::advance(Duration::from_secs(61)).await;
            world.sync();
            let mut woken = std::pin::pin!(world.ctx.runtime.triggers.listen(Kind::TelephonyHook));
            world.server.write_fault(Some((write, write_fault)));
            let org = world.ctx.memory.caches.orgs.get("otp", "acme").unwrap();
            assert!(OktaOrg::reconcile(org, Arc::clone(&world.ctx)).await.is_err(), "{write} {write_fault:?}");
            let target = Target::new(Kind::TelephonyHook, "otp", "main");
            let main = Woken { target, urgent: false };
            assert_eq!(woken.next().now_or_never(), Some(Some(main)), "{write} {write_fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_enough_of_the_lease_left_nothing_is_written_to_okta() {
    // what a plan needs, and a second less or more: the lease's clock is no test's
    for (left, written) in [(0, false), (19, false), (22, true)] {
        let mut world = world(&[("main", "Active")]);
        world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
        world.leave_lease(Duration::from_secs(left));
        settle(&mut world, &["main"]).await;
        let calls = world.org.calls();
        assert_eq!(calls.iter().any(|call| !["list", "identify"].contains(call)), written, "{left} s: {calls:?}");
        assert!(world.server.get(&format!("{ORGS}/acme")).unwrap()["status"]["plan"].is_null(), "{left} s");
    }
}

/// The plan is recorded between the check of the lease and the first call, and that write may be slow.
#[tokio::test(start_paused = true)]
async fn a_swap_whose_record_took_the_lease_begins_only_once_there_is_lease_for_its_worst_case() {
    let mut world = world(&[("one", "Active"), ("two", "Inactive")]);
    world.ctx.memory.reports.serve("otp", "main", &["one", "two"]);
    settle(&mut world, &["one", "two"]).await;
    for (name, state) in [("one", "Inactive"), ("two", "Active")] {
        let path = format!("{HOOKS}/{name}");
        let mut object = world.server.get(&path).unwrap();
        object["spec"]["state"] = json!(state);
        object["metadata"]["generation"] = json!(2);
        world.server.put(&path, object);
    }
    org_pass(&mut world).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    world.org.calls();
    let lease = world.ctx.runtime.lease.clone();
    world.server.when_a_plan_is_stored(move || leave_lease(&lease, Duration::from_millis(4_500)));
    let Requeue::After(soon) = org_pass(&mut world).await else { panic!("it is not looked at again") };
    let calls = world.org.calls();
    assert!(!calls.contains(&"deactivate") && !calls.contains(&"activate"), "{calls:?}");
    assert!(soon <= Duration::from_secs(1), "{soon:?}");
    world.leave_lease(Duration::from_secs(30));
    org_pass(&mut world).await;
    let calls = world.org.calls();
    assert!(calls.contains(&"deactivate") && calls.contains(&"activate"), "{calls:?}");
    let active = world.org.hooks().into_iter().find(|hook| hook.status == HookStatus::Active).unwrap();
    assert_eq!(active.name, "Acme two");
}

/// What a condition says to people.
fn says(world: &World, path: &str, kind: &str) -> String {
    let object = world.server.get(path).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(Value::Null);
    found["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hooks_secret_that_may_not_be_read_is_named_at_the_hook_and_stops_no_other() {
    let mut world = world(&[("main", "Active")]);
    let mut other = hook("other", "Inactive");
    other["spec"]["auth"] = json!({"header": {"secretRef": {"name": "mine", "key": "value"}}});
    world.server.put(&format!("{HOOKS}/other"), other);
    world.server.refuse_to_read(&format!("{SECRETS}/mine"), Some(StatusCode::FORBIDDEN));
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main", "other"]).await;
    let at = format!("{HOOKS}/other");
    assert_eq!(condition(&world, &at, "Ready"), is("False", "SecretNotFound"));
    let message = says(&world, &at, "Ready");
    assert!(message.contains("read Secret otp/mine: 403") && message.contains("Role"), "{message}");
    assert_eq!(condition(&world, &format!("{ORGS}/acme"), "Ready"), is("True", "Ready"));
    assert_eq!(world.org.hooks().iter().map(|hook| hook.status).collect::<Vec<_>>(), [HookStatus::Active]);

    world.server.refuse_to_read(&format!("{SECRETS}/mine"), None);
    world.server.put(&format!("{SECRETS}/mine"), secret("mine", "value", "a secret of enough characters"));
    settle(&mut world, &["main", "other"]).await;
    assert_ne!(condition(&world, &at, "Ready").1, "SecretNotFound", "it waits for its gateway");

    world.server.refuse_to_read(&format!("{SECRETS}/unread"), Some(StatusCode::INTERNAL_SERVER_ERROR));
    let mut third = hook("third", "Inactive");
    third["spec"]["auth"] = json!({"header": {"secretRef": {"name": "unread", "key": "value"}}});
    world.server.put(&format!("{HOOKS}/third"), third);
    world.sync();
    let third = world.ctx.memory.caches.hooks.get("otp", "third").unwrap();
    assert!(TelephonyHook::reconcile(third, Arc::clone(&world.ctx)).await.is_err(), "trouble is tried again");
}

#[tokio::test(start_paused = true)]
async fn an_orgs_secret_or_bundle_that_may_not_be_read_is_named_at_the_org() {
    for (bundle, name, reason) in [(false, "token", "SecretNotFound"), (true, "ca", "CaBundleInvalid")] {
        let mut world = world(&[]);
        let mut of = org();
        if bundle {
            of["spec"]["caBundleRef"] = json!({"secretKeyRef": {"name": name, "key": "ca.crt"}});
        } else {
            of["spec"]["auth"]["apiToken"]["secretRef"]["name"] = json!(name);
        }
        world.server.put(&format!("{ORGS}/acme"), of);
        world.server.refuse_to_read(&format!("{SECRETS}/{name}"), Some(StatusCode::FORBIDDEN));
        org_pass(&mut world).await;
        let at = format!("{ORGS}/acme");
        assert_eq!(condition(&world, &at, "Ready"), is("False", reason));
        let message = says(&world, &at, "Ready");
        assert!(message.contains(&format!("read Secret otp/{name}: 403")), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_generated_secret_that_may_not_be_read_or_made_is_named_at_its_object() {
    let path = format!("{HOOKS}/main");
    for (read, made, reason, reported) in [
        (Some(StatusCode::FORBIDDEN), None, "SecretNotFound", "read Secret otp/main-hook-auth: 403"),
        (None, Some(StatusCode::FORBIDDEN), "Refused", "apply Secret otp/main-hook-auth: 403"),
    ] {
        let mut world = world(&[("main", "Active")]);
        world.server.refuse_to_read(&format!("{SECRETS}/main-hook-auth"), read);
        world.sync();
        let main = world.ctx.memory.caches.hooks.get("otp", "main").unwrap();
        // whatever else is written first is not what is refused
        let held = finalizer_first(&world, &main).await;
        if let Some(made) = made {
            world.server.fail_next_write(made);
        }
        let ended = TelephonyHook::reconcile(held, Arc::clone(&world.ctx)).await;
        assert_eq!(ended.unwrap(), Requeue::Retry, "nobody tells when it is allowed");
        assert_eq!(condition(&world, &path, "Ready"), is("False", reason));
        let message = says(&world, &path, "Ready");
        assert!(message.contains(reported), "{message}");
    }
    for name in ["main-gateway-report", "main-gateway-tls", "main-gateway-config"] {
        let mut world = world(&[]);
        world.server.refuse_to_read(&format!("{SECRETS}/{name}"), Some(StatusCode::FORBIDDEN));
        world.sync();
        let main = world.ctx.memory.caches.gateways.get("otp", "main").unwrap();
        TelephonyGateway::reconcile(main, Arc::clone(&world.ctx)).await.unwrap();
        let message = says(&world, &format!("{GATEWAYS}/main"), "Ready");
        let configured = world.server.get(&format!("{SECRETS}/main-gateway-config")).is_some();
        if name == "main-gateway-tls" {
            assert!(configured, "a certificate keeps no configuration from the pods");
        } else {
            assert!(message.contains(&format!("read Secret otp/{name}: 403")), "{message}");
            assert!(message.contains("Role") && !configured, "{message}");
        }
    }
}

/// The object as it is once it is held.
async fn finalizer_first(world: &World, hook: &Arc<TelephonyHook>) -> Arc<TelephonyHook> {
    crate::operator::runtime::finalizer::set(
        &world.ctx.runtime.kube,
        hook,
        &[(crate::operator::runtime::finalizer::IN_USE, true)],
    )
    .await
    .unwrap()
}

/// Whoever may write a gateway would else have Okta call any host in the installation's name.
#[tokio::test(start_paused = true)]
async fn okta_is_not_pointed_at_a_host_that_the_installation_does_not_allow() {
    let allow = |world: &mut World, hosts: Value| {
        let tenancy = json!({"namespaces": {"otp": {"hosts": hosts}}});
        world.change(|parts| parts.options.tenancy = tenancy.to_string().parse().unwrap());
    };
    let mut world = world(&[("main", "Active")]);
    let path = format!("{HOOKS}/main");
    allow(&mut world, json!(["otp.other.example"]));
    world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Yes { replicas: 1 });
    settle(&mut world, &["main"]).await;
    assert!(world.org.hooks().is_empty());
    assert_eq!(condition(&world, &path, "Ready"), is("False", "NotAllowed"));

    allow(&mut world, json!(["otp.acme.com"]));
    settle(&mut world, &["main"]).await;
    assert_eq!(condition(&world, &path, "Ready"), is("True", "Ready"));
    // what Okta has already is kept as it was declared, its secret included
    allow(&mut world, json!([]));
    let spoilt = |hooks: &mut Vec<ObservedHook>| hooks[0].name = "somebody's".into();
    world.org.edit(spoilt);
    tokio::time::advance(Duration::from_secs(61)).await;
    settle(&mut world, &["main"]).await;
    assert_eq!(world.org.hooks()[0].name, "Acme main");
    assert_eq!(condition(&world, &path, "Ready"), is("True", "Ready"));

    let mut gateway = gateway();
    gateway["spec"]["publicURL"] = json!("https://otp.elsewhere.example");
    gateway["metadata"]["generation"] = json!(2);
    world.server.put(&format!("{GATEWAYS}/main"), gateway);
    settle(&mut world, &["main"]).await;
    let hooks = world.org.hooks();
    assert_eq!(
        (hooks[0].status, hooks[0].uri.as_deref()),
        (HookStatus::Active, Some("https://otp.acme.com/hooks/main"))
    );
    assert_eq!(condition(&world, &path, "Ready"), is("False", "NotAllowed"));
}
