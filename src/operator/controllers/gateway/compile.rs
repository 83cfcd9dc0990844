//! From resources to the gateway's configuration. Pure.
//!
//! Good configuration survives bad: what an object asks for and cannot have is reported as a [`ConfigProblem`] of that object, and
//! what the previous configuration had in its place serves on. The parts that are kept or replaced whole are a provider, a
//! hook, the times, and the rules of one policy; a rule is never taken apart, because half a rule routes where nobody wanted
//! it. What comes out is free of [`check::faults`] but for those of the report and the proxy, which no object declares.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use hookswitch_api::{OnAmbiguous as Declared, RoutingPolicySpec, RoutingRule, TelephonyGatewaySpec};
use hookswitch_gateway_config::{
    check::{self, DEFAULT_TIMING, Judges},
    document::{
        ABSENT, Action, GatewayConfig, HookConfig, HookCredential, Match, OnAmbiguous, ProviderConfig, Report, Rule,
        Timing,
    },
    report::{MAX_HOOKS, MAX_PROVIDERS},
};
use hookswitch_message::Secret;

/// The most policies a gateway routes by.
pub const MAX_POLICIES: usize = 16;

/// The place of rules whose policy is gone, when the release that wrote them did not say theirs.
const DEFAULT_PRIORITY: i32 = 100;

/// The most secrets of one hook that are valid at once: what is declared, what Okta has, and what was between. A call to Okta
/// without a clear end may have brought any of these there.
pub const MAX_SECRETS: usize = 8;

/// How long an older secret stays valid once Okta has the new one.
pub const OVERLAP_S: i64 = 600;

/// All that a configuration is compiled from; references are resolved.
#[derive(Debug)]
pub struct Input<'a> {
    /// `<namespace>/<name>` of the gateway.
    pub gateway: String,
    /// Its generation.
    pub generation: i64,
    /// Its spec.
    pub spec: &'a TelephonyGatewaySpec,
    /// The policies it names or selects, by name; `None` for one that does not exist.
    pub policies: BTreeMap<String, Option<&'a RoutingPolicySpec>>,
    /// Providers of the namespace by name, or what is wrong with them, for people.
    pub providers: BTreeMap<String, Result<ProviderConfig, String>>,
    /// Hooks that target the gateway, or what is wrong with them. Each has the one secret that is declared now.
    pub hooks: BTreeMap<String, Result<HookConfig, String>>,
    /// What Okta has of them; of one that is not here that is not known.
    pub in_okta: BTreeMap<String, KnownInOkta>,
    /// Seconds since 1970.
    pub now: i64,
    /// Credentials of the report.
    pub report: Report,
    /// Private ranges that the installation allows.
    pub allowed_cidrs: Vec<IpNet>,
    /// The installation's proxy.
    pub proxy: Option<Secret<String>>,
    /// What is called without it.
    pub proxy_exceptions: Vec<String>,
    /// PEM certificates that the installation trusts besides the public ones.
    pub extra_roots: Option<String>,
}

/// What Okta calls a hook with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownInOkta {
    /// Nothing: the hook is not in Okta, and whoever else calls it is known by its declaration.
    Nothing,
    /// This, by Okta's last definite answer.
    Has(HookCredential),
}

/// The kind of object a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The gateway itself.
    Gateway(ConfigSubject),
    /// A `RoutingPolicy`.
    Policy,
    /// A `TelephonyProvider`.
    Provider,
    /// A `TelephonyHook`.
    Hook,
}

/// What of a gateway a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSubject {
    /// A policy that it names does not exist, or its selector matches none.
    NoPolicy,
    /// It selects more policies than it can have.
    TooManyPolicies,
    /// More hooks point at it than it can have.
    TooManyHooks,
    /// Its rules send by more providers than it can have.
    TooManyProviders,
    /// Its times do not fit together.
    Timing,
}

/// What an object asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Kind of the object.
    pub at: At,
    /// Its name.
    pub name: String,
    /// What is wrong, for people.
    pub message: String,
    /// Whether the previous configuration's part serves on in its place.
    pub kept: bool,
}

