//! Which hooks of an org are active. Okta documents that one is; an org that shows several is asked for by what is declared, so
//! that none is taken for a person's choice only because it is listed first. Pure.

use hookswitch_okta::{
    ObjectRef, ObservedHook,
    owner_tag::{InstallationTag, Whose},
    types::HookStatus,
};

/// The active hooks of an org.
#[derive(Debug)]
pub struct Active<'h>(Vec<(&'h ObservedHook, Whose)>);

impl<'h> Active<'h> {
    /// Those that Okta listed.
    #[must_use]
    pub fn of(observed: &'h [ObservedHook], installation: &InstallationTag) -> Self {
        let active = observed.iter().filter(|hook| hook.status == HookStatus::Active);
        Self(active.map(|hook| (hook, installation.whose(hook))).collect())
    }

    /// The one that Okta is taken to use, with its owner when it is ours: of several the one that is declared to be active.
    #[must_use]
    pub fn used(&self, is_declared: impl Fn(&ObjectRef) -> bool) -> Option<(&'h ObservedHook, Option<&ObjectRef>)> {
        let declared = |(_, whose): &&(_, Whose)| matches!(whose, Whose::Ours(owner) if is_declared(owner));
        let (hook, whose) = self.0.iter().find(declared).or_else(|| self.0.first())?;
        Some((hook, owner(whose)))
    }

    /// Whether the hook of an object is among them.
    #[must_use]
    pub fn has(&self, object: &ObjectRef) -> bool {
        self.owners().any(|owner| owner == object)
    }

    /// The objects whose hooks they are.
    pub fn owners(&self) -> impl Iterator<Item = &ObjectRef> {
        self.0.iter().filter_map(|(_, whose)| owner(whose))
    }

    /// The first that is not ours.
    #[must_use]
    pub fn others(&self) -> Option<&'h ObservedHook> {
        self.0.iter().find(|(_, whose)| owner(whose).is_none()).map(|(hook, _)| *hook)
    }
}

const fn owner(whose: &Whose) -> Option<&ObjectRef> {
    match whose {
        Whose::Ours(owner) => Some(owner),
        _ => None,
    }
}
