//! Reading the reports of all gateways' pods, every few seconds, as long as this operator leads.
//!
//! Pods are found by their `EndpointSlices`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    ResourceExt as _,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use tokio::time::timeout;

use crate::operator::{
    model::gateway_names::{GATEWAY_LABEL, Names, OWNED_LABEL},
    outbound::pods::Ask,
    resolve::report,
    runtime::{
        listing::WatchScope,
        metrics::RuntimeMetrics,
        references::References,
        triggers::{Target, Wake},
        watch,
    },
    state::{
        Memory,
        caches::By,
        reports::{GatewayKey, POLL, ROUND},
    },
};
use hookswitch_api::{Kind, TelephonyGateway};
use hookswitch_fair::{Bounds, Fair, Lane};

/// How long one pod may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kind that is watched, in metrics.
const SLICES: &str = "EndpointSlice";

/// Pods asked at once; the tenants are the namespaces. What a switch observes is urgent.
const PERMITS: Bounds = Bounds { all: 64, each: 16, urgent: 16, all_urgent: 256 };

/// What pods are asked with, and where their reports go.
pub struct Poller {
    /// What is kept between reconciles.
    pub memory: Memory,
    /// The Secrets of the reports' credentials.
    pub references: References,
    /// Asks for reconciles over objects of which pods report something else.
    pub triggers: Wake,
    /// How a pod is asked.
    pub ask: Arc<Ask>,
}

/// Polls for ever; the caller drops it when the lease is lost. Pods are found by `slices`.
pub async fn run(poller: Poller, slices: Vec<(WatchScope, kube::Api<EndpointSlice>)>, metrics: RuntimeMetrics) {
    let mut watches = Vec::new();
    let mut readers = Vec::new();
    for (scope, api) in slices {
        let (reader, writer) = reflector::store();
        let selected = watch::config().labels(OWNED_LABEL);
        let slices = watch::forever(move || watcher(api.clone(), selected.clone()));
        let slices = slices.modify(|slice: &mut EndpointSlice| slice.managed_fields_mut().clear());
        let (metrics, namespace) = (metrics.clone(), scope.clone());
        watches.push(reflector::reflector(writer, slices).for_each(move |event| {
            match event {
                Ok(watcher::Event::InitDone) => metrics.listed(namespace.as_str(), SLICES, true),
                Err(watcher::Error::InitialListFailed(_)) => metrics.listed(namespace.as_str(), SLICES, false),
                _ => {}
            }
            futures::future::ready(())
        }));
        readers.push((scope, reader));
    }
    let following = futures::future::join_all(watches);
    let polling = async {
        // a store that is not filled yet would show every gateway there without a replica
        let replicas = || {
            let filled = readers.iter().filter(|(_, store)| store.wait_until_ready().now_or_never().is_some());
            let (scopes, stores): (Vec<WatchScope>, Vec<_>) =
                filled.map(|(scope, store)| (scope.clone(), store)).unzip();
            Replicas { scopes, pods: pods(stores.into_iter().flat_map(reflector::Store::state)) }
        };
        poll(&poller, replicas).await;
    };
    tokio::join!(following, polling);
}

/// Begins in each round what is due, so that what one gateway's silence costs is its own.
async fn poll(poller: &Poller, mut replicas: impl FnMut() -> Replicas) {
    let permits = &Fair::new(PERMITS);
    let (mut busy, mut polls) = (BTreeSet::new(), FuturesUnordered::new());
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => for due in due(&poller.memory, replicas()) {
                if busy.insert(due.key.clone()) {
                    polls.push(async move { due.poll(poller, permits).await });
                }
            },
            Some(key) = polls.next() => { busy.remove(&key); }
        }
    }
}

/// Ready pods by their names, each with its addresses: one for each IP family of the Service.
type Pods = BTreeMap<String, BTreeSet<IpAddr>>;

/// The ready pods of the gateways in the namespaces whose pods are known.
struct Replicas {
    scopes: Vec<WatchScope>,
    pods: BTreeMap<GatewayKey, Pods>,
}

