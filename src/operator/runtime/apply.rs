//! Writing the objects that a resource of ours asks for: server-side apply, and nothing at all when nothing would change.
//!
//! Before each write the object is read. What somebody else controls is never touched. Whether anything would change is
//! decided by three things: each declared field has the value it should have; no field that we once declared is left over
//! (the server remembers ours in `managedFields`); and where the server spells a value in another way than we do, the
//! object is still as it was after our last apply.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{applied::Settled, error::ReconcileError, kube::Kube};

/// Field manager of the objects we apply.
pub const MANAGER: &str = "hookswitch";

/// What applying an object came to.
#[derive(Debug, Clone, PartialEq)]
pub enum ApplyResult<K> {
    /// It was already so.
    Unchanged(K),
    /// It was written.
    Written(K),
}

impl<K> ApplyResult<K> {
    /// The object as the API server has it.
    pub fn into_inner(self) -> K {
        match self {
            Self::Unchanged(object) | Self::Written(object) => object,
        }
    }
}

/// A kind that can be applied.
pub trait Applicable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Applicable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

/// Makes the object `desired` be so, owned by `owner` in the owner's namespace.
///
/// # Errors
/// As [`read`] and [`apply_over`].
pub async fn apply<O, K>(kube: &Kube, owner: &O, desired: K) -> Result<ApplyResult<K>, ReconcileError>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Applicable,
{
    let live = read(kube, owner, &desired.name_any()).await?;
    apply_over(kube, owner, desired, live).await
}

/// Makes the object `desired` be so where `live` is what [`read`] found of it.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn apply_over<O, K>(
    kube: &Kube,
    owner: &O,
    mut desired: K,
    live: Option<K>,
) -> Result<ApplyResult<K>, ReconcileError>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Applicable,
{
    let namespace = owner.namespace().unwrap_or_default();
    let name = desired.name_any();
    let what = |doing: &str| format!("{doing} {} {namespace}/{name}", K::kind(&()));
    desired.meta_mut().namespace = Some(namespace.clone());
    desired.meta_mut().owner_references = Some(vec![controller(owner)?]);

    let mut wanted = serde_json::to_value(&desired).map_err(|_| ReconcileError::encoding(what("apply")))?;
    if let Some(live) = live {
        let fields = serde_json::to_value(&live).map_err(|_| ReconcileError::encoding(what("compare")))?;
        let id = live.uid().unwrap_or_default();
        if kube.applied.is_settled(&id, &wanted, &fields) || !differs(&wanted, &fields) {
            return Ok(ApplyResult::Unchanged(live));
        }
        // an object made anew under the same name meanwhile is not ours
        wanted["metadata"]["uid"] = Value::String(id);
    }
    name_type::<K>(&mut wanted);
    let params = PatchParams { force: wanted["metadata"]["uid"].is_string(), ..PatchParams::apply(MANAGER) };
    let api: Api<K> = Api::namespaced(kube.client.clone(), &namespace);
    let written =
        api.patch(&name, &params, &Patch::Apply(&wanted)).await.map_err(ReconcileError::api(what("apply")))?;
    kube.applied.remember(&written, &desired);
    Ok(ApplyResult::Written(written))
}

/// Whether applying `desired` would change the part of `live` at the end of these fields.
pub fn would_change<O, K>(known: &Settled, owner: &O, desired: &K, live: &K, part: &[&str]) -> bool
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Applicable,
{
    let values = || {
        let mut desired = desired.clone();
        desired.meta_mut().namespace = owner.namespace();
        desired.meta_mut().owner_references = Some(vec![controller(owner).ok()?]);
        Some((serde_json::to_value(&desired).ok()?, serde_json::to_value(live).ok()?))
    };
    let Some((desired, live)) = values() else { return true };
    if known.is_settled(live["metadata"]["uid"].as_str().unwrap_or_default(), &desired, &live) {
        return false;
    }
    // the live object with that one part as desired
    let pointer = part.iter().flat_map(|field| ["/", *field]).collect::<String>();
    let mut changed = live.clone();
    match (changed.pointer_mut(&pointer), desired.pointer(&pointer)) {
        (Some(part), Some(desired)) => part.clone_from(desired),
        (None, None) => return false,
        _ => return true,
    }
    differs(&changed, &live)
}

/// The object `name` as it is now, if there is one.
///
/// # Errors
/// [`ReconcileError::NameTaken`] when `owner` does not control it; [`ReconcileError::Api`].
pub async fn read<K: Applicable>(
    kube: &Kube,
    owner: &impl Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    name: &str,
) -> Result<Option<K>, ReconcileError> {
    let reference = controller(owner)?;
    let namespace = owner.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(kube.client.clone(), &namespace);
    let live = api.get_opt(name).await;
    let live = live.map_err(ReconcileError::api(format!("read {} {namespace}/{name}", K::kind(&()))))?;
    if live.as_ref().is_some_and(|live| !is_controlled_by(live, &reference)) {
        return Err(ReconcileError::taken::<K>(&namespace, name));
    }
    Ok(live)
}

