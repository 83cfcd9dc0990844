//! Objects as last seen, one store per kind, however many namespaces are watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use kube::{Resource, ResourceExt as _, runtime::watcher::Event};

/// A kind that is kept.
pub trait Kept: Resource<DynamicType = ()> + Clone + Debug + 'static {
    /// By what its objects are found besides their names.
    type By: Clone + Ord + Debug + Send + Sync;

    /// By what an object is found besides its name.
    fn found_by(&self) -> Vec<Self::By> {
        Vec::new()
    }
}

/// The objects of one namespace.
#[derive(Debug)]
struct Shelf<K: Kept> {
    objects: BTreeMap<String, Arc<K>>,
    /// Names of those that are found so.
    found: BTreeMap<K::By, BTreeSet<String>>,
}

impl<K: Kept> Shelf<K> {
    fn put(&mut self, name: String, object: Arc<K>) {
        self.take(&name);
        for by in object.found_by() {
            self.found.entry(by).or_default().insert(name.clone());
        }
        self.objects.insert(name, object);
    }

    fn take(&mut self, name: &str) -> Option<Arc<K>> {
        let object = self.objects.remove(name)?;
        for by in object.found_by() {
            if let Some(names) = self.found.get_mut(&by) {
                names.remove(name);
                if names.is_empty() {
                    self.found.remove(&by);
                }
            }
        }
        Some(object)
    }
}

type Shelves<K> = BTreeMap<String, Shelf<K>>;

/// Objects of one kind, as last seen. What is asked of one of them costs the same however many there are.
#[derive(Debug, Clone)]
pub struct Index<K: Kept> {
    shelves: Arc<RwLock<Shelves<K>>>,
    /// Whether anything was asked of it.
    #[cfg(test)]
    pub asked: Arc<std::sync::atomic::AtomicBool>,
}

impl<K: Kept> Index<K> {
    fn read(&self) -> RwLockReadGuard<'_, Shelves<K>> {
        #[cfg(test)]
        self.asked.store(true, std::sync::atomic::Ordering::Relaxed);
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        count_reads(1);
        self.read().get(namespace)?.objects.get(name).cloned()
    }

    /// The objects of a namespace that are found so, by name.
    #[must_use]
    pub fn found(&self, namespace: &str, by: &K::By) -> Vec<Arc<K>> {
        let shelves = self.read();
        let Some(all) = shelves.get(namespace) else { return Vec::new() };
        let names = all.found.get(by).into_iter().flatten();
        let found: Vec<_> = names.filter_map(|name| all.objects.get(name).cloned()).collect();
        count_reads(found.len());
        found
    }

    /// All objects of a namespace, by name.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let found: Vec<_> =
            self.read().get(namespace).into_iter().flat_map(|shelf| shelf.objects.values().cloned()).collect();
        count_reads(found.len());
        found
    }

    /// All objects, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        let all: Vec<_> = self.read().values().flat_map(|shelf| shelf.objects.values().cloned()).collect();
        count_reads(all.len());
        all
    }
}

#[cfg(test)]
thread_local! {
    /// How many objects were taken from caches on this thread.
    pub static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts what is read, in tests.
#[cfg(test)]
fn count_reads(at: usize) {
    READS.set(READS.get() + at);
}

#[cfg(not(test))]
const fn count_reads(_: usize) {}

/// The writing end of a cache.
#[derive(Debug)]
pub struct Writer<K: Kept>(Index<K>);

impl<K: Kept> Default for Writer<K> {
    fn default() -> Self {
        Self(Index {
            shelves: Arc::default(),
            #[cfg(test)]
            asked: Arc::default(),
        })
    }
}

impl<K: Kept> Writer<K> {
    /// The reading end.
    #[must_use]
    pub fn index(&self) -> Index<K> {
        self.0.clone()
    }

    fn put(&mut self, (namespace, name): Key, object: Arc<K>) {
        let mut shelves = self.0.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let empty = || Shelf { objects: BTreeMap::new(), found: BTreeMap::new() };
        shelves.entry(namespace).or_insert_with(empty).put(name, object);
    }

    fn take(&mut self, (namespace, name): &Key) -> Option<Arc<K>> {
        let mut shelves = self.0.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let all = shelves.get_mut(namespace)?;
        let object = all.take(name);
        if all.objects.is_empty() {
            shelves.remove(namespace);
        }
        object
    }
}

/// What a watch event changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<K> {
    /// An object appeared or changed; also reported for every object when a watch begins anew.
    Present(Arc<K>),
    /// An object went.
    Gone(Arc<K>),
}