/// The ready pods of each gateway.
fn pods(slices: impl Iterator<Item = Arc<EndpointSlice>>) -> BTreeMap<GatewayKey, Pods> {
    let mut pods: BTreeMap<GatewayKey, Pods> = BTreeMap::new();
    for slice in slices {
        let Some(gateway) = slice.labels().get(GATEWAY_LABEL) else { continue };
        let known = pods.entry((slice.namespace().unwrap_or_default(), gateway.clone())).or_default();
        for endpoint in &slice.endpoints {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let name = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
            let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
            if let (true, Some(name), Some(address)) = (ready, name, address) {
                known.entry(name).or_default().insert(address);
            }
        }
    }
    pods
}

/// A gateway that is to be asked.
struct Due {
    gateway: Arc<TelephonyGateway>,
    key: GatewayKey,
    pods: Pods,
    lane: Lane,
}

/// The gateways that are to be asked now.
fn due(memory: &Memory, Replicas { scopes, mut pods }: Replicas) -> Vec<Due> {
    let intervals = memory.caches.intervals();
    let (mut keys, mut due) = (BTreeSet::new(), Vec::new());
    for gateway in memory.caches.gateways.all() {
        let key = (gateway.namespace().unwrap_or_default(), gateway.name_any());
        let pods = pods.remove(&key).unwrap_or_default();
        let names = pods.keys().map(String::as_str).collect();
        let interval = intervals.get(&key);
        let every = interval.map_or(POLL, |interval| (*interval).clamp(ROUND, POLL));
        keys.insert(key.clone());
        let is_known = scopes.iter().any(|scope| scope.covers(&key.0));
        if is_known && memory.reports.is_due(&key, &names, every) {
            let lane = if interval.is_some() { Lane::Urgent } else { Lane::Routine };
            due.push(Due { gateway, key, pods, lane });
        }
    }
    memory.reports.keep(&keys);
    due
}

impl Due {
    /// Asks the pods and takes in what they report.
    async fn poll(self, poller: &Poller, permits: &Fair) -> GatewayKey {
        let Self { gateway, key, pods, lane } = self;
        let enter = || permits.enter(&key.0, &key.1, lane);
        let read = async {
            let _permit = enter().await;
            let secret = poller.references.secret(&key.0, &Names::of(&gateway).ok()?.report).await.ok()??;
            report::credentials(&secret).map(Arc::new)
        };
        let Some(report) = read.await else { return key };
        let asked = pods.into_iter().map(|(pod, addresses)| {
            let report = Arc::clone(&report);
            async {
                let _permit = enter().await;
                (pod, timeout(PATIENCE, (poller.ask)(report, addresses)).await.ok().flatten())
            }
        });
        let reports: FuturesUnordered<_> = asked.collect();
        let changed = poller.memory.reports.take(&key, reports.collect().await);
        poller.wake(&key, changed);
        key
    }
}

impl Poller {
    /// Wakes whose status changes by what a gateway's pods reported, and who waits for it.
    fn wake(&self, key: &GatewayKey, changed: BTreeSet<Target>) {
        // A hook that begins to be served is what its org's plan waits for.
        let orgs =
            changed.iter().filter(|target| target.kind == Kind::TelephonyHook).filter_map(|target| self.org_of(target));
        let mut orgs: BTreeSet<Target> = orgs.collect();
        if changed.iter().any(|target| target.kind == Kind::TelephonyGateway) {
            // a configuration that reached its replicas may have a secret that Okta is to be given now
            let hooks = self.memory.caches.hooks.found(&key.0, &By::Gateway(key.1.clone()));
            orgs.extend(hooks.iter().filter_map(|hook| self.memory.caches.org_of(hook)));
        }
        self.triggers.wake_all(orgs);
        if !changed.is_empty() {
            // what shows in status may fail a hook, and its switch need not wait for its next evaluation to begin the delay
            self.triggers.wake_all(self.memory.caches.over(&key.0, &key.1));
        }
        self.triggers.wake_all(changed);
    }

