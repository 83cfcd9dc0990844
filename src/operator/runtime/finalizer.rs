//! Finalizers: what holds an object of ours until that which its deletion owes was done.
//!
//! They are put on only where something is owed: a call to Okta ([`OKTA`]), or to go on serving what Okta still calls ([`IN_USE`]).
//! An object in a namespace that terminates is never held: nobody would be left to let it go.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde_json::json;

use super::{apply::MANAGER, error::ReconcileError, kube::Kube, namespace};

/// Held until Okta has what the deletion policy asks for.
pub const OKTA: &str = "hookswitch.dev/okta";

/// Held while Okta calls it.
pub const IN_USE: &str = "hookswitch.dev/in-use";

/// The annotation that lets an object go although Okta calls it.
pub const FORCE: &str = "hookswitch.dev/force-delete";

/// Whether `object` is held by `finalizer`.
pub fn holds<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.meta().finalizers.iter().flatten().any(|known| known == finalizer)
}

/// Whether `object` is held by anything of ours.
pub fn is_held<K: Resource>(object: &K) -> bool {
    holds(object, OKTA) || holds(object, IN_USE)
}

/// Whether a person lets it go although Okta calls it.
pub fn is_forced<K: Resource>(object: &K) -> bool {
    object.annotations().get(FORCE).is_some_and(|value| value == "true")
}

/// How long ago the deletion of `object` was asked for; nothing when it was not.
pub fn deleted_for<K: Resource>(object: &K) -> Option<std::time::Duration> {
    let since = &object.meta().deletion_timestamp.as_ref()?.0;
    Some(std::time::Duration::try_from(Timestamp::now() - *since).unwrap_or_default())
}

/// Puts finalizers on `object` or takes them off, as `wanted` says of each, by one write when it is not so already. The object
/// as it is then.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn set<K>(kube: &Kube, object: &Arc<K>, wanted: &[(&str, bool)]) -> Result<Arc<K>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::de::DeserializeOwned,
{
    if wanted.iter().all(|(finalizer, wanted)| holds(&**object, finalizer) == *wanted) {
        return Ok(Arc::clone(object));
    }
    let mut finalizers: Vec<String> = object.finalizers().to_vec();
    finalizers.retain(|known| wanted.iter().all(|(finalizer, wanted)| *wanted || known != finalizer));
    let missing = wanted.iter().filter(|(finalizer, wanted)| *wanted && !holds(&**object, finalizer));
    finalizers.extend(missing.map(|(finalizer, _)| (*finalizer).to_owned()));
    put(kube, object, &finalizers).await
}

/// Takes all of ours off `object`.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn free<K>(kube: &Kube, object: &Arc<K>) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::de::DeserializeOwned,
{
    if is_held(&**object) {
        put(kube, object, &others(&**object)).await?;
    }
    Ok(())
}

/// The finalizers that are not ours.
fn others<K: Resource>(object: &K) -> Vec<String> {
    object.finalizers().iter().filter(|known| *known != OKTA && *known != IN_USE).cloned().collect()
}

async fn put<K>(kube: &Kube, object: &Arc<K>, finalizers: &[String]) -> Result<Arc<K>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::de::DeserializeOwned,
{
    let (name, space) = (object.name_any(), object.namespace().unwrap_or_default());
    // the API server takes no finalizer for an object that is being deleted
    let more = finalizers.iter().any(|finalizer| !holds(&**object, finalizer));
    if more && (object.meta().deletion_timestamp.is_some() || namespace::is_terminating(&kube.client, &space).await?) {
        return Ok(Arc::clone(object));
    }
    let api: Api<K> = Api::namespaced(kube.client.clone(), &space);
    match write(&api, &name, object.resource_version(), finalizers).await {
        Ok(written) => Ok(Arc::new(written)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Arc::clone(object)),
        Err(error) => {
            Err(ReconcileError::api(format!("change the finalizers of {} {space}/{name}", K::kind(&())))(error))
        }
    }
}

async fn write<K>(api: &Api<K>, name: &str, version: Option<String>, finalizers: &[String]) -> Result<K, kube::Error>
where
    K: Clone + Debug + serde::de::DeserializeOwned,
{
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(&patch)).await
}

/// What was let go.
#[derive(Debug, Default)]
pub struct LetGo {
    /// How many objects.
    pub count: usize,
    /// The first call that the API server denied: what else there is was not read, or is held still.
    pub denied: Option<ReconcileError>,
}

impl LetGo {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, denied: self.denied.or(other.denied) }
    }
}

/// Takes every finalizer of ours off every object of a kind in a namespace (of all, when none is named).
///
/// # Errors
/// [`ReconcileError::Api`] for the first object that could not be let go; the others are tried all the same.
pub async fn let_go<K>(client: &Client, namespace: Option<&str>) -> Result<LetGo, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let within = namespace.map(|name| format!(" in namespace {name}")).unwrap_or_default();
    let doing = || format!("list objects of kind {}{within}", K::kind(&()));
    let listed = match api.list_metadata(&ListParams::default()).await.map_err(ReconcileError::api(doing())) {
        Ok(listed) => listed,
        Err(error) if error.is_forbidden() => return Ok(LetGo { count: 0, denied: Some(error) }),
        // the kind itself is gone, and all objects of it
        Err(error) if error.is_not_found() => return Ok(LetGo::default()),
        Err(error) => return Err(error),
    };
    let (mut let_go, mut failed) = (LetGo::default(), None);
    for object in listed.items.iter().filter(|object| is_held(*object)) {
        match let_one_go::<K>(client, object).await {
            Ok(()) => let_go.count += 1,
            Err(error) if error.is_forbidden() => let_go.denied = Some(error),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(let_go), Err)
}

async fn let_one_go<K>(client: &Client, object: &PartialObjectMeta<K>) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + serde::de::DeserializeOwned,
{
    let (name, space) = (object.name_any(), object.namespace().unwrap_or_default());
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), &space);
    let mut object = object.clone();
    loop {
        match write(&api, &name, object.resource_version(), &others(&object)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            // somebody wrote it meanwhile: once more on top of that, as often as it takes within the caller's time
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let doing = format!("read {} {space}/{name}", K::kind(&()));
                match api.get_metadata_opt(&name).await.map_err(ReconcileError::api(doing))? {
                    Some(now) => object.metadata = now.metadata,
                    None => return Ok(()),
                }
            }
            Err(error) => {
                return Err(ReconcileError::api(format!("let go of {} {space}/{name}", K::kind(&())))(error));
            }
        }
    }
}