/// A configuration and what could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The configuration.
    pub config: GatewayConfig,
    /// Problems, sorted by object.
    pub problems: Vec<ConfigProblem>,
}

/// Compiles a configuration. The same input gives the same output, whatever the order in which objects were read.
#[must_use]
pub fn compile(previous: Option<&GatewayConfig>, mut input: Input<'_>, judges: &Judges) -> Compiled {
    let mut problems = Vec::new();
    let sound = previous.map(|previous| sound(previous, judges));
    let previous = sound.as_ref();
    for provider in input.providers.values_mut() {
        if let Err(what) = provider.as_ref().map_or(Ok(()), judges.provider) {
            *provider = Err(what);
        }
    }
    let rules = rules(previous, &input, &mut problems);
    let providers = providers(previous, &input, &rules, &mut problems);
    let hooks = hooks(previous, &input, &mut problems);
    let timing = timing(previous, &input, &mut problems);
    problems.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    problems.dedup();
    let spec = input.spec;
    let config = GatewayConfig {
        gateway: input.gateway,
        generation: input.generation,
        timing,
        on_ambiguous: match spec.on_ambiguous.unwrap_or_default() {
            Declared::Continue => OnAmbiguous::Continue,
            Declared::Stop => OnAmbiguous::Stop,
        },
        default_region: spec.default_region,
        allowed_cidrs: input.allowed_cidrs,
        proxy: input.proxy,
        proxy_exceptions: input.proxy_exceptions,
        extra_roots: input.extra_roots,
        replicas: u32::try_from(spec.replicas()).unwrap_or(1).max(1),
        report: input.report,
        hooks,
        providers,
        rules,
    };
    Compiled { config, problems }
}

/// What of a configuration can serve on: a part that is at fault today, by whichever release it was written, cannot.
fn sound(previous: &GatewayConfig, judges: &Judges) -> GatewayConfig {
    let mut sound = previous.clone();
    sound.hooks.retain(|_, hook| check::hook(hook).is_ok());
    sound.providers.retain(|_, provider| (judges.provider)(provider).is_ok());
    sound
}

/// The times that are declared; while they do not fit together, those that did.
fn timing(previous: Option<&GatewayConfig>, input: &Input<'_>, problems: &mut Vec<ConfigProblem>) -> Timing {
    let (spec, millis) = (input.spec, hookswitch_api::Duration::millis);
    let attempts = spec.attempts.clone().unwrap_or_default();
    let declared = Timing {
        deadline_ms: spec.deadline.map_or(DEFAULT_TIMING.deadline_ms, millis),
        proxy_allowance_ms: spec.proxy_allowance.map_or(DEFAULT_TIMING.proxy_allowance_ms, millis),
        attempt_floor_ms: attempts.floor.map_or(DEFAULT_TIMING.attempt_floor_ms, millis),
        max_attempts: attempts.max.unwrap_or(DEFAULT_TIMING.max_attempts),
    };
    let Err(what) = check::timing(&declared) else { return declared };
    let before = previous.map(|previous| previous.timing).filter(|before| check::timing(before).is_ok());
    let message = if before.is_some() { what } else { format!("{what}. Until then the defaults are in force") };
    let at = At::Gateway(ConfigSubject::Timing);
    problems.push(ConfigProblem { at, name: input.gateway.clone(), message, kept: before.is_some() });
    before.unwrap_or(DEFAULT_TIMING)
}

