//! The planner of an org's telephony hooks: what Okta has × what is declared → ordered moves, and a verdict per hook. Pure.
//!
//! Progress is never remembered: planning again after any part of a plan, its last call answered or not, leads to the same
//! end, because every decision is read off Okta's own state. [`crate::run`] performs the moves.
//!
//! What it holds to:
//! - A hook without this installation's mark is not touched, unless adoption allows it; then it is tagged first.
//! - A hook with the mark of one object of ours becomes another's only by a person's word about both, in one write.
//! - At most one of ours is active; none is only between the two calls of a swap.
//! - Okta creates hooks active. One that is not to be active is created while none is (and deactivated), or beside an active
//!   one only when both places can take calls, one at a time.
//! - A hook is activated only with its declared content.

mod active_hook;
mod content;
mod desired;
mod matching;
mod step;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

pub use desired::{
    Adoption, Deletion, DesiredHook, DesiredOrg, DesiredState, Effect, NotTaken, Promise, Promised, StateDecision,
    Takeover,
};
pub use step::{Move, Step, Subject, Verb};
pub use verdict::{Blocked, HookOutcome, HookVerdict, Waiting};

use crate::types::{HookId, HookStatus, Metadata, ObjectRef, ObservedHook};

/// Most calls of one plan, the read-back included. With 2 s a call it fits the lease it starts with.
pub const MOST_CALLS: usize = 6;

/// The quiet period before the active hook changes from one to another.
pub const STILL_TO_HAND_OVER: Duration = Duration::from_secs(5);

/// The quiet period before the org is left without an active hook.
pub const STILL_TO_NONE: Duration = Duration::from_secs(30);

/// How long Okta is given to show what it promised.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Pause before listing again what Okta promised.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What is to be done, and what is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order; each is begun only when it can be finished.
    pub moves: Vec<Move>,
    /// One for each declared hook, by object.
    pub verdicts: Vec<HookVerdict>,
    /// The object whose hook is active now: what a failed swap goes back to.
    pub standing: Option<ObjectRef>,
    /// Objects whose content may or may not have arrived under an unfinished plan, and that this plan does not write: the
    /// doubt has to be recorded on.
    pub doubtful: Vec<ObjectRef>,
    /// The record of who was active before is still needed when this plan is done: the active hook is not yet the one it
    /// belongs to, moves were left out for want of calls, or an unfinished plan may still have effects that do not show.
    pub keep_standing: bool,
    /// When to list and plan again although nobody changed anything; `None` leaves it to the poll. After a run, always plan
    /// again from what it read back: more may follow.
    pub again_in: Option<Duration>,
    /// What the hooks that it updates carry in Okta beside our fields: it is sent back with them.
    pub kept: BTreeMap<HookId, Metadata>,
}

impl Plan {
    /// Calls that it must have room for: the worst case of its moves. What a read-back has no room for is seen later.
    #[must_use]
    pub fn most_calls(&self) -> usize {
        self.moves.iter().map(Move::most_calls).sum()
    }

    /// Whether it may change which hook is active.
    #[must_use]
    pub fn changes_active(&self) -> bool {
        self.moves.iter().any(Move::changes_active)
    }

    /// The calls it makes when all goes well, the read-back last; empty when there is nothing to do.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        if self.moves.is_empty() {
            return Vec::new();
        }
        let read_back = Step { verb: Verb::ReadBack, object: None, hook: None };
        self.moves.iter().flat_map(Move::steps).chain([read_back]).collect()
    }
}

/// Moves and verdicts as they are found.
#[derive(Default)]
struct Draft {
    /// Content that the state needs, then the state, then other content, creations, deletions.
    moves: Vec<Move>,
    outcomes: BTreeMap<ObjectRef, HookOutcome>,
    again_in: Option<Duration>,
}

