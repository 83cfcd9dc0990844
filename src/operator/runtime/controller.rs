//! Reconciles: when one is run over an object, for how long, and what follows it.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use kube::ResourceExt as _;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Runtime,
    backoff::{Backoff, jittered},
    cache::Index,
    error::{DEADLINE, ReconcileError},
    listing::WatchScope,
    metrics::ReconcileResult,
    queue::{Queue, Taken},
    reconcile::{Reconcile, Requeue, target},
    triggers::{Target, Woken},
    unlisted,
};
use hookswitch_fair::{Fair, Lane, Permit};

/// Time between two objects when all are reconciled, so that a start is no storm.
const SPREAD: Duration = Duration::from_millis(20);

/// The longest time between two reconciles over an object, whatever the watches say.
const SLOWEST: Duration = Duration::from_mins(10);

/// Runs the reconciles of one kind until `stop`, then lets those under way end.
pub async fn run<K: Reconcile>(ctx: Arc<K::Context>, stop: CancellationToken) {
    let (runtime, index): (&Runtime, _) = ((*ctx).as_ref(), K::index(&ctx));
    let (permits, backoff) = (Fair::new(K::PERMITS), Backoff::default());
    let mut woken = std::pin::pin!(runtime.triggers.listen(K::KIND));
    let mut whole = std::pin::pin!(runtime.listing.whole(K::READS));
    let mut queue = Queue::default();
    let (mut waiting, mut reconciles) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(scope) = whole.next() => queue.spread(all_within(&scope, &*ctx, index), SPREAD, Instant::now()),
            Some(Woken { target, urgent }) = woken.next() => {
                let is_urgent = || get::<K>(&*ctx, &target).is_some_and(|object| K::is_urgent(&object, &*ctx));
                queue.wake(target.clone(), urgent, is_urgent, Instant::now());
            }
            () = sleep_until_due(queue.next_due()) => {}
            // one that gets its permit in the moment of the stop begins nothing
            Some((target, permit)) = waiting.next() => match get::<K>(&*ctx, &target).filter(|_| !stop.is_cancelled()) {
                // as it is now
                Some(object) => {
                    queue.begun(&target);
                    reconciles.push(one(object, permit, Arc::clone(&ctx), &backoff));
                }
                None => gone(&target, &mut queue, &backoff),
            },
            Some((target, wait)) = reconciles.next() => queue.ended(&target, Some(wait), Instant::now()),
        }
        while let Some(taken) = queue.take(Instant::now()) {
            match get::<K>(&*ctx, &taken.target) {
                Some(object) => {
                    let urgent = taken.urgent || K::is_urgent(&object, &*ctx);
                    waiting.push(permit(Taken { urgent, ..taken }, &permits));
                }
                None => gone(&taken.target, &mut queue, &backoff),
            }
        }
    }
    drop(waiting);
    while reconciles.next().await.is_some() {}
}

/// One that is gone is forgotten.
fn gone(target: &Target, queue: &mut Queue, backoff: &Backoff) {
    queue.ended(target, None, Instant::now());
    backoff.reset(target);
}

fn get<K: Reconcile>(ctx: &K::Context, target: &Target) -> Option<Arc<K>> {
    K::index(ctx).get(&target.namespace, &target.name)
}

/// The objects to reconcile once what they read was listed: the urgent ones first, then those of all namespaces in turn.
fn all_within<K: Reconcile>(scope: &WatchScope, ctx: &K::Context, index: &Index<K>) -> Vec<Target> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<_> = index
        .all()
        .into_iter()
        .filter(|object| scope.covers(object.namespace().as_deref().unwrap_or_default()))
        .map(|object| {
            let (is_routine, target) = (!K::is_urgent(&object, ctx), target(&*object));
            let turn = counts.entry(target.namespace.clone()).or_default();
            *turn += 1;
            (is_routine, *turn, target)
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, _, target)| target).collect()
}

async fn sleep_until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// Waits for a permit of a reconcile over an object.
async fn permit(Taken { target, urgent, hurry }: Taken, permits: &Fair) -> (Target, Permit) {
    let enter = |lane| permits.enter(&target.namespace, &target.name, lane);
    let permit = async {
        tokio::select! {
            biased;
            () = hurry.notified(), if !urgent => {}
            permit = enter(Lane::Routine), if !urgent => return permit,
            else => {}
        }
        enter(Lane::Urgent).await
    };
    let permit = permit.await;
    (target, permit)
}

/// One reconcile over an object, and how long to wait until the next one.
async fn one<K: Reconcile>(
    object: Arc<K>,
    _permit: Permit,
    ctx: Arc<K::Context>,
    backoff: &Backoff,
) -> (Target, Duration) {
    let target = target(&*object);
    let controller = K::KIND.as_str();
    let metrics = (*ctx).as_ref().metrics.clone();
    let working = metrics.begin(controller);
    let begun = tokio::time::Instant::now();
    let outcome = bounded_reconcile(object, Arc::clone(&ctx)).await;
    drop(working);
    let (result, wait) = match &outcome {
        Ok(Requeue::OnChange) => (ReconcileResult::Success, SLOWEST),
        Ok(Requeue::After(wait)) => (ReconcileResult::RequeueAfter, *wait),
        Ok(Requeue::Retry) => (ReconcileResult::Requeue, backoff.failed(&target)),
        Err(error) if error.is_conflict() => (ReconcileResult::Requeue, backoff.failed(&target)),
        Err(error) => {
            let wait = backoff.failed(&target);
            tracing::warn!(object = %target, error = %error, "a reconcile failed");
            (ReconcileResult::Error, wait)
        }
    };
    if matches!(outcome, Ok(Requeue::OnChange | Requeue::After(_))) {
        backoff.reset(&target);
    }
    metrics.ended(controller, result, begun.elapsed());
    (target, jittered(wait, rand::random()))
}

async fn bounded_reconcile<K: Reconcile>(object: Arc<K>, ctx: Arc<K::Context>) -> Result<Requeue, ReconcileError> {
    let runtime: &Runtime = (*ctx).as_ref();
    if !runtime.lease.is_leader() {
        return Err(ReconcileError::NotLeading);
    }
    let lacking = runtime.listing.lacking(&object.namespace().unwrap_or_default(), K::READS);
    if !lacking.contains_key(&K::KIND) {
        K::met(&object, &ctx);
    }
    if !lacking.is_empty() {
        let reported = unlisted::report(&*object, &ctx, &lacking);
        return tokio::time::timeout(DEADLINE, reported).await.unwrap_or(Err(ReconcileError::Deadline));
    }
    // a task of its own: a panic ends one reconcile, not the operator
    let reconcile = tokio::spawn(async move { tokio::time::timeout(DEADLINE, K::reconcile(object, ctx)).await });
    match tokio_util::task::AbortOnDropHandle::new(reconcile).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(ReconcileError::Deadline),
        Err(_) => Err(ReconcileError::Panicked),
    }
}
