//! One hundred hooks over ten orgs through an hour of simulated time in which nothing changes: what is read, what is
//! written, and what it costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use super::{
    double::{GATEWAYS, HOOKS, ORGS, Org, SECRETS, Server, World},
    flow_tests::{gateway, hook, org, secret},
    org::dial::{Access, Dial, HookCaller, OrgApi},
    pass::{PassError, Reconcile as _, Requeue},
};
use crate::{
    api::{OktaOrg, TelephonyHook},
    net::NetError,
    okta::types::HookStatus,
};

const ORGS_COUNT: usize = 10;
const HOOKS_EACH: usize = 10;
const HOUR: Duration = Duration::from_hours(1);

/// The orgs by host name.
struct Lines(BTreeMap<String, Org>);

impl Dial for Lines {
    fn dial(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(self.0[access.url.host()].clone()))
    }

    fn caller(&self, _: Option<&str>) -> Result<Arc<dyn HookCaller>, NetError> {
        panic!("nothing calls hooks here")
    }
}

/// An object whose pass is due at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Org(String),
    Hook(String),
}

/// When the next pass is due: as the queue does it, without its jitter.
fn next(requeue: Requeue) -> Duration {
    match requeue {
        Requeue::After(wait) => wait,
        Requeue::OnChange | Requeue::Retry => Duration::from_mins(10),
    }
}

async fn pass(world: &World, due: &Due) -> (Result<Requeue, PassError>, Duration) {
    let ctx = Arc::clone(&world.ctx);
    let begun = std::time::Instant::now();
    let requeue = match due {
        Due::Org(name) => OktaOrg::reconcile(ctx.caches.orgs.get("otp", name).unwrap(), Arc::clone(&ctx)).await,
        Due::Hook(name) => TelephonyHook::reconcile(ctx.caches.hooks.get("otp", name).unwrap(), Arc::clone(&ctx)).await,
    };
    (requeue, begun.elapsed())
}

/// Resident memory in kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hooks_over_ten_orgs_are_quiet_for_an_hour_and_read_exactly_as_declared() {
    let server = Server::default();
    server.put("/api/v1/namespaces/otp", json!({"metadata": {"name": "otp"}}));
    server.put(&format!("{GATEWAYS}/main"), gateway());
    server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org"));
    let (mut orgs, mut all) = (BTreeMap::new(), BTreeSet::new());
    for number in 0..ORGS_COUNT {
        let (name, host) = (format!("org{number}"), format!("org{number}.okta.com"));
        let mut object = org();
        object["metadata"]["name"] = json!(name);
        object["spec"]["url"] = json!(format!("https://{host}"));
        server.put(&format!("{ORGS}/{name}"), object);
        orgs.insert(host, Org::named(&format!("00o{number}")));
        all.insert(Due::Org(name.clone()));
        for index in 0..HOOKS_EACH {
            let hook_name = format!("hook{number}-{index}");
            let mut object = hook(&hook_name, if index == 0 { "Active" } else { "Inactive" });
            object["spec"]["okta"]["orgRef"]["name"] = json!(name);
            server.put(&format!("{HOOKS}/{hook_name}"), object);
            all.insert(Due::Hook(hook_name));
        }
    }
    let before = resident();
    let mut world = World::between(server, Org::default(), Arc::new(Lines(orgs.clone())));
    let names: Vec<String> =
        all.iter().filter_map(|due| if let Due::Hook(name) = due { Some(name.clone()) } else { None }).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.ctx.reports.serve("otp", "main", &names);
    // an org's plan has six calls, and each hook that is not to be active takes two or three of them
    for _ in 0..3 * HOOKS_EACH {
        world.sync();
        for due in all.iter().rev() {
            // one over an object that was written meanwhile fails with a conflict, and is run again in the next round
            let _ = pass(&world, due).await;
        }
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    world.sync();
    for org in orgs.values() {
        let hooks = org.hooks();
        assert_eq!(hooks.len(), HOOKS_EACH);
        assert_eq!(hooks.iter().filter(|hook| hook.status == HookStatus::Active).count(), 1);
        org.calls();
    }
    world.server.writes();

    let begun = Instant::now();
    let mut queue: BTreeSet<(Duration, Due)> = all.iter().map(|due| (Duration::ZERO, due.clone())).collect();
    let mut took: Vec<Duration> = Vec::new();
    while let Some((at, due)) = queue.pop_first() {
        if at >= HOUR {
            break;
        }
        tokio::time::advance(at.saturating_sub(begun.elapsed())).await;
        let (requeue, spent) = pass(&world, &due).await;
        took.push(spent);
        queue.insert((at + next(requeue.unwrap()), due));
    }
    assert_eq!(world.server.writes(), Vec::<String>::new(), "nothing changed, so nothing is written");
    let mut calls = 0;
    for (host, org) in &orgs {
        let made = org.calls();
        let lists = made.iter().filter(|call| **call == "list").count();
        let identities = made.iter().filter(|call| **call == "identify").count();
        assert!((59..=61).contains(&lists), "{host}: {lists} lists in an hour of polls every minute");
        assert!(identities <= 1 && made.len() == lists + identities, "{host}: {made:?}");
        calls += made.len();
    }
    took.sort();
    println!(
        "steady: {} hooks over {ORGS_COUNT} orgs, one simulated hour: {} passes (p50 {:?}, p99 {:?}), {calls} calls to Okta, \
         no write; {} kB more resident memory than before the operator began",
        ORGS_COUNT * HOOKS_EACH,
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        resident().saturating_sub(before)
    );
}
