//! Writing status: only when it changed, on top of what was read, and with an event for every transition.

use std::fmt::Debug;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::{NamespaceResourceScope, object::HasStatus},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{conditions::to_the_second, error::ReconcileError, events, kube::Kube};

/// Field manager of what we write into `/status`.
pub const MANAGER: &str = "hookswitch-status";

/// The second in which it was (RFC 3339), so that what is said of it is never in the future.
#[must_use]
pub fn second(at: Timestamp) -> String {
    to_the_second(at).to_string()
}

/// A status with conditions.
pub trait Conditions {
    /// The conditions.
    fn conditions(&self) -> &[Condition];

    /// The conditions, to be changed.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
}

/// Writes `status` when it differs from what `object` has, and publishes an Event for each transition.
///
/// Returns the object as the API server has it then, or nothing when nothing was written. The write carries the
/// resource version that was read, so that a reconcile over an old copy fails with a conflict instead of undoing a newer one.
///
/// # Errors
/// [`ReconcileError::Api`] when the API server does not take it.
pub async fn write<K>(kube: &Kube, object: &K, status: K::Status) -> Result<Option<K>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus + Clone + Debug + DeserializeOwned,
    K::Status: Conditions + PartialEq + Serialize,
{
    if object.status() == Some(&status) {
        return Ok(None);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let what = || format!("write the status of {} {namespace}/{name}", K::kind(&()));
    let before = object.status().map(serde_json::to_value).transpose().map_err(|_| ReconcileError::encoding(what()))?;
    let after = serde_json::to_value(&status).map_err(|_| ReconcileError::encoding(what()))?;
    let patch = json!({
        "metadata": {"resourceVersion": object.resource_version()},
        "status": with_removals(before.as_ref(), after),
    });
    let api: Api<K> = Api::namespaced(kube.client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch_status(&name, &params, &Patch::Merge(&patch)).await.map_err(ReconcileError::api(what()))?;
    let known = object.status().map(Conditions::conditions).unwrap_or_default();
    let about = object.object_ref(&());
    for note in events::transitions(known, status.conditions()) {
        kube.events.publish(&about, note);
    }
    Ok(Some(written))
}

/// The merge patch that leaves exactly `after`: what only `before` had is set to null, objects inside included.
fn with_removals(before: Option<&Value>, after: Value) -> Value {
    let (Some(Value::Object(before)), Value::Object(mut after)) = (before, after.clone()) else { return after };
    for (key, old) in before {
        match after.get(key) {
            None => {
                after.insert(key.clone(), Value::Null);
            }
            Some(new) if new.is_object() => {
                let merged = with_removals(Some(old), new.clone());
                after.insert(key.clone(), merged);
            }
            Some(_) => {}
        }
    }
    Value::Object(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_in_the_status_is_removed_by_the_patch() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "gone": [1]});
        let after = json!({"a": 2, "b": {"c": 1}});
        assert_eq!(with_removals(Some(&before), after), json!({"a": 2, "b": {"c": 1, "d": null}, "gone": null}));
        assert_eq!(with_removals(None, json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn a_field_that_was_an_object_and_is_none_any_more_is_replaced_whole() {
        let before = json!({"a": {"b": 1, "c": 2}, "d": 1});
        let after = json!({"a": [1], "d": {"e": 1}});
        assert_eq!(with_removals(Some(&before), after.clone()), after);
    }
}
