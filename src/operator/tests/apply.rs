//! Applying and pruning against an API server in memory.

use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::operator::{
    runtime::{
        apply::{ApplyResult, apply, controls, prune},
        error::ReconcileError,
    },
    testing::world::{GATEWAYS, World},
};
use hookswitch_api::TelephonyGateway;

const CONFIG: &str = "/api/v1/namespaces/otp/configmaps/main";

fn owner(world: &World) -> TelephonyGateway {
    let path = format!("{GATEWAYS}/main");
    if world.server.get(&path).is_none() {
        let gateway = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
            "metadata": {"name": "main", "namespace": "otp", "uid": "uid-of-main"}, "spec": {"policies": [], "publicURL": "https://otp.acme.com"}});
        world.server.put(&path, gateway);
    }
    serde_json::from_value(world.server.get(&path).unwrap()).unwrap()
}

fn config(value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "main"}, "data": {"key": value}})).unwrap()
}

fn theirs() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "main", "namespace": "otp", "uid": "theirs"},
        "data": {"key": "theirs"}})
}

fn ours() -> Value {
    let mut object = theirs();
    object["metadata"]["uid"] = json!("ours");
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "hookswitch.dev/v1alpha1",
        "kind": "TelephonyGateway", "name": "main", "uid": "uid-of-main", "controller": true}]);
    object
}

#[tokio::test]
async fn an_object_is_made_by_apply_without_force_and_changed_with_it_and_its_uid() {
    let world = World::new();
    let owner = owner(&world);
    world.server.sent_whole();
    assert!(matches!(apply(&world.ctx.runtime.kube, &owner, config("1")).await, Ok(ApplyResult::Written(_))));
    let [(what, body)] = &world.server.sent_whole()[..] else { panic!("one write") };
    assert!(what.starts_with(&format!("PATCH {CONFIG}?")) && what.contains("fieldManager=hookswitch"), "{what}");
    assert!(!what.contains("force=true"), "it takes no field from anybody: {what}");
    assert_eq!((&body["apiVersion"], &body["kind"]), (&json!("v1"), &json!("ConfigMap")));
    assert_eq!(body["metadata"]["uid"], Value::Null);
    assert!(matches!(apply(&world.ctx.runtime.kube, &owner, config("1")).await, Ok(ApplyResult::Unchanged(_))));
    assert_eq!(world.server.sent_whole(), [], "it is so already");
    let id = world.server.get(CONFIG).unwrap()["metadata"]["uid"].clone();
    assert!(matches!(apply(&world.ctx.runtime.kube, &owner, config("2")).await, Ok(ApplyResult::Written(_))));
    let [(what, body)] = &world.server.sent_whole()[..] else { panic!("one write") };
    assert!(what.contains("force=true"), "its fields are ours: {what}");
    assert_eq!(body["metadata"]["uid"], id, "one made anew under that name meanwhile is not");
}

#[tokio::test]
async fn what_somebody_else_controls_is_neither_changed_nor_deleted() {
    let world = World::new();
    let owner = owner(&world);
    let mut shared = ours();
    shared["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    for object in [theirs(), shared] {
        world.server.put(CONFIG, object);
        world.server.sent_whole();
        assert!(matches!(
            apply(&world.ctx.runtime.kube, &owner, config("1")).await,
            Err(ReconcileError::NameTaken { .. })
        ));
        assert!(matches!(prune::<_, ConfigMap>(&world.ctx.runtime.kube, &owner, "main").await, Ok(false)));
        assert_eq!(world.server.sent_whole(), []);
    }
}

#[tokio::test]
async fn what_is_ours_is_deleted_as_it_was_read_and_whatever_hangs_on_it_goes_with_it() {
    let world = World::new();
    let owner = owner(&world);
    assert!(matches!(prune::<_, ConfigMap>(&world.ctx.runtime.kube, &owner, "main").await, Ok(false)), "there is none");
    world.server.put(CONFIG, ours());
    let version = world.server.get(CONFIG).unwrap()["metadata"]["resourceVersion"].clone();
    world.server.sent_whole();
    assert!(matches!(prune::<_, ConfigMap>(&world.ctx.runtime.kube, &owner, "main").await, Ok(true)));
    let [(what, body)] = &world.server.sent_whole()[..] else { panic!("one call") };
    assert!(what.starts_with(&format!("DELETE {CONFIG}")), "{what}");
    assert_eq!(body["preconditions"], json!({"uid": "ours", "resourceVersion": version}));
    assert_eq!(body["propagationPolicy"], "Background");
    // one that is being deleted already is left to whoever holds it
    let mut leaving = ours();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.server.put(CONFIG, leaving);
    world.server.sent_whole();
    assert!(matches!(prune::<_, ConfigMap>(&world.ctx.runtime.kube, &owner, "main").await, Ok(true)));
    assert_eq!(world.server.sent_whole(), []);
}

#[tokio::test]
async fn a_deletion_that_another_was_quicker_with_is_none_and_one_that_is_refused_is_an_error() {
    let world = World::new();
    let owner = owner(&world);
    for (status, expected) in [(StatusCode::NOT_FOUND, Some(false)), (StatusCode::CONFLICT, None)] {
        world.server.put(CONFIG, ours());
        world.server.fail_next_write(status);
        let pruned = prune::<_, ConfigMap>(&world.ctx.runtime.kube, &owner, "main").await;
        assert_eq!(pruned.as_ref().ok().copied(), expected, "{status}: {pruned:?}");
    }
}

#[tokio::test]
async fn what_is_so_already_is_not_written_by_a_process_that_never_wrote_it() {
    let world = World::new();
    let owner = owner(&world);
    let mut object = ours();
    object["data"]["key"] = json!("1");
    object["metadata"]["uid"] = json!("of-another-process");
    object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true);
    world.server.put(CONFIG, object);
    world.server.sent_whole();
    assert!(matches!(apply(&world.ctx.runtime.kube, &owner, config("1")).await, Ok(ApplyResult::Unchanged(_))));
    assert_eq!(world.server.sent_whole(), []);
}

#[tokio::test]
async fn an_owner_controls_what_names_it_as_its_controller_and_nothing_else() {
    let world = World::new();
    let owner = owner(&world);
    let read = |object: Value| -> ConfigMap { serde_json::from_value(object).unwrap() };
    assert!(controls(&owner, &read(ours())));
    assert!(!controls(&owner, &read(theirs())));
    let mut of_another = ours();
    of_another["metadata"]["ownerReferences"][0]["uid"] = json!("uid-of-another");
    assert!(!controls(&owner, &read(of_another)));
}
