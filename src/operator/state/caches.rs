//! Our resources, as last seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use crate::operator::{
    model::{
        ownership::Declarations,
        switch_settings,
        urgency::{self, Urgency},
    },
    runtime::{
        cache::{Index, Kept},
        status::Conditions,
        triggers::Target,
    },
};
use hookswitch_api::{
    HookSwitch, HookSwitchStatus, Kind, NameRef, OktaOrg, OktaOrgStatus, RoutingPolicy, RoutingPolicyStatus,
    SwitchMode, TelephonyGateway, TelephonyGatewayStatus, TelephonyHook, TelephonyHookStatus, TelephonyProvider,
    TelephonyProviderStatus,
};

/// The kinds whose objects a decision about a switch is made from.
pub const SWITCH_READS: &[Kind] = &[Kind::HookSwitch, Kind::TelephonyHook, Kind::OktaOrg, Kind::TelephonyGateway];

/// By what objects of a namespace are found besides their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The `OktaOrg` that a hook is in.
    Org(String),
    /// The gateway that a hook points at.
    Gateway(String),
    /// The hook whose destination a switch gave this one in Okta.
    PointedAt(String),
    /// A hook that a switch names.
    Hook(String),
}

impl Kept for OktaOrg {
    type By = By;
}

impl Kept for TelephonyGateway {
    type By = By;
}

impl Kept for TelephonyProvider {
    type By = By;
}

impl Kept for RoutingPolicy {
    type By = By;
}

impl Kept for TelephonyHook {
    type By = By;

    fn found_by(&self) -> Vec<By> {
        let org = self.spec.okta.as_ref().map(|okta| By::Org(okta.org_ref.name.clone()));
        let gateway = self.spec.target.gateway().map(|gateway| By::Gateway(gateway.to_owned()));
        let pointed = self.status.as_ref().and_then(|status| status.repointed.as_ref());
        let pointed = pointed.map(|repointed| By::PointedAt(repointed.to.clone()));
        org.into_iter().chain(gateway).chain(pointed).collect()
    }
}

impl Kept for HookSwitch {
    type By = By;

    fn found_by(&self) -> Vec<By> {
        self.spec.hooks.iter().map(|named| By::Hook(named.name.clone())).collect()
    }
}

/// Our resources, as last seen.
#[derive(Debug, Clone)]
pub struct Caches {
    /// `OktaOrg`
    pub orgs: Index<OktaOrg>,
    /// `TelephonyHook`
    pub hooks: Index<TelephonyHook>,
    /// `TelephonyGateway`
    pub gateways: Index<TelephonyGateway>,
    /// `TelephonyProvider`
    pub providers: Index<TelephonyProvider>,
    /// `RoutingPolicy`
    pub policies: Index<RoutingPolicy>,
    /// `HookSwitch`
    pub switches: Index<HookSwitch>,
}

impl Caches {
    /// The hooks and switches of a namespace.
    #[must_use]
    pub fn declarations(&self, namespace: &str) -> Declarations {
        Declarations::of(self.hooks.in_namespace(namespace), self.switches.in_namespace(namespace))
    }

    /// The switches that name a hook.
    #[must_use]
    pub fn naming(&self, namespace: &str, hook: &str) -> Vec<Arc<HookSwitch>> {
        self.switches.found(namespace, &By::Hook(hook.to_owned()))
    }

