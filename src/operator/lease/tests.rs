//! Contenders for one Lease against an API server in memory.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    super::{clock::BootInstant, double::Server},
    DURATION, Handle, Holder, Lost,
};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/hookswitch/leases/hookswitch-operator";

fn contender(server: &Server, name: &str) -> (Holder, Handle) {
    let handle = Handle::default();
    (Holder::new(server.client(), "hookswitch", name, handle.clone()), handle)
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
async fn a_leader_that_finds_another_in_its_place_leads_no_more() {
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
async fn a_contender_that_is_told_to_stop_leaves_without_the_lease() {
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
async fn a_contender_that_waits_looks_every_four_to_six_seconds() {
    let server = Server::default();
    let ((mut a, _), (mut b, _)) = (contender(&server, "a"), contender(&server, "b"));
    assert!(acquires(&mut a, Duration::from_secs(1)).await);
    server.reads();
    // the holder does not renew, and the boot clock stands still for both
    assert!(!acquires(&mut b, Duration::from_mins(10)).await);
    let looks = server.reads();
    assert!((100..=150).contains(&looks), "{looks} in ten minutes");
}
