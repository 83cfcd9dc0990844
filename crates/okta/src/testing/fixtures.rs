//! Hooks as objects declare them, and as others write them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::owner_tag::InstallationTag;
use crate::plan::{Adoption, DesiredHook, DesiredOrg, DesiredState, StateDecision};
use crate::types::{Header, HookContent, ObjectRef};
use hookswitch_message::Secret;

pub fn installation() -> InstallationTag {
    InstallationTag::new("prod").unwrap()
}

/// The hook that the object `otp/<name>` declares, whose secret Okta has not taken yet.
pub fn declared(name: &str, state: Option<DesiredState>) -> DesiredHook {
    DesiredHook {
        object: ObjectRef::new("otp", name),
        known_id: None,
        name: format!("OTP {name}"),
        uri: format!("https://otp.acme.com/hooks/{name}"),
        headers: vec![Header::new("X-Env", "prod")],
        auth_header: "Authorization".into(),
        secret: Secret::new(format!("secret of {name}")),
        secret_fingerprint: Fingerprint::stored(format!("mark of {name}")),
        applied_fingerprint: None,
        resync_secret: false,
        state,
        adoption: Adoption::Never,
        takeover: None,
        deleting: None,
        decision: StateDecision::Declared,
        complete: true,
        endpoint_ready: true,
        secret_accepted: true,
        refused: BTreeSet::new(),
    }
}

/// The same once Okta has taken its secret.
pub fn settled(name: &str, state: Option<DesiredState>) -> DesiredHook {
    let hook = declared(name, state);
    DesiredHook { applied_fingerprint: Some(hook.secret_fingerprint.clone()), ..hook }
}

/// An org that declares these hooks; nothing was changed in it for a day.
pub fn org(hooks: impl Into<Vec<DesiredHook>>) -> DesiredOrg {
    let quiet_for = Duration::from_hours(24);
    let (installation, hooks) = (installation(), hooks.into());
    DesiredOrg { installation, hooks, quiet_for, unfinished: None, not_shown: None, promised: None }
}

/// What somebody else wrote to the org.
pub fn theirs(name: &str, uri: &str) -> HookContent {
    HookContent {
        name: name.into(),
        uri: uri.into(),
        headers: Vec::new(),
        auth_header: "Authorization".into(),
        secret: Secret::from("theirs"),
        metadata: None,
    }
}