    /// What has a say about these hooks: the switches that name them, all hooks that those name or that Okta was pointed at for
    /// them, and whatever else names those.
    #[must_use]
    pub fn about<'h>(&self, namespace: &str, hooks: impl IntoIterator<Item = &'h str>) -> Declarations {
        let mut names: BTreeSet<String> = hooks.into_iter().map(str::to_owned).collect();
        let naming = |names: &BTreeSet<String>| -> BTreeMap<String, Arc<HookSwitch>> {
            let switches = names.iter().flat_map(|name| self.naming(namespace, name));
            switches.map(|switch| (switch.name_any(), switch)).collect()
        };
        let deciding = naming(&names);
        names.extend(deciding.values().flat_map(|switch| switch.spec.hooks.iter().map(|named| named.name.clone())));
        // one that is not named any more may still be where Okta is to send
        names.extend(deciding.values().filter_map(|switch| switch.status.as_ref()?.target.clone()));
        let mut found: BTreeMap<String, Arc<TelephonyHook>> = BTreeMap::new();
        let mut pointed = BTreeSet::new();
        for hook in names.iter().filter_map(|name| self.hooks.get(namespace, name)) {
            let status = hook.status.as_ref();
            pointed.extend(status.and_then(|status| status.repointed.as_ref()).map(|repointed| repointed.to.clone()));
            found.insert(hook.name_any(), hook);
        }
        let pointed = pointed.iter().filter_map(|name| self.hooks.get(namespace, name));
        found.extend(pointed.map(|hook| (hook.name_any(), hook)).collect::<Vec<_>>());
        Declarations::of(found.into_values(), naming(&names).into_values())
    }

    /// The hooks and switches of each namespace that has a switch, where all that a switch is decided from was listed.
    #[must_use]
    pub fn all_declarations(&self, is_listed: impl Fn(&str) -> bool) -> BTreeMap<String, Declarations> {
        let mut namespaces: BTreeMap<String, (Vec<_>, Vec<_>)> = BTreeMap::new();
        for switch in self.switches.all() {
            let namespace = switch.namespace().unwrap_or_default();
            if is_listed(&namespace) {
                namespaces.entry(namespace).or_default().1.push(switch);
            }
        }
        for hook in self.hooks.all() {
            if let Some((hooks, _)) = namespaces.get_mut(&hook.namespace().unwrap_or_default()) {
                hooks.push(hook);
            }
        }
        let of = |(namespace, (hooks, switches))| (namespace, Declarations::of(hooks, switches));
        namespaces.into_iter().map(of).collect()
    }

    /// The org of the hooks of a switch.
    #[must_use]
    pub fn org(&self, switch: &HookSwitch) -> Option<String> {
        let namespace = switch.namespace().unwrap_or_default();
        let org = |hook: &NameRef| {
            let hook = self.hooks.get(&namespace, &hook.name)?;
            hook.spec.okta.as_ref().map(|okta| okta.org_ref.name.clone())
        };
        switch.spec.hooks.iter().find_map(org)
    }

    /// The org in which a hook counts: its own, or that of the hook which a switch may point at it.
    #[must_use]
    pub fn org_of(&self, hook: &TelephonyHook) -> Option<Target> {
        let namespace = hook.namespace().unwrap_or_default();
        let own = || hook.spec.okta.as_ref().map(|okta| okta.org_ref.name.clone());
        let of_switch = || self.naming(&namespace, &hook.name_any()).iter().find_map(|switch| self.org(switch));
        own().or_else(of_switch).map(|org| Target::new(Kind::OktaOrg, &namespace, org))
    }

    /// The switches over the hooks of a gateway.
    #[must_use]
    pub fn over(&self, namespace: &str, gateway: &str) -> Vec<Target> {
        let hooks = self.hooks.found(namespace, &By::Gateway(gateway.to_owned()));
        let over = hooks.iter().flat_map(|hook| self.naming(namespace, &hook.name_any()));
        let over: BTreeSet<String> = over.map(|switch| switch.name_any()).collect();
        over.into_iter().map(|switch| Target::new(Kind::HookSwitch, namespace, switch)).collect()
    }

    /// The gateway that serves a hook, as it is known now.
    #[must_use]
    pub fn gateway_of(&self, hook: &TelephonyHook) -> Option<Arc<TelephonyGateway>> {
        self.gateways.get(&hook.namespace().unwrap_or_default(), hook.spec.target.gateway()?)
    }

    /// The hook in Okta that was pointed at the destination of this one.
    #[must_use]
    pub fn pointed_here(&self, hook: &TelephonyHook) -> Option<Arc<TelephonyHook>> {
        let pointed = By::PointedAt(hook.name_any());
        self.hooks.found(&hook.namespace().unwrap_or_default(), &pointed).into_iter().next()
    }

    /// The gateways that a switch's hooks point at.
    fn gateways(&self, switch: &HookSwitch) -> Vec<(String, String)> {
        let namespace = switch.namespace().unwrap_or_default();
        let hooks = switch.spec.hooks.iter().filter_map(|named| self.hooks.get(&namespace, &named.name));
        hooks.filter_map(|hook| Some((namespace.clone(), hook.spec.target.gateway()?.to_owned()))).collect()
    }

    /// How often the switches over the hooks of each gateway read what it reports: the shortest of their intervals. One that
    /// decides nothing reads nothing.
    #[must_use]
    pub fn intervals(&self) -> BTreeMap<(String, String), Duration> {
        let mut intervals = BTreeMap::new();
        for switch in self.switches.all().iter().filter(|switch| switch.spec.mode != Some(SwitchMode::Disabled)) {
            let interval = switch_settings::of(&switch.spec).interval;
            for gateway in self.gateways(switch) {
                intervals
                    .entry(gateway)
                    .and_modify(|known: &mut Duration| *known = interval.min(*known))
                    .or_insert(interval);
            }
        }
        intervals
    }

    /// How urgent the most urgent switch of an org is.
    #[must_use]
    pub fn urgency_of(&self, namespace: &str, org: &str) -> Urgency {
        let hooks = self.hooks.found(namespace, &By::Org(org.to_owned()));
        let names: Vec<String> = hooks.iter().map(|hook| hook.name_any()).collect();
        let declared = self.about(namespace, names.iter().map(String::as_str));
        urgency::by_org(&declared).remove(org).unwrap_or(Urgency::AtRest)
    }
}

macro_rules! conditions {
    ($($status:ty),+) => { $(impl Conditions for $status {
        fn conditions(&self) -> &[Condition] { &self.conditions }
        fn conditions_mut(&mut self) -> &mut Vec<Condition> { &mut self.conditions }
    })+ };
}
conditions!(
    HookSwitchStatus,
    OktaOrgStatus,
    RoutingPolicyStatus,
    TelephonyGatewayStatus,
    TelephonyHookStatus,
    TelephonyProviderStatus
);
