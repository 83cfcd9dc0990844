//! What one tenant's slow or many things cost another, in simulated time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::flow::{org, secret};
use crate::operator::{
    model::org_access::Access,
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    runtime::{
        cache::{Merge, Writer},
        controller,
        reconcile::Reconcile as _,
        triggers::Target,
    },
    testing::world::{ORGS, Org, SECRETS, SWITCHES, Server, World, listed},
};
use hookswitch_api::{HookSwitch, Kind, OktaOrg, TelephonyProvider};
use hookswitch_net::NetError;

const MINUTE: Duration = Duration::from_mins(1);

/// Orgs by their hosts.
struct Hosts(BTreeMap<String, Org>);

impl OktaClientFactory for Hosts {
    fn client(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(self.0[access.url.host()].clone()))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        Ok(Arc::new(Org::default()))
    }
}

fn within(mut object: Value, namespace: &str, name: &str) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object["metadata"]["name"] = json!(name);
    object
}

fn at(path: &str, namespace: &str, name: &str) -> String {
    format!("{}/{name}", path.replace("/otp/", &format!("/{namespace}/")))
}

/// Our org beside others whose answers take 19 s, `each` in each of these namespaces.
fn beside_slow_orgs(namespaces: &[&str], each: usize) -> (World, Org) {
    let (server, ours) = (Server::default(), Org::named("00oOurs"));
    let mut hosts = BTreeMap::from([("acme.okta.com".to_owned(), ours.clone())]);
    for namespace in namespaces.iter().chain(&["otp"]) {
        server.put(&at(SECRETS, namespace, "okta"), within(secret("okta", "token", "00token"), namespace, "okta"));
    }
    server.put(&at(ORGS, "otp", "acme"), org());
    for namespace in namespaces {
        for number in 0..each {
            let (name, host) = (format!("slow-{number}"), format!("slow-{number}.{namespace}.test"));
            let mut object = within(org(), namespace, &name);
            object["spec"]["url"] = json!(format!("https://{host}"));
            server.put(&at(ORGS, namespace, &name), object);
            let slow = Org::named(&host);
            slow.slow_down(Duration::from_secs(19));
            hosts.insert(host, slow);
        }
    }
    let mut world = World::between(server, Org::default(), Arc::new(Hosts(hosts)));
    world.sync();
    world.change(|parts| parts.listing = listed(&[]));
    (world, ours)
}

/// When our org was listed, so long; what is written is seen meanwhile.
async fn lists(world: &mut World, ours: &Org, lasts: Duration) -> Vec<u64> {
    let (begun, mut listed) = (Instant::now(), Vec::new());
    while begun.elapsed() < lasts {
        sleep(Duration::from_millis(200)).await;
        if !world.server.writes().is_empty() {
            world.sync();
        }
        let more = ours.calls().into_iter().filter(|call| *call == "list").count();
        listed.extend(std::iter::repeat_n(begun.elapsed().as_secs(), more));
    }
    listed
}

