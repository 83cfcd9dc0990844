//! Which contents are written anew, and when relative to the state.

use crate::plan::active_hook::ActiveHook;
use crate::plan::matching::{Entry, Matches};
use crate::plan::step::{Move, Verb};
use crate::plan::{Blocked, Draft, HookOutcome, Waiting};
use crate::types::{HookStatus, ObjectRef};

/// Whether a hook's content cannot be brought to what is declared.
pub(super) fn obstacle(entry: &Entry<'_>) -> Option<Blocked> {
    if let Some(block) = &entry.block {
        return Some(block.clone());
    }
    let refused = !entry.drift.is_empty() && entry.want.refused.contains(&Verb::Replace);
    refused.then_some(Blocked::UpdateRefused)
}

/// Adds the updates. One that an activation waits for goes before it; after the state come those whose last write had no
/// end, the active hook's, the others'.
pub(super) fn updates(matches: &Matches<'_>, active_hook: &ActiveHook<'_>, draft: &mut Draft) {
    let mut first = Vec::new();
    let mut later = Vec::new();
    for entry in &matches.entries {
        let object = &entry.want.object;
        if entry.want.deleting.is_some() || active_hook.is_conflicting(entry) {
            continue;
        }
        let Some(subject) = entry.subject().filter(|_| !entry.drift.is_empty()) else { continue };
        if let Some(why) = obstacle(entry) {
            draft.block(object, why);
            continue;
        }
        if !entry.want.secret_accepted {
            // what Okta has works; what is declared would not
            draft.wait(object, Waiting::SecretNotAccepted);
            continue;
        }
        if draft.moves.iter().any(|step| activates(step, object)) {
            first.push(Move::Update(subject));
        } else {
            let inactive = entry.status() != Some(HookStatus::Active);
            later.push(((!entry.uncertain, inactive), Move::Update(subject)));
        }
        draft.say(object, HookOutcome::Changing);
    }
    later.sort_by_key(|(order, _)| *order);
    draft.moves.splice(0..0, first);
    draft.moves.extend(later.into_iter().map(|(_, update)| update));
}

fn activates(step: &Move, object: &ObjectRef) -> bool {
    match step {
        Move::Activate(what) => what.object == *object,
        Move::Swap { to, .. } => to == object,
        _ => false,
    }
}