/// The providers that there is no room for. Those that serve already have theirs; others by the order of the rules that send
/// by them.
fn left_out(
    previous: Option<&GatewayConfig>,
    input: &Input<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> BTreeSet<String> {
    let mut policies: Vec<_> = input.policies.iter().filter_map(|(name, spec)| Some(((*spec)?, name))).collect();
    policies.sort_by_key(|(spec, name)| (spec.priority(), *name));
    let sends = policies.iter().flat_map(|(spec, _)| &spec.rules).filter_map(|rule| rule.send.as_ref());
    let named = sends.flat_map(|send| &send.providers).map(|provider| &provider.name);
    let wanted: Vec<&String> = named.filter(|name| available(previous, input, name)).collect();
    let serves = |name: &String| previous.is_some_and(|previous| previous.providers.contains_key(name));
    let mut within: BTreeSet<&String> = wanted.iter().copied().filter(|name| serves(name)).collect();
    let mut left_out = BTreeSet::new();
    for name in wanted {
        if within.len() < MAX_PROVIDERS {
            within.insert(name);
        } else if !within.contains(name) {
            left_out.insert(name.clone());
        }
    }
    if !left_out.is_empty() {
        let message = format!(
            "its rules use {} providers; a gateway can have at most {MAX_PROVIDERS}. Without {}: name fewer, or move some of its \
             policies to another TelephonyGateway",
            within.len() + left_out.len(),
            listed(&left_out)
        );
        let at = At::Gateway(ConfigSubject::TooManyProviders);
        problems.push(ConfigProblem { at, name: input.gateway.clone(), message, kept: false });
    }
    left_out
}

/// Some names, for people.
fn listed(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// The rules of all policies, ordered by priority and then by name.
fn rules(previous: Option<&GatewayConfig>, input: &Input<'_>, problems: &mut Vec<ConfigProblem>) -> Vec<Rule> {
    let whole = if input.policies.len() > MAX_POLICIES {
        let message =
            format!("{} policies are selected; a gateway can have at most {MAX_POLICIES}", input.policies.len());
        Some((ConfigSubject::TooManyPolicies, message))
    } else if input.policies.is_empty() {
        let message = "no RoutingPolicy has the labels of the selector".to_owned();
        Some((ConfigSubject::NoPolicy, message))
    } else {
        None
    };
    if let Some((about, message)) = whole {
        let kept = previous.is_some();
        problems.push(ConfigProblem { at: At::Gateway(about), name: input.gateway.clone(), message, kept });
        let rules = previous.map(|previous| previous.rules.clone()).unwrap_or_default();
        return as_far_as_there(rules, |provider| remembered(previous, input, provider));
    }
    let left_out = left_out(previous, input, problems);
    let mut ordered: Vec<(i32, &String, Vec<Rule>)> = Vec::new();
    for (name, spec) in &input.policies {
        let before = rules_of(previous, name);
        let Some(spec) = spec else {
            let message = format!("RoutingPolicy {name} does not exist");
            let at = At::Gateway(ConfigSubject::NoPolicy);
            problems.push(ConfigProblem { at, name: input.gateway.clone(), message, kept: !before.is_empty() });
            let priority = before.first().and_then(|rule| rule.priority).unwrap_or(DEFAULT_PRIORITY);
            let kept = as_far_as_there(before, |provider| remembered(previous, input, provider));
            ordered.push((priority, name, kept));
            continue;
        };
        let now: Vec<Rule> = spec.rules.iter().map(|rule| translate(name, spec.priority(), rule)).collect();
        let is_there = |provider: &str| available(previous, input, provider) && !left_out.contains(provider);
        let Some(wrong) = wrong_with(&now, is_there) else {
            ordered.push((spec.priority(), name, now));
            continue;
        };
        let usable = !before.is_empty() && wrong_with(&before, is_there).is_none();
        let rules = if usable { before } else { as_far_as_there(now, is_there) };
        let failing =
            rules.iter().filter(|rule| sent_by(std::slice::from_ref(*rule)).any(|provider| provider == ABSENT));
        let failing: Vec<&str> = failing.map(|rule| rule.name.as_str()).collect();
        let message = if failing.is_empty() {
            wrong
        } else {
            format!("{wrong}; these rules have no provider left and answer FAILED: {}", failing.join(", "))
        };
        problems.push(ConfigProblem { at: At::Policy, name: name.clone(), message, kept: usable });
        ordered.push((spec.priority(), name, rules));
    }
    ordered.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    ordered.into_iter().flat_map(|(_, _, rules)| rules).collect()
}

/// What keeps rules from being served as they are.
fn wrong_with(rules: &[Rule], is_there: impl Fn(&str) -> bool) -> Option<String> {
    let missing: BTreeSet<&str> = sent_by(rules).filter(|provider| !is_there(provider)).collect();
    if !missing.is_empty() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        return Some(format!("rules name providers that cannot be used: {names}"));
    }
    let invalid = |rule: &&Rule| match &rule.action {
        Action::Send(providers) if providers.is_empty() => true,
        Action::Send(_) | Action::Deny => !rule.matches.prefixes.iter().all(|prefix| check::is_prefix(prefix)),
    };
    let invalid: Vec<&str> = rules.iter().filter(invalid).map(|rule| rule.name.as_str()).collect();
    (!invalid.is_empty())
        .then(|| format!("rules name no provider or a prefix that no number begins with: {}", invalid.join(", ")))
}

/// With nothing to fall back to, rules keep the providers that are there. One that is left with none still matches: its
/// calls are answered FAILED, instead of going where the next rule says. A prefix that no number begins with is left out,
/// and a rule with it that has no other.
fn as_far_as_there(mut rules: Vec<Rule>, is_there: impl Fn(&str) -> bool) -> Vec<Rule> {
    rules.retain_mut(|rule| {
        let prefixes = &mut rule.matches.prefixes;
        let anywhere = prefixes.is_empty();
        prefixes.retain(|prefix| check::is_prefix(prefix));
        anywhere || !prefixes.is_empty()
    });
    for rule in &mut rules {
        let Action::Send(providers) = &mut rule.action else { continue };
        providers.retain(|provider| is_there(provider));
        if providers.is_empty() {
            providers.push(ABSENT.to_owned());
        }
    }
    rules
}

fn rules_of(previous: Option<&GatewayConfig>, policy: &str) -> Vec<Rule> {
    previous.iter().flat_map(|previous| &previous.rules).filter(|rule| rule.policy == policy).cloned().collect()
}

fn sent_by(rules: &[Rule]) -> impl Iterator<Item = &str> {
    rules
        .iter()
        .flat_map(|rule| match &rule.action {
            Action::Send(providers) => providers.as_slice(),
            Action::Deny => &[],
        })
        .map(String::as_str)
}

/// Whether a provider can be in the configuration: it is in order, or its object still exists and it was in order.
fn available(previous: Option<&GatewayConfig>, input: &Input<'_>, provider: &str) -> bool {
    match input.providers.get(provider) {
        Some(Ok(_)) => true,
        Some(Err(_)) => previous.is_some_and(|previous| previous.providers.contains_key(provider)),
        None => false,
    }
}

/// Whether rules that serve on without their policy can send by a provider: its object may be gone too.
fn remembered(previous: Option<&GatewayConfig>, input: &Input<'_>, provider: &str) -> bool {
    available(previous, input, provider) || previous.is_some_and(|previous| previous.providers.contains_key(provider))
}

fn translate(policy: &str, priority: i32, rule: &RoutingRule) -> Rule {
    let matches = rule.matches.clone().unwrap_or_default();
    Rule {
        policy: policy.to_owned(),
        name: rule.name.clone(),
        priority: Some(priority),
        matches: Match {
            countries: matches.countries,
            prefixes: matches.prefixes,
            channels: matches.channels,
            request_types: matches.request_types,
        },
        action: match &rule.send {
            Some(send) => Action::Send(send.providers.iter().map(|provider| provider.name.clone()).collect()),
            None => Action::Deny,
        },
        critical: rule.critical == Some(true),
    }
}

/// The providers that rules send by.
fn providers(
    previous: Option<&GatewayConfig>,
    input: &Input<'_>,
    rules: &[Rule],
    problems: &mut Vec<ConfigProblem>,
) -> BTreeMap<String, ProviderConfig> {
    let mut chosen = BTreeMap::new();
    for name in sent_by(rules).collect::<BTreeSet<_>>() {
        if name == ABSENT {
            chosen.insert(name.to_owned(), ProviderConfig::absent());
            continue;
        }
        let before = previous.and_then(|previous| previous.providers.get(name));
        let provider = match input.providers.get(name) {
            Some(Ok(provider)) => Some(provider),
            Some(Err(message)) => {
                problems.push(ConfigProblem {
                    at: At::Provider,
                    name: name.to_owned(),
                    message: message.clone(),
                    kept: before.is_some(),
                });
                before
            }
            // Rules of a missing policy can name a provider whose object is gone too.
            None => before,
        };
        if let Some(provider) = provider {
            chosen.insert(name.to_owned(), provider.clone());
        }
    }
    chosen
}

/// The hooks that point at the gateway. Those that are served already have their place; others while there is room.
fn hooks(
    previous: Option<&GatewayConfig>,
    input: &Input<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> BTreeMap<String, HookConfig> {
    let known = |name: &String| previous.and_then(|previous| previous.hooks.get(name));
    let (mut chosen, mut left_out) = (BTreeMap::new(), BTreeSet::new());
    let mut room = MAX_HOOKS.saturating_sub(input.hooks.keys().filter(|name| known(name).is_some()).count());
    for (name, hook) in &input.hooks {
        let before = known(name);
        let judged = hook.as_ref().map_err(Clone::clone).and_then(|hook| check::hook(hook).map(|()| hook));
        match judged {
            Ok(_) if before.is_none() && room == 0 => _ = left_out.insert(name.clone()),
            Ok(hook) => {
                room -= usize::from(before.is_none());
                chosen.insert(name.clone(), overlapping(before, hook, input.in_okta.get(name), input.now));
            }
            Err(message) => {
                problems.push(ConfigProblem { at: At::Hook, name: name.clone(), message, kept: before.is_some() });
                chosen.extend(before.map(|before| (name.clone(), before.clone())));
            }
        }
    }
    if !left_out.is_empty() {
        let message = format!(
            "{} hooks point at it; a gateway serves {MAX_HOOKS}. Not served: {}. Delete hooks, or point them at another \
             TelephonyGateway",
            chosen.len() + left_out.len(),
            listed(&left_out)
        );
        let at = At::Gateway(ConfigSubject::TooManyHooks);
        problems.push(ConfigProblem { at, name: input.gateway.clone(), message, kept: false });
    }
    chosen
}

/// A hook with what Okta may still send beside what is declared: another secret, or one by another header. It stays until
/// [`OVERLAP_S`] after Okta took what is declared. What Okta was last known to have is never among those that are left out.
fn overlapping(
    before: Option<&HookConfig>,
    declared: &HookConfig,
    in_okta: Option<&KnownInOkta>,
    now: i64,
) -> HookConfig {
    let (Some(before), Some(first)) = (before, declared.credentials().next()) else { return declared.clone() };
    let mut older: Vec<HookCredential> = before.credentials().filter(|one| *one != first).collect();
    if older.is_empty() {
        return declared.clone();
    }
    let (pinned, applied) = match in_okta {
        Some(KnownInOkta::Nothing) => (None, true),
        Some(KnownInOkta::Has(one)) => (Some(one.clone()), *one == first),
        None => (before.credentials().nth(before.pinned), false),
    };
    let known = before.credentials().next().as_ref() == Some(&first);
    let retire_at = applied.then(|| before.retire_at.filter(|_| known).unwrap_or(now + OVERLAP_S));
    if retire_at.is_some_and(|at| at <= now) {
        return declared.clone();
    }
    while older.len() >= MAX_SECRETS
        && let Some(oldest) = older.iter().rposition(|one| Some(one) != pinned.as_ref())
    {
        older.remove(oldest);
    }
    let (of_header, former): (Vec<_>, Vec<_>) = older.into_iter().partition(|one| one.header == first.header);
    let secrets = std::iter::once(first).chain(of_header).map(|one| one.secret).collect();
    let mut hook = HookConfig { secrets, former, retire_at, ..declared.clone() };
    let index = hook.credentials().position(|one| Some(one) == pinned).unwrap_or_default();
    hook.pinned = index;
    hook
}

#[cfg(test)]
mod tests;
