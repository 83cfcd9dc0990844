//! Our resources as last seen, one store per kind, however many namespaces are watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Resource, ResourceExt as _,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};

use super::{
    listing::Listing,
    pass::Reconcile as _,
    switch::ruling::Declarations,
    wake::{Kind, Target},
};
use hookswitch_api::{HookSwitch, OktaOrg, RoutingPolicy, TelephonyGateway, TelephonyHook, TelephonyProvider};

/// Objects of one kind, as last seen.
#[derive(Debug, Clone)]
pub struct Index<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    /// Whether anything was asked of it.
    #[cfg(test)]
    pub asked: Arc<std::sync::atomic::AtomicBool>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Index<K> {
    /// Reads from a store.
    #[must_use]
    pub fn new(store: Store<K>) -> Self {
        Self {
            store,
            #[cfg(test)]
            asked: Arc::default(),
        }
    }

    fn read(&self) -> &Store<K> {
        #[cfg(test)]
        self.asked.store(true, std::sync::atomic::Ordering::Relaxed);
        &self.store
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.read().get(&ObjectRef::new(name).within(namespace))
    }

    /// All objects of a namespace, by name.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let mut found = self.read().state_filter(|object| object.meta().namespace.as_deref() == Some(namespace));
        found.sort_by_cached_key(|object| object.name_any());
        found
    }

    /// All objects, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        let mut all = self.read().state();
        all.sort_by_cached_key(|object| (object.namespace(), object.name_any()));
        all
    }
}

/// Our resources, as last seen.
#[derive(Debug, Clone)]
pub struct Caches {
    /// `OktaOrg`
    pub orgs: Index<OktaOrg>,
    /// `TelephonyHook`
    pub hooks: Index<TelephonyHook>,
    /// `TelephonyGateway`
    pub gateways: Index<TelephonyGateway>,
    /// `TelephonyProvider`
    pub providers: Index<TelephonyProvider>,
    /// `RoutingPolicy`
    pub policies: Index<RoutingPolicy>,
    /// `HookSwitch`
    pub switches: Index<HookSwitch>,
    /// Objects that exist and cannot be read, as long as that is so.
    pub unreadable: Arc<Mutex<BTreeSet<Target>>>,
    /// What of them was listed.
    pub listing: Listing,
}

impl Caches {
    /// The hooks and switches of a namespace.
    #[must_use]
    pub fn declarations(&self, namespace: &str) -> Declarations {
        Declarations::of(self.hooks.in_namespace(namespace), self.switches.in_namespace(namespace))
    }

    /// The hooks and switches of each namespace that has a switch, where all that a switch's pass reads was listed.
    #[must_use]
    pub fn all_declarations(&self) -> BTreeMap<String, Declarations> {
        let mut namespaces: BTreeMap<String, (Vec<_>, Vec<_>)> = BTreeMap::new();
        for switch in self.switches.all() {
            let namespace = switch.namespace().unwrap_or_default();
            if self.listing.is_listed(&namespace, HookSwitch::READS) {
                namespaces.entry(namespace).or_default().1.push(switch);
            }
        }
        for hook in self.hooks.all() {
            if let Some((hooks, _)) = namespaces.get_mut(&hook.namespace().unwrap_or_default()) {
                hooks.push(hook);
            }
        }
        let of = |(namespace, (hooks, switches))| (namespace, Declarations::of(hooks, switches));
        namespaces.into_iter().map(of).collect()
    }

    /// Takes note of whether an object can be read.
    pub fn note_readable(&self, target: &Target, readable: bool) {
        let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        if readable {
            unreadable.remove(target);
        } else {
            unreadable.insert(target.clone());
        }
    }

    /// Names of the objects of a kind in a namespace that exist and cannot be read.
    #[must_use]
    pub fn unreadable(&self, kind: Kind, namespace: &str) -> Vec<String> {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let found = unreadable.iter().filter(|target| target.kind == kind && target.namespace == namespace);
        found.map(|target| target.name.clone()).collect()
    }
}

/// What a watch event changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<K> {
    /// An object appeared or changed; also told of every object when a watch begins anew.
    Seen(Arc<K>),
    /// An object went.
    Gone(Arc<K>),
}

/// Merges the watches of several namespaces into one store.
///
/// A store takes one watch's events as they are; with several, the beginning of one would wipe what the others brought. It has
/// what was listed so far: whether that is all of a namespace, [`Listing`] says.
pub struct Merge<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    reader: Store<K>,
    listed: BTreeMap<usize, BTreeMap<Key, K>>,
    known: BTreeMap<usize, BTreeSet<Key>>,
}

type Key = (Option<String>, String);

