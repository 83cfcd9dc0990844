//! Whatever is declared wrongly, what the operator leaves in the Secret serves: in replicas that run, and in those that restart.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::envelope;
use crate::operator::{
    runtime::reconcile::Reconcile as _,
    testing::world::{GATEWAYS, HOOKS, POLICIES, PROVIDERS, SECRETS, World},
    tests::flow,
};
use hookswitch_api::TelephonyGateway;
use hookswitch_gateway::runtime::RunningConfig;
use hookswitch_gateway_config::document::GatewayConfig;
use hookswitch_message::Channel;
use hookswitch_providers::Message;
use hookswitch_routing::{Facts, RouteAction};

const HOOK_SECRET: &str = "the secret of the hook, long enough";

fn policy(rules: &Value) -> Value {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "RoutingPolicy",
        "metadata": {"name": "default", "namespace": "otp", "generation": 1}, "spec": {"rules": rules}})
}

fn provider(http: &Value) -> Value {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyProvider",
        "metadata": {"name": "a", "namespace": "otp", "generation": 1},
        "spec": {"http": http, "senders": [{"channel": "SMS", "from": "ACME"}]}})
}

fn all_by(name: &str) -> Value {
    json!([{"name": "all", "send": {"providers": [{"name": name}]}}])
}

/// One hook, one policy, one provider, all in order and compiled.
async fn good() -> World {
    let world = World::new();
    let mut hook = flow::hook("main", "Active");
    hook["spec"]["auth"] = json!({"header": {"secretRef": {"name": "own", "key": "value"}}});
    world.server.put(&format!("{GATEWAYS}/main"), flow::gateway());
    world.server.put(&format!("{HOOKS}/main"), hook);
    world.server.put(&format!("{SECRETS}/own"), flow::secret("own", "value", HOOK_SECRET));
    world.server.put(&format!("{POLICIES}/default"), policy(&all_by("a")));
    let account = json!({"url": "https://a.example/v1/messages", "tokenRef": {"name": "of-a", "key": "token"}});
    world.server.put(&format!("{PROVIDERS}/a"), provider(&account));
    world.server.put(&format!("{SECRETS}/of-a"), flow::secret("of-a", "token", "the-token-of-a"));
    let mut world = world;
    reconcile(&mut world).await;
    world
}

async fn reconcile(world: &mut World) {
    world.sync();
    let gateway = world.ctx.memory.caches.gateways.get("otp", "main").unwrap();
    TelephonyGateway::reconcile(gateway, Arc::clone(&world.ctx)).await.unwrap();
}

/// Changes an object as its author does.
fn edit(world: &World, path: &str, edit: impl FnOnce(&mut Value)) {
    let mut object = world.server.get(path).unwrap();
    edit(&mut object["spec"]);
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
    world.server.put(path, object);
}

fn written(world: &World) -> Vec<u8> {
    let stored = world.server.get(&format!("{SECRETS}/main-gateway-config")).unwrap();
    STANDARD.decode(stored["data"][envelope::KEY].as_str().unwrap()).unwrap()
}

fn reason(world: &World) -> String {
    flow::condition(world, &format!("{GATEWAYS}/main"), "Ready").1
}

/// A replica that has served `before` and is given this, or that starts with it: it serves all of it, and a message has its way.
fn serves(config: &GatewayConfig, before: Option<&RunningConfig>, what: &str) -> RunningConfig {
    let running = RunningConfig::new(config, "hash", before).unwrap();
    assert_eq!(running.faults, [], "{what}");
    let shown: HeaderMap = [(header::AUTHORIZATION, HeaderValue::from_static(HOOK_SECRET))].into_iter().collect();
    assert!(running.hook("main").is_some_and(|hook| hook.admits(&shown, 0)), "{what}: Okta is let in");
    let number = "+46701740605".parse().unwrap();
    let facts = Facts { number: &number, country: None, channel: Channel::Sms, request_type: None };
    let RouteAction::Send(names) = running.table.decide(&facts).action else { panic!("{what}: not sent") };
    assert_eq!(names, ["a".to_owned()], "{what}");
    let message = Message {
        id: "id".into(),
        channel: Channel::Sms,
        to: number.clone(),
        country: None,
        text: "Your code is 1234".into(),
        code: "1234".into(),
        locale: None,
        ttl: None,
        original: None,
    };
    assert_eq!(running.candidates(names, &message, None).1, 1, "{what}: the provider can be used");
    running
}

