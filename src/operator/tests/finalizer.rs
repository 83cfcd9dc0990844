//! Finalizers against an API server in memory.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::operator::{
    controllers::terminating::let_go,
    runtime::finalizer::{self, IN_USE, OKTA},
    testing::world::{GATEWAYS, HOOKS, World},
};
use hookswitch_api::TelephonyHook;

const NAMESPACE: &str = "/api/v1/namespaces/otp";

fn put(world: &World, name: &str, finalizers: &[&str]) -> String {
    let path = format!("{HOOKS}/{name}");
    let hook = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook",
        "metadata": {"name": name, "namespace": "otp", "finalizers": finalizers},
        "spec": {"target": {"gatewayRef": {"name": "main"}}}});
    world.server.put(&path, hook);
    world.server.sent_whole();
    path
}

fn hook(world: &World, path: &str) -> Arc<TelephonyHook> {
    Arc::new(serde_json::from_value(world.server.get(path).unwrap()).unwrap())
}

fn on(world: &World, path: &str) -> Value {
    world.server.get(path).unwrap()["metadata"]["finalizers"].clone()
}

#[tokio::test]
async fn two_are_put_on_and_taken_off_by_one_write_each_and_others_stay() {
    let world = World::new();
    let path = put(&world, "main", &["theirs.example/x"]);
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true), (IN_USE, true)]).await.unwrap();
    assert_eq!(on(&world, &path), json!(["theirs.example/x", OKTA, IN_USE]));
    let sent = world.server.sent_whole();
    let [(what, body)] = &sent[..] else { panic!("{sent:?}") };
    assert!(what.contains("fieldManager=hookswitch"), "{what}");
    assert!(body["metadata"]["resourceVersion"].is_string(), "on top of what was read");
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true), (IN_USE, true)]).await.unwrap();
    assert_eq!(world.server.sent_whole(), [], "it is so already");
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, false), (IN_USE, true)]).await.unwrap();
    assert_eq!(on(&world, &path), json!(["theirs.example/x", IN_USE]));
    finalizer::free(&world.ctx.runtime.kube, &hook(&world, &path)).await.unwrap();
    assert_eq!(on(&world, &path), json!(["theirs.example/x"]));
    world.server.sent_whole();
    finalizer::free(&world.ctx.runtime.kube, &hook(&world, &path)).await.unwrap();
    assert_eq!(world.server.sent_whole(), [], "it was not held");
}

#[tokio::test]
async fn nothing_is_put_on_what_is_being_deleted_or_in_a_namespace_that_is() {
    let world = World::new();
    let path = put(&world, "main", &[IN_USE]);
    world.server.ask_to_delete(&path, std::time::Duration::ZERO);
    world.server.sent_whole();
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true)]).await.unwrap();
    assert_eq!((world.server.sent_whole(), on(&world, &path)), (Vec::new(), json!([IN_USE])));
    // what is on it is taken off all the same, one for the other as well
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true), (IN_USE, false)]).await.unwrap();
    assert_eq!(on(&world, &path), json!([IN_USE]), "that would put one on");
    let path = put(&world, "other", &[]);
    let terminating = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "otp", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Terminating"}});
    world.server.put(NAMESPACE, terminating);
    finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true)]).await.unwrap();
    assert_eq!(world.server.sent_whole(), []);
}

#[tokio::test]
async fn an_object_that_is_gone_needs_none_and_a_write_that_fails_is_reported() {
    let world = World::new();
    for (status, ok) in [(StatusCode::NOT_FOUND, true), (StatusCode::CONFLICT, false), (StatusCode::FORBIDDEN, false)] {
        let path = put(&world, "main", &[]);
        world.server.fail_next_write(status);
        let set = finalizer::set(&world.ctx.runtime.kube, &hook(&world, &path), &[(OKTA, true)]).await;
        assert_eq!(set.is_ok(), ok, "{status}: {set:?}");
    }
}

#[tokio::test]
async fn a_release_that_goes_lets_every_object_go_and_counts_them_whoever_writes_meanwhile() {
    let world = World::new();
    let client = world.server.client();
    let (a, b) = (put(&world, "a", &["theirs.example/x", OKTA]), put(&world, "b", &[IN_USE]));
    put(&world, "free", &["theirs.example/x"]);
    let gateway = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
        "metadata": {"name": "main", "namespace": "otp", "finalizers": [IN_USE]}, "spec": {}});
    world.server.put(&format!("{GATEWAYS}/main"), gateway);
    world.server.fail_next_write(StatusCode::CONFLICT);
    assert_eq!(let_go(&client, Some("otp")).await.unwrap().count, 3);
    assert_eq!((on(&world, &a), on(&world, &b)), (json!(["theirs.example/x"]), json!([])));
    assert!(world.server.sent_whole().iter().all(|(what, _)| !what.contains("free")));
    // one that is gone meanwhile is let go
    put(&world, "a", &[OKTA]);
    world.server.fail_next_write(StatusCode::NOT_FOUND);
    assert_eq!(let_go(&client, Some("otp")).await.unwrap().count, 1);
    // one that cannot be written is reported, after all others were tried
    let (a, b) = (put(&world, "a", &[OKTA]), put(&world, "b", &[OKTA]));
    world.server.fail_next_write(StatusCode::INTERNAL_SERVER_ERROR);
    assert!(let_go(&client, Some("otp")).await.is_err());
    assert_eq!((on(&world, &a), on(&world, &b)), (json!([OKTA]), json!([])));
    // one that we may not write is passed over, and named
    put(&world, "b", &[OKTA]);
    world.server.fail_next_write(StatusCode::FORBIDDEN);
    let let_go = let_go(&client, Some("otp")).await.unwrap();
    assert_eq!((let_go.count, let_go.denied.is_some()), (1, true));
}