impl<K: Resource<DynamicType = ()> + Clone + 'static> Merge<K> {
    /// For any number of watches.
    #[must_use]
    pub fn new(mut writer: Writer<K>) -> Self {
        let reader = writer.as_reader();
        // passes are run over what is in a store that is filled; which of them may run is told apart for each namespace
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self { writer, reader, listed: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Takes in one event of watch `number` and tells what changed. With [`Event::InitDone`] the store has all that it lists.
    pub fn take(&mut self, number: usize, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed.insert(number, BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.entry(number).or_default().insert(key(&object), object);
                Vec::new()
            }
            Event::InitDone => self.listed(number),
            Event::Apply(object) => {
                self.known.entry(number).or_default().insert(key(&object));
                self.writer.apply_watcher_event(&Event::Apply(object.clone()));
                vec![Change::Seen(Arc::new(object))]
            }
            Event::Delete(object) => {
                self.known.entry(number).or_default().remove(&key(&object));
                self.writer.apply_watcher_event(&Event::Delete(object.clone()));
                vec![Change::Gone(Arc::new(object))]
            }
        }
    }

    fn listed(&mut self, number: usize) -> Vec<Change<K>> {
        let listed = self.listed.remove(&number).unwrap_or_default();
        let keys: BTreeSet<Key> = listed.keys().cloned().collect();
        let before = self.known.insert(number, keys.clone()).unwrap_or_default();
        let mut changes = Vec::new();
        for key in before.difference(&keys) {
            let reference = ObjectRef::new(&key.1).within(key.0.as_deref().unwrap_or_default());
            if let Some(object) = self.reader.get(&reference) {
                self.writer.apply_watcher_event(&Event::Delete((*object).clone()));
                changes.push(Change::Gone(object));
            }
        }
        for object in listed.into_values() {
            self.writer.apply_watcher_event(&Event::Apply(object.clone()));
            changes.push(Change::Seen(Arc::new(object)));
        }
        changes
    }
}

fn key<K: Resource>(object: &K) -> Key
where
    K::DynamicType: Hash,
{
    (object.meta().namespace.clone(), object.name_any())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn names(index: &Index<ConfigMap>) -> Vec<String> {
        index.all().iter().map(|o| format!("{}/{}", o.namespace().unwrap(), o.name_any())).collect()
    }

    fn list(merge: &mut Merge<ConfigMap>, number: usize, objects: &[ConfigMap]) -> Vec<Change<ConfigMap>> {
        merge.take(number, Event::Init);
        for object in objects {
            merge.take(number, Event::InitApply(object.clone()));
        }
        merge.take(number, Event::InitDone)
    }

    #[test]
    fn what_one_namespace_lists_is_there_though_another_cannot_be_listed() {
        let writer = Writer::<ConfigMap>::default();
        let index = Index::new(writer.as_reader());
        let mut merge = Merge::new(writer);
        assert!(index.store().wait_until_ready().now_or_never().is_some(), "passes can run");
        merge.take(1, Event::Init);
        list(&mut merge, 0, &[object("a", "one")]);
        assert_eq!(names(&index), ["a/one"]);
        merge.take(1, Event::InitApply(object("b", "two")));
        assert_eq!(names(&index), ["a/one"], "a part of a namespace is not shown");
        merge.take(1, Event::InitDone);
        assert_eq!(names(&index), ["a/one", "b/two"]);
    }

    #[test]
    fn an_object_deleted_before_all_namespaces_were_listed_does_not_come_back() {
        let writer = Writer::<ConfigMap>::default();
        let index = Index::new(writer.as_reader());
        let mut merge = Merge::new(writer);
        list(&mut merge, 0, &[object("a", "one"), object("a", "gone")]);
        let changes = merge.take(0, Event::Delete(object("a", "gone")));
        assert_eq!(changes, [Change::Gone(Arc::new(object("a", "gone")))]);
        list(&mut merge, 0, &[]);
        merge.take(0, Event::Apply(object("a", "one")));
        list(&mut merge, 1, &[object("b", "two")]);
        assert_eq!(names(&index), ["a/one", "b/two"]);
    }

    #[test]
    fn a_watch_that_begins_anew_drops_only_what_went_from_its_own_namespace() {
        let writer = Writer::<ConfigMap>::default();
        let index = Index::new(writer.as_reader());
        let mut merge = Merge::new(writer);
        list(&mut merge, 0, &[object("a", "one"), object("a", "gone")]);
        list(&mut merge, 1, &[object("b", "two")]);
        let changes = list(&mut merge, 0, &[object("a", "one")]);
        assert_eq!(names(&index), ["a/one", "b/two"]);
        assert_eq!(changes[0], Change::Gone(Arc::new(object("a", "gone"))));
    }

    #[test]
    fn a_deleted_object_leaves_the_store() {
        let writer = Writer::<ConfigMap>::default();
        let index = Index::new(writer.as_reader());
        let mut merge = Merge::new(writer);
        list(&mut merge, 0, &[object("a", "one")]);
        merge.take(0, Event::Delete(object("a", "one")));
        assert!(index.get("a", "one").is_none());
    }
}
