//! Which contents are written anew, and when relative to the state.

use crate::okta::plan::claim::{Claims, Entry};
use crate::okta::plan::slot::Slot;
use crate::okta::plan::step::{Move, Verb};
use crate::okta::plan::{Blocked, Draft};
use crate::okta::types::HookStatus;

/// Whether a hook's content cannot be brought to what is declared.
pub(super) fn obstacle(entry: &Entry<'_>) -> Option<Blocked> {
    if let Some(block) = &entry.block {
        return Some(block.clone());
    }
    let refused = !entry.drift.is_empty() && entry.want.refused.contains(&Verb::Replace);
    refused.then_some(Blocked::UpdateRefused)
}

/// Adds the updates. One that an activation waits for goes before it, and so does one whose last write had no end: the record
/// of the new plan replaces the record of that doubt. The active hook's goes before the others'.
pub(super) fn updates(claims: &Claims<'_>, slot: &Slot<'_>, draft: &mut Draft) {
    let mut first = Vec::new();
    let mut later = Vec::new();
    for entry in &claims.entries {
        let object = &entry.want.object;
        if entry.want.deleting.is_some() || slot.is_torn(entry) {
            continue;
        }
        let Some(subject) = entry.subject().filter(|_| !entry.drift.is_empty()) else { continue };
        if let Some(why) = obstacle(entry) {
            draft.block(object, why);
            continue;
        }
        let update = (entry.status() != Some(HookStatus::Active), Move::Update(subject));
        let needed = entry.in_doubt || draft.moves.iter().any(|step| activates(step, object));
        if needed {
            first.push(update)
        } else {
            later.push(update)
        }
        draft.say(object, super::Outcome::Changing);
    }
    later.sort_by_key(|(inactive, _)| *inactive);
    let state = std::mem::take(&mut draft.moves);
    draft.moves.extend(first.into_iter().map(|(_, update)| update));
    draft.moves.extend(state);
    draft.moves.extend(later.into_iter().map(|(_, update)| update));
}

fn activates(step: &Move, object: &crate::okta::types::ObjectRef) -> bool {
    match step {
        Move::Activate(what) => what.object == *object,
        Move::Swap { to, .. } => to == object,
        _ => false,
    }
}
