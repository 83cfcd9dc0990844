//! Who has the org's one active hook, who is to have it, and what may be created or deleted meanwhile.

use std::time::Duration;

use crate::owner_tag::Whose;
use crate::plan::desired::{Deletion, DesiredOrg, DesiredState, StateDecision};
use crate::plan::matching::{Entry, Matches};
use crate::plan::step::{Move, Subject, Verb};
use crate::plan::verdict::{Blocked, HookOutcome, Waiting};
use crate::plan::{Draft, STILL_TO_HAND_OVER, STILL_TO_NONE, content};
use crate::plan_record::PlanRecord;
use crate::types::{HookStatus, MAX_HOOKS_PER_ORG, ObjectRef, ObservedHook};

/// The active hook as it is observed.
pub(super) struct ActiveHook<'a> {
    matches: &'a Matches<'a>,
    desired: &'a DesiredOrg,
    /// The one hook declared Active.
    wanted: Option<usize>,
    /// More than one is.
    conflicting: Vec<usize>,
    /// The hook to go back to after an interrupted plan, where nothing is declared.
    restore: Option<usize>,
    /// Our active hooks with their entry, the one to keep first.
    ours: Vec<(usize, Subject)>,
    /// An active hook that is not ours.
    other: Option<&'a ObservedHook>,
    /// A hook that has to be tagged before the state is touched.
    untagged: bool,
    full: bool,
}

impl<'a> ActiveHook<'a> {
    pub(super) fn read(matches: &'a Matches<'a>, desired: &'a DesiredOrg, hooks: usize) -> Self {
        let entries = &matches.entries;
        let declared: Vec<usize> =
            (0..entries.len()).filter(|i| entries[*i].want.declared_active() && !entries[*i].is_silent()).collect();
        let (wanted, conflicting) = if let [one] = declared[..] { (Some(one), Vec::new()) } else { (None, declared) };
        let mut active_hook = Self {
            matches,
            desired,
            wanted,
            conflicting,
            restore: None,
            ours: Vec::new(),
            other: matches.others.iter().copied().find(|hook| hook.status != HookStatus::Inactive),
            untagged: entries.iter().any(|entry| entry.hook.is_some() && !entry.tagged),
            full: hooks >= MAX_HOOKS_PER_ORG,
        };
        active_hook.ours = active_hook.active_ones();
        if wanted.is_none() && active_hook.conflicting.is_empty() {
            active_hook.restore = active_hook.interrupted();
        }
        let keep = active_hook.restore.or(wanted);
        active_hook.ours.sort_by_key(|(index, _)| Some(*index) != keep);
        active_hook
    }

    /// Two hooks are declared Active and this is one of them.
    pub(super) fn is_conflicting(&self, entry: &Entry<'_>) -> bool {
        self.conflicting.iter().any(|index| self.entry(*index).want.object == entry.want.object)
    }

    /// The object to record as what a failed swap goes back to.
    pub(super) fn standing(&self) -> Option<ObjectRef> {
        let active = self.ours.first().map(|(index, _)| *index);
        let before = || self.desired.unfinished.as_ref().and_then(PlanRecord::standing);
        match self.restore.or(active) {
            Some(index) => Some(self.entry(index).want.object.clone()),
            None => before(),
        }
    }

    /// The right hook is not active yet, so the record of who had it before is still needed.
    pub(super) fn is_restoring(&self) -> bool {
        self.restore.is_some() || self.wanted.is_some_and(|index| !self.entry(index).is_active())
    }

    fn entry(&self, index: usize) -> &'a Entry<'a> {
        &self.matches.entries[index]
    }

    fn active_ones(&self) -> Vec<(usize, Subject)> {
        let mut found = Vec::new();
        for (index, entry) in self.matches.entries.iter().enumerate() {
            let object = &entry.want.object;
            let claimed = entry.hook.filter(|_| entry.is_active()).into_iter();
            let surplus = entry.surplus.iter().copied().filter(|hook| hook.status == HookStatus::Active);
            let subject = |hook: &ObservedHook| (index, Subject { object: object.clone(), hook: hook.id.clone() });
            found.extend(claimed.chain(surplus).map(subject));
        }
        found
    }

