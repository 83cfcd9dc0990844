//! Secrets and `ConfigMaps` that objects refer to: watched one by one, by name, and only while referred to.
//!
//! Rights can then be given by name, and the operator's memory does not grow with the cluster's Secrets. A value comes
//! from the watch when it has one, else from a fresh read: a cached absence is never believed.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource, ResourceExt as _, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

use super::{
    error::ReconcileError,
    triggers::{Target, Wake},
    watch,
};

/// An object that is referred to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A Secret.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A `ConfigMap`.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Reference {
    /// A Secret.
    pub fn secret(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Secret { namespace: namespace.into(), name: name.into() }
    }

    /// A `ConfigMap`.
    pub fn config_map(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ConfigMap { namespace: namespace.into(), name: name.into() }
    }
}

/// What a watch knows of its object.
#[derive(Debug, Default)]
enum Watched<K> {
    /// Nothing: it has not answered, or not any more.
    #[default]
    Unknown,
    /// It is not there.
    Absent,
    /// It is there.
    Present(Arc<K>),
}

type Observed<K> = Arc<Mutex<Watched<K>>>;

impl<K> Watched<K> {
    fn present(&self) -> Option<Arc<K>> {
        match self {
            Self::Present(object) => Some(Arc::clone(object)),
            Self::Unknown | Self::Absent => None,
        }
    }
}

impl<K: Resource> Watched<K> {
    /// Another version of what is seen is news; that nothing is known any more is none.
    fn is_news_after(&self, before: &Self) -> bool {
        match (before, self) {
            (_, Self::Unknown) | (Self::Absent, Self::Absent) => false,
            (Self::Present(old), Self::Present(new)) => {
                (old.uid(), old.resource_version()) != (new.uid(), new.resource_version())
            }
            _ => true,
        }
    }
}

enum Value {
    Secret(Observed<Secret>),
    ConfigMap(Observed<ConfigMap>),
}

struct Followed {
    users: BTreeSet<Target>,
    value: Value,
    _watch: AbortOnDropHandle<()>,
}

type Board = Mutex<HashMap<Reference, Followed>>;

/// The objects referred to.
#[derive(Clone)]
pub struct References {
    client: Client,
    wake: Wake,
    board: Arc<Board>,
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "References({})", lock(&self.board).len())
    }
}

impl References {
    /// Nothing is referred to yet.
    #[must_use]
    pub fn new(client: Client, wake: Wake) -> Self {
        Self { client, wake, board: Arc::default() }
    }

    /// Says that `user` refers to `wanted` and to nothing else: a change of one of them wakes it from now on.
    /// Watches that nobody needs any more end.
    pub fn follow(&self, user: &Target, wanted: &BTreeSet<Reference>) {
        let mut board = lock(&self.board);
        for reference in wanted {
            let known = board.entry(reference.clone()).or_insert_with(|| self.watch(reference));
            if !known.users.contains(user) {
                known.users.insert(user.clone());
            }
        }
        board.retain(|reference, followed| {
            if !wanted.contains(reference) {
                followed.users.remove(user);
            }
            !followed.users.is_empty()
        });
    }

    /// Says that `user` is gone.
    pub fn forget(&self, user: &Target) {
        self.follow(user, &BTreeSet::new());
    }

    /// A Secret, or nothing when there is none.
    ///
    /// # Errors
    /// [`ReconcileError::Api`] when it is not followed (or its watch has not answered yet) and cannot be read.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, ReconcileError> {
        let reference = Reference::secret(namespace, name);
        let observed = match lock(&self.board).get(&reference).map(|followed| &followed.value) {
            Some(Value::Secret(observed)) => lock(observed).present(),
            _ => None,
        };
        match observed {
            Some(observed) => Ok(Some(observed)),
            // an absence is checked: the watch may be behind what was made a moment ago
            None => self.read(namespace, name).await,
        }
    }

    /// A `ConfigMap`, or nothing when there is none.
    ///
    /// # Errors
    /// As [`Self::secret`].
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigMap>>, ReconcileError> {
        let reference = Reference::config_map(namespace, name);
        let observed = match lock(&self.board).get(&reference).map(|followed| &followed.value) {
            Some(Value::ConfigMap(observed)) => lock(observed).present(),
            _ => None,
        };
        match observed {
            Some(observed) => Ok(Some(observed)),
            // an absence is checked: the watch may be behind what was made a moment ago
            None => self.read(namespace, name).await,
        }
    }

    async fn read<K>(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, ReconcileError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let read = api.get_opt(name).await;
        let doing = || format!("read {} {namespace}/{name}", K::kind(&()));
        read.map(|found| found.map(Arc::new)).map_err(|error| ReconcileError::api(doing())(error))
    }

    fn watch(&self, reference: &Reference) -> Followed {
        let (value, watch) = match reference {
            Reference::Secret { namespace, name } => {
                let observed = Observed::<Secret>::default();
                (Value::Secret(Arc::clone(&observed)), self.start(reference, namespace, name, observed))
            }
            Reference::ConfigMap { namespace, name } => {
                let observed = Observed::<ConfigMap>::default();
                (Value::ConfigMap(Arc::clone(&observed)), self.start(reference, namespace, name, observed))
            }
        };
        Followed { users: BTreeSet::new(), value, _watch: watch }
    }

    fn start<K>(
        &self,
        reference: &Reference,
        namespace: &str,
        name: &str,
        observed: Observed<K>,
    ) -> AbortOnDropHandle<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let changes = watch::object(api, name);
        let (wake, board, reference) = (self.wake.clone(), Arc::downgrade(&self.board), reference.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                // after an error nothing is known: the next reconcile reads afresh and can say what is wrong
                let now = match change {
                    Ok(Some(object)) => Watched::Present(Arc::new(object)),
                    Ok(None) => Watched::Absent,
                    Err(_) => Watched::Unknown,
                };
                let news = now.is_news_after(&lock(&observed));
                *lock(&observed) = now;
                if news {
                    wake.wake_all(users(&board, &reference));
                }
            }
        }))
    }
}

fn users(board: &Weak<Board>, reference: &Reference) -> Vec<Target> {
    let Some(board) = board.upgrade() else { return Vec::new() };
    lock(&board).get(reference).map(|followed| followed.users.iter().cloned().collect()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
