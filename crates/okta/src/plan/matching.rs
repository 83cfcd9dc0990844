//! Which hook in Okta is which declared hook's, and what stands in the way.

use crate::drift::{Difference, Field, How, differences, same_uri};
use crate::owner_tag::Whose;
use crate::plan::desired::{Adoption, DesiredHook, DesiredOrg, NotTaken, Takeover};
use crate::plan::step::{Subject, Verb};
use crate::plan::verdict::Blocked;
use crate::types::{HookStatus, ObjectRef, ObservedHook};

/// A declared hook with what it has in Okta.
pub(super) struct Entry<'a> {
    pub(super) want: &'a DesiredHook,
    /// Its hook in Okta.
    pub(super) hook: Option<&'a ObservedHook>,
    /// The hook carries our tag. One that does not (to be adopted, or stripped of its tag) is tagged before anything else.
    pub(super) tagged: bool,
    /// What forbids to write its content or to create it.
    pub(super) block: Option<Blocked>,
    /// What a person is to put right, though the hook that it has goes on as it is.
    pub(super) wrong: Option<Blocked>,
    pub(super) drift: Vec<Difference>,
    /// An unfinished plan was to write its content: which secret Okta has is not known.
    pub(super) uncertain: bool,
    /// Further hooks with this object's tag.
    pub(super) surplus: Vec<&'a ObservedHook>,
}

impl Entry<'_> {
    /// It says nothing of who is to be active: its hook is another's by now, or is not its own yet.
    pub(super) fn is_silent(&self) -> bool {
        matches!(
            self.block,
            Some(Blocked::HandedOver { .. } | Blocked::TakeoverWaits { .. } | Blocked::TakeoverRefused(_))
        )
    }

    pub(super) fn status(&self) -> Option<HookStatus> {
        self.hook.map(|hook| hook.status)
    }

    pub(super) fn is_active(&self) -> bool {
        self.tagged && self.status() == Some(HookStatus::Active)
    }

    pub(super) fn subject(&self) -> Option<Subject> {
        self.hook.map(|hook| Subject { object: self.want.object.clone(), hook: hook.id.clone() })
    }
}

/// An org's hooks, matched.
pub(super) struct Matches<'a> {
    /// One for each declared hook, by object.
    pub(super) entries: Vec<Entry<'a>>,
    /// Hooks that are nobody's here: foreign, another installation's, orphans.
    pub(super) others: Vec<&'a ObservedHook>,
}

pub(super) fn match_hooks<'a>(observed: &'a [ObservedHook], desired: &'a DesiredOrg) -> Matches<'a> {
    let mut wants: Vec<&DesiredHook> = desired.hooks.iter().collect();
    wants.sort_by(|a, b| a.object.cmp(&b.object));
    let mut entries: Vec<Entry<'a>> = wants.into_iter().map(|want| by_mark(want, observed, desired)).collect();
    for index in 0..entries.len() {
        if entries[index].hook.is_none() && entries[index].block.is_none() {
            by_takeover(index, &mut entries, observed, desired);
        }
        if entries[index].hook.is_none() && entries[index].block.is_none() {
            by_memory_or_name(index, &mut entries, observed, desired);
        }
    }
    name_conflicts(&mut entries, observed, desired);
    for entry in &mut entries {
        if !entry.tagged && entry.hook.is_some() && entry.block.is_none() && entry.want.refused.contains(&Verb::Replace)
        {
            entry.block = Some(Blocked::UpdateRefused);
        }
        if !entry.tagged && entry.block.is_some() {
            // It cannot be tagged, so it stays another's.
            entry.hook = None;
        }
        entry.drift = drift(entry, desired);
    }
    let ours = |hook: &ObservedHook| {
        entries.iter().any(|entry| entry.hook.into_iter().chain(entry.surplus.iter().copied()).any(|h| h.id == hook.id))
    };
    let others = observed.iter().filter(|hook| !ours(hook)).collect();
    Matches { entries, others }
}

/// The hook with this object's tag. Of several: the remembered one, else the active one, else the lowest id.
fn by_mark<'a>(want: &'a DesiredHook, observed: &'a [ObservedHook], desired: &DesiredOrg) -> Entry<'a> {
    let to = handed_over_to(want, observed, desired);
    let mut tagged: Vec<&ObservedHook> = tagged(&want.object, observed, desired).filter(|_| to.is_none()).collect();
    tagged.sort_by_key(|hook| (want.known_id.as_ref() != Some(&hook.id), hook.status != HookStatus::Active, &hook.id));
    let mut tagged = tagged.into_iter();
    let hook = tagged.next();
    let wrong = circle(want, desired).map(Blocked::TakeoverRefused);
    Entry {
        want,
        hook,
        tagged: hook.is_some(),
        block: to
            .map(|to| Blocked::HandedOver { to: to.object.clone() })
            .or_else(|| wrong.clone().filter(|_| hook.is_none())),
        wrong,
        drift: Vec::new(),
        uncertain: uncertain(want, desired),
        surplus: tagged.collect(),
    }
}

/// The hooks with an object's tag.
fn tagged<'a>(
    object: &ObjectRef,
    observed: &'a [ObservedHook],
    desired: &DesiredOrg,
) -> impl Iterator<Item = &'a ObservedHook> {
    observed.iter().filter(move |hook| desired.installation.whose(hook) == Whose::Ours(object.clone()))
}

/// The object that takes over a hook from `want`, as soon as it can have it.
fn handed_over_to<'a>(
    want: &DesiredHook,
    observed: &[ObservedHook],
    desired: &'a DesiredOrg,
) -> Option<&'a DesiredHook> {
    let has_one = |taker: &DesiredHook| tagged(&taker.object, observed, desired).next().is_some();
    let takes = |taker: &DesiredHook| taker.takes_over() == Some(&want.object) && circle(taker, desired).is_none();
    desired.hooks.iter().find(|taker| takes(taker) && (taker.can_be_written() || has_one(taker)))
}