    /// The hook that was active before an unfinished plan, when nothing declared says who is to be active, and the place is
    /// empty or has somebody who is there only by that plan.
    fn interrupted(&self) -> Option<usize> {
        let unfinished = self.desired.unfinished.as_ref()?;
        let before = unfinished.standing()?;
        let index = self.matches.entries.iter().position(|entry| entry.want.object == before)?;
        let entry = self.entry(index);
        let restorable = entry.tagged && entry.want.state.is_none() && entry.want.deleting.is_none();
        let usurped = self.ours.iter().all(|(active, _)| {
            let active = self.entry(*active).want;
            let kept = active.state.is_none() && active.deleting.is_none();
            active.object != before && (!kept || unfinished.moves(&active.object))
        });
        (restorable && usurped).then_some(index)
    }

    /// Adds the moves that change who is active.
    pub(super) fn decide(&self, draft: &mut Draft) {
        self.say_torn(draft);
        for entry in &self.matches.entries {
            if entry.status() == Some(HookStatus::Unreadable) {
                draft.block(&entry.want.object, Blocked::StatusUnreadable);
            }
        }
        if !self.conflicting.is_empty() {
            return;
        }
        if self.untagged {
            // The moves follow once the tag is on; its update is planned with the contents.
            return;
        }
        match self.restore.or(self.wanted) {
            Some(index) => self.fill(index, draft),
            None => self.empty(draft),
        }
    }

    fn say_torn(&self, draft: &mut Draft) {
        for index in &self.conflicting {
            let Some(other) = self.conflicting.iter().find(|other| *other != index) else { continue };
            let other = self.entry(*other).want.object.clone();
            draft.block(&self.entry(*index).want.object, Blocked::TwoDeclaredActive { other });
        }
    }

    /// `index` is to be active.
    fn fill(&self, index: usize, draft: &mut Draft) {
        let entry = self.entry(index);
        let want = entry.want;
        let object = &want.object;
        if entry.is_active() {
            self.clear_all_but(entry.hook, draft);
            return;
        }
        let restoring = self.restore == Some(index);
        if let Some(why) = self.hindrance(entry, restoring) {
            draft.say(object, why);
            self.stand_in(entry, draft);
            return;
        }
        let Some((_, from)) = self.ours.first() else {
            match entry.subject() {
                Some(subject) => draft.act(Move::Activate(subject)),
                // Created after those that are not to be active: see `create_and_delete`.
                None => draft.say(object, HookOutcome::Changing),
            }
            return;
        };
        if let Some(left) = self.unstill(STILL_TO_HAND_OVER).filter(|_| !restoring && !want.is_decided()) {
            draft.wait(object, Waiting::QuietPeriod(left));
            return;
        }
        for (_, extra) in &self.ours[1..] {
            draft.act(Move::Deactivate(extra.clone()));
        }
        let to_hook = entry.hook.map(|hook| hook.id.clone());
        if to_hook.is_none() && !want.refused.contains(&Verb::Create) {
            // Whether Okta takes it at all is learned before anything is switched off.
            draft.act(Move::Create { object: object.clone(), beside_active: true });
        } else {
            draft.act(Move::Swap { from: from.clone(), to: object.clone(), to_hook });
        }
    }

    /// Nobody is to be active by declaration: those declared Inactive are switched off.
    fn empty(&self, draft: &mut Draft) {
        for (index, subject) in &self.ours {
            let want = self.entry(*index).want;
            if want.state != Some(DesiredState::Inactive) || want.deleting.is_some() {
                continue;
            }
            if want.refused.contains(&Verb::Deactivate) {
                draft.block(&want.object, Blocked::DeactivationRefused);
            } else if let Some(left) = self.unstill(STILL_TO_NONE).filter(|_| self.ours.len() == 1) {
                draft.wait(&want.object, Waiting::QuietPeriod(left));
            } else {
                draft.act(Move::Deactivate(subject.clone()));
            }
        }
    }

