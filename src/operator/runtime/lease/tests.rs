//! Contenders for one Lease against an API server in memory.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    DURATION, Leases, NAME, RENEW_EVERY, former,
    handle::Handle,
    holder::{Holder, Lost},
};
use crate::operator::{runtime::clock::BootInstant, testing::world::Server};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/hookswitch/leases/hookswitch-operator";

/// A contender for the one Lease that all releases had.
fn contender(server: &Server, name: &str) -> (Holder, Handle) {
    of(server, name, NAME)
}

/// A contender of the Deployment `prod-hookswitch` for a Lease.
fn of(server: &Server, name: &str, lease: &str) -> (Holder, Handle) {
    let handle = Handle::default();
    let leases = Leases { own: lease.to_owned(), deployment: Some("prod-hookswitch".to_owned()) };
    (Holder::new(server.client(), "hookswitch", name, handle.clone(), leases), handle)
}

fn holder(server: &Server) -> String {
    server.get(LEASE).unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

async fn acquires(holder: &mut Holder, within: Duration) -> bool {
    tokio::time::timeout(within, holder.acquire(&CancellationToken::new())).await.unwrap_or(false)
}

#[tokio::test(start_paused = true)]
async fn of_two_contenders_one_leads_and_the_other_follows_when_it_stops() {
    let server = Server::default();
    let ((mut a, a_handle), (mut b, b_handle)) = (contender(&server, "a"), contender(&server, "b"));
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    assert!(a_handle.is_leader());
    assert!(!acquires(&mut b, Duration::from_secs(20)).await, "the lease is held");
    assert!(!b_handle.is_leader());
    a.release().await;
    assert!(!a_handle.is_leader());
    assert!(acquires(&mut b, Duration::from_secs(7)).await, "given up, it is taken at the next look");
    assert_eq!(holder(&server), "b");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_finds_another_instead_leads_no_more() {
    let server = Server::default();
    let (mut a, handle) = contender(&server, "a");
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    let mut lease = server.get(LEASE).unwrap();
    lease["spec"]["holderIdentity"] = json!("b");
    server.put(LEASE, lease);
    assert_eq!(a.keep(&CancellationToken::new()).await, Err(Lost));
    assert!(!handle.is_leader());
    assert_eq!(holder(&server), "b", "nothing of the other's is written");
    a.release().await;
    assert_eq!(holder(&server), "b", "nor given up");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_another_holder_loses_the_lease_and_one_with_our_own_write_does_not() {
    let server = Server::default();
    let (mut a, handle) = contender(&server, "a");
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    server.fail_next_write(StatusCode::CONFLICT);
    let stop = CancellationToken::new();
    let kept = tokio::time::timeout(Duration::from_secs(12), a.keep(&stop)).await;
    assert!(kept.is_err(), "still keeping it after a conflict with itself");
    assert!(handle.is_leader());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_costs_the_lease_by_our_own_clock() {
    let server = Server::default();
    let (mut a, handle) = contender(&server, "a");
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    server.hang(true);
    // the boot clock is the machine's and cannot be stopped: the last renewal is put back instead
    let old = BootInstant::now().since(BootInstant::after_boot(Duration::ZERO)).saturating_sub(DURATION);
    handle.renewed(BootInstant::after_boot(old + Duration::from_millis(300)));
    assert_eq!(a.keep(&CancellationToken::new()).await, Err(Lost));
    assert!(!handle.is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_contender_that_is_asked_to_stop_leaves_without_the_lease() {
    let server = Server::default();
    let (mut a, _) = contender(&server, "a");
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    let (mut b, _) = contender(&server, "b");
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(!b.acquire(&stop).await);
    assert_eq!(holder(&server), "a");
}

#[tokio::test(start_paused = true)]
async fn a_contender_that_waits_tries_every_four_to_six_seconds() {
    let server = Server::default();
    let ((mut a, _), (mut b, _)) = (contender(&server, "a"), contender(&server, "b"));
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    server.reads();
    // the holder does not renew, and the boot clock stands still for both
    assert!(!acquires(&mut b, Duration::from_mins(10)).await);
    let reads = server.reads();
    assert!((100..=150).contains(&reads), "{reads} in ten minutes");
}

const OWN: &str = "/apis/coordination.k8s.io/v1/namespaces/hookswitch/leases/prod-hookswitch-operator";
const OLD_POD: &str = "prod-hookswitch-6d4cf56db6-aaaaa";
const NEW_POD: &str = "prod-hookswitch-7e5df67ec7-bbbbb";
const OF_ANOTHER: &str = "hookswitch-6d4cf56db6-ccccc";

/// How many pods of the Deployment there are, and how many of them of its newest version.
fn rolled(server: &Server, all: u32, updated: u32) {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "prod-hookswitch", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {"observedGeneration": 2, "replicas": all, "updatedReplicas": updated}});
    server.put("/apis/apps/v1/namespaces/hookswitch/deployments/prod-hookswitch", deployment);
}

/// Keeps the lease for so long; whether it was still kept then.
async fn keeps(holder: &mut Holder, time: Duration) -> bool {
    let stop = CancellationToken::new();
    tokio::time::timeout(time, holder.keep(&stop)).await.is_err()
}

fn holder_of(server: &Server, lease: &str) -> String {
    let lease = server.get(lease).unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_to_a_lease_of_ones_own_never_has_two_leaders() {
    let server = Server::default();
    let ((mut old, old_handle), (mut new, new_handle)) =
        (contender(&server, OLD_POD), of(&server, NEW_POD, "prod-hookswitch-operator"));
    assert!(acquires(&mut old, Duration::from_secs(1)).await);
    // the pods of the version before end one by one
    rolled(&server, 3, 1);
    assert!(!acquires(&mut new, Duration::from_mins(2)).await && !new_handle.is_leader());
    old.release().await;
    assert!(acquires(&mut new, Duration::from_secs(7)).await);
    assert!(new_handle.is_leader() && !old_handle.is_leader());
    assert_eq!((holder_of(&server, LEASE), holder_of(&server, OWN)), (NEW_POD.into(), NEW_POD.into()));
    // one of before that still runs cannot lead, nor one that somebody goes back to meanwhile
    assert!(!acquires(&mut old, Duration::from_secs(20)).await);
    assert!(keeps(&mut new, Duration::from_mins(2)).await);
    assert_eq!(holder_of(&server, LEASE), NEW_POD, "as long as it is not known that none of before runs");
    rolled(&server, 2, 2);
    assert!(keeps(&mut new, former::ENDS_WITHIN).await);
    assert_eq!(holder_of(&server, LEASE), NEW_POD, "one that ends has its time");
    assert!(keeps(&mut new, RENEW_EVERY * 3).await && new_handle.is_leader());
    assert_eq!((holder_of(&server, LEASE), holder_of(&server, OWN)), (String::new(), NEW_POD.into()));
}

#[tokio::test(start_paused = true)]
async fn two_releases_in_one_namespace_lead_both() {
    let server = Server::default();
    let ((mut one, one_handle), (mut other, other_handle)) =
        (contender(&server, OF_ANOTHER), of(&server, NEW_POD, "prod-hookswitch-operator"));
    assert!(acquires(&mut one, Duration::from_secs(1)).await);
    rolled(&server, 3, 2);
    assert!(!acquires(&mut other, Duration::from_mins(2)).await, "one of before could be next to hold the shared one");
    rolled(&server, 2, 2);
    assert!(acquires(&mut other, former::ENDS_WITHIN * 2).await);
    assert!(one_handle.is_leader() && other_handle.is_leader());
    assert_eq!((holder_of(&server, LEASE), holder_of(&server, OWN)), (OF_ANOTHER.into(), NEW_POD.into()));
    // a rollout that does not get on later is no reason to lead no more, nor for another pod not to follow
    rolled(&server, 3, 1);
    assert!(keeps(&mut other, Duration::from_mins(1)).await);
    other.release().await;
    let (mut next, _) = of(&server, "prod-hookswitch-7e5df67ec7-ddddd", "prod-hookswitch-operator");
    assert!(acquires(&mut next, Duration::from_secs(7)).await);
    assert_eq!(holder_of(&server, LEASE), OF_ANOTHER, "whose Lease was never touched");
}

#[tokio::test(start_paused = true)]
async fn who_goes_back_to_the_version_before_is_led_by_it() {
    let server = Server::default();
    rolled(&server, 2, 2);
    let (mut new, handle) = of(&server, NEW_POD, "prod-hookswitch-operator");
    assert!(acquires(&mut new, Duration::from_secs(1)).await, "nobody is there, so nothing is waited for");
    assert!(keeps(&mut new, former::ENDS_WITHIN + RENEW_EVERY * 3).await);
    let (mut old, _) = contender(&server, OLD_POD);
    assert!(acquires(&mut old, Duration::from_secs(1)).await);
    assert_eq!(tokio::time::timeout(RENEW_EVERY * 2, new.keep(&CancellationToken::new())).await, Ok(Err(Lost)));
    assert!(!handle.is_leader());
    new.release().await;
    assert!(!acquires(&mut new, Duration::from_secs(20)).await, "and is not fought");
    // who goes forward again has no two leaders either: whichever pod of before is next to lead
    rolled(&server, 3, 1);
    let ((mut next_old, _), (mut next_new, next_handle)) =
        (contender(&server, OLD_POD), of(&server, "prod-hookswitch-7e5df67ec7-eeeee", "prod-hookswitch-operator"));
    assert!(!acquires(&mut next_new, Duration::from_secs(20)).await, "one of before leads");
    old.release().await;
    assert!(acquires(&mut next_new, Duration::from_secs(7)).await);
    assert_eq!(holder_of(&server, LEASE), "prod-hookswitch-7e5df67ec7-eeeee", "it holds the shared one, too");
    assert!(!acquires(&mut next_old, Duration::from_secs(20)).await && next_handle.is_leader());
}