impl Draft {
    /// A block outweighs a wait, and a wait a change.
    fn say(&mut self, object: &ObjectRef, outcome: HookOutcome) {
        let weight = |outcome: &HookOutcome| match outcome {
            HookOutcome::InSync => 0,
            HookOutcome::Released => 1,
            HookOutcome::Changing => 2,
            HookOutcome::Waiting(_) => 3,
            HookOutcome::Blocked(_) => 4,
        };
        let old = self.outcomes.get(object);
        if old.is_none_or(|old| weight(old) < weight(&outcome)) {
            self.outcomes.insert(object.clone(), outcome);
        }
    }

    fn block(&mut self, object: &ObjectRef, why: Blocked) {
        self.say(object, HookOutcome::Blocked(why));
    }

    fn wait(&mut self, object: &ObjectRef, what: Waiting) {
        // Readiness is watched by the caller, and others' changes are followed by another plan anyway.
        if let Waiting::QuietPeriod(left) = what {
            self.again(left);
        }
        self.say(object, HookOutcome::Waiting(what));
    }

    fn again(&mut self, after: Duration) {
        self.again_in = Some(self.again_in.map_or(after, |old| old.min(after)));
    }

    fn act(&mut self, step: Move) {
        for object in step.objects() {
            self.say(object, HookOutcome::Changing);
        }
        self.moves.push(step);
    }
}

/// Plans for one org. `observed` is a whole list of its telephony hooks.
#[must_use]
pub fn plan(observed: &[ObservedHook], desired: &DesiredOrg) -> Plan {
    plan_of(observed, desired, |moves| moves)
}

/// What of [`plan`] cannot wait: everything up to the last move by which a switch is carried out, or by which a hook becomes
/// active while none of ours is. Without such a move it has none.
#[must_use]
pub fn urgent(observed: &[ObservedHook], desired: &DesiredOrg) -> Plan {
    let switching = |object: &ObjectRef| {
        desired
            .hooks
            .iter()
            .find(|want| want.object == *object)
            .filter(|want| want.decision == StateDecision::Switching)
    };
    plan_up_to(observed, desired, |step| match step {
        Move::Activate(_) | Move::Create { beside_active: false, .. } => true,
        Move::Swap { to: object, .. } | Move::Create { object, .. } => switching(object).is_some(),
        Move::Deactivate(what) => switching(&what.object).is_some(),
        // with one hook in Okta, its content says which place is used
        Move::Update(what) => switching(&what.object).is_some_and(DesiredHook::declared_active),
        Move::CreateInactive { .. } | Move::Delete { .. } => false,
    })
}

/// What of [`plan`] may spare a switch: everything up to the last move by which an active hook is given a secret anew that is
/// doubted. Without such a move it has none.
#[must_use]
pub fn remedy(observed: &[ObservedHook], desired: &DesiredOrg) -> Plan {
    let active = |id: &HookId| observed.iter().any(|hook| hook.id == *id && hook.status == HookStatus::Active);
    let resync_secret =
        |object: &ObjectRef| desired.hooks.iter().any(|want| want.object == *object && want.resync_secret);
    plan_up_to(observed, desired, |step| match step {
        Move::Update(what) => resync_secret(&what.object) && active(&what.hook),
        _ => false,
    })
}

/// Plans, and keeps the moves up to the last one that is `wanted`.
fn plan_up_to(observed: &[ObservedHook], desired: &DesiredOrg, wanted: impl Fn(&Move) -> bool) -> Plan {
    plan_of(observed, desired, |mut moves| {
        let last = moves.iter().rposition(wanted);
        moves.truncate(last.map_or(0, |last| last + 1));
        moves
    })
}

