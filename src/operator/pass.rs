//! Passes: when one is run over an object, for how long, and what follows it.

use std::{
    collections::HashMap,
    fmt::Debug,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use kube::{
    Resource, ResourceExt as _,
    core::{NamespaceResourceScope, object::HasStatus},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::{Backoff, jittered},
    cache::{Caches, Index, Kept},
    conditions::{self, Is, bounded},
    context::Context,
    held_back,
    listing::Scope,
    problem::Problem,
    queue::{Queue, Taken},
    status::Conditions,
    wake::{Kind, Target, Woken},
    watches::target,
};
use hookswitch_api::reason::{self, Ready, Reason as _};
use hookswitch_fair::{Bounds, Fair, Lane, Place};

/// How long a pass may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two objects when all are looked at, so that a start is no storm.
const SPREAD: Duration = Duration::from_millis(20);

/// The longest time between two passes over an object, whatever the watches say.
const SLOWEST: Duration = Duration::from_mins(10);

/// A kind that passes are run for.
pub trait Reconcile:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Kept
    + HasStatus<Status: Conditions + Clone + Default + PartialEq + Serialize + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which kind it is.
    const KIND: Kind;

    /// Passes at once; the tenants are the namespaces.
    const PLACES: Bounds = Bounds { all: 8, each: 4, urgent: 8, all_urgent: 128 };

    /// The kinds of which a pass over one reads the objects of its namespace: it is run once they were all listed.
    const READS: &'static [Kind];

    /// Where its objects are kept.
    fn index(caches: &Caches) -> &Index<Self>;

    /// Other objects whose passes read this one: they are woken when it changes or goes.
    fn dependents(&self, ctx: &Context) -> Vec<Target>;

    /// Whether a failover may wait for a pass over it.
    fn is_urgent(_object: &Self, _ctx: &Context) -> bool {
        false
    }

    /// What of its status nobody stands for as long as no pass is run over it, because objects that it reads cannot be listed.
    fn unseen(object: &Self, _ctx: &Context) -> Self::Status {
        let mut status = object.status().cloned().unwrap_or_default();
        let conditions = status.conditions_mut();
        if conditions::get(conditions, reason::Healthy::CONDITION).is_some() {
            let generation = object.meta().generation;
            conditions::set(conditions, Is::Unknown, reason::Healthy::NotListed, held_back::UNSEEN, generation);
        }
        status
    }

    /// Called before a pass over an object, and where none can be run because objects of other kinds cannot be listed.
    fn met(_object: &Self, _ctx: &Context) {}

    /// Called when an object is gone, to forget what is kept of it in memory.
    fn gone(_object: &Self, _ctx: &Context) {}

    /// Watches of other kinds whose changes wake objects of this one; they run as long as the operator leads.
    fn watches(_ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        Vec::new()
    }

    /// One pass over one object.
    fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> impl Future<Output = Result<Requeue, PassError>> + Send;
}

/// What follows a pass that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing until something changes (or, at the latest, after ten minutes).
    OnChange,
    /// Another pass after this time, ± 20 %.
    After(Duration),
    /// Something outside failed: another pass after the object's backoff.
    Retry,
}

/// Why a pass could not do what it could.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The API server did not take or answer a call.
    #[error("could not {doing}: {}", shown(source))]
    Api {
        /// What was being done, and to what.
        doing: String,
        /// How it failed. Not part of the text: it may quote what came over the wire.
        source: Box<kube::Error>,
    },
    /// An object of ours could not be turned into JSON.
    #[error("could not {doing}: it cannot be encoded")]
    Encoding {
        /// What was being done, and to what.
        doing: String,
    },
    /// The name of an object we need is taken.
    #[error("{kind} {namespace}/{name} exists and is not controlled by this object: rename or delete it")]
    NameTaken {
        /// Kind of the object that is in the way.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The pass took too long.
    #[error("the pass did not end within {} s", DEADLINE.as_secs())]
    Deadline,
    /// The lease is not ours any more.
    #[error("this operator does not lead any more")]
    NotLeading,
    /// The pass panicked; that is a bug.
    #[error("the pass panicked")]
    Panicked,
}

impl PassError {
    /// Turns a client's error into one that says what was being done.
    pub fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }

    /// Something of ours cannot be encoded.
    #[must_use]
    pub fn encoding(doing: String) -> Self {
        Self::Encoding { doing }
    }

    /// The name of an object of kind `K` is taken.
    #[must_use]
    pub fn taken<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> Self {
        Self::NameTaken { kind: K::kind(&()).into_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether somebody else wrote the same object meanwhile: no failure, only a reason to look again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.is_conflict()))
    }

    /// What a person has to be told when the API server understood a call and refused it: a field is at fault, or the
    /// cluster's own rules are.
    #[must_use]
    pub fn refusal(&self) -> Option<Problem> {
        let Self::Api { source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        let message = || format!("The API server refuses what the spec asks for: {self}");
        match status.code {
            422 => Some(Problem::lasting(Ready::InvalidSpec, message())),
            // admission policies answer with either
            400 | 403 => Some(Problem::passing(Ready::Refused, message())),
            _ => None,
        }
    }

    /// Whether the API server denied it to us.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether the API server has no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the API server took the call for a wrong one, which it is as long as the object is as it is.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.status() == Some(422)
    }

    /// The status that the API server answered.
    fn status(&self) -> Option<u16> {
        let Self::Api { source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        Some(status.code)
    }
}

