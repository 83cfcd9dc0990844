//! A whole operator, from what gateways' pods report to what Okta is given: watches, queues, wake-ups and backoff as they are in a
//! cluster, in simulated time.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    flow::{condition, secret},
    switch::{PATH, active, scene, status},
};
use crate::operator::{
    controllers::context::{Context, Parts},
    run,
    runtime::{clock::BootInstant, lease, listing::Listing},
    state::{Memory, reports::Reports},
    testing::world::{self, GATEWAYS, REPORT_TOKEN, SECRETS, World},
};
use hookswitch_gateway_config::report::{HookReport, ReplicaReport};
use hookswitch_okta::Failure;

/// What is promised of a failover that nothing stands in the way of any more.
const PROMISED: Duration = Duration::from_secs(10);

/// Longer than anything here may take.
const LONG: Duration = Duration::from_mins(5);

/// How often the same is played: reconciles come a fifth early or late.
const TIMES: usize = 3;

/// An operator that runs over the scene of a switch, whose hooks have a pod each.
struct Running {
    world: World,
    /// Whether the pods of the first gateway serve its hook.
    serves: Arc<AtomicBool>,
    ctx: Arc<Context>,
    _tasks: [JoinSet<()>; 2],
}

/// The address of the only pod of a gateway.
fn address(gateway: &str) -> IpAddr {
    [10, 0, 0, u8::from(gateway == "b")].into()
}

/// Where the ready pods of a gateway are.
fn slice(gateway: &str) -> (String, Value) {
    let name = format!("{gateway}-gateway-1");
    let labels = json!({"hookswitch.dev/gateway": gateway, "app.kubernetes.io/managed-by": "hookswitch",
        "app.kubernetes.io/component": "gateway"});
    let endpoint = json!({"addresses": [address(gateway)], "conditions": {"ready": true},
        "targetRef": {"kind": "Pod", "name": format!("{gateway}-0")}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "otp", "labels": labels},
        "addressType": "IPv4", "endpoints": [endpoint]});
    (format!("/apis/discovery.k8s.io/v1/namespaces/otp/endpointslices/{name}"), slice)
}

impl Running {
    /// The operator, once the first hook is active and the standby proven.
    async fn at_rest(change: impl FnOnce(&mut Value)) -> Self {
        let world = scene(change);
        for gateway in ["a", "b"] {
            // its report's credentials are made by its reconcile
            world.server.delete(&format!("{SECRETS}/{gateway}-gateway-report"));
            let (path, slice) = slice(gateway);
            world.server.put(&path, slice);
        }
        world.server.notify_watches();
        // as in a network: no answer is there at once
        world.org.slow_down(Duration::from_millis(80));
        world.server.slow_down(Duration::from_millis(10));
        let options = world::options("otp");
        let (caches, writers) = run::caches();
        let lease = lease::Handle::by(BootInstant::simulated);
        lease.renewed(lease.now());
        let serves = Arc::new(AtomicBool::new(true));
        let listing = Listing::new(&options.namespaces());
        let parts = world::parts(&world.server, Arc::new(world.org.clone()), options, caches);
        let memory = Memory { reports: Arc::new(Reports::by(|| Instant::now().into_std())), ..parts.memory.clone() };
        let ctx = Arc::new(Context::new(Parts { lease, listing, memory, ask_pod: pods(&world, &serves), ..parts }));
        let (mut watching, mut reconciling) = (JoinSet::new(), JoinSet::new());
        run::start_all(&ctx, writers, &mut watching, &mut reconciling, &CancellationToken::new());
        let lease = ctx.runtime.lease.clone();
        watching.spawn(async move {
            loop {
                sleep(lease::RENEW_EVERY).await;
                lease.renewed(lease.now());
            }
        });
        let running = Self { world, serves, ctx, _tasks: [watching, reconciling] };
        for gateway in ["a", "b"] {
            let path = format!("{SECRETS}/{gateway}-gateway-report");
            running.until("the report's credentials are made", |world| world.server.get(&path).is_some()).await;
            // those that the hooks' destinations in this test answer probes with
            let mut report = running.world.server.get(&path).unwrap();
            report["data"]["token"] = secret("", "token", REPORT_TOKEN)["data"]["token"].clone();
            running.world.server.put(&path, report);
        }
        running
            .until("the standby is proven", |world| {
                active(world) == ["Acme a"]
                    && status(world)["phase"] == "Healthy"
                    && condition(world, PATH, "FailoverReady").1 == "StandbyProven"
            })
            .await;
        running
    }

