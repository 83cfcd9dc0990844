//! Watches of our own resources, which fill the caches, and of other objects, which wake ours when they change.

use std::{fmt::Debug, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::SelectAll};
use kube::{
    Resource, ResourceExt as _,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, Event, watcher},
};

use super::{
    Runtime,
    cache::{Change, Merge, Writer},
    events::Note,
    listing::WatchScope,
    reconcile::{Reconcile, target},
    triggers::Target,
    watch::{apis, code, config, forever, is_refused, shown},
};
use hookswitch_api::{GROUP, Kind};

/// Keeps the cache of a kind of ours filled and wakes what depends on a changed object, as long as it is polled.
///
/// An object that cannot be read (its CRD is of another version) is reported by an Event and leaves the others alone; what
/// was last known of it stays.
pub fn resources<K: Reconcile>(ctx: Arc<K::Context>, writer: Writer<K>) -> BoxFuture<'static, ()> {
    let runtime: &Runtime = (*ctx).as_ref();
    let mut merge = Merge::new(writer);
    let mut events = SelectAll::new();
    for (number, (scope, api)) in
        apis::<DeserializeGuard<K>>(&runtime.kube.client, &runtime.namespaces).into_iter().enumerate()
    {
        runtime.metrics.listed(scope.as_str(), K::KIND.as_str(), false);
        let watch = forever(move || watcher(api.clone(), config()));
        events.push(watch.map(move |event| (number, scope.clone(), event)).boxed());
    }
    async move {
        let runtime: &Runtime = (*ctx).as_ref();
        while let Some((number, scope, event)) = events.next().await {
            match event {
                Ok(event) => {
                    let is_whole = matches!(event, Event::InitDone);
                    let Some(event) = readable(&*ctx, event) else { continue };
                    let changes = merge.take(number, event);
                    if is_whole {
                        runtime.listing.listed(&scope, K::KIND);
                        runtime.metrics.listed(scope.as_str(), K::KIND.as_str(), true);
                    }
                    for change in changes {
                        changed(&*ctx, &change);
                    }
                }
                Err(error) => interrupted::<K>(runtime, &scope, &error),
            }
        }
    }
    .boxed()
}

fn interrupted<K: Reconcile>(runtime: &Runtime, scope: &WatchScope, error: &watcher::Error) {
    let (kind, why) = (K::KIND, shown(error));
    runtime.metrics.watch_error(kind.as_str());
    tracing::warn!(kind = kind.as_str(), watched = scope.as_str(), error = why, "a watch was interrupted");
    // a watch that broke off is taken up where it ended; what cannot be listed is not seen
    if is_refused(error) || matches!(error, watcher::Error::InitialListFailed(_)) {
        runtime.metrics.listed(scope.as_str(), kind.as_str(), false);
        runtime.listing.failed(scope, kind, code(error), why);
    }
}

fn changed<K: Reconcile>(ctx: &K::Context, change: &Change<K>) {
    let (Change::Present(object) | Change::Gone(object)) = change;
    let (runtime, target): (&Runtime, _) = (ctx.as_ref(), target(&**object));
    if matches!(change, Change::Gone(_)) {
        runtime.references.forget(&target);
        K::gone(object, ctx);
    }
    runtime.triggers.wake_all(object.dependents(ctx));
    runtime.triggers.wake(target);
}

/// Without what is as large as the object itself and read by nobody here: who wrote which field, and what was last applied.
fn lean<K: Reconcile>(mut object: K) -> K {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
    object
}

fn readable<K: Reconcile>(ctx: &K::Context, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let runtime: &Runtime = ctx.as_ref();
    let listed = matches!(event, Event::InitApply(_));
    let deleted = matches!(event, Event::Delete(_));
    let (guarded, rebuild): (_, fn(K) -> Event<K>) = match event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::Apply(object) => (object, Event::Apply),
        Event::InitApply(object) => (object, Event::InitApply),
        Event::Delete(object) => (object, Event::Delete),
    };
    match guarded.0 {
        Ok(object) => {
            runtime.unreadable.note(&target(&object), true);
            Some(rebuild(lean(object)))
        }
        Err(invalid) => {
            let (namespace, name) = (invalid.metadata.namespace.clone(), invalid.metadata.name.clone());
            let (space, id) = (namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default());
            runtime.unreadable.note(&Target::new(K::KIND, &space, &id), deleted);
            // what was last known of it stays, also when the watch begins anew
            let known = K::index(ctx).get(&space, &id).filter(|_| listed || deleted);
            let known = known.map(|object| rebuild((*object).clone()));
            if deleted {
                return known;
            }
            runtime.metrics.unreadable(K::KIND.as_str());
            tracing::error!(kind = K::KIND.as_str(), namespace, name, "an object cannot be read; it is left as it is");
            let about = DeserializeGuard::<K>(Err(invalid)).object_ref(&());
            let text = "The operator cannot read this object, so it changes nothing. \
                Are the CustomResourceDefinitions of the operator's own release?";
            let (reason, action) = ("Unreadable".to_owned(), "Read");
            runtime.kube.events.publish(&about, Note { warning: true, reason, action, text: text.to_owned() });
            known
        }
    }
}

/// Watches objects of another kind that belong to an object of ours of kind `owner`, and wakes it when they change.
/// `labels` selects them.
pub fn owned<K>(runtime: &Runtime, owner: Kind, labels: &str) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let wanted = owner.as_str();
    mapped::<K>(runtime, labels, move |meta| {
        let namespace = meta.namespace().unwrap_or_default();
        let owners = meta.owner_references().iter();
        owners
            .filter(|known| known.controller == Some(true) && known.kind == wanted && in_our_group(&known.api_version))
            .map(|known| Target::new(owner, &namespace, &known.name))
            .collect()
    })
}

/// Watches the metadata of objects of another kind and wakes what `map` says when one of them changes.
pub fn mapped<K>(
    runtime: &Runtime,
    labels: &str,
    map: impl Fn(&PartialObjectMeta<K>) -> Vec<Target> + Send + 'static,
) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let (triggers, metrics) = (runtime.triggers.clone(), runtime.metrics.clone());
    let mut events = SelectAll::new();
    for (_, api) in apis::<PartialObjectMeta<K>>(&runtime.kube.client, &runtime.namespaces) {
        let selected = config().labels(labels);
        events.push(forever(move || watcher(api.clone(), selected.clone())).boxed());
    }
    async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(meta) | Event::InitApply(meta) | Event::Delete(meta)) => triggers.wake_all(map(&meta)),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => {
                    metrics.watch_error("owned");
                    tracing::warn!(kind = %K::kind(&()), error = shown(&error), "a watch was interrupted");
                }
            }
        }
    }
    .boxed()
}

fn in_our_group(api_version: &str) -> bool {
    api_version.split_once('/').is_some_and(|(group, _)| group == GROUP)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn what_is_kept_of_an_object_is_what_is_read_of_it() {
        let object = serde_json::json!({"metadata": {"name": "acme", "namespace": "otp", "resourceVersion": "7",
            "annotations": {"hookswitch.dev/promote": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"hooks": []}});
        let kept = lean(serde_json::from_value::<hookswitch_api::HookSwitch>(object).unwrap());
        let annotations: Vec<&str> = kept.annotations().keys().map(String::as_str).collect();
        assert_eq!((kept.managed_fields().len(), annotations), (0, vec!["hookswitch.dev/promote"]));
        assert_eq!(kept.resource_version().as_deref(), Some("7"));
    }
}
