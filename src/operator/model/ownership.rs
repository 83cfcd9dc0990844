//! Who decides a hook's state: a switch that names it, else its own `spec.state`. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt as _;

use hookswitch_api::{HookState, HookSwitch, Repointed, SwitchMode, TelephonyHook};

/// Who decides a hook's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// No switch names it.
    Own,
    /// This switch, which has decided so; nothing while it has not, or is Disabled.
    Switch {
        /// Name of the switch.
        name: String,
        /// What it decided for this hook.
        state: Option<HookState>,
        /// A switch from one hook to another is under way.
        switching: bool,
    },
    /// It is undecided, and no call is made: why.
    Conflicting(String),
}

/// The hooks and switches of one namespace, and which of them name which: what is asked of one costs nothing for the others.
#[derive(Debug, Default)]
pub struct Declarations {
    switches: Vec<Arc<HookSwitch>>,
    hooks: BTreeMap<String, Arc<TelephonyHook>>,
    /// By hook, the indices of the switches that name it.
    naming: BTreeMap<String, Vec<usize>>,
}

impl Declarations {
    /// Of all hooks and switches of a namespace.
    #[must_use]
    pub fn of(
        hooks: impl IntoIterator<Item = Arc<TelephonyHook>>,
        switches: impl IntoIterator<Item = Arc<HookSwitch>>,
    ) -> Self {
        let switches: Vec<_> = switches.into_iter().collect();
        #[cfg(test)]
        tests::count_reads(switches.len());
        let mut naming: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, switch) in switches.iter().enumerate() {
            for hook in &switch.spec.hooks {
                let known = naming.entry(hook.name.clone()).or_default();
                if known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        Self { switches, hooks: hooks.into_iter().map(|hook| (hook.name_any(), hook)).collect(), naming }
    }

    /// The switches.
    #[must_use]
    pub fn switches(&self) -> &[Arc<HookSwitch>] {
        #[cfg(test)]
        tests::count_reads(self.switches.len());
        &self.switches
    }

    /// A hook.
    #[must_use]
    pub fn hook(&self, name: &str) -> Option<&Arc<TelephonyHook>> {
        #[cfg(test)]
        tests::count_reads(1);
        self.hooks.get(name)
    }

    /// The switches that name a hook.
    pub fn naming(&self, hook: &str) -> impl ExactSizeIterator<Item = &Arc<HookSwitch>> {
        self.naming.get(hook).map(Vec::as_slice).unwrap_or_default().iter().map(|at| &self.switches[*at])
    }

    /// The org of the hooks of a switch.
    #[must_use]
    pub fn org(&self, switch: &HookSwitch) -> Option<&str> {
        let mut hooks = switch.spec.hooks.iter().filter_map(|named| self.hooks.get(&named.name));
        hooks.find_map(|hook| Some(hook.spec.okta.as_ref()?.org_ref.name.as_str()))
    }
}

/// Who decides the state of `hook`.
#[must_use]
pub fn of(hook: &TelephonyHook, declared: &Declarations) -> Ownership {
    let name = hook.name_any();
    if let Some(why) = contradiction(hook, declared) {
        return Ownership::Conflicting(why);
    }
    let Some(switch) = declared.naming(&name).next() else { return Ownership::Own };
    if let Some(Invalid::Conflict(why)) = problem(switch, declared) {
        return Ownership::Conflicting(format!("HookSwitch {} cannot decide: {why}", switch.name_any()));
    }
    let status = switch.status.as_ref();
    let target = status.and_then(|status| status.target.as_deref());
    let decides = switch.spec.mode != Some(SwitchMode::Disabled);
    let chosen = |target: &str| switch.spec.repoints() || target == name;
    let of = |target: &str| if chosen(target) { HookState::Active } else { HookState::Inactive };
    let state = target.filter(|_| decides).map(of);
    let switching = status.is_some_and(|status| status.switching.is_some());
    Ownership::Switch { name: switch.name_any(), state, switching }
}

/// The other hook whose destination Okta is given for this one, by a switch that repoints it. When the switch goes, what it did
/// stays until somebody changes the hook.
#[must_use]
pub fn repointed(hook: &TelephonyHook, declared: &Declarations) -> Option<Repointed> {
    let name = hook.name_any();
    let status = hook.status.as_ref();
    let generation = hook.metadata.generation.unwrap_or_default();
    let mut naming = declared.naming(&name).peekable();
    let left = || status?.repointed.clone().filter(|repointed| repointed.generation == generation);
    if naming.peek().is_none() {
        return left();
    }
    let switch = naming.find(|switch| leads(switch, &name))?;
    match switch.status.as_ref().and_then(|status| status.target.clone()) {
        Some(to) => (to != name).then_some(Repointed { to, generation }),
        // what was before it stays until it decides
        None => left(),
    }
}

/// Whether the switch that may point a hook anywhere has not said yet where: until then nothing is written.
#[must_use]
pub fn is_undecided(hook: &TelephonyHook, declared: &Declarations) -> bool {
    let name = hook.name_any();
    let mut leading = declared.naming(&name).filter(|switch| leads(switch, &name));
    leading.any(|switch| switch.status.as_ref().is_none_or(|status| status.target.is_none()))
}

/// Whether a switch repoints this hook: it is the one in Okta.
fn leads(switch: &HookSwitch, hook: &str) -> bool {
    switch.spec.repoints() && switch.spec.hooks.first().is_some_and(|first| first.name == hook)
}

/// The hook that stands in Okta for one that a switch names.
#[must_use]
pub fn in_okta<'s>(switch: &'s HookSwitch, hook: &'s str) -> &'s str {
    let first = switch.spec.hooks.first().filter(|_| switch.spec.repoints());
    first.map_or(hook, |first| first.name.as_str())
}

/// What two declarations say of one hook that cannot both be.
fn contradiction(hook: &TelephonyHook, declared: &Declarations) -> Option<String> {
    let name = hook.name_any();
    let mut naming = declared.naming(&name).map(|switch| switch.name_any());
    match (naming.len(), naming.next()) {
        (0, _) | (_, None) => None,
        (1, Some(of)) => hook
            .spec
            .state
            .is_some()
            .then(|| format!("HookSwitch {of} decides the state of this hook; remove spec.state.")),
        (_, Some(first)) => {
            let all: Vec<String> = std::iter::once(first).chain(naming).collect();
            Some(format!("The HookSwitches {} all name this hook; only one may.", all.join(" and ")))
        }
    }
}

/// Whether a switch names a hook.
#[must_use]
pub fn names(switch: &HookSwitch, hook: &str) -> bool {
    switch.spec.hooks.iter().any(|named| named.name == hook)
}

/// What keeps a switch from deciding anything, for the person who wrote it.
#[must_use]
pub fn problem(switch: &HookSwitch, declared: &Declarations) -> Option<Invalid> {
    let mut orgs = BTreeSet::new();
    for named in &switch.spec.hooks {
        let Some(hook) = declared.hook(&named.name) else {
            return Some(Invalid::NoHook(format!("TelephonyHook {} does not exist.", named.name)));
        };
        match (&hook.spec.okta, in_okta(switch, &named.name) == named.name) {
            (Some(okta), true) => _ = orgs.insert(okta.org_ref.name.clone()),
            (None, true) => return Some(Invalid::Conflict(format!("TelephonyHook {} has no okta block.", named.name))),
            (Some(_), false) => {
                let why = "with strategy Repoint only the first hook has an okta block; remove spec.okta";
                return Some(Invalid::Conflict(format!("TelephonyHook {} has an okta block: {why}.", named.name)));
            }
            (None, false) => {}
        }
        if let Some(why) = contradiction(hook, declared) {
            return Some(Invalid::Conflict(format!("TelephonyHook {}: {why}", named.name)));
        }
    }
    let orgs: Vec<String> = orgs.into_iter().collect();
    (orgs.len() > 1).then(|| {
        Invalid::Conflict(format!(
            "The switch names hooks of several orgs: {}. Name hooks of one org only.",
            orgs.join(", ")
        ))
    })
}

/// What keeps a switch from deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// A hook is missing.
    NoHook(String),
    /// Declarations contradict each other.
    Conflict(String),
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    thread_local! {
        /// How many declarations this thread has read.
        pub(crate) static READS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn count_reads(at: usize) {
        READS.set(READS.get() + at);
    }

    fn hook(name: &str, org: &str, state: Option<&str>) -> Arc<TelephonyHook> {
        let mut hook = json!({"metadata": {"name": name, "namespace": "otp"}, "spec": {
            "target": {"gatewayRef": {"name": "main"}}, "okta": {"orgRef": {"name": org}, "name": name}}});
        if let Some(state) = state {
            hook["spec"]["state"] = json!(state);
        }
        Arc::new(serde_json::from_value(hook).unwrap())
    }

    fn switch(name: &str, hooks: [&str; 2], mode: &str, target: Option<&str>) -> Arc<HookSwitch> {
        let hooks = hooks.map(|hook| json!({"name": hook}));
        let switch = json!({"metadata": {"name": name, "namespace": "otp"}, "spec": {"hooks": hooks, "mode": mode},
            "status": {"target": target}});
        Arc::new(serde_json::from_value(switch).unwrap())
    }

    fn declared(hooks: &[Arc<TelephonyHook>], switches: &[Arc<HookSwitch>]) -> Declarations {
        Declarations::of(hooks.iter().cloned(), switches.iter().cloned())
    }

    #[test]
    fn a_switch_decides_for_the_hooks_it_names_and_nobody_else_may() {
        let switches = [switch("main", ["a", "b"], "Manual", Some("b"))];
        let hooks = [hook("a", "acme", None), hook("b", "acme", None), hook("c", "acme", Some("Active"))];
        let of = |hook: &TelephonyHook, switches: &[Arc<HookSwitch>]| super::of(hook, &declared(&hooks, switches));
        let by = |state| Ownership::Switch { name: "main".into(), state, switching: false };
        assert_eq!(of(&hook("a", "acme", None), &switches), by(Some(HookState::Inactive)));
        assert_eq!(of(&hook("b", "acme", None), &switches), by(Some(HookState::Active)));
        assert_eq!(of(&hook("c", "acme", Some("Active")), &switches), Ownership::Own);
        assert!(matches!(of(&hook("a", "acme", Some("Active")), &switches), Ownership::Conflicting(_)));
        let two = [switches[0].clone(), switch("other", ["b", "c"], "Manual", None)];
        assert!(matches!(of(&hook("b", "acme", None), &two), Ownership::Conflicting(_)));
        let undecided = [switch("main", ["a", "b"], "Manual", None)];
        assert_eq!(of(&hook("a", "acme", None), &undecided), by(None));
        let disabled = [switch("main", ["a", "b"], "Disabled", Some("a"))];
        assert_eq!(of(&hook("a", "acme", None), &disabled), by(None));
        // one hook's contradiction is the switch's, and so every hook's
        let conflicting = [hook("a", "acme", None), hook("b", "acme", Some("Active"))];
        assert!(matches!(super::of(&conflicting[0], &declared(&conflicting, &switches)), Ownership::Conflicting(_)));
    }

    #[test]
    fn a_switch_over_hooks_that_are_missing_conflicting_or_of_two_orgs_decides_nothing() {
        let main = switch("main", ["a", "b"], "Manual", None);
        let all = [main.clone()];
        let judge = |hooks: &[Arc<TelephonyHook>]| problem(&main, &declared(hooks, &all));
        assert_eq!(judge(&[hook("a", "acme", None), hook("b", "acme", None)]), None);
        assert!(matches!(judge(&[hook("a", "acme", None)]), Some(Invalid::NoHook(_))));
        assert!(matches!(judge(&[hook("a", "acme", None), hook("b", "other", None)]), Some(Invalid::Conflict(_))));
        assert!(matches!(
            judge(&[hook("a", "acme", None), hook("b", "acme", Some("Active"))]),
            Some(Invalid::Conflict(_))
        ));
    }
    #[test]
    fn a_switch_that_repoints_gives_its_one_hook_another_destination_and_what_it_did_outlives_it() {
        let target = |name: &str| {
            let hook = json!({"metadata": {"name": name, "namespace": "otp"}, "spec": {
                "target": {"gatewayRef": {"name": name}}}});
            Arc::new(serde_json::from_value::<TelephonyHook>(hook).unwrap())
        };
        let on = |to: &str| {
            let mut switch = (*switch("main", ["a", "b"], "Automatic", Some(to))).clone();
            switch.spec.strategy = Some(hookswitch_api::SwitchStrategy::Repoint);
            [Arc::new(switch)]
        };
        let (first, second) = (hook("a", "acme", None), target("b"));
        let to = |repointed: Option<Repointed>| repointed.map(|repointed| repointed.to);
        let repointed = |hook: &TelephonyHook, switches: &[_]| super::repointed(hook, &declared(&[], switches));
        let is_undecided = |hook: &TelephonyHook, switches: &[_]| super::is_undecided(hook, &declared(&[], switches));
        assert_eq!(to(repointed(&first, &on("a"))), None);
        assert_eq!(to(repointed(&first, &on("b"))), Some("b".into()));
        assert_eq!(to(repointed(&second, &on("b"))), None, "only the hook in Okta is pointed anywhere");
        for name in ["a", "b"] {
            let ownership = of(&first, &declared(&[Arc::clone(&first), Arc::clone(&second)], &on(name)));
            let active = Some(HookState::Active);
            assert_eq!(ownership, Ownership::Switch { name: "main".into(), state: active, switching: false });
        }
        assert_eq!(problem(&on("a")[0], &declared(&[Arc::clone(&first), second], &on("a"))), None);
        let two = [Arc::clone(&first), hook("b", "acme", None)];
        assert!(matches!(problem(&on("a")[0], &declared(&two, &on("a"))), Some(Invalid::Conflict(_))));

        let mut left = (*first).clone();
        let status =
            hookswitch_api::TelephonyHookStatus { repointed: repointed(&first, &on("b")), ..Default::default() };
        left.status = Some(status);
        assert_eq!(to(repointed(&left, &[])), Some("b".into()), "the switch is gone, and nothing changes in Okta");
        let mut undecided = (*on("b")[0]).clone();
        undecided.status = None;
        let undecided = [Arc::new(undecided)];
        assert_eq!(to(repointed(&left, &undecided)), Some("b".into()), "another switch that has decided nothing yet");
        assert!(is_undecided(&left, &undecided) && !is_undecided(&left, &on("b")) && !is_undecided(&left, &[]));
        left.metadata.generation = Some(2);
        assert_eq!(to(repointed(&left, &[])), None, "somebody changed the hook");
    }
}
