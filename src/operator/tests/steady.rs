//! One hundred hooks over ten orgs with their switches through an hour of simulated time in which nothing changes: what is
//! read, what is written, and what it costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use super::flow::{gateway, hook, org, secret};
use crate::operator::{
    model::org_access::Access,
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    probes,
    runtime::{
        clock::BootInstant,
        error::ReconcileError,
        reconcile::{Reconcile as _, Requeue},
    },
    testing::{
        is_full,
        world::{GATEWAYS, HOOKS, ORGS, Org, REPORT_TOKEN, SECRETS, SWITCHES, Server, World},
    },
};
use hookswitch_api::{HookSwitch, Kind, OktaOrg, TelephonyHook};
use hookswitch_net as net;
use hookswitch_net::{Answer, NetError, Policy, Request, SendError};
use hookswitch_okta::types::HookStatus;

const ORGS_COUNT: usize = 10;
const HOOKS_EACH: usize = 10;
const HOUR: Duration = Duration::from_hours(1);

/// How often each thing is asked, as documented.
const POLL: Duration = Duration::from_mins(1);
const IDENTITY: Duration = HOUR;
const LOOK: Duration = Duration::from_secs(5);
const EXECUTE: Duration = Duration::from_mins(5);
const LOG: Duration = Duration::from_secs(30);

/// How often something that is done so often is done in an hour.
fn an_hour(every: Duration) -> usize {
    usize::try_from(HOUR.as_secs() / every.as_secs()).unwrap()
}

/// The orgs by host name, and the hooks' addresses, whose calls are counted.
struct Lines {
    orgs: BTreeMap<String, Org>,
    addresses: Addresses,
}

impl OktaClientFactory for Lines {
    fn client(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(self.orgs[access.url.host()].clone()))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        Ok(Arc::new(self.addresses.clone()))
    }
}

/// Gateways that answer probes at their hooks' addresses.
#[derive(Clone, Default)]
struct Addresses {
    answers: Org,
    calls: Arc<AtomicUsize>,
}

impl HookCaller for Addresses {
    fn reach<'a>(&'a self, url: &'a url::Url, deadline: Instant) -> BoxFuture<'a, Result<(), SendError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.answers.reach(url, deadline)
    }

    fn call<'a>(&'a self, request: &'a Request, deadline: Instant) -> BoxFuture<'a, Result<Answer, SendError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        HookCaller::call(&self.answers, request, deadline)
    }
}

/// What is due at some time; of what is due at once, what is seen comes before who reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Reports,
    Probes,
    Hook(String),
    Org(String),
    Switch(String),
}

impl Due {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Probes => "rounds of probes",
            Self::Hook(_) => "passes over hooks",
            Self::Org(_) => "passes over orgs",
            Self::Switch(_) => "passes over switches",
        }
    }
}

/// When the next reconcile is due: as the queue does it, without its jitter.
fn next(requeue: Requeue) -> Duration {
    match requeue {
        Requeue::After(wait) => wait,
        Requeue::OnChange | Requeue::Retry => Duration::from_mins(10),
    }
}

/// Does what is due, and says when it is due again.
async fn run(world: &World, due: &Due) -> Result<Duration, ReconcileError> {
    let ctx = Arc::clone(&world.ctx);
    let caches = &ctx.memory.caches;
    let requeue = match due {
        Due::Reports => {
            report(world);
            return Ok(LOOK);
        }
        Due::Probes => {
            let mut asking = JoinSet::new();
            probes::round(&ctx.prober, &mut asking).await;
            while let Some(asked) = asking.join_next().await {
                asked.unwrap();
            }
            return Ok(Duration::from_secs(1));
        }
        Due::Org(name) => OktaOrg::reconcile(caches.orgs.get("otp", name).unwrap(), Arc::clone(&ctx)).await,
        Due::Hook(name) => TelephonyHook::reconcile(caches.hooks.get("otp", name).unwrap(), Arc::clone(&ctx)).await,
        Due::Switch(name) => HookSwitch::reconcile(caches.switches.get("otp", name).unwrap(), Arc::clone(&ctx)).await,
    };
    requeue.map(next)
}

/// Lets the gateways report, and the lease be renewed.
fn report(world: &World) {
    for gateway in ["main", "standby"] {
        let hooks = world.ctx.memory.caches.hooks.all();
        let served = hooks.iter().filter(|hook| hook.spec.target.is_gateway(gateway));
        let names: Vec<&str> = served.filter_map(|hook| hook.metadata.name.as_deref()).collect();
        world.ctx.memory.reports.serve("otp", gateway, &names);
    }
    world.ctx.runtime.lease.renewed(BootInstant::now());
}

