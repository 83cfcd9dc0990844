//! Whose pods are changed next. An upgrade of the chart, or another log level, changes the pods of every gateway at the same
//! moment; were all rolled at once, a version that cannot serve would take the active hook and its standby together.
//!
//! Gateways of one org's hooks take turns: those that Okta does not call first, one at a time, each until it is proven and some
//! seconds more, and those that Okta calls last. Until its turn a gateway's pods stay as they are, image included. Whatever
//! is read of Kubernetes is read afresh; [`waits`] decides, and is pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::ResourceExt as _;

use super::build::Workload;
use crate::operator::{
    model::{gateway_names::Names, tenancy::WorkloadPart},
    options::Options,
    runtime::{
        apply::{apply_over, present, read, would_change},
        error::ReconcileError,
        kube::Kube,
        listing::Listing,
    },
    state::{
        Memory,
        caches::{By, Caches},
    },
};
use hookswitch_api::{HookSwitch, Kind, TelephonyGateway, TelephonyHook, TelephonyHookStatus};

/// How long a gateway's changed pods are watched before the next gateway's are changed.
const PAUSE: Duration = Duration::from_secs(30);

/// How often a gateway that waits for its turn is reconciled.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The annotation by which a person has a gateway's pods changed without waiting for their turn, for as long as it is `true`.
pub(super) const OUT_OF_TURN: &str = "hookswitch.dev/out-of-turn";

/// Where the change of a gateway's pods is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pods {
    /// None is under way; since when, if that is known.
    Settled(Option<Duration>),
    /// It is under way.
    Changing,
    /// It does not get on.
    Stuck,
}

/// Another gateway of the same org's hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    name: String,
    /// Whether Okta calls it.
    used: bool,
    pods: Pods,
    /// Whether its pods are still to be changed.
    due: bool,
    /// Whether all its replicas serve the configuration in force, and one of them has a usable provider.
    proven: bool,
}

/// What a change of a gateway's pods waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waits {
    /// Who the others are, and whether a switch is under way, is not known.
    NotListed,
    /// This switch is on its way from one hook to another.
    Switching(String),
    /// The pods of this gateway.
    For(String, Why),
}

/// What keeps a gateway's pods from being changed, of those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// They are being changed.
    Changing,
    /// They come first.
    First,
    /// They were changed and do not become ready.
    Stuck,
    /// They were changed and are not proven.
    Unproven,
    /// They were changed a moment ago.
    Recent,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("the HookSwitch objects of the namespace are not listed"),
            Self::Switching(switch) => write!(f, "HookSwitch {switch} is switching; that goes first"),
            Self::For(gateway, why) => write!(f, "the pods of TelephonyGateway {gateway} {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changing => "are being changed",
            Self::First => "are changed first",
            Self::Stuck => "were changed and do not become ready",
            Self::Unproven => {
                "are not proven yet: some do not report the current configuration, or none has a usable provider"
            }
            Self::Recent => "were changed a moment ago",
        })
    }
}

/// What a turn is found out from.
pub(super) struct Rollout<'c> {
    /// What writes to Kubernetes work with.
    pub kube: &'c Kube,
    /// What is kept between reconciles.
    pub memory: &'c Memory,
    /// What was listed.
    pub listing: &'c Listing,
    /// What the operator was given at start.
    pub options: &'c Options,
}

/// Applies a gateway's Deployment; with its pods as they are as long as it is not their turn. Tells what they wait for.
///
/// # Errors
/// As [`apply`].
pub(super) async fn take(
    gateway: &TelephonyGateway,
    rollout: &Rollout<'_>,
    mut wanted: Deployment,
) -> Result<(Deployment, Option<Waits>), ReconcileError> {
    let live = read::<Deployment>(rollout.kube, gateway, &wanted.name_any()).await?;
    let is_free = gateway.annotations().get(OUT_OF_TURN).is_some_and(|value| value == "true");
    let is_held = |live: &&Deployment| !is_free && serves(live) && changes_pods(rollout.kube, gateway, &wanted, live);
    let Some(held) = live.as_ref().filter(is_held) else {
        return Ok((apply_over(rollout.kube, gateway, wanted, live).await?.into_inner(), None));
    };
    // no other gateway of the namespace reads this one between its read of the others and its change
    let namespace = gateway.namespace().unwrap_or_default();
    let _turn = rollout.memory.turns.of(&namespace).await;
    let waits = match switching(gateway, &rollout.memory.caches) {
        _ if !rollout.listing.is_listed(&namespace, &[Kind::HookSwitch]) => Some(Waits::NotListed),
        Some(switch) => Some(Waits::Switching(switch)),
        None => waits(&gateway.name_any(), is_used(gateway, &rollout.memory.caches), &peers(gateway, rollout).await?),
    };
    if waits.is_some()
        && let (Some(wanted), Some(held)) = (&mut wanted.spec, &held.spec)
    {
        wanted.template.clone_from(&held.template);
    }
    Ok((apply_over(rollout.kube, gateway, wanted, live).await?.into_inner(), waits))
}

