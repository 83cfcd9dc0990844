//! Whether a hook takes over another one's in Okta: its object was renamed or moved, and a person says so.
//!
//! The tag in Okta says whose the hook is, by namespace and name. Within a namespace the annotation of the new object is enough once
//! the old one is gone: whoever may create hooks there could as well create the old one again. As long as the old object
//! is there, and across namespaces always, it has to say the same: nobody takes a hook from another tenant by naming it.

use kube::Client;
use kube::{Api, ResourceExt as _};

use crate::operator::{model::object_ref::object_ref, runtime::error::ReconcileError};
use hookswitch_api::{HANDS_OVER_TO, TAKES_OVER, TelephonyHook};
use hookswitch_okta::{
    ObjectRef,
    plan::{NotTaken, Takeover},
};

/// What becomes of the takeover that a hook asks for; nothing when it asks for none. `all`: the hooks of its namespace.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn of(
    hook: &TelephonyHook,
    all: &[impl AsRef<TelephonyHook>],
    client: &Client,
) -> Result<Option<Takeover>, ReconcileError> {
    let to = object_ref(hook);
    let from = match named(hook, TAKES_OVER) {
        None => return Ok(None),
        Some(Ok(from)) if from != to => from,
        Some(_) => return Ok(Some(Takeover::Refused(NotTaken::Unreadable))),
    };
    if from.namespace != to.namespace {
        // it has one already, whose tag is what counts
        if hook.status.as_ref().is_some_and(|status| status.okta_id.is_some()) {
            return Ok(None);
        }
        return Ok(Some(judge(&to, from.clone(), elsewhere(&from, client).await?.as_ref(), 1)));
    }
    let old = all.iter().map(AsRef::as_ref).find(|other| object_ref(*other) == from);
    let asking = all.iter().filter(|other| named(other.as_ref(), TAKES_OVER) == Some(Ok(from.clone()))).count();
    Ok(Some(judge(&to, from, old, asking)))
}

/// Whether `to` takes over from an object; `old`: as it is, if it is; `asking`: how many objects of the namespace ask for that.
fn judge(to: &ObjectRef, from: ObjectRef, old: Option<&TelephonyHook>, asking: usize) -> Takeover {
    match old {
        Some(old) if named(old, HANDS_OVER_TO) == Some(Ok(to.clone())) => Takeover::From(from),
        Some(_) => Takeover::Refused(NotTaken::NotHandedOver { from }),
        None if from.namespace != to.namespace => Takeover::Refused(NotTaken::Elsewhere { from }),
        None if asking > 1 => Takeover::Refused(NotTaken::Several { from }),
        None => Takeover::From(from),
    }
}

/// The object that an annotation names, relative to its own namespace; nothing when there is no annotation.
fn named(hook: &TelephonyHook, annotation: &str) -> Option<Result<ObjectRef, NotTaken>> {
    let value = hook.annotations().get(annotation)?.trim();
    let own = || hook.namespace().unwrap_or_default();
    let (namespace, name) =
        value.split_once('/').map_or_else(|| (own(), value), |(space, name)| (space.to_owned(), name));
    let sound = |part: &str, longest: usize| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        (1..=longest).contains(&part.len()) && part.bytes().all(inside)
    };
    let named = sound(&namespace, 63) && sound(name, 253);
    Some(if named { Ok(ObjectRef::new(namespace, name)) } else { Err(NotTaken::Unreadable) })
}

/// A hook of another namespace, as it is now. One that may not be read says nothing.
async fn elsewhere(object: &ObjectRef, client: &Client) -> Result<Option<TelephonyHook>, ReconcileError> {
    let api: Api<TelephonyHook> = Api::namespaced(client.clone(), &object.namespace);
    let read = api.get_opt(&object.name).await.map_err(ReconcileError::api(format!("read TelephonyHook {object}")));
    match read {
        Err(error) if error.is_forbidden() => Ok(None),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(namespace: &str, name: &str, annotations: &[(&str, &str)]) -> TelephonyHook {
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {"target": {"gatewayRef": {"name": "main"}}}}))
        .unwrap()
    }

    #[test]
    fn an_annotation_names_an_object_of_its_own_namespace_unless_it_says_another() {
        let read = |value: &str| named(&hook("otp", "new", &[(TAKES_OVER, value)]), TAKES_OVER).unwrap();
        assert_eq!(read("old"), Ok(ObjectRef::new("otp", "old")));
        assert_eq!(read(" elsewhere/old.v1 "), Ok(ObjectRef::new("elsewhere", "old.v1")));
        for bad in ["", "/", "a/", "/b", "a/b/c", "Old", "a b", &"x".repeat(254)] {
            assert_eq!(read(bad), Err(NotTaken::Unreadable), "{bad}");
        }
        assert_eq!(named(&hook("otp", "new", &[]), TAKES_OVER), None);
    }

    #[test]
    fn a_hook_is_taken_over_from_one_that_is_gone_from_the_same_namespace_or_that_says_the_same() {
        let to = ObjectRef::new("otp", "new");
        let old = |says: Option<&str>| {
            let says: Vec<_> = says.into_iter().map(|says| (HANDS_OVER_TO, says)).collect();
            Some(hook("otp", "old", &says))
        };
        let elsewhere = |says: Option<&str>| {
            let says: Vec<_> = says.into_iter().map(|says| (HANDS_OVER_TO, says)).collect();
            Some(hook("elsewhere", "old", &says))
        };
        for (namespace, old, asking, granted) in [
            ("otp", None, 1, true),
            ("otp", None, 2, false),
            ("otp", old(None), 1, false),
            ("otp", old(Some("another")), 1, false),
            ("otp", old(Some("elsewhere/new")), 1, false),
            ("otp", old(Some("new")), 1, true),
            ("otp", old(Some("otp/new")), 2, true),
            ("elsewhere", None, 1, false),
            ("elsewhere", elsewhere(None), 1, false),
            // of its own namespace, which is another one
            ("elsewhere", elsewhere(Some("new")), 1, false),
            ("elsewhere", elsewhere(Some("otp/new")), 1, true),
        ] {
            let judged = judge(&to, ObjectRef::new(namespace, "old"), old.as_ref(), asking);
            assert_eq!(matches!(judged, Takeover::From(_)), granted, "{namespace} {old:?} {asking}: {judged:?}");
        }
    }
}