/// Resident memory in kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or_default()
}

/// Two gateways, and in each org ten hooks, of which a switch decides two: one at each gateway.
fn declare(server: &Server, orgs_count: usize) -> (BTreeMap<String, Org>, BTreeSet<Due>) {
    server.put("/api/v1/namespaces/otp", json!({"metadata": {"name": "otp"}}));
    server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org"));
    for name in ["main", "standby"] {
        let mut object = gateway();
        object["metadata"]["name"] = json!(name);
        object["spec"]["publicURL"] = json!(format!("https://{name}.acme.com"));
        server.put(&format!("{GATEWAYS}/{name}"), object);
        let mut report = secret(&format!("{name}-gateway-report"), "token", REPORT_TOKEN);
        for part in ["tls.crt", "tls.key"] {
            report["data"][part] = json!("eA==");
        }
        server.put(&format!("{SECRETS}/{name}-gateway-report"), report);
    }
    let (mut orgs, mut all) = (BTreeMap::new(), BTreeSet::from([Due::Reports, Due::Probes]));
    for number in 0..orgs_count {
        let (name, host) = (format!("org{number}"), format!("org{number}.okta.com"));
        let mut object = org();
        object["metadata"]["name"] = json!(name);
        object["spec"]["url"] = json!(format!("https://{host}"));
        server.put(&format!("{ORGS}/{name}"), object);
        orgs.insert(host, Org::named(&format!("00o{number}")));
        all.insert(Due::Org(name.clone()));
        for index in 0..HOOKS_EACH {
            let hook_name = format!("hook{number}-{index}");
            let mut object = hook(&hook_name, "Inactive");
            object["spec"]["okta"]["orgRef"]["name"] = json!(name);
            if index < 2 {
                object["spec"].as_object_mut().unwrap().remove("state");
                object["spec"]["target"]["gatewayRef"]["name"] = json!(["main", "standby"][index]);
            }
            server.put(&format!("{HOOKS}/{hook_name}"), object);
            all.insert(Due::Hook(hook_name));
        }
        let hooks = [0, 1].map(|index| json!({"name": format!("hook{number}-{index}")}));
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"name": name, "namespace": "otp", "generation": 1}, "spec": {"hooks": hooks}});
        server.put(&format!("{SWITCHES}/{name}"), switch);
        all.insert(Due::Switch(name));
    }
    (orgs, all)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hooks_over_ten_orgs_and_their_switches_are_quiet_for_an_hour_and_read_exactly_as_declared() {
    let server = Server::default();
    let (orgs, all) = declare(&server, ORGS_COUNT);
    let before = resident();
    let addresses = Addresses::default();
    let lines = Lines { orgs: orgs.clone(), addresses: addresses.clone() };
    let mut world = World::between(server, Org::default(), Arc::new(lines));
    // an org's plan has six calls, and each hook that is not to be active takes two or three of them
    for round in 0.. {
        world.sync();
        for due in &all {
            // one over an object that was written meanwhile fails with a conflict, and is run again in the next round
            _ = run(&world, due).await;
        }
        if world.server.writes().is_empty() && round > 3 * HOOKS_EACH {
            break;
        }
        assert!(round < 10 * HOOKS_EACH, "it does not come to rest");
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    for org in orgs.values() {
        let hooks = org.hooks();
        assert_eq!(hooks.len(), HOOKS_EACH);
        assert_eq!(hooks.iter().filter(|hook| hook.status == HookStatus::Active).count(), 1);
    }
    for switch in world.ctx.memory.caches.switches.all() {
        let status = switch.status.clone().unwrap();
        assert_eq!((status.phase.as_deref(), status.standby.is_some()), (Some("Healthy"), true), "{status:?}");
    }
    // everything but what is asked every five minutes and every hour is due when the hour begins
    tokio::time::advance(POLL.mul_f64(0.8)).await;
    for org in orgs.values() {
        org.calls();
    }
    addresses.calls.store(0, Ordering::Relaxed);
    let mut woken = Kind::ALL.map(|kind| world.ctx.runtime.triggers.listen(kind).boxed());

    let begun = Instant::now();
    let mut queue: BTreeSet<(Duration, Due)> = all.iter().map(|due| (Duration::ZERO, due.clone())).collect();
    let mut took: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    while let Some((at, due)) = queue.pop_first() {
        if at >= HOUR {
            break;
        }
        tokio::time::advance(at.saturating_sub(begun.elapsed())).await;
        let clock = std::time::Instant::now();
        let again = run(&world, &due).await.unwrap();
        took.entry(due.kind()).or_default().push(clock.elapsed());
        queue.insert((at + again, due));
    }

    assert_eq!(world.server.writes(), Vec::<String>::new(), "nothing changed, so nothing is written");
    for woken in &mut woken {
        assert_eq!(woken.next().now_or_never(), None, "and nobody is woken");
    }
    let declared = [("list", POLL), ("identify", IDENTITY), ("execute", EXECUTE), ("log", LOG)];
    let mut calls = 0;
    for (host, org) in &orgs {
        let mut made: BTreeMap<&str, usize> = BTreeMap::new();
        for call in org.calls() {
            *made.entry(call).or_default() += 1;
        }
        assert_eq!(made, BTreeMap::from(declared.map(|(call, every)| (call, an_hour(every)))), "{host}");
        calls += made.values().sum::<usize>();
    }
    let probed = addresses.calls.load(Ordering::Relaxed);
    assert_eq!(probed, 2 * ORGS_COUNT * an_hour(LOOK), "each hook of a switch, at each look");

    println!(
        "steady: {} hooks over {ORGS_COUNT} orgs, {ORGS_COUNT} switches, one simulated hour: {calls} calls to Okta, {probed} \
         probes of addresses, no write; {} kB more resident memory than before the operator began",
        ORGS_COUNT * HOOKS_EACH,
        resident().saturating_sub(before)
    );
    for (kind, mut took) in took {
        took.sort();
        println!(
            "steady: {} {kind}: p50 {:?}, p99 {:?}",
            took.len(),
            took[took.len() / 2],
            took[took.len() * 99 / 100]
        );
    }
}

/// What the chart lets the operator have, in kilobytes.
const LIMIT: u64 = 192 * 1_024;

/// Orgs for which memory is measured: what is promised, or a tenth of it.
fn measured() -> u64 {
    if is_full() { 100 } else { 10 }
}

/// In a process of its own, since memory is a process's: the operator's and that of the API server and the orgs that stand in
/// for real ones, so that it is too much rather than too little.
#[test]
fn a_thousand_hooks_in_a_hundred_orgs_fit_into_the_memory_that_the_chart_gives() {
    let measured = measured();
    let (_, module) = module_path!().split_once("::").unwrap();
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::measures_memory_where_it_is_asked_to"), "--nocapture"])
        .env("HOOKSWITCH_MEASURED_ORGS", measured.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let figure = |name: &str| -> u64 {
        let words = said.lines().find_map(|line| line.split_once(name)).unwrap_or_else(|| panic!("{said}"));
        words.1.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (before, after) = (figure("kB before: "), figure("kB after: "));
    println!("memory: {measured} orgs with {HOOKS_EACH} hooks each: {before} kB before, {after} kB after");
    let promised = before + after.saturating_sub(before) * 100 / measured;
    assert!(promised < LIMIT, "{promised} kB for a hundred orgs, by {before} before and {after} after {measured}");
}

#[tokio::test(start_paused = true)]
async fn measures_memory_where_it_is_asked_to() {
    let Ok(orgs_count) = std::env::var("HOOKSWITCH_MEASURED_ORGS") else { return };
    // what is there whatever is declared, and what the first use of anything takes
    let one = two_rounds(1).await;
    println!("\nkB before: {}", resident());
    let all = two_rounds(orgs_count.parse().unwrap()).await;
    println!("\nkB after: {}", resident());
    drop((one, all));
}

/// An operator that has reconciled twice everything of so many orgs, with what it calls them by.
async fn two_rounds(orgs_count: usize) -> (World, Vec<net::Client>) {
    let policy = Policy { extra_roots_pem: std::fs::read_to_string(PUBLIC_ROOTS).ok(), ..Policy::default() };
    let server = Server::default();
    let (orgs, all) = declare(&server, orgs_count);
    let clients = orgs.keys().map(|_| net::Client::new(&policy).unwrap()).collect();
    let lines = Lines { orgs, addresses: Addresses::default() };
    let mut world = World::between(server, Org::default(), Arc::new(lines));
    for _ in 0..2 {
        world.sync();
        for due in &all {
            _ = run(&world, due).await;
        }
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    (world, clients)
}

/// The public roots of a Debian system: an installation's own bundle is not larger.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