fn changes_pods(kube: &Kube, gateway: &TelephonyGateway, wanted: &Deployment, live: &Deployment) -> bool {
    would_change(&kube.applied, gateway, wanted, live, &["spec", "template"])
}

/// Whether a pod of a Deployment is ready. Where none is there is nothing to lose, and what mends it may be this very change.
fn serves(deployment: &Deployment) -> bool {
    deployment.status.as_ref().and_then(|status| status.ready_replicas).is_some_and(|ready| ready > 0)
}

/// What keeps the pods of the gateway `name` from being changed now; `used`: Okta calls it.
///
/// Of two that are due the one with the lower rank goes first, so that there is always one that waits for nobody. One that does
/// not get on holds up those behind it alone: what mends it may be the very change that it waits for.
fn waits(name: &str, used: bool, peers: &[Peer]) -> Option<Waits> {
    let obstacle = |peer: &Peer| {
        let is_before = (peer.used, peer.name.as_str()) < (used, name);
        let why = match peer.pods {
            Pods::Changing => Why::Changing,
            _ if !is_before => return None,
            Pods::Stuck if !peer.due => Why::Stuck,
            _ if peer.due => Why::First,
            _ if !peer.proven => Why::Unproven,
            Pods::Settled(Some(since)) if since < PAUSE => Why::Recent,
            Pods::Settled(_) | Pods::Stuck => return None,
        };
        Some(Waits::For(peer.name.clone(), why))
    };
    peers.iter().find_map(obstacle)
}

/// The other gateways of the orgs of a gateway's hooks that have pods.
async fn peers(gateway: &TelephonyGateway, rollout: &Rollout<'_>) -> Result<Vec<Peer>, ReconcileError> {
    let namespace = gateway.namespace().unwrap_or_default();
    let mut peers = Vec::new();
    for name in rivals(gateway, &rollout.memory.caches) {
        let Some(other) =
            rollout.memory.caches.gateways.get(&namespace, &name).filter(|other| other.spec.replicas() > 0)
        else {
            continue;
        };
        let Ok(names) = Names::of(&other) else { continue };
        let Some(live) = present::<Deployment>(rollout.kube, &*other, &names.workload).await? else { continue };
        let wanted = Workload { names: &names, spec: &other.spec, options: rollout.options }.deployment()?;
        let refused = rollout.options.tenancy.refused(&namespace, &other.spec);
        let due = refused.iter().all(|refusal| refusal.part != WorkloadPart::Pods)
            && changes_pods(rollout.kube, &other, &wanted, &live);
        let hash = other.status.as_ref().and_then(|status| status.config_hash.clone()).unwrap_or_default();
        let replicas = rollout.memory.reports.replicas(&namespace, &name, &hash);
        let wanted = u32::try_from(other.spec.replicas()).unwrap_or(0);
        peers.push(Peer {
            used: is_used(&other, &rollout.memory.caches),
            pods: pods(&live, Timestamp::now()),
            due,
            proven: replicas.current >= wanted && replicas.usable > 0,
            name,
        });
    }
    Ok(peers)
}