/// Plans, and keeps of the moves what `part` does.
fn plan_of(observed: &[ObservedHook], desired: &DesiredOrg, part: impl FnOnce(Vec<Move>) -> Vec<Move>) -> Plan {
    let matches = matching::match_hooks(observed, desired);
    let mut draft = Draft::default();
    for entry in &matches.entries {
        draft.say(&entry.want.object, HookOutcome::InSync);
    }
    let active_hook = active_hook::ActiveHook::read(&matches, desired, observed.len());
    active_hook.decide(&mut draft);
    content::updates(&matches, &active_hook, &mut draft);
    active_hook.create_and_delete(&mut draft);

    if let Some(not_shown) = pending_promise(observed, desired.promised.as_ref()) {
        // What Okta took and does not show yet must not be done twice.
        draft.moves.clear();
        draft.again(not_shown.min(LOOK_AGAIN));
        for outcome in draft.outcomes.values_mut().filter(|outcome| **outcome == HookOutcome::Changing) {
            *outcome = HookOutcome::Waiting(Waiting::Settling);
        }
    }
    // what is wrong by a person's word alone hides nothing that Okta says, and nothing that is under way
    for entry in matches.entries.iter().filter(|entry| entry.want.deleting.is_none()) {
        let in_sync = draft.outcomes.get(&entry.want.object) == Some(&HookOutcome::InSync);
        if let Some(wrong) = entry.wrong.clone().filter(|_| in_sync) {
            draft.block(&entry.want.object, wrong);
        }
    }
    let unsettled = desired.not_shown.and_then(left_to_settle);
    if let Some(left) = unsettled {
        // Nothing is held up by what may still show; but it is listed again for.
        draft.again(left.min(LOOK_AGAIN));
    }
    let planned = draft.moves.len();
    let moves = within_budget(part(draft.moves));
    let keep_standing = active_hook.is_restoring() || moves.len() < planned || unsettled.is_some();
    let written =
        |object: &ObjectRef| moves.iter().any(|step| matches!(step, Move::Update(what) if what.object == *object));
    let uncertain = matches.entries.iter().filter(|entry| entry.uncertain && entry.hook.is_some());
    let doubtful = uncertain.map(|entry| entry.want.object.clone()).filter(|object| !written(object)).collect();
    let standing = active_hook.standing();
    let mut outcomes = draft.outcomes;
    let mut hindrances: Vec<Option<HookOutcome>> =
        matches.entries.iter().map(|entry| active_hook.hindrance(entry, false)).collect();
    hindrances.reverse();
    let verdicts = matches.entries.into_iter().map(|entry| HookVerdict {
        hook: entry.hook.map(|hook| hook.id.clone()),
        status: entry.status(),
        duplicates: entry.surplus.iter().map(|hook| hook.id.clone()).collect(),
        outcome: outcomes.remove(&entry.want.object).unwrap_or(HookOutcome::InSync),
        drift: entry.drift,
        hindrance: hindrances.pop().flatten(),
        object: entry.want.object.clone(),
    });
    let kept = kept(observed, &moves);
    Plan { verdicts: verdicts.collect(), moves, standing, doubtful, keep_standing, again_in: draft.again_in, kept }
}

/// What the hooks carry that these moves update.
fn kept(observed: &[ObservedHook], moves: &[Move]) -> BTreeMap<HookId, Metadata> {
    let updated =
        |hook: &&ObservedHook| moves.iter().any(|step| matches!(step, Move::Update(what) if what.hook == hook.id));
    let carries = |hook: &ObservedHook| Some((hook.id.clone(), hook.metadata.clone()?));
    observed.iter().filter(updated).filter_map(carries).collect()
}

/// Whether Okta shows everything that it promised, as far as that is still waited for.
#[must_use]
pub fn is_settled(observed: &[ObservedHook], promised: Option<&Promised>) -> bool {
    pending_promise(observed, promised).is_none()
}

/// How much longer a promise that is not visible is waited for.
fn pending_promise(observed: &[ObservedHook], promised: Option<&Promised>) -> Option<Duration> {
    let promised = promised?;
    let left = left_to_settle(promised.age)?;
    promised.made.iter().any(|promise| !promise.is_visible(observed)).then_some(left)
}

/// How much longer Okta may take to show what it took `age` ago.
fn left_to_settle(age: Duration) -> Option<Duration> {
    SETTLES_WITHIN.checked_sub(age).filter(|left| !left.is_zero())
}

/// The first moves that fit a run's calls with their worst case.
fn within_budget(moves: Vec<Move>) -> Vec<Move> {
    let mut left = MOST_CALLS - 1;
    let fits = |step: &Move| left.checked_sub(step.most_calls()).map(|rest| left = rest).is_some();
    moves.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod active_hook_tests;
#[cfg(test)]
mod tests;