    fn org_of(&self, hook: &Target) -> Option<Target> {
        self.memory.caches.org_of(&*self.memory.caches.hooks.get(&hook.namespace, &hook.name)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::operator::{
        state::reports::Reports,
        testing::world::{GATEWAYS, REPORT_TOKEN, SECRETS, World},
        tests::flow::{gateway, secret},
    };

    fn slice(address_type: &str, address: &str, ready: bool) -> Arc<EndpointSlice> {
        let object = json!({
            "metadata": {"name": "otp-gateway-x", "namespace": "ns", "labels": {GATEWAY_LABEL: "otp"}},
            "addressType": address_type,
            "endpoints": [{
                "addresses": [address], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "otp-1"},
            }],
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_pod_of_two_ip_families_is_one_pod_with_two_addresses() {
        let slices =
            [slice("IPv4", "10.0.0.7", true), slice("IPv6", "fd00::7", true), slice("FQDN", "otp.example", true)];
        let pods = pods(slices.into_iter());
        let of_gateway = &pods[&("ns".to_owned(), "otp".to_owned())];
        let addresses = BTreeSet::from(["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()]);
        assert_eq!(*of_gateway, Pods::from([("otp-1".to_owned(), addresses)]));
    }

    #[test]
    fn a_pod_that_is_not_ready_is_not_asked() {
        let pods = pods([slice("IPv6", "fd00::7", false)].into_iter());
        assert_eq!(pods[&("ns".to_owned(), "otp".to_owned())], Pods::new());
    }

    /// Puts a gateway there, with what its pods are asked with.
    fn declare(world: &World, namespace: &str, name: &str) {
        let within = |path: &str, name: &str| format!("{}/{name}", path.replace("/otp/", &format!("/{namespace}/")));
        let mut object = gateway();
        object["metadata"] = json!({"name": name, "namespace": namespace, "generation": 1});
        world.server.put(&within(GATEWAYS, name), object);
        let name = format!("{name}-gateway-report");
        let mut report = secret(&name, "token", REPORT_TOKEN);
        report["metadata"]["namespace"] = json!(namespace);
        for part in ["tls.crt", "tls.key"] {
            report["data"][part] = json!("eA==");
        }
        world.server.put(&within(SECRETS, &name), report);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_is_asked_in_time_beside_320_silent_pods_of_another_tenant_or_of_its_own() {
        for silent in ["other", "otp"] {
            let mut world = World::new();
            world.change(|parts| parts.memory.reports = Arc::new(Reports::by(|| Instant::now().into_std())));
            declare(&world, "otp", "main");
            (0..10).for_each(|number| declare(&world, silent, &format!("silent-{number}")));
            world.sync();
            let pods = || {
                let pod = |number: u8, of: u8| (format!("pod-{number}"), BTreeSet::from([[10, 0, of, number].into()]));
                let silent = (0..10).map(|of| {
                    ((silent.to_owned(), format!("silent-{of}")), (0..32).map(|number| pod(number, of)).collect())
                });
                let ours = (("otp".to_owned(), "main".to_owned()), Pods::from([pod(1, 255)]));
                Replicas { scopes: WatchScope::of(&[]), pods: silent.chain([ours]).collect() }
            };
            let (begun, asked) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
            let times = Arc::clone(&asked);
            let ask = move |_, addresses: BTreeSet<IpAddr>| {
                let is_ours = addresses.contains(&IpAddr::from([10, 0, 255, 1]));
                if is_ours {
                    times.lock().unwrap().push(begun.elapsed().as_secs());
                }
                async move { if is_ours { None } else { futures::future::pending().await } }.boxed()
            };
            let poller = Poller {
                memory: world.ctx.memory.clone(),
                references: world.ctx.runtime.references.clone(),
                triggers: world.ctx.runtime.triggers.clone(),
                ask: Arc::new(ask),
            };
            tokio::select! {
                () = poll(&poller, pods) => {}
                () = sleep(Duration::from_mins(2)) => {}
            }
            let asked = asked.lock().unwrap();
            let late = asked.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(asked[0] <= 3 && late <= Some(8) && asked.len() >= 16, "{silent}: {asked:?}");
        }
    }
}