/// What was read of something that an object names. That it may not be read is that object's matter, said in its condition, and
/// stops nothing else.
///
/// # Errors
/// The outer one when the API server does not answer, the inner one when it denies the read.
pub fn or_denied<T>(read: Result<T, PassError>, reason: Ready) -> Result<Result<T, Problem>, PassError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) if error.is_forbidden() => {
            let message =
                format!("The operator {error}. Grant its service account get, list and watch on it in a Role.");
            Ok(Err(Problem::passing(reason, message)))
        }
        Err(error) => Err(error),
    }
}

/// A client's error without what came over the wire: an answer that cannot be read may be a Secret.
#[must_use]
pub fn shown(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            bounded(format!("{} {}: {}", status.code, status.reason, status.message.replace('\n', " ")), 300)
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => "the API server cannot be reached".to_owned(),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => "the API server's answer cannot be read".to_owned(),
        kube::Error::ProxyProtocolUnsupported { .. } => {
            "the API server is not called through a proxy: unset HTTPS_PROXY, or take proxy-url out of the kubeconfig"
                .to_owned()
        }
        _ => "the call to the API server failed".to_owned(),
    }
}

/// Runs the passes of one kind until `stop`, then lets those under way end.
pub async fn run<K: Reconcile>(ctx: Arc<Context>, stop: CancellationToken) {
    let index = K::index(&ctx.caches);
    let (places, backoff) = (Fair::new(K::PLACES), Backoff::default());
    let mut woken = std::pin::pin!(ctx.wake.listen(K::KIND));
    let mut whole = std::pin::pin!(ctx.caches.listing.whole(K::READS));
    let mut queue = Queue::default();
    let (mut waiting, mut passes) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(scope) = whole.next() => queue.spread(all_within(&scope, &ctx, index), SPREAD, Instant::now()),
            Some(Woken { target, urgent }) = woken.next() => {
                let is_urgent = || get::<K>(&ctx, &target).is_some_and(|object| K::is_urgent(&object, &ctx));
                queue.wake(target.clone(), urgent, is_urgent, Instant::now());
            }
            () = sleep_until_due(queue.next_due()) => {}
            // one that has its place in the moment of the stop begins nothing
            Some((target, place)) = waiting.next() => match get::<K>(&ctx, &target).filter(|_| !stop.is_cancelled()) {
                // as it is now
                Some(object) => {
                    queue.begun(&target);
                    passes.push(one(object, place, Arc::clone(&ctx), &backoff));
                }
                None => gone(&target, &mut queue, &backoff),
            },
            Some((target, wait)) = passes.next() => queue.ended(&target, Some(wait), Instant::now()),
        }
        while let Some(taken) = queue.take(Instant::now()) {
            match get::<K>(&ctx, &taken.target) {
                Some(object) => {
                    let urgent = taken.urgent || K::is_urgent(&object, &ctx);
                    waiting.push(place(Taken { urgent, ..taken }, &places));
                }
                None => gone(&taken.target, &mut queue, &backoff),
            }
        }
    }
    drop(waiting);
    while passes.next().await.is_some() {}
}

/// One that is gone is forgotten.
fn gone(target: &Target, queue: &mut Queue, backoff: &Backoff) {
    queue.ended(target, None, Instant::now());
    backoff.reset(target);
}

fn get<K: Reconcile>(ctx: &Context, target: &Target) -> Option<Arc<K>> {
    K::index(&ctx.caches).get(&target.namespace, &target.name)
}