#[tokio::test(start_paused = true)]
async fn an_org_is_listed_in_time_beside_twenty_whose_answers_take_19_s() {
    for namespaces in [&["otp"][..], &["other"]] {
        let (mut world, ours) = beside_slow_orgs(namespaces, 20);
        let passes = tokio::spawn(controller::run::<OktaOrg>(Arc::clone(&world.ctx), CancellationToken::new()));
        let listed = lists(&mut world, &ours, MINUTE * 10).await;
        passes.abort();
        // polled once a minute
        let late = listed.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(listed.len() >= 8 && listed[0] <= 30 && late <= Some(100), "{namespaces:?}: {listed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_waits_for_no_slow_org_of_another_namespace_and_for_no_routine_of_its_own() {
    let tenants: Vec<String> = (0..20).map(|number| format!("tenant-{number}")).collect();
    let namespaces: Vec<&str> = tenants.iter().map(String::as_str).chain(["otp"]).collect();
    let (mut world, ours) = beside_slow_orgs(&namespaces, 10);
    let mut seldom = org();
    seldom["spec"]["pollInterval"] = json!("2m");
    world.server.put(&at(ORGS, "otp", "acme"), seldom);
    world.sync();
    let passes = tokio::spawn(controller::run::<OktaOrg>(Arc::clone(&world.ctx), CancellationToken::new()));
    for round in 0..3 {
        // until a reconcile lists it again
        lists(&mut world, &ours, Duration::from_secs(94 + round)).await;
        for namespace in &tenants {
            for number in 0..10 {
                world.ctx.runtime.triggers.hurry(Target::new(Kind::OktaOrg, namespace, format!("slow-{number}")));
            }
        }
        sleep(Duration::from_secs(1)).await;
        world.ctx.runtime.triggers.hurry(Target::new(Kind::OktaOrg, "otp", "acme"));
        let listed = lists(&mut world, &ours, Duration::from_secs(1)).await;
        assert_eq!(listed.len(), 1, "round {round}");
    }
    passes.abort();
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_wake_ups_delays_no_reconcile_of_another_tenant() {
    let mut world = World::new();
    let switch = |namespace: &str, name: &str| {
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"generation": 1}, "spec": {"hooks": [{"name": "a"}, {"name": "b"}]}});
        (at(SWITCHES, namespace, name), within(switch, namespace, name))
    };
    let names: Vec<String> = (0..600).map(|number| format!("switch-{number:04}")).collect();
    for name in &names {
        let (path, object) = switch("flood", name);
        world.server.put(&path, object);
    }
    world.sync();
    world.change(|parts| parts.listing = listed(&[]));
    let passes = tokio::spawn(controller::run::<HookSwitch>(Arc::clone(&world.ctx), CancellationToken::new()));
    sleep(MINUTE).await;
    let flood = || names.iter().map(|name| Target::new(Kind::HookSwitch, "flood", name));
    world.ctx.runtime.triggers.wake_all(flood().chain(flood()));
    let (path, object) = switch("otp", "acme");
    world.server.put(&path, object);
    world.sync();
    world.ctx.runtime.triggers.wake(Target::new(Kind::HookSwitch, "otp", "acme"));
    sleep(Duration::from_secs(1)).await;
    assert!(world.server.get(&path).unwrap()["status"].is_object(), "no pass yet");
    passes.abort();
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_while_a_reconcile_waits_for_a_permit_costs_no_second_one() {
    const PROVIDERS: &str = "/apis/hookswitch.dev/v1alpha1/namespaces/otp/telephonyproviders";
    let mut world = World::new();
    let writer = Writer::<TelephonyProvider>::default();
    let index = writer.index();
    let mut merge = Merge::new(writer);
    merge.take(0, Event::Init);
    // one more than a tenant has permits
    let names: Vec<String> = (0..=TelephonyProvider::PERMITS.each).map(|number| format!("provider-{number}")).collect();
    for name in &names {
        let provider = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyProvider",
            "metadata": {"generation": 1}, "spec": {"senders": []}});
        let provider = within(provider, "otp", name);
        world.server.put(&at(PROVIDERS, "otp", name), provider.clone());
        merge.take(0, Event::InitApply(serde_json::from_value(provider).unwrap()));
    }
    world.change(|parts| parts.memory.caches.providers = index);
    merge.take(0, Event::InitDone);
    let second = Duration::from_secs(1);
    world.server.slow_down(second * 5);
    let passes = tokio::spawn(controller::run::<TelephonyProvider>(Arc::clone(&world.ctx), CancellationToken::new()));
    let last = names.last().unwrap();
    for _ in 0..3 {
        sleep(second).await;
        world.ctx.runtime.triggers.wake(Target::new(Kind::TelephonyProvider, "otp", last));
    }
    sleep(second * 60).await;
    passes.abort();
    let written = world.server.writes();
    let of = |name: &str| written.iter().filter(|patch| patch.contains(&format!("{name}/status"))).count();
    let counts: Vec<usize> = names.iter().map(|name| of(name)).collect();
    assert!(counts.iter().all(|count| *count == 1), "{written:?}");
}
