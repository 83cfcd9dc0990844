//! What a run changed in Okta: one record for each call that was to change something, with keyed fingerprints of the hook before
//! and after. Pure; [`crate::run`] reports what was called, the operator logs the records and keeps the last ones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fingerprint::{Fingerprint, FingerprintKey};
use crate::plan::{DesiredOrg, Verb};
use crate::run::{AuditEntry, AuditResult, Purpose};
use crate::types::{HookId, HookStatus, ObjectRef, ObservedHook, RequestId};

/// One change that was made, or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChange {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// For which object.
    pub object: ObjectRef,
    /// What was called.
    pub verb: Verb,
    /// Why.
    pub why: Purpose,
    /// On which hook; `None` where a creation had no answer.
    pub hook: Option<HookId>,
    /// `ok`, or the stable reason why not.
    pub outcome: &'static str,
    /// Okta's id of the request.
    pub request_id: Option<RequestId>,
    /// Fingerprint of the hook before; `None`: it did not exist.
    pub before: Option<Fingerprint>,
    /// Fingerprint of it afterwards; `None`: it does not exist, or nobody knows.
    pub after: Option<Fingerprint>,
}

/// The records of a run. `before` is the list that the plan was made from.
///
/// How each hook is after a call follows from what Okta documents that call to do: Okta's own word comes with the read-back.
#[must_use]
pub fn changes(
    key: &FingerprintKey,
    before: &[ObservedHook],
    desired: &DesiredOrg,
    audit: &[AuditEntry],
) -> Vec<AuditChange> {
    let mut known = Known { key, desired, hooks: BTreeMap::new(), secrets: BTreeMap::new() };
    known.hooks.extend(before.iter().map(|hook| (hook.id.clone(), hook.clone())));
    for want in &desired.hooks {
        known.secrets.extend(want.applied_fingerprint.clone().map(|fingerprint| (want.object.clone(), fingerprint)));
    }
    audit.iter().filter_map(|entry| known.take(entry)).collect()
}

struct Known<'a> {
    key: &'a FingerprintKey,
    desired: &'a DesiredOrg,
    hooks: BTreeMap<HookId, ObservedHook>,
    secrets: BTreeMap<ObjectRef, Fingerprint>,
}

impl Known<'_> {
    fn take(&mut self, entry: &AuditEntry) -> Option<AuditChange> {
        let object = entry.object.clone()?;
        let outcome = match entry.result {
            AuditResult::Done => "ok",
            AuditResult::Failed(kind) | AuditResult::Unclear(kind) => kind.as_str(),
            AuditResult::NotSent => return None,
        };
        if matches!(entry.verb, Verb::Read | Verb::ReadBack) {
            return None;
        }
        let before = self.fingerprint(&object, entry.hook.as_ref());
        let after = match entry.result {
            AuditResult::Done => {
                self.apply(&object, entry);
                self.fingerprint(&object, entry.hook.as_ref())
            }
            AuditResult::Failed(_) => before.clone(),
            AuditResult::Unclear(_) | AuditResult::NotSent => {
                if matches!(entry.verb, Verb::Create | Verb::Replace) {
                    self.secrets.remove(&object);
                }
                None
            }
        };
        let request_id = entry.request_id.clone();
        let (at, verb, why, hook) = (entry.at, entry.verb, entry.why, entry.hook.clone());
        Some(AuditChange { at, object, verb, why, hook, outcome, request_id, before, after })
    }

    fn fingerprint(&self, object: &ObjectRef, id: Option<&HookId>) -> Option<Fingerprint> {
        Some(self.key.hook(object, self.hooks.get(id?)?, self.secrets.get(object)))
    }

    fn apply(&mut self, object: &ObjectRef, entry: &AuditEntry) {
        let Some(id) = entry.hook.clone() else { return };
        match entry.verb {
            Verb::Create | Verb::Replace => {
                let Some(content) = self.desired.content(object) else { return };
                let status = self.hooks.get(&id).map_or(HookStatus::Active, |hook| hook.status);
                self.hooks.insert(id.clone(), content.in_okta(id, status));
                let want = self.desired.hooks.iter().find(|want| want.object == *object);
                self.secrets.extend(want.map(|want| (object.clone(), want.secret_fingerprint.clone())));
            }
            Verb::Activate => self.set(&id, HookStatus::Active),
            Verb::Deactivate => self.set(&id, HookStatus::Inactive),
            Verb::Delete => drop(self.hooks.remove(&id)),
            Verb::Read | Verb::ReadBack => {}
        }
    }

    fn set(&mut self, id: &HookId, status: HookStatus) {
        if let Some(hook) = self.hooks.get_mut(id) {
            hook.status = status;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FailureKind;
    use crate::plan::DesiredHook;
    use crate::testing::{self, declared};
    use hookswitch_message::Secret;

    fn org(secret: &str) -> DesiredOrg {
        let key = FingerprintKey::new(&[7; 32]).unwrap();
        let hook = declared("main", None);
        let secret_fingerprint = key.secret(&hook.object, "authorization", secret);
        testing::org([DesiredHook { secret: Secret::from(secret), secret_fingerprint, ..hook }])
    }

    fn entry(verb: Verb, result: AuditResult) -> AuditEntry {
        AuditEntry {
            verb,
            object: Some(ObjectRef::new("otp", "main")),
            hook: HookId::new("cal1").ok(),
            why: Purpose::Planned,
            result,
            message: None,
            request_id: None,
            at: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    fn changes_of(secret: &str, entries: &[AuditEntry]) -> Vec<AuditChange> {
        changes(&FingerprintKey::new(&[7; 32]).unwrap(), &[], &org(secret), entries)
    }

    #[test]
    fn each_change_has_the_fingerprint_of_the_hook_before_and_after_it() {
        let done =
            [Verb::Create, Verb::Deactivate, Verb::Activate, Verb::Delete].map(|verb| entry(verb, AuditResult::Done));
        let changes = changes_of("a secret", &done);
        assert_eq!(changes[0].before, None);
        assert!(changes.windows(2).all(|pair| pair[0].after == pair[1].before));
        assert_ne!(changes[0].after, changes[1].after, "the state counts");
        assert_eq!(changes[0].after, changes[2].after, "the same hook has the same mark");
        assert_eq!(changes[3].after, None);
    }

    #[test]
    fn another_secret_is_another_fingerprint_and_neither_shows_it() {
        let one = changes_of("a secret", &[entry(Verb::Create, AuditResult::Done)]);
        let two = changes_of("b secret", &[entry(Verb::Create, AuditResult::Done)]);
        assert_ne!(one[0].after, two[0].after);
        assert!(!format!("{one:?}").contains("a secret"));
    }

    #[test]
    fn a_refused_change_leaves_the_fingerprint_and_an_unclear_one_leaves_none() {
        let changes = changes_of(
            "a secret",
            &[
                entry(Verb::Create, AuditResult::Done),
                entry(Verb::Activate, AuditResult::Failed(FailureKind::Refused)),
                entry(Verb::Replace, AuditResult::Unclear(FailureKind::Unreachable)),
                entry(Verb::Deactivate, AuditResult::NotSent),
                entry(Verb::Read, AuditResult::Done),
            ],
        );
        assert_eq!(changes.len(), 3, "what was not sent and what only reads changes nothing");
        assert_eq!((changes[1].before.clone(), changes[1].outcome), (changes[1].after.clone(), "OktaRefused"));
        assert_eq!((&changes[2].after, changes[2].outcome), (&None, "OktaUnreachable"));
    }
}
