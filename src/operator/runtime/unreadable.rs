//! Objects of ours that exist and cannot be read, as long as that is so: of another version of their kind, as a rule.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::triggers::Target;
use hookswitch_api::Kind;

/// The objects that cannot be read.
#[derive(Debug, Default)]
pub struct UnreadableObjects(Mutex<BTreeSet<Target>>);

impl UnreadableObjects {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of whether an object can be read.
    pub fn note(&self, target: &Target, is_readable: bool) {
        if is_readable {
            self.lock().remove(target);
        } else {
            self.lock().insert(target.clone());
        }
    }

    /// Names of the objects of a kind in a namespace that cannot be read.
    #[must_use]
    pub fn names(&self, kind: Kind, namespace: &str) -> Vec<String> {
        let unreadable = self.lock();
        let found = unreadable.iter().filter(|target| target.kind == kind && target.namespace == namespace);
        found.map(|target| target.name.clone()).collect()
    }
}