/// The objects to look at once what they read was listed: the urgent ones first, then those of all namespaces in turn.
fn all_within<K: Reconcile>(scope: &Scope, ctx: &Context, index: &Index<K>) -> Vec<Target> {
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

/// Waits for a place of a pass over an object.
async fn place(Taken { target, urgent, hurry }: Taken, places: &Fair) -> (Target, Place) {
    let enter = |lane| places.enter(&target.namespace, &target.name, lane);
    let place = async {
        tokio::select! {
            biased;
            () = hurry.notified(), if !urgent => {}
            place = enter(Lane::Routine), if !urgent => return place,
            else => {}
        }
        enter(Lane::Urgent).await
    };
    let place = place.await;
    (target, place)
}

/// One pass over an object, and how long to wait until the next one.
async fn one<K: Reconcile>(object: Arc<K>, _place: Place, ctx: Arc<Context>, backoff: &Backoff) -> (Target, Duration) {
    let target = target(&*object);
    let controller = K::KIND.as_str();
    let working = ctx.metrics.begin(controller);
    let begun = tokio::time::Instant::now();
    let outcome = bounded_pass(object, Arc::clone(&ctx)).await;
    drop(working);
    let (result, wait) = match &outcome {
        Ok(Requeue::OnChange) => ("success", SLOWEST),
        Ok(Requeue::After(wait)) => ("requeue_after", *wait),
        Ok(Requeue::Retry) => ("requeue", backoff.failed(&target)),
        Err(error) if error.is_conflict() => ("requeue", backoff.failed(&target)),
        Err(error) => {
            let wait = backoff.failed(&target);
            tracing::warn!(object = %target, error = %error, "a pass failed");
            ("error", wait)
        }
    };
    if matches!(outcome, Ok(Requeue::OnChange | Requeue::After(_))) {
        backoff.reset(&target);
    }
    ctx.metrics.ended(controller, result, begun.elapsed());
    (target, jittered(wait, rand::random()))
}

async fn bounded_pass<K: Reconcile>(object: Arc<K>, ctx: Arc<Context>) -> Result<Requeue, PassError> {
    if !ctx.lease.is_leader() {
        return Err(PassError::NotLeading);
    }
    let lacking = ctx.caches.listing.lacking(&object.namespace().unwrap_or_default(), K::READS);
    if !lacking.contains_key(&K::KIND) {
        K::met(&object, &ctx);
    }
    if !lacking.is_empty() {
        let told = held_back::tell(&*object, &ctx, &lacking);
        return tokio::time::timeout(DEADLINE, told).await.unwrap_or(Err(PassError::Deadline));
    }
    // a task of its own: a panic ends one pass, not the operator
    let pass = tokio::spawn(async move { tokio::time::timeout(DEADLINE, K::reconcile(object, ctx)).await });
    match tokio_util::task::AbortOnDropHandle::new(pass).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(PassError::Deadline),
        Err(_) => Err(PassError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16) -> PassError {
        let reason = http::StatusCode::from_u16(code).unwrap().canonical_reason().unwrap().replace(' ', "");
        let status = Status::failure("denied\nby webhook", &reason).with_code(code);
        PassError::api("change Service otp/acme")(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn what_the_api_server_answers_is_told_apart_by_its_status() {
        // conflict, forbidden, not found, invalid, and what a person is told
        let cases = [
            (400, [false, false, false, false], Some((Ready::Refused, false))),
            (401, [false, false, false, false], None),
            (403, [false, true, false, false], Some((Ready::Refused, false))),
            (404, [false, false, true, false], None),
            (409, [true, false, false, false], None),
            (422, [false, false, false, true], Some((Ready::InvalidSpec, true))),
            (429, [false, false, false, false], None),
            (500, [false, false, false, false], None),
        ];
        for (code, expected, told) in cases {
            let error = answered(code);
            let is = [error.is_conflict(), error.is_forbidden(), error.is_not_found(), error.is_invalid()];
            let refusal = error.refusal().map(|problem| (problem.reason, problem.stalled));
            assert_eq!((is, refusal), (expected, told), "{code}");
        }
        let unanswered = [
            PassError::api("read")(kube::Error::Service("no route".into())),
            PassError::Deadline,
            PassError::NotLeading,
            PassError::encoding("write".to_owned()),
        ];
        for error in unanswered {
            let is = error.is_conflict() || error.is_forbidden() || error.is_not_found() || error.is_invalid();
            assert!(!is && error.refusal().is_none(), "{error}");
        }
    }

    #[test]
    fn a_read_that_is_denied_is_a_matter_of_who_asked_for_it_and_every_other_failure_ends_the_pass() {
        let denied = or_denied::<()>(Err(answered(403)), Ready::InvalidSpec).unwrap().unwrap_err();
        assert!(denied.reason == Ready::InvalidSpec && !denied.stalled, "a Role that is given later helps");
        assert!(denied.message.contains("could not change Service otp/acme: 403") && denied.message.contains("Role"));
        for code in [401, 404, 500] {
            assert!(or_denied::<()>(Err(answered(code)), Ready::InvalidSpec).is_err(), "{code}");
        }
        assert_eq!(or_denied(Ok(7), Ready::InvalidSpec).unwrap().unwrap(), 7);
    }

    #[test]
    fn an_error_is_shown_in_one_bounded_line_without_what_came_over_the_wire() {
        let status = |message: &str| kube::Error::Api(Status::failure(message, "Invalid").with_code(422).boxed());
        assert_eq!(shown(&status("port:\n is taken")), "422 Invalid: port:  is taken");
        assert!(shown(&status(&"long ".repeat(1_000))).chars().count() <= 301);
        let unreadable = serde_json::from_str::<u8>(r#""00token""#).unwrap_err();
        let cases = [
            (kube::Error::SerdeError(unreadable), "the API server's answer cannot be read"),
            (kube::Error::Service("connect to 10.0.0.1".into()), "the API server cannot be reached"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, "the call to the API server failed"),
        ];
        for (error, expected) in cases {
            assert_eq!(shown(&error), expected);
        }
    }
}