/// What is done wrongly, how, and what the gateway itself says of it, where it is the gateway's to say.
type Wrong = (&'static str, fn(&World), Option<&'static str>);

#[tokio::test(start_paused = true)]
async fn whatever_is_declared_wrongly_what_is_written_serves_on_in_replicas_that_run_and_in_those_that_start() {
    let wrongs: [Wrong; 10] = [
        (
            "a prefix that no number begins with",
            |world| {
                edit(world, &format!("{POLICIES}/default"), |spec| {
                    spec["rules"][0]["match"] = json!({"prefixes": ["46"]});
                });
            },
            None,
        ),
        (
            "a rule that sends by nobody",
            |world| {
                edit(world, &format!("{POLICIES}/default"), |spec| spec["rules"][0]["send"]["providers"] = json!([]));
            },
            None,
        ),
        (
            "a provider that does not exist",
            |world| edit(world, &format!("{POLICIES}/default"), |spec| spec["rules"] = all_by("misspelt")),
            None,
        ),
        (
            "a provider of a kind that a later release knows",
            |world| edit(world, &format!("{PROVIDERS}/a"), |spec| spec["http"] = Value::Null),
            None,
        ),
        (
            "a provider's URL that is none",
            |world| edit(world, &format!("{PROVIDERS}/a"), |spec| spec["http"]["url"] = json!("nowhere")),
            None,
        ),
        (
            "a provider's Secret that does not exist",
            |world| edit(world, &format!("{PROVIDERS}/a"), |spec| spec["http"]["tokenRef"]["name"] = json!("gone")),
            None,
        ),
        (
            "a hook's Secret that does not exist",
            |world| {
                edit(world, &format!("{HOOKS}/main"), |spec| {
                    spec["auth"]["header"]["secretRef"]["name"] = json!("gone");
                });
            },
            None,
        ),
        ("a policy that is gone", |world| world.server.delete(&format!("{POLICIES}/default")), Some("PolicyNotFound")),
        (
            "times that leave no time for one attempt",
            |world| edit(world, &format!("{GATEWAYS}/main"), |spec| spec["deadline"] = json!("500ms")),
            Some("InvalidSpec"),
        ),
        (
            "more rules than a Secret has room for",
            |world| {
                // digests, which cannot be compressed
                let name = |number: u32| STANDARD.encode(digest::digest(&digest::SHA512, &number.to_be_bytes()));
                let rules = (0..14_000).map(|n| json!({"name": name(n), "send": {"providers": [{"name": "a"}]}}));
                let rules = Value::Array(rules.collect());
                edit(world, &format!("{POLICIES}/default"), move |spec| spec["rules"] = rules);
            },
            Some("ConfigTooLarge"),
        ),
    ];
    for (what, declare, said) in wrongs {
        let mut world = good().await;
        let good = serves(&envelope::open(&written(&world)).unwrap(), None, "in order");
        declare(&world);
        // the second time, what was kept is all that is known of before
        for pass in ["the first reconcile", "the next"] {
            reconcile(&mut world).await;
            let config = envelope::open(&written(&world)).unwrap();
            let what = format!("{what}, {pass}");
            serves(&config, Some(&good), &what);
            serves(&config, None, &what);
            if let Some(said) = said {
                assert_eq!(reason(&world), said, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_of_a_release_that_is_not_known_is_left_as_it_is() {
    let mut world = good().await;
    let path = format!("{SECRETS}/main-gateway-config");
    let known: Value = serde_json::from_slice(&written(&world)).unwrap();
    let store = |world: &World, versions: &Value| {
        let mut stored = world.server.get(&path).unwrap();
        stored["data"][envelope::KEY] = json!(STANDARD.encode(versions.to_string()));
        world.server.put(&path, stored);
    };
    let unknown = json!({"7": known["1"]});
    store(&world, &unknown);
    edit(&world, &format!("{POLICIES}/default"), |spec| spec["rules"] = all_by("misspelt"));
    reconcile(&mut world).await;
    assert_eq!(reason(&world), "ConfigUnreadable");
    assert_eq!(written(&world), unknown.to_string().as_bytes(), "it may be all that serves");

    // beside one that is known it is none of this release's business
    store(&world, &json!({"1": known["1"], "7": "of a later release"}));
    reconcile(&mut world).await;
    let config = envelope::open(&written(&world)).unwrap();
    serves(&config, None, "after the rollback");
}