/// Why `want` takes nothing over, when that one it takes over from takes over from it, itself or by way of others.
fn circle(want: &DesiredHook, desired: &DesiredOrg) -> Option<NotTaken> {
    let from = want.takes_over()?;
    let of = |object: &ObjectRef| desired.hooks.iter().find(|hook| hook.object == *object)?.takes_over();
    let mut chain = std::iter::successors(Some(from), |object| of(object)).take(desired.hooks.len());
    chain.any(|object| *object == want.object).then(|| NotTaken::Circle { to: want.object.clone(), from: from.clone() })
}

/// Without a tagged hook: that of the object which it takes over. It is written in one call, tag, address and secret, and stays
/// as active as it was.
fn by_takeover<'a>(index: usize, entries: &mut [Entry<'a>], observed: &'a [ObservedHook], desired: &DesiredOrg) {
    let want = entries[index].want;
    let from = match &want.takeover {
        Some(Takeover::From(from)) if want.deleting.is_none() => from,
        Some(Takeover::Refused(why)) if want.deleting.is_none() => {
            entries[index].block = Some(Blocked::TakeoverRefused(why.clone()));
            return;
        }
        _ => return,
    };
    let Some(hook) = tagged(from, observed, desired).min_by_key(|hook| (hook.status != HookStatus::Active, &hook.id))
    else {
        // there is none, or it is taken over already
        return;
    };
    if want.can_be_written() {
        entries[index].hook = Some(hook);
    } else {
        entries[index].block = Some(Blocked::TakeoverWaits { hook: hook.id.clone(), from: from.clone() });
    }
}

/// Without a tagged hook: the remembered one that lost its tag, or one to adopt.
fn by_memory_or_name<'a>(index: usize, entries: &mut [Entry<'a>], observed: &'a [ObservedHook], desired: &DesiredOrg) {
    let want = entries[index].want;
    if want.deleting.is_some() {
        // Without our tag it is not ours to delete.
        return;
    }
    let remembered = observed.iter().find(|hook| want.known_id.as_ref() == Some(&hook.id));
    if let Some(hook) = remembered {
        match desired.installation.whose(hook) {
            Whose::Untagged => entries[index].hook = Some(hook),
            Whose::Ours(_) => {}
            Whose::Others { installation, .. } => {
                let installation = Some(installation);
                entries[index].block = Some(Blocked::AnotherInstallation { hook: hook.id.clone(), installation });
            }
            Whose::Unreadable => {
                entries[index].block = Some(Blocked::AnotherInstallation { hook: hook.id.clone(), installation: None });
            }
        }
    }
    if entries[index].hook.is_some() || entries[index].block.is_some() {
        return;
    }
    let Some(hook) = observed.iter().find(|hook| hook.name == want.name) else { return };
    let taken = |hook: &ObservedHook| entries.iter().any(|entry| entry.hook.is_some_and(|h| h.id == hook.id));
    let matches = hook.uri.as_deref().is_some_and(|uri| same_uri(uri, &want.uri));
    let free = match desired.installation.whose(hook) {
        Whose::Untagged => !taken(hook),
        // another namespace's is another tenant's, whether its object is there or not
        Whose::Ours(object) => {
            object.namespace == want.object.namespace && !desired.hooks.iter().any(|hook| hook.object == object)
        }
        Whose::Others { .. } | Whose::Unreadable => false,
    };
    if free && matches {
        match want.adoption {
            Adoption::IfMatches => entries[index].hook = Some(hook),
            Adoption::Never => entries[index].block = Some(Blocked::AdoptionNotAllowed { hook: hook.id.clone() }),
        }
    }
}

/// Names are unique in Okta: what would be refused is not tried.
fn name_conflicts(entries: &mut [Entry<'_>], observed: &[ObservedHook], desired: &DesiredOrg) {
    for index in 0..entries.len() {
        let entry = &entries[index];
        if entry.block.is_some() || entry.want.deleting.is_some() {
            continue;
        }
        let twin = entries.iter().find(|other| {
            other.want.object != entry.want.object
                && other.want.deleting.is_none()
                && !other.is_silent()
                && other.want.name == entry.want.name
        });
        let own = entry.hook.map(|hook| &hook.id);
        let holder = observed.iter().find(|hook| hook.name == entry.want.name && own != Some(&hook.id));
        let block = match (twin, holder) {
            (Some(twin), _) => Some(Blocked::SameNameDeclared { other: twin.want.object.clone() }),
            (None, Some(holder)) => Some(match desired.installation.whose(holder) {
                Whose::Others { installation, .. } => {
                    Blocked::AnotherInstallation { hook: holder.id.clone(), installation: Some(installation) }
                }
                _ => Blocked::NameTaken { hook: holder.id.clone() },
            }),
            (None, None) => None,
        };
        entries[index].block = block;
    }
}

fn uncertain(want: &DesiredHook, desired: &DesiredOrg) -> bool {
    desired.unfinished.as_ref().is_some_and(|plan| plan.writes_content(&want.object))
}

fn drift(entry: &Entry<'_>, desired: &DesiredOrg) -> Vec<Difference> {
    let Some(hook) = entry.hook else { return Vec::new() };
    let want = entry.want;
    let mut found = differences(hook, &want.content(&desired.installation));
    match &want.applied_fingerprint {
        Some(applied) if *applied == want.secret_fingerprint && !entry.uncertain => {}
        Some(_) => found.push(Difference { field: Field::Secret, how: How::Different }),
        None => found.push(Difference { field: Field::Secret, how: How::Missing }),
    }
    found
}
