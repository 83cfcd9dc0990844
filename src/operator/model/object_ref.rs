//! How an object is named in the owner tag of its hook in Okta.

use kube::{Resource, ResourceExt as _};

use hookswitch_okta::ObjectRef;

/// The name of an object that is in a namespace.
pub fn object_ref<K: Resource>(object: &K) -> ObjectRef {
    ObjectRef::new(object.namespace().unwrap_or_default(), object.name_any())
}