/// Where the change of a Deployment's pods is. The stamp is of another machine's clock: one that is far off costs the pause,
/// not the order.
fn pods(deployment: &Deployment, now: Timestamp) -> Pods {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let progressing = status.conditions.iter().flatten().find(|condition| condition.type_ == "Progressing");
    let reason = progressing.and_then(|condition| condition.reason.as_deref());
    if status.observed_generation < deployment.metadata.generation {
        return Pods::Changing;
    }
    if reason == Some("ProgressDeadlineExceeded") {
        return Pods::Stuck;
    }
    let updated = status.updated_replicas.unwrap_or(0);
    // pods that were ready once and are not any more are no change of them
    let all_were_ready = reason == Some("NewReplicaSetAvailable") || status.ready_replicas.unwrap_or(0) >= wanted;
    if updated < wanted || status.replicas.unwrap_or(0) > updated || !all_were_ready {
        return Pods::Changing;
    }
    let stamp = progressing.and_then(|condition| condition.last_update_time.as_ref());
    Pods::Settled(stamp.and_then(|at| Duration::try_from(now.duration_since(at.0)).ok()))
}

/// The gateways of the other hooks of the orgs that a gateway's hooks are of.
fn rivals(gateway: &TelephonyGateway, caches: &Caches) -> BTreeSet<String> {
    let name = gateway.name_any();
    let hooks = caches.hooks.in_namespace(&gateway.namespace().unwrap_or_default());
    let mut orgs: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for hook in &hooks {
        if let (Some(org), Some(of)) = (caches.org_of(hook), hook.spec.target.gateway()) {
            orgs.entry(org).or_default().insert(of.to_owned());
        }
    }
    let shared = orgs.into_values().filter(|gateways| gateways.contains(&name));
    shared.flatten().filter(|other| *other != name).collect()
}

/// Whether Okta calls a gateway: a hook that is ACTIVE points at it, its own or one that a switch pointed there.
fn is_used(gateway: &TelephonyGateway, caches: &Caches) -> bool {
    let hooks = caches.hooks.in_namespace(&gateway.namespace().unwrap_or_default());
    let gateway_of = |hook: &TelephonyHook| {
        let to = hook.status.as_ref().and_then(|status| status.repointed.as_ref()).map(|repointed| &repointed.to);
        let other = to.and_then(|to| hooks.iter().find(|other| other.name_any() == *to));
        other.map_or(hook, |other| other).spec.target.gateway().map(str::to_owned)
    };
    hooks.iter().any(|hook| {
        let is_active = hook.status.as_ref().is_some_and(TelephonyHookStatus::is_active_in_okta);
        is_active && gateway_of(hook).as_deref() == Some(&gateway.name_any())
    })
}

