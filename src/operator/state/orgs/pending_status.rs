//! What was done and found that status does not show yet.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use crate::operator::{model::switch_progress::ProgressBySwitch, runtime::status};
use hookswitch_api::{HookDrift, OktaChange, OktaOrgStatus};
use hookswitch_okta::ObjectRef;

/// What waits to be written to status.
#[derive(Debug, Default)]
pub struct PendingStatus {
    /// Changes made in Okta that status does not have yet.
    pub changes: Vec<OktaChange>,
    /// What was done to carry out the last decision of each switch.
    pub progress: ProgressBySwitch,
    /// The last drift found of each hook, and whether it is still there.
    drifts: BTreeMap<ObjectRef, (HookDrift, bool)>,
}

impl PendingStatus {
    /// Forgets everything but what was changed.
    pub fn begin_anew(&mut self) {
        *self = Self { changes: std::mem::take(&mut self.changes), ..Self::default() };
    }

    /// Takes note of changes made in Okta; no more are kept than status has room for.
    pub fn changed(&mut self, changes: Vec<OktaChange>) {
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(OktaOrgStatus::MOST_HISTORY);
        self.changes.drain(..surplus);
    }

    /// Takes note of what differs in Okta by somebody's hand (nothing: no field differs). Returns whether it is news: the same
    /// drift that could not be mended yet is found again by every reconcile.
    pub fn drifted(&mut self, object: &ObjectRef, fields: &[String], now: Timestamp) -> bool {
        let known = self.drifts.get_mut(object);
        if fields.is_empty() {
            if let Some((_, lasts)) = known {
                *lasts = false;
            }
            return false;
        }
        if known.is_some_and(|(drift, lasts)| *lasts && drift.fields == fields) {
            return false;
        }
        let found_at = status::second(now);
        self.drifts.insert(object.clone(), (HookDrift { found_at, fields: fields.to_vec() }, true));
        true
    }

    /// The last drift of a hook that this process found.
    #[must_use]
    pub fn drift(&self, object: &ObjectRef) -> Option<HookDrift> {
        self.drifts.get(object).map(|(drift, _)| drift.clone())
    }

    /// Forgets what is kept of objects that are not declared any more.
    pub fn keep(&mut self, objects: &BTreeSet<ObjectRef>) {
        self.drifts.retain(|object, _| objects.contains(object));
    }
}