    fn clear_all_but(&self, keep: Option<&ObservedHook>, draft: &mut Draft) {
        for (index, extra) in self.ours.iter().filter(|(_, subject)| keep.is_none_or(|keep| keep.id != subject.hook)) {
            let want = self.entry(*index).want;
            if want.refused.contains(&Verb::Deactivate) {
                draft.block(&want.object, Blocked::DeactivationRefused);
            } else {
                draft.act(Move::Deactivate(extra.clone()));
            }
        }
    }

    /// What keeps an inactive or missing hook from becoming active.
    pub(super) fn hindrance(&self, entry: &Entry<'_>, restoring: bool) -> Option<HookOutcome> {
        if entry.status() == Some(HookStatus::Unreadable) {
            return Some(HookOutcome::Blocked(Blocked::StatusUnreadable));
        }
        if let Some(why) = content::obstacle(entry) {
            return Some(HookOutcome::Blocked(why));
        }
        if let Some(other) = self.other {
            return Some(HookOutcome::Blocked(self.occupied(other)));
        }
        if entry.hook.is_none() && self.full {
            return Some(HookOutcome::Blocked(Blocked::HookLimit));
        }
        if entry.hook.is_none() && !entry.want.complete {
            return Some(HookOutcome::Waiting(Waiting::Incomplete));
        }
        if entry.want.refused.contains(&Verb::Activate) {
            return Some(HookOutcome::Blocked(Blocked::ActivationRefused));
        }
        if !entry.drift.is_empty() && !entry.want.secret_accepted && !restoring {
            return Some(HookOutcome::Waiting(Waiting::SecretNotAccepted));
        }
        // One that was active a moment ago is put back whatever its place says.
        (!entry.want.endpoint_ready && !restoring).then_some(HookOutcome::Waiting(Waiting::EndpointNotReady))
    }

    /// The wanted hook cannot become active, and an unfinished plan left none active: the one that was before is better than
    /// none, whatever is declared of it.
    fn stand_in(&self, wanted: &Entry<'_>, draft: &mut Draft) {
        let before = self.desired.unfinished.as_ref().and_then(PlanRecord::standing);
        let entry = self.matches.entries.iter().find(|entry| Some(&entry.want.object) == before.as_ref());
        let Some(entry) = entry.filter(|entry| entry.want.object != wanted.want.object) else { return };
        let kept = entry.want.deleting != Some(Deletion::Delete);
        let usable = entry.tagged && kept && !entry.want.refused.contains(&Verb::Activate);
        let empty = self.ours.is_empty() && self.other.is_none();
        if let Some(subject) = entry.subject().filter(|_| empty && usable) {
            draft.act(Move::Activate(subject));
        }
    }

    /// Adds creations of hooks that are not to be active now, then deletions.
    pub(super) fn create_and_delete(&self, draft: &mut Draft) {
        let changing = draft.moves.iter().any(Move::changes_state) || self.untagged;
        for index in 0..self.matches.entries.len() {
            if self.is_missing(index) && Some(index) != self.wanted {
                self.create(index, changing, draft);
            }
        }
        if let Some(index) = self.wanted.filter(|index| self.is_missing(*index)) {
            let object = &self.entry(index).want.object;
            if draft.outcomes.get(object) == Some(&HookOutcome::Changing) && self.ours.is_empty() && !changing {
                draft.act(Move::Create { object: object.clone(), beside_active: false });
            }
        }
        for entry in &self.matches.entries {
            match entry.want.deleting {
                Some(Deletion::Retain) => draft.say(&entry.want.object, HookOutcome::Released),
                Some(Deletion::Delete) => self.delete(entry, draft),
                None => {}
            }
        }
    }

    fn is_missing(&self, index: usize) -> bool {
        let entry = self.entry(index);
        entry.hook.is_none() && entry.want.deleting.is_none() && !self.conflicting.contains(&index)
    }

