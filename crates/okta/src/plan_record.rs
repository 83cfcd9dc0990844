//! The record of a plan, written once before its first call and removed when its end was seen.
//!
//! Progress is read from Okta, not from here. The record adds what Okta does not know: which hook was active before, and
//! which contents (their secrets cannot be read back) may or may not have arrived.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Verb};
use crate::types::ObjectRef;

/// A recorded plan. Holds ids, verbs and owners; no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRecord {
    /// When it was recorded, before the first call (RFC 3339).
    #[schemars(length(max = 40))]
    pub recorded_at: String,
    /// The object whose hook was active when the plan was made: what a failed swap goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<PlanObject>,
    /// Objects whose content an earlier plan may or may not have written, and that this one does not write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub doubtful: Vec<PlanObject>,
    /// The calls, in order.
    #[schemars(length(max = 16))]
    pub steps: Vec<PlanStep>,
}

/// One of our objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanObject {
    /// Its namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// One planned call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// What is called: `Create`, `Replace`, `Activate`, `Deactivate`, `Delete`, `ReadBack`.
    #[schemars(length(max = 16))]
    pub verb: String,
    /// For which object; absent for the read-back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<PlanObject>,
    /// On which hook of Okta; absent where it is not created yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hook_id: Option<String>,
}

impl PlanRecord {
    /// Most steps recorded; a plan of six calls never comes near.
    pub const MOST_STEPS: usize = 16;

    /// Most doubtful objects recorded: an org has no more hooks.
    pub const MOST_DOUBTFUL: usize = 100;

    /// Writes a plan down. `recorded_at` is the caller's clock, RFC 3339. It replaces the record of the plan before, whose open
    /// ends are carried on.
    #[must_use]
    pub fn of(plan: &Plan, recorded_at: String) -> Self {
        let steps = plan.steps().into_iter().take(Self::MOST_STEPS).map(|step| PlanStep {
            verb: step.verb.as_str().to_owned(),
            object: step.object.as_ref().map(PlanObject::of),
            hook_id: step.hook.map(|hook| hook.as_str().to_owned()),
        });
        Self {
            recorded_at,
            standing: plan.standing.as_ref().map(PlanObject::of),
            doubtful: plan.doubtful.iter().take(Self::MOST_DOUBTFUL).map(PlanObject::of).collect(),
            steps: steps.collect(),
        }
    }

    /// What is left of the record once `plan` was run, or once a plan made under this record has no moves and nothing to wait
    /// for: `None` when everything came to its end. `finished` is the run's word ([`crate::run::RunReport::finished`]).
    #[must_use]
    pub fn after(&self, plan: &Plan, finished: bool) -> Option<Self> {
        let idle = plan.moves.is_empty();
        if (idle && plan.again_in.is_some()) || (!idle && !finished) {
            return Some(self.clone());
        }
        let doubtful: Vec<PlanObject> = plan.doubtful.iter().take(Self::MOST_DOUBTFUL).map(PlanObject::of).collect();
        let standing = self.standing.clone().filter(|_| plan.keep_standing);
        let over = doubtful.is_empty() && standing.is_none();
        (!over).then(|| Self { recorded_at: self.recorded_at.clone(), standing, doubtful, steps: Vec::new() })
    }

    /// Whether calls of it may still have an effect; otherwise it only remembers who was active.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The object whose hook was active when the plan was made.
    #[must_use]
    pub fn standing(&self) -> Option<ObjectRef> {
        self.standing.as_ref().map(|object| ObjectRef::new(&object.namespace, &object.name))
    }

    /// Whether the plan was to create or deactivate `object`'s hook, so that its being active is no one's wish.
    #[must_use]
    pub fn moves(&self, object: &ObjectRef) -> bool {
        self.has(Verb::Create, object) || self.has(Verb::Deactivate, object)
    }

    /// Whether the plan was to write `object`'s content, so that which secret Okta has is not known.
    #[must_use]
    pub fn writes_content(&self, object: &ObjectRef) -> bool {
        let doubtful = self.doubtful.iter().any(|doubtful| doubtful.is(object));
        doubtful || self.has(Verb::Create, object) || self.has(Verb::Replace, object)
    }

    fn has(&self, verb: Verb, object: &ObjectRef) -> bool {
        self.steps
            .iter()
            .any(|step| step.verb == verb.as_str() && step.object.as_ref().is_some_and(|planned| planned.is(object)))
    }
}

impl PlanObject {
    fn of(object: &ObjectRef) -> Self {
        Self { namespace: object.namespace.clone(), name: object.name.clone() }
    }

    fn is(&self, object: &ObjectRef) -> bool {
        self.namespace == object.namespace && self.name == object.name
    }
}
