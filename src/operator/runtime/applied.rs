//! What was applied, and what came of it.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{Mutex, PoisonError},
};

use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;

/// What objects were after our last apply: hashes of what was wanted and of what it then was, by uid.
#[derive(Debug, Default)]
pub struct Settled(Mutex<HashMap<String, (u64, u64)>>);

/// The most objects remembered; when there are more, all are forgotten and each is applied once more.
const MOST_SETTLED: usize = 4_096;

impl Settled {
    /// Whether an object is as it was after our last apply of what is wanted.
    #[must_use]
    pub fn is_settled(&self, id: &str, wanted: &Value, live: &Value) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied();
        known == Some((hash(wanted), hash(&without_noise(live.clone()))))
    }

    /// Takes note of what came of an apply.
    pub fn remember<K: Resource + Serialize>(&self, written: &K, desired: &K) {
        let (Some(id), Ok(wanted), Ok(live)) =
            (written.uid(), serde_json::to_value(desired), serde_json::to_value(written))
        else {
            return;
        };
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() >= MOST_SETTLED {
            settled.clear();
        }
        settled.insert(id, (hash(&wanted), hash(&without_noise(live))));
    }
}

/// The part of an object that a declaration can be about.
fn without_noise(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
        // the Deployment controller's count of rollouts
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    object
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_order_of_fields_does_not_change_the_hash() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": 2}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b": 2, "a": 1}"#).unwrap();
        assert_eq!(hash(&one), hash(&two));
    }
}