    fn create(&self, index: usize, changing: bool, draft: &mut Draft) {
        let entry = self.entry(index);
        let want = entry.want;
        let object = &want.object;
        if let Some(why) = entry.block.clone() {
            return draft.block(object, why);
        }
        if let Some(other) = self.other {
            return draft.block(object, self.occupied(other));
        }
        if self.full {
            return draft.block(object, Blocked::HookLimit);
        }
        if !self.conflicting.is_empty() {
            return draft.say(object, HookOutcome::Waiting(Waiting::AfterOthers));
        }
        if changing {
            return draft.wait(object, Waiting::AfterOthers);
        }
        if !want.complete {
            return draft.wait(object, Waiting::Incomplete);
        }
        if want.decision == StateDecision::Undecided {
            return draft.wait(&want.object, Waiting::Undecided);
        }
        if !want.endpoint_ready {
            return draft.wait(object, Waiting::EndpointNotReady);
        }
        let Some((standing, subject)) = self.ours.first() else {
            if want.refused.contains(&Verb::Activate) {
                return draft.block(object, Blocked::ActivationRefused);
            }
            let stays = want.state.is_none() && self.wanted.is_none() && self.restore.is_none();
            if !stays {
                return draft.act(Move::CreateInactive { object: object.clone(), standing: None });
            }
            if draft.moves.iter().any(|step| matches!(step, Move::Create { .. })) {
                return draft.wait(object, Waiting::AfterOthers);
            }
            return draft.act(Move::Create { object: object.clone(), beside_active: false });
        };
        let active = self.entry(*standing).want;
        let leaving =
            active.deleting.is_some() || (active.state == Some(DesiredState::Inactive) && self.wanted.is_none());
        if want.refused.contains(&Verb::Create) {
            draft.block(object, Blocked::StandbyNotCreated);
        } else if leaving || draft.moves.iter().any(Move::changes_state) {
            draft.wait(object, Waiting::AfterOthers);
        } else if active.endpoint_ready {
            draft.act(Move::CreateInactive { object: object.clone(), standing: Some(subject.clone()) });
        } else {
            draft.wait(object, Waiting::StandingNotReady);
        }
    }

    fn delete(&self, entry: &Entry<'_>, draft: &mut Draft) {
        let want = entry.want;
        let object = &want.object;
        let Some(what) = entry.subject().filter(|_| entry.tagged) else {
            return draft.say(object, HookOutcome::Released);
        };
        if want.refused.contains(&Verb::Delete) {
            return draft.block(object, Blocked::DeletionRefused);
        }
        let busy = draft.moves.iter().any(|step| step.objects().contains(&object));
        // a switch that wants it active moves first, or it is held
        let chosen = want.is_decided() && want.state == Some(DesiredState::Active);
        let held = chosen && entry.status() == Some(HookStatus::Active);
        if busy || held || !self.conflicting.is_empty() {
            return draft.wait(object, Waiting::AfterOthers);
        }
        match entry.status() {
            Some(HookStatus::Inactive) => return draft.act(Move::Delete { what, active: false }),
            Some(HookStatus::Active) => {}
            _ => return draft.block(object, Blocked::StatusUnreadable),
        }
        let successor = self.restore.or(self.wanted);
        let coming = successor.and_then(|index| draft.outcomes.get(&self.entry(index).want.object));
        let only = self.ours.len() == 1;
        if matches!(coming, Some(HookOutcome::Changing | HookOutcome::Waiting(_))) && only {
            draft.wait(object, Waiting::AfterOthers);
        } else if want.refused.contains(&Verb::Deactivate) {
            draft.block(object, Blocked::DeactivationRefused);
        } else if let Some(left) = self.unstill(STILL_TO_NONE).filter(|_| only) {
            draft.wait(object, Waiting::QuietPeriod(left));
        } else {
            draft.act(Move::Delete { what, active: true });
        }
    }

    fn unstill(&self, needed: Duration) -> Option<Duration> {
        needed.checked_sub(self.desired.quiet_for).filter(|left| !left.is_zero())
    }

    fn occupied(&self, other: &ObservedHook) -> Blocked {
        let hook = other.id.clone();
        match self.desired.installation.whose(other) {
            Whose::Ours(owner) => Blocked::OrphanActive { hook, owner },
            Whose::Others { installation, .. } => {
                Blocked::AnotherInstallation { hook, installation: Some(installation) }
            }
            Whose::Unreadable => Blocked::AnotherInstallation { hook, installation: None },
            Whose::Untagged => Blocked::ForeignActive { hook, name: other.shown_name() },
        }
    }
}