    /// Waits until it is so, and returns how long that took.
    async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so(&self.world) {
            let shown = || self.world.server.get(PATH).unwrap_or_default();
            assert!(begun.elapsed() < LONG, "not so: {what}: {:#}", shown()["status"]);
            sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }

    async fn until_switched(&self) -> Duration {
        self.until("the standby is active", |world| active(world) == ["Acme b"]).await
    }
}

/// Pods that report the configuration in force; those of the first gateway serve its hook or not.
fn pods(world: &World, serves: &Arc<AtomicBool>) -> Arc<crate::operator::outbound::pods::Ask> {
    let (cluster, serves) = (world.server.clone(), Arc::clone(serves));
    Arc::new(move |_, addresses: BTreeSet<IpAddr>| {
        let gateway = if addresses.contains(&address("b")) { "b" } else { "a" };
        let object = cluster.get(&format!("{GATEWAYS}/{gateway}")).unwrap_or_default();
        let config_hash = object["status"]["configHash"].as_str().unwrap_or_default().to_owned();
        let mut report = ReplicaReport { config_hash, replica: format!("{gateway}-0"), ..ReplicaReport::default() };
        if gateway == "b" || serves.load(Ordering::Relaxed) {
            report.hooks.insert(gateway.to_owned(), HookReport::default());
        }
        async move {
            sleep(Duration::from_millis(5)).await;
            Some(report)
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn from_a_report_that_the_first_hook_is_not_served_to_the_standby_in_okta_it_takes_ten_seconds() {
    for _ in 0..TIMES {
        let detection = json!({"interval": "1s", "fall": 3});
        let running = Running::at_rest(|switch| {
            switch["spec"]["detection"] = detection;
            switch["spec"]["delay"] = json!("3s");
        })
        .await;
        running.serves.store(false, Ordering::Relaxed);
        let took = running.until_switched().await;
        assert!(took <= PROMISED, "{took:?}");
        // not before what it has to wait for
        assert!(took >= Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_follows_within_ten_seconds_of_okta_answering_again_whatever_was_tried_meanwhile() {
    for outage in [Duration::from_secs(45), Duration::from_mins(5)] {
        let running = Running::at_rest(|_| {}).await;
        running.world.org.fail(Some(Failure::Server { status: 503, code: None }));
        running.serves.store(false, Ordering::Relaxed);
        sleep(outage).await;
        assert_eq!(active(&running.world), ["Acme a"], "nobody could be told within {outage:?}");
        running.world.org.fail(None);
        let took = running.until_switched().await;
        assert!(took <= PROMISED, "{took:?} after {outage:?}");
    }
}

/// Whoever declares nothing has what the page about the switch says: three evaluations 5 s apart, and a delay of 10 s.
#[tokio::test(start_paused = true)]
async fn by_default_a_failover_takes_three_evaluations_and_the_delay_and_what_is_between_them() {
    for _ in 0..TIMES {
        let running = Running::at_rest(|_| {}).await;
        running.serves.store(false, Ordering::Relaxed);
        let took = running.until_switched().await;
        // the first evaluation comes within one interval
        let (least, most) = (Duration::from_secs(10 + 10), Duration::from_secs(3 * 6 + 10 + 6));
        assert!((least..=most).contains(&took), "{took:?}");
        assert!(running.ctx.runtime.lease.is_leader());
    }
}
