//! The swap: one of our hooks off, another on, and back when the other is refused.
//!
//! None of ours is active between the two calls, so they follow each other at once. Whatever leaves that gap in doubt is
//! resolved towards "one is active", never towards two: a hook is switched on only when the other is known to be off, or
//! when Okta refused to switch it off and so has the last word.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::plan::{Effect, Subject, Verb};
use crate::run::{AuditEntry, Purpose, RefusedChange, Runner, Went, bounded};
use crate::types::{HookId, HookStatus, ObjectRef};

/// How long an effect that does not show yet is waited for inside a swap. The hook that was to be off serves meanwhile.
const LATE: Duration = Duration::from_secs(5);

/// What became of bringing the other hook up.
enum Up {
    Yes,
    /// A definite no: go back.
    Refused,
    /// Not known, or not now: the next plan goes on.
    Open,
}

/// What Okta shows of a deactivation that it took, after it refused to activate another hook.
enum Deactivation {
    /// It did not show yet, so the refusal may be due to it. It was waited for.
    Late,
    /// It shows: the refusal has another reason.
    Settled,
    /// Nobody knows: no call or no time was left to check or to wait, or the answer was lost.
    NotSeen,
}

impl Runner<'_> {
    pub(super) async fn swap(&mut self, from: &Subject, to: &ObjectRef, to_hook: Option<&HookId>) {
        match self.write(Verb::Deactivate, &from.object, Some(&from.hook), Purpose::Planned).await {
            Went::Well(_) | Went::Gone => {}
            Went::Refused => return self.other_first(from, to, to_hook).await,
            Went::Unclear => match self.status_of(from).await {
                Some(HookStatus::Inactive) => {}
                Some(_) => {
                    self.stopped = true;
                    return;
                }
                None => {
                    self.stopped = true;
                    self.put_back(from).await;
                    return;
                }
            },
            Went::NotNow(_) | Went::NotDone => {
                self.stopped = true;
                return;
            }
        }
        let mut up = self.bring_up(to, to_hook).await;
        if matches!(up, Up::Refused) {
            match self.deactivation(from).await {
                Deactivation::Late => {
                    // refused because of the one that was to be off by then
                    self.forget_refusal(to);
                    up = self.bring_up(to, to_hook).await;
                }
                // nobody knows why it was refused; the next plan has calls and time to find out
                Deactivation::NotSeen => self.forget_refusal(to),
                Deactivation::Settled => {}
            }
        }
        match up {
            Up::Yes => {}
            Up::Refused => {
                self.failed.insert(to.clone());
                self.put_back(from).await;
            }
            Up::Open => self.stopped = true,
        }
    }

    /// Whether calls are left to check what was to be off, for one more try, and for going back.
    fn has_calls_to_check(&self) -> bool {
        self.left() >= 3
    }

    /// Whether time is left to check what was to be off, and to go back.
    fn has_time_to_check(&self) -> bool {
        Instant::now() + self.budget.call * 2 <= self.ends
    }

    /// Whether time is left to wait for a late effect and to make two calls after it.
    fn has_time_to_wait(&self) -> bool {
        Instant::now() + LATE + self.budget.call * 2 <= self.ends
    }

    /// The active one is not to be switched off while it is the only one. An org may take the other one over from it, or let both
    /// be active for the moment until the first can be switched off.
    async fn other_first(&mut self, from: &Subject, to: &ObjectRef, to_hook: Option<&HookId>) {
        match self.bring_up(to, to_hook).await {
            Up::Yes => {}
            Up::Refused => {
                self.settle(&Went::Refused, Verb::Deactivate, &from.object);
                self.failed.insert(to.clone());
                return;
            }
            // the next plan sees which of them are active
            Up::Open => {
                self.failed.insert(to.clone());
                self.stopped = true;
                return;
            }
        }
        match self.status_of(from).await {
            Some(HookStatus::Inactive) => return,
            Some(HookStatus::Active) if self.has_time_to_wait() => {}
            _ => {
                self.stopped = true;
                return;
            }
        }
        // one that was taken over may show late
        sleep(LATE).await;
        let went = self.write(Verb::Deactivate, &from.object, Some(&from.hook), Purpose::Planned).await;
        self.settle(&went, Verb::Deactivate, &from.object);
        let made =
            self.report.promised.iter().rev().find(|made| made.effect == Effect::Active && made.hook != from.hook);
        let made = to_hook.cloned().or_else(|| made.map(|made| made.hook.clone()));
        if let (Went::Refused, Some(hook)) = (went, made) {
            // both stay on: the one that was is kept, and what Okta refused is reported
            let undone = self.write(Verb::Deactivate, to, Some(&hook), Purpose::PutBack).await;
            self.settle(&undone, Verb::Deactivate, to);
            self.report.refused.push(RefusedChange { object: to.clone(), verb: Verb::Activate });
            self.failed.insert(to.clone());
        }
    }

    /// Whether Okta still shows as active what it said is off: its answers can be ahead of their effect. Waits then, once.
    async fn deactivation(&mut self, from: &Subject) -> Deactivation {
        if !self.has_calls_to_check() || !self.has_time_to_check() {
            return Deactivation::NotSeen;
        }
        match self.status_of(from).await {
            Some(HookStatus::Active) if self.has_time_to_wait() => {
                sleep(LATE).await;
                Deactivation::Late
            }
            Some(HookStatus::Inactive | HookStatus::Unreadable) => Deactivation::Settled,
            // it may be late, and nothing is active meanwhile: going back comes first
            Some(HookStatus::Active) | None => Deactivation::NotSeen,
        }
    }

    fn forget_refusal(&mut self, of: &ObjectRef) {
        self.report.refused.retain(|refused| refused.object != *of);
    }

    /// Activates (or creates) `to`, trying again after a 429, an unclear answer, or nobody there, while calls and time are left. Two calls stay
    /// reserved: going back, and the read-back.
    async fn bring_up(&mut self, to: &ObjectRef, to_hook: Option<&HookId>) -> Up {
        let mut hook = to_hook.cloned();
        loop {
            let verb = if hook.is_some() { Verb::Activate } else { Verb::Create };
            let wait = match self.write(verb, to, hook.as_ref(), Purpose::Planned).await {
                Went::Well(made)
                    if made.as_ref().is_some_and(|made| made.status == HookStatus::Inactive)
                        && verb == Verb::Create =>
                {
                    // Created, and not made active: one more call does it.
                    hook = made.map(|made| made.id);
                    Duration::ZERO
                }
                Went::Well(_) => return Up::Yes,
                Went::Refused => {
                    self.report.refused.push(RefusedChange { object: to.clone(), verb: Verb::Activate });
                    return Up::Refused;
                }
                Went::Gone => return Up::Refused,
                Went::NotNow(wait) => wait,
                Went::Unclear if verb == Verb::Create => match self.find_created(to).await {
                    Found::Active => return Up::Yes,
                    Found::Inactive(id) => {
                        hook = Some(id);
                        Duration::ZERO
                    }
                    Found::Absent => return Up::Refused,
                    Found::Unknown => return Up::Open,
                },
                Went::Unclear => Duration::ZERO,
                Went::NotDone => return Up::Open,
            };
            if self.left() < 2 || !(wait.is_zero() || self.pause(wait).await) {
                return Up::Open;
            }
        }
    }

    /// Activates what was active before. Tried again while calls and time are left, since nothing else would be active.
    pub(super) async fn put_back(&mut self, standing: &Subject) {
        loop {
            let went = self.write(Verb::Activate, &standing.object, Some(&standing.hook), Purpose::PutBack).await;
            let wait = match went {
                Went::Well(_) => return,
                Went::NotNow(wait) => wait,
                Went::Unclear => Duration::ZERO,
                // Refused: another one is active after all, or nothing helps. The next plan sees which.
                Went::Refused | Went::Gone | Went::NotDone => break,
            };
            if self.left() == 0 || !(wait.is_zero() || self.pause(wait).await) {
                break;
            }
        }
        self.stopped = true;
    }

    pub(super) async fn status_of(&mut self, what: &Subject) -> Option<HookStatus> {
        if self.left() == 0 {
            return None;
        }
        self.calls += 1;
        let begun = Instant::now();
        let answer = bounded(begun + self.budget.call, self.api.get(&what.hook)).await;
        let took = begun.elapsed();
        let entry = AuditEntry::of(Verb::Read, &what.object, Some(&what.hook), Purpose::Check, &answer, took);
        self.note(entry);
        answer.ok().map(|answer| answer.value.status)
    }

    /// Searches for a hook whose creation had no clear answer.
    async fn find_created(&mut self, object: &ObjectRef) -> Found {
        if self.left() == 0 || !self.read_back().await {
            return Found::Unknown;
        }
        let tag = self.desired.installation.tag(object);
        let hooks = self.report.observed.as_deref().unwrap_or_default();
        let hook = hooks.iter().find(|hook| {
            hook.headers.iter().any(|header| header.name.eq_ignore_ascii_case(&tag.name) && header.value == tag.value)
        });
        match hook.map(|hook| (hook.id.clone(), hook.status)) {
            Some((id, HookStatus::Active)) => {
                self.report.promise(id, Effect::Active);
                Found::Active
            }
            Some((id, _)) => Found::Inactive(id),
            None => Found::Absent,
        }
    }
}

enum Found {
    Active,
    Inactive(HookId),
    Absent,
    Unknown,
}
