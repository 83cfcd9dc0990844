//! Secrets and `ConfigMaps` that are referred to, against an API server in memory whose watches deliver.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::operator::{
    runtime::{
        references::{Reference, References},
        triggers::{Target, Wake},
    },
    testing::world::{SECRETS, Server},
};
use hookswitch_api::Kind;

const CONFIG_MAPS: &str = "/api/v1/namespaces/otp/configmaps";

fn secret(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "okta", "namespace": "otp"},
        "stringData": {"token": value}})
}

fn bundle(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "otp"},
        "data": {"ca.crt": value}})
}

fn org(name: &str) -> Target {
    Target::new(Kind::OktaOrg, "otp", name)
}

/// Lets the watches take in what was delivered.
async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

struct Scene {
    server: Server,
    wake: Wake,
    references: References,
}

impl Scene {
    fn new() -> Self {
        let (server, wake) = (Server::default(), Wake::default());
        server.notify_watches();
        let references = References::new(server.client(), wake.clone());
        Self { server, wake, references }
    }

    fn follow(&self, user: &str, wanted: &[Reference]) {
        self.references.follow(&org(user), &wanted.iter().cloned().collect::<BTreeSet<_>>());
    }
}

/// Who was woken since the last call.
fn woken(
    listener: &mut (impl futures::Stream<Item = crate::operator::runtime::triggers::Woken> + Unpin),
) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(Some(woken)) = listener.next().now_or_never() {
        names.push(woken.target.name);
    }
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_change_of_what_is_referred_to_wakes_those_who_refer_to_it_and_nobody_else() {
    let scene = Scene::new();
    let mut reported = Box::pin(scene.wake.listen(Kind::OktaOrg));
    scene.server.put(&format!("{SECRETS}/okta"), secret("1"));
    scene.server.put(&format!("{CONFIG_MAPS}/ca"), bundle("1"));
    let (token, ca) = (Reference::secret("otp", "okta"), Reference::config_map("otp", "ca"));
    scene.follow("a", &[token.clone(), ca]);
    scene.follow("b", std::slice::from_ref(&token));
    settle().await;
    woken(&mut reported);
    scene.server.put(&format!("{SECRETS}/okta"), secret("2"));
    settle().await;
    assert_eq!(woken(&mut reported), ["a", "b"]);
    scene.server.put(&format!("{CONFIG_MAPS}/ca"), bundle("2"));
    settle().await;
    assert_eq!(woken(&mut reported), ["a"]);
    let mut other = secret("2");
    other["metadata"]["name"] = json!("other");
    scene.server.put(&format!("{SECRETS}/other"), other);
    settle().await;
    assert_eq!(woken(&mut reported), Vec::<String>::new(), "another Secret");
    // who is gone, or refers to something else, is left alone
    scene.references.forget(&org("b"));
    scene.follow("a", std::slice::from_ref(&token));
    scene.server.put(&format!("{SECRETS}/okta"), secret("3"));
    scene.server.put(&format!("{CONFIG_MAPS}/ca"), bundle("3"));
    settle().await;
    assert_eq!(woken(&mut reported), ["a"]);
    scene.server.delete(&format!("{SECRETS}/okta"));
    settle().await;
    assert_eq!(woken(&mut reported), ["a"], "that it is gone is news, too");
}

#[tokio::test(start_paused = true)]
async fn what_is_followed_is_read_from_its_watch_and_an_absence_is_never_believed() {
    let scene = Scene::new();
    let (token, ca) = (Reference::secret("otp", "okta"), Reference::config_map("otp", "ca"));
    scene.follow("a", &[token, ca]);
    settle().await;
    let observed = async |scene: &Scene| {
        let secret = scene.references.secret("otp", "okta").await.unwrap();
        let map = scene.references.config_map("otp", "ca").await.unwrap();
        let data = map.and_then(|map| map.data.clone()).and_then(|data| data.get("ca.crt").cloned());
        (secret.is_some(), data)
    };
    scene.server.reads();
    assert_eq!(observed(&scene).await, (false, None));
    assert_eq!(scene.server.reads(), 2, "both were asked for afresh");
    scene.server.put(&format!("{SECRETS}/okta"), secret("1"));
    scene.server.put(&format!("{CONFIG_MAPS}/ca"), bundle("1"));
    assert_eq!(observed(&scene).await, (true, Some("1".to_owned())), "before a watch told of them");
    settle().await;
    scene.server.reads();
    assert_eq!(observed(&scene).await, (true, Some("1".to_owned())));
    assert_eq!(scene.server.reads(), 0, "the watches have them");
    // what nobody follows is read each time
    scene.references.forget(&org("a"));
    assert_eq!(observed(&scene).await, (true, Some("1".to_owned())));
    assert_eq!(scene.server.reads(), 2);
}