/// The switch over a gateway's hooks that is on its way from one hook to another.
fn switching(gateway: &TelephonyGateway, caches: &Caches) -> Option<String> {
    let namespace = gateway.namespace().unwrap_or_default();
    let hooks = caches.hooks.found(&namespace, &By::Gateway(gateway.name_any()));
    let mut switches = hooks.iter().flat_map(|hook| caches.naming(&namespace, &hook.name_any()));
    let is_under_way =
        |switch: &Arc<HookSwitch>| switch.status.as_ref().is_some_and(|status| status.switching.is_some());
    switches.find(is_under_way).map(|switch| switch.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn peer(name: &str, used: bool) -> Peer {
        Peer { name: name.to_owned(), used, pods: Pods::Settled(None), due: false, proven: true }
    }

    #[test]
    fn nobody_waits_for_others_that_are_settled_and_proven() {
        let rested = Peer { pods: Pods::Settled(Some(PAUSE)), ..peer("b", false) };
        for used in [false, true] {
            assert_eq!(waits("a", used, &[]), None);
            assert_eq!(waits("a", used, &[peer("b", false), rested.clone()]), None);
        }
    }

    #[test]
    fn the_one_that_okta_calls_waits_until_the_other_is_changed_proven_and_watched() {
        let standby = peer("b", false);
        for (why, step, standby) in [
            (Why::First, "changed first", Peer { due: true, ..standby.clone() }),
            (Why::Changing, "being changed", Peer { pods: Pods::Changing, proven: false, ..standby.clone() }),
            (Why::Stuck, "do not become ready", Peer { pods: Pods::Stuck, proven: false, ..standby.clone() }),
            (Why::First, "changed first", Peer { pods: Pods::Stuck, due: true, ..standby.clone() }),
            (Why::Unproven, "not proven", Peer { proven: false, ..standby.clone() }),
            (Why::Recent, "a moment ago", Peer { pods: Pods::Settled(Some(PAUSE / 2)), ..standby }),
        ] {
            let found = waits("a", true, &[standby]).unwrap();
            assert_eq!(found, Waits::For("b".into(), why));
            let message = found.to_string();
            assert!(message.contains("TelephonyGateway b") && message.contains(step), "{step}: {message}");
        }
    }

    #[test]
    fn the_one_that_okta_does_not_call_waits_only_while_the_others_pods_change() {
        let active = peer("a", true);
        let changing = Peer { pods: Pods::Changing, ..active.clone() };
        assert!(waits("b", false, &[changing]).is_some(), "never both at once");
        for active in [
            Peer { due: true, ..active.clone() },
            Peer { pods: Pods::Stuck, due: true, proven: false, ..active.clone() },
            Peer { proven: false, ..active.clone() },
            Peer { pods: Pods::Settled(Some(Duration::ZERO)), ..active },
        ] {
            assert_eq!(waits("b", false, std::slice::from_ref(&active)), None, "{active:?}");
        }
    }

    /// Whatever state any of three are in, unless one's pods are changing right now one of those that are due may go.
    #[test]
    fn there_is_always_one_that_waits_for_nobody_or_for_one_that_cannot_serve() {
        let states = [Pods::Settled(None), Pods::Settled(Some(Duration::ZERO)), Pods::Stuck];
        let mut all = Vec::new();
        for bits in 0..4_096_u32 {
            let of = |at: u32| {
                let own = (bits >> (4 * at)) & 15;
                let name = ["a", "b", "c"][at as usize];
                let pods = states[(own & 3).min(2) as usize];
                // what the change would mend is due
                Peer { pods, due: true, used: own & 4 != 0, proven: own & 8 != 0, ..peer(name, false) }
            };
            all.push([of(0), of(1), of(2)]);
        }
        for gateways in all {
            let may_go = |at: usize| {
                let others: Vec<Peer> = gateways
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != at)
                    .map(|(_, peer)| peer.clone())
                    .collect();
                waits(&gateways[at].name, gateways[at].used, &others).is_none()
            };
            assert_eq!((0..3).filter(|at| may_go(*at)).count(), 1, "{gateways:?}");
        }
    }

    #[test]
    fn a_deployment_says_where_the_change_of_its_pods_is() {
        let now: Timestamp = "2026-11-30T12:00:30Z".parse().unwrap();
        let with = |change: fn(&mut Value)| {
            let condition = json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                "lastUpdateTime": "2026-11-30T12:00:00Z", "lastTransitionTime": "2026-11-30T11:00:00Z"});
            let mut deployment = json!({"metadata": {"generation": 3}, "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "conditions": [condition]}});
            change(&mut deployment);
            pods(&serde_json::from_value(deployment).unwrap(), now)
        };
        assert_eq!(with(|_| {}), Pods::Settled(Some(Duration::from_secs(30))));
        assert_eq!(with(|it| it["status"]["conditions"] = Value::Null), Pods::Settled(None));
        assert_eq!(with(|it| it["metadata"]["generation"] = json!(4)), Pods::Changing);
        assert_eq!(with(|it| it["status"]["updatedReplicas"] = json!(1)), Pods::Changing);
        assert_eq!(with(|it| it["status"]["replicas"] = json!(3)), Pods::Changing, "old ones are still there");
        assert_eq!(with(|it| it["status"] = Value::Null), Pods::Changing);
        let progressing = |it: &mut Value| {
            it["status"]["readyReplicas"] = json!(1);
            it["status"]["conditions"][0]["reason"] = json!("ReplicaSetUpdated");
        };
        assert_eq!(with(progressing), Pods::Changing);
        let drained = with(|it| it["status"]["readyReplicas"] = json!(1));
        assert_eq!(drained, Pods::Settled(Some(Duration::from_secs(30))), "a drained node is no rollout");
        assert_eq!(with(|it| it["status"]["conditions"][0]["reason"] = json!("ProgressDeadlineExceeded")), Pods::Stuck);
        let ahead = with(|it| it["status"]["conditions"][0]["lastUpdateTime"] = json!("2026-11-30T13:00:00Z"));
        assert_eq!(ahead, Pods::Settled(None), "another machine's clock decides nothing");
    }
}
