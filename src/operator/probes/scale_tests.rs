//! What a round costs where many switches are in one namespace.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::operator::{
    model::{org_access::Access, ownership::tests::READS},
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    state::probes::PERMITS,
    testing::world::{GATEWAYS, HOOKS, Org, REPORT_TOKEN, SECRETS, SWITCHES, World},
    tests::flow::{gateway, hook, secret, world},
};
use hookswitch_net::{Answer, NetError, Request, SendError};

/// So many switches with two hooks each, all of one org.
pub(in crate::operator) fn many(switches: usize) -> World {
    let mut world = world(&[]);
    world.server.put(&format!("{GATEWAYS}/main"), gateway());
    for number in 0..switches {
        let hooks = ["a", "b"].map(|side| format!("{side}-{number:04}"));
        for name in &hooks {
            let mut one = hook(name, "Active");
            one["spec"].as_object_mut().unwrap().remove("state");
            world.server.put(&format!("{HOOKS}/{name}"), one);
        }
        let name = format!("switch-{number:04}");
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"name": name, "namespace": "otp", "generation": 1},
            "spec": {"hooks": hooks.map(|name| json!({"name": name}))}});
        world.server.put(&format!("{SWITCHES}/{name}"), switch);
    }
    world.sync();
    world
}

/// How many declarations a round reads; what is asked is not waited for.
async fn reads_of_a_round(switches: usize) -> usize {
    let world = many(switches);
    let (before, mut asking) = (READS.get(), JoinSet::new());
    super::round(&world.ctx.prober, &mut asking).await;
    // the first round begins every probe, so all of it was read
    assert_eq!(asking.len(), switches * 2);
    READS.get() - before
}

#[tokio::test(start_paused = true)]
async fn a_round_over_ten_times_as_many_switches_of_one_org_reads_ten_times_as_many_declarations() {
    let (few, many) = (reads_of_a_round(50).await, reads_of_a_round(500).await);
    assert!(few >= 50 && many <= few * 10, "{few} for 50 switches, {many} for 500");
}

/// Addresses that never answer, and how many are called.
#[derive(Clone, Default)]
struct Silent(Arc<AtomicUsize>);

impl OktaClientFactory for Silent {
    fn client(&self, _: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(Org::default()))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        Ok(Arc::new(self.clone()))
    }
}

impl HookCaller for Silent {
    fn reach<'a>(&'a self, _: &'a url::Url, _: Instant) -> BoxFuture<'a, Result<(), SendError>> {
        futures::future::pending().boxed()
    }

    fn call<'a>(&'a self, _: &'a Request, _: Instant) -> BoxFuture<'a, Result<Answer, SendError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        futures::future::pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_one_tenant_are_called_so_many_at_once_and_no_more() {
    let mut world = many(150);
    let silent = Silent::default();
    world.change(|parts| parts.okta = Arc::new(silent.clone()));
    let mut report = secret("main-gateway-report", "token", REPORT_TOKEN);
    for part in ["tls.crt", "tls.key"] {
        report["data"][part] = json!("eA==");
    }
    world.server.put(&format!("{SECRETS}/main-gateway-report"), report);
    for hook in world.ctx.memory.caches.hooks.all() {
        let name = format!("{}-hook-auth", hook.metadata.name.as_deref().unwrap());
        world.server.put(&format!("{SECRETS}/{name}"), secret(&name, "value", "a-secret-of-a-hook-that-is-long"));
    }
    let mut asking = JoinSet::new();
    super::round(&world.ctx.prober, &mut asking).await;
    sleep(super::ROUND).await;
    assert_eq!(asking.len(), 300);
    assert_eq!(silent.0.load(Ordering::Relaxed), PERMITS.each + PERMITS.urgent);
}