/// The object `name` as it is now, when it exists and `owner` controls it.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn present<K: Applicable>(
    kube: &Kube,
    owner: &impl Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    name: &str,
) -> Result<Option<K>, ReconcileError> {
    match read(kube, owner, name).await {
        Err(ReconcileError::NameTaken { .. }) => Ok(None),
        read => read,
    }
}

/// Deletes the object `name` when it exists and `owner` controls it. Returns whether there was one.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn prune<O, K>(kube: &Kube, owner: &O, name: &str) -> Result<bool, ReconcileError>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Applicable,
{
    let Some(live) = present::<K>(kube, owner, name).await? else { return Ok(false) };
    if live.meta().deletion_timestamp.is_some() {
        return Ok(true);
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: live.uid(), resource_version: live.resource_version() }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    let namespace = owner.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(kube.client.clone(), &namespace);
    match api.delete(name, &params).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(ReconcileError::api(format!("delete {} {namespace}/{name}", K::kind(&())))(error)),
    }
}

fn controller<O: Resource<DynamicType = ()>>(owner: &O) -> Result<OwnerReference, ReconcileError> {
    owner.controller_owner_ref(&()).ok_or_else(|| ReconcileError::encoding(format!("name the owner {}", O::kind(&()))))
}

/// Whether `owner` controls an object.
pub fn controls<O: Resource<DynamicType = ()>, K: Resource>(owner: &O, object: &K) -> bool {
    controller(owner).is_ok_and(|reference| is_controlled_by(object, &reference))
}

fn is_controlled_by<K: Resource>(object: &K, owner: &OwnerReference) -> bool {
    let owners = object.meta().owner_references.iter().flatten();
    owners.filter(|known| known.controller == Some(true)).any(|known| known.uid == owner.uid)
}

fn name_type<K: Resource<DynamicType = ()>>(object: &mut Value) {
    object["apiVersion"] = Value::String(K::api_version(&()).into_owned());
    object["kind"] = Value::String(K::kind(&()).into_owned());
}

/// Whether applying `wanted` would change `live`.
fn differs(wanted: &Value, live: &Value) -> bool {
    !is_within(wanted, live) || has_leftovers(live, wanted)
}

/// Whether everything `wanted` declares is so in `live`; what the server added besides does not matter.
fn is_within(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(key, value)| match live.get(key) {
            Some(known) => is_within(value, known),
            None => is_empty(value) || matches!(key.as_str(), "apiVersion" | "kind"),
        }),
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| is_within(wanted, live))
        }
        _ => wanted == live,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether the server remembers a field as ours that `wanted` no longer declares.
fn has_leftovers(live: &Value, wanted: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array();
    entries.into_iter().flatten().any(|entry| {
        let ours = entry["manager"] == MANAGER && entry["operation"] == "Apply" && entry.get("subresource").is_none();
        ours && entry["fieldsV1"].as_object().is_some_and(|owned| declares_less(owned, wanted))
    })
}

/// Whether `wanted` lacks something of the tree of owned fields: `f:name` is a field, `k:{…}` an item by its keys,
/// `v:…` an item of a set, `.` the thing itself.
fn declares_less(owned: &Map<String, Value>, wanted: &Value) -> bool {
    owned.iter().any(|(path, inside)| {
        let found = match path.split_once(':') {
            Some(("f", field)) => wanted.get(field),
            Some(("k", keys)) => serde_json::from_str::<Value>(keys).ok().and_then(|keys| item_with(wanted, &keys)),
            Some(("v", value)) => serde_json::from_str::<Value>(value)
                .ok()
                .and_then(|value| wanted.as_array()?.iter().find(|item| **item == value)),
            _ => Some(wanted),
        };
        let inside = inside.as_object().filter(|inside| !inside.is_empty());
        found.is_none_or(|found| inside.is_some_and(|inside| declares_less(inside, found)))
    })
}

/// The item of a list whose keys have these values. A key may be one the server filled in, such as a port's protocol.
fn item_with<'v>(list: &'v Value, keys: &Value) -> Option<&'v Value> {
    let keys = keys.as_object()?;
    list.as_array()?.iter().find(|item| {
        keys.iter().all(|(key, value)| item.get(key).map_or_else(|| value == "TCP", |known| known == value))
    })
}

#[cfg(test)]
mod tests;