/// Merges the watches of several namespaces into one store.
///
/// A store takes one watch's events as they are; with several, the beginning of one would wipe what the others brought. It has
/// what was listed so far: whether that is all of a namespace, [`Listing`](super::listing::Listing) says.
pub struct Merge<K: Kept> {
    writer: Writer<K>,
    listed: BTreeMap<usize, BTreeMap<Key, K>>,
    known: BTreeMap<usize, BTreeSet<Key>>,
}

type Key = (String, String);

impl<K: Kept> Merge<K> {
    /// For any number of watches.
    #[must_use]
    pub const fn new(writer: Writer<K>) -> Self {
        Self { writer, listed: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Takes in one event of watch `number` and returns what changed. With [`Event::InitDone`] the store has all that it lists.
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
                let key = key(&object);
                self.known.entry(number).or_default().insert(key.clone());
                vec![self.present(key, object)]
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.known.entry(number).or_default().remove(&key);
                self.writer.take(&key);
                vec![Change::Gone(Arc::new(object))]
            }
        }
    }

    fn present(&mut self, key: Key, object: K) -> Change<K> {
        let object = Arc::new(object);
        self.writer.put(key, Arc::clone(&object));
        Change::Present(object)
    }

    fn listed(&mut self, number: usize) -> Vec<Change<K>> {
        let listed = self.listed.remove(&number).unwrap_or_default();
        let keys: BTreeSet<Key> = listed.keys().cloned().collect();
        let before = self.known.insert(number, keys.clone()).unwrap_or_default();
        let gone = before.difference(&keys).filter_map(|key| self.writer.take(key)).map(Change::Gone);
        let mut changes: Vec<Change<K>> = gone.collect();
        changes.extend(listed.into_iter().map(|(key, object)| self.present(key, object)).collect::<Vec<_>>());
        changes
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.meta().namespace.clone().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    impl Kept for ConfigMap {
        type By = String;

        fn found_by(&self) -> Vec<String> {
            self.data.iter().flatten().map(|(_, value)| value.clone()).collect()
        }
    }

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
        let index = writer.index();
        let mut merge = Merge::new(writer);
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
        let index = writer.index();
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
        let index = writer.index();
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
        let index = writer.index();
        let mut merge = Merge::new(writer);
        list(&mut merge, 0, &[object("a", "one")]);
        merge.take(0, Event::Delete(object("a", "one")));
        assert!(index.get("a", "one").is_none());
    }

    #[test]
    fn objects_are_found_by_what_they_name_now_and_not_by_what_they_named_before() {
        let writer = Writer::<ConfigMap>::default();
        let index = writer.index();
        let mut merge = Merge::new(writer);
        let naming = |namespace: &str, name: &str, hooks: &[&str]| {
            let mut object = object(namespace, name);
            object.data = Some(hooks.iter().map(|hook| ((*hook).to_owned(), (*hook).to_owned())).collect());
            object
        };
        let found = |hook: &str| {
            let found = index.found("a", &hook.to_owned());
            found.iter().map(|object| object.name_any()).collect::<Vec<_>>()
        };
        list(
            &mut merge,
            0,
            &[naming("a", "two", &["x", "y"]), naming("a", "one", &["x"]), naming("b", "three", &["x"])],
        );
        assert_eq!(
            (found("x"), found("y"), found("z")),
            (vec!["one".into(), "two".into()], vec!["two".into()], vec![])
        );
        merge.take(0, Event::Apply(naming("a", "two", &["z"])));
        assert_eq!((found("x"), found("y"), found("z")), (vec!["one".into()], vec![], vec!["two".into()]));
        merge.take(0, Event::Delete(object("a", "one")));
        list(&mut merge, 0, &[]);
        assert_eq!((found("x"), found("z"), index.all().len()), (vec![], vec![], 0));
        assert!(index.read().is_empty(), "nothing is kept of a namespace without objects");
    }
}
