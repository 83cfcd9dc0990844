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
    document::{ABSENT, Action, Credential, GatewayConfig, Hook, Match, OnAmbiguous, Provider, Report, Rule, Timing},
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
    pub providers: BTreeMap<String, Result<Provider, String>>,
    /// Hooks that target the gateway, or what is wrong with them. Each has the one secret that is declared now.
    pub hooks: BTreeMap<String, Result<Hook, String>>,
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
    Has(Credential),
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
) -> BTreeMap<String, Provider> {
    let mut chosen = BTreeMap::new();
    for name in sent_by(rules).collect::<BTreeSet<_>>() {
        if name == ABSENT {
            chosen.insert(name.to_owned(), Provider::absent());
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
) -> BTreeMap<String, Hook> {
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
fn overlapping(before: Option<&Hook>, declared: &Hook, in_okta: Option<&KnownInOkta>, now: i64) -> Hook {
    let (Some(before), Some(first)) = (before, declared.credentials().next()) else { return declared.clone() };
    let mut older: Vec<Credential> = before.credentials().filter(|one| *one != first).collect();
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
    let mut hook = Hook { secrets, former, retire_at, ..declared.clone() };
    let index = hook.credentials().position(|one| Some(one) == pinned).unwrap_or_default();
    hook.pinned = index;
    hook
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use hookswitch_gateway_config::document::{Account, Probe, Sender};

    fn provider(url: &str) -> Provider {
        Provider {
            account: Account::Http { url: url.into(), token: "token".into() },
            senders: vec![Sender { channel: hookswitch_message::Channel::Sms, countries: vec![], from: "ACME".into() }],
            probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
            max_in_flight: 256,
            ca_bundle: None,
        }
    }

    fn hook() -> Hook {
        Hook::new("authorization".into(), vec!["secret".into()])
    }

    fn spec() -> TelephonyGatewaySpec {
        serde_json::from_value(json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}})).unwrap()
    }

    fn policy(priority: i32, names: &[&str]) -> RoutingPolicySpec {
        let providers: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        serde_json::from_value(
            json!({"priority": priority, "rules": [{"name": "all", "send": {"providers": providers}}]}),
        )
        .unwrap()
    }

    struct World {
        spec: TelephonyGatewaySpec,
        policies: BTreeMap<String, Option<RoutingPolicySpec>>,
        providers: BTreeMap<String, Result<Provider, String>>,
        hooks: BTreeMap<String, Result<Hook, String>>,
        okta: Okta,
        now: i64,
    }

    /// What Okta has of every hook.
    enum Okta {
        /// What is declared.
        All,
        /// Nobody knows.
        Unknown,
        /// This.
        Has(Credential),
    }

    impl World {
        fn good() -> Self {
            Self {
                spec: spec(),
                policies: [("p".to_owned(), Some(policy(100, &["a", "b"])))].into(),
                providers: ["a", "b"]
                    .map(|name| (name.to_owned(), Ok(provider(&format!("https://{name}.example")))))
                    .into(),
                hooks: [("h".to_owned(), Ok(hook()))].into(),
                okta: Okta::All,
                now: 0,
            }
        }

        fn has(&self, hook: &Result<Hook, String>) -> Option<KnownInOkta> {
            match &self.okta {
                Okta::All => hook.as_ref().ok()?.credentials().next().map(KnownInOkta::Has),
                Okta::Unknown => None,
                Okta::Has(one) => Some(KnownInOkta::Has(one.clone())),
            }
        }

        fn declare(&mut self, header: &str, secret: &str) {
            self.hooks.insert("h".into(), Ok(Hook::new(header.into(), vec![secret.into()])));
        }

        fn compile(&self, previous: Option<&GatewayConfig>) -> Compiled {
            let input = Input {
                gateway: "ns/gw".into(),
                generation: 3,
                spec: &self.spec,
                policies: self.policies.iter().map(|(name, spec)| (name.clone(), spec.as_ref())).collect(),
                providers: self.providers.clone(),
                hooks: self.hooks.clone(),
                in_okta: self.hooks.iter().filter_map(|(name, hook)| Some((name.clone(), self.has(hook)?))).collect(),
                now: self.now,
                report: Report { token: "a-token-of-the-report".into(), certificate: "c".into(), key: "k".into() },
                allowed_cidrs: vec![],
                proxy: None,
                proxy_exceptions: Vec::new(),
                extra_roots: None,
            };
            compile(previous, input, &JUDGES)
        }
    }

    /// Takes every provider but those at `refused`.
    const JUDGES: Judges = Judges {
        provider: |provider| match &provider.account {
            Account::Http { url, .. } if url.contains("refused") => Err("its URL is not usable".to_owned()),
            Account::Http { .. } | Account::Twilio { .. } => Ok(()),
        },
        report: |_| Ok(()),
    };

    fn faults(compiled: &Compiled) -> Vec<check::Fault> {
        check::faults(&compiled.config, &JUDGES)
    }

    #[test]
    fn an_older_secret_stays_valid_until_okta_has_had_the_new_one_for_ten_minutes() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.hooks.insert("h".into(), Ok(Hook { secrets: vec!["new".into()], ..hook() }));
        let secrets = |config: &GatewayConfig| {
            config.hooks["h"].secrets.iter().map(|secret| secret.expose().clone()).collect::<Vec<_>>()
        };
        (world.okta, world.now) = (Okta::Unknown, 1_000);
        let both = world.compile(Some(&before)).config;
        assert_eq!(secrets(&both), ["new", "secret"]);
        world.now = 100_000;
        let still = world.compile(Some(&both)).config;
        assert_eq!(
            (secrets(&still), still.hooks["h"].retire_at),
            (vec!["new".to_owned(), "secret".to_owned()], None),
            "Okta may not have it yet"
        );
        world.okta = Okta::All;
        let dated = world.compile(Some(&still)).config;
        assert_eq!(dated.hooks["h"].retire_at, Some(100_600));
        world.now = 100_599;
        assert_eq!(world.compile(Some(&dated)).config, dated, "the date does not move");
        world.now = 100_600;
        let over = world.compile(Some(&dated)).config;
        assert_eq!((secrets(&over), over.hooks["h"].retire_at), (vec!["new".to_owned()], None));
    }

    /// What the hook takes, as `header secret`.
    fn taken(config: &GatewayConfig) -> Vec<String> {
        config.hooks["h"].credentials().map(|one| format!("{} {}", one.header, one.secret.expose())).collect()
    }

    fn credential(header: &str, secret: &str) -> Credential {
        Credential { header: header.into(), secret: secret.into() }
    }

    #[test]
    fn a_secret_stays_valid_by_its_older_header_until_okta_has_had_the_new_one_for_ten_minutes() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.declare("x-secret", "secret");
        (world.okta, world.now) = (Okta::Has(credential("authorization", "secret")), 1_000);
        let both = world.compile(Some(&before)).config;
        assert_eq!(taken(&both), ["x-secret secret", "authorization secret"]);
        assert_eq!((both.hooks["h"].retire_at, world.compile(Some(&both)).config == both), (None, true));
        world.okta = Okta::All;
        let dated = world.compile(Some(&both)).config;
        assert_eq!((taken(&dated), dated.hooks["h"].retire_at), (taken(&both), Some(1_600)));
        world.now = 1_600;
        assert_eq!(taken(&world.compile(Some(&dated)).config), ["x-secret secret"]);
    }

    #[test]
    fn a_header_that_is_changed_back_is_accepted_all_the_time() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.okta = Okta::Has(credential("authorization", "secret"));
        world.declare("x-secret", "secret");
        let there = world.compile(Some(&before)).config;
        world.declare("authorization", "secret");
        let back = world.compile(Some(&there)).config;
        assert_eq!(taken(&back), ["authorization secret", "x-secret secret"]);
    }

    #[test]
    fn what_okta_has_is_accepted_however_many_changes_follow() {
        // by a definite answer, and when the last one was not clear
        for unclear in [false, true] {
            let mut world = World::good();
            let mut config = world.compile(None).config;
            world.okta = Okta::Has(credential("authorization", "secret"));
            for change in 0..30 {
                let header = if change % 3 == 0 { "authorization" } else { "x-secret" };
                world.declare(header, &format!("secret-{change}"));
                config = world.compile(Some(&config)).config;
                assert_eq!(world.compile(Some(&config)).config, config, "{change}: it is written once");
                let taken = taken(&config);
                assert!(taken[0] == format!("{header} secret-{change}") && taken.len() <= MAX_SECRETS, "{taken:?}");
                assert!(taken.contains(&"authorization secret".to_owned()), "{change}: {taken:?}");
                assert_eq!(faults(&Compiled { config: config.clone(), problems: vec![] }), []);
                if unclear {
                    world.okta = Okta::Unknown;
                }
            }
            assert_eq!(taken(&config).len(), MAX_SECRETS, "{:?}", taken(&config));
        }
    }

    #[test]
    fn the_rules_of_a_policy_that_is_gone_keep_their_order() {
        let mut world = World::good();
        let deny: RoutingPolicySpec =
            serde_json::from_value(json!({"priority": 1, "rules": [{"name": "none", "deny": {}}]})).unwrap();
        world.policies.insert("z".into(), Some(deny));
        let before = world.compile(None).config;
        assert_eq!(before.rules[0].policy, "z");
        world.policies.insert("z".into(), None);
        let after = world.compile(Some(&before)).config;
        assert_eq!(after.rules, before.rules, "a deny does not land behind an allow");
    }

    fn problems_of(compiled: &Compiled) -> Vec<(At, &str, bool)> {
        compiled.problems.iter().map(|problem| (problem.at, problem.name.as_str(), problem.kept)).collect()
    }

    #[test]
    fn what_is_in_order_compiles_without_problems_and_with_the_documented_defaults() {
        let compiled = World::good().compile(None);
        assert_eq!(compiled.problems, []);
        let config = &compiled.config;
        let timing = Timing { deadline_ms: 2_500, proxy_allowance_ms: 200, attempt_floor_ms: 500, max_attempts: 3 };
        assert_eq!((config.timing, config.on_ambiguous, config.replicas), (timing, OnAmbiguous::Continue, 2));
        assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.rules[0].action, Action::Send(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn policies_are_tried_by_priority_and_then_by_name() {
        let mut world = World::good();
        world.policies = [("z", 1), ("b", 50), ("a", 50)]
            .map(|(name, priority)| (name.to_owned(), Some(policy(priority, &["a"]))))
            .into();
        let order: Vec<_> = world.compile(None).config.rules.into_iter().map(|rule| rule.policy).collect();
        assert_eq!(order, ["z", "a", "b"]);
    }

    #[test]
    fn only_providers_that_rules_send_by_are_configured() {
        let mut world = World::good();
        world.providers.insert("unused".into(), Ok(provider("https://unused.example")));
        world.providers.insert("unused-and-broken".into(), Err("broken".into()));
        let compiled = world.compile(None);
        assert_eq!((compiled.config.providers.len(), compiled.problems.len()), (2, 0));
    }

    #[test]
    fn a_provider_that_breaks_serves_on_as_it_was() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.providers.insert("a".into(), Err("Secret is gone".into()));
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config, before);
        assert_eq!(problems_of(&compiled), [(At::Provider, "a", true)]);
    }

    #[test]
    fn a_policy_that_names_a_missing_provider_serves_on_as_it_was() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.insert("p".into(), Some(policy(100, &["nobody"])));
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config, before);
        assert_eq!(problems_of(&compiled), [(At::Policy, "p", true)]);
        assert!(compiled.problems[0].message.contains("nobody"));
    }

    #[test]
    fn with_nothing_to_fall_back_to_a_rule_keeps_the_providers_it_has() {
        let mut world = World::good();
        world.providers.remove("a");
        let compiled = world.compile(None);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec!["b".into()]));
        assert_eq!(problems_of(&compiled), [(At::Policy, "p", false)]);
    }

    #[test]
    fn a_rule_that_no_provider_is_left_for_fails_alone() {
        let mut world = World::good();
        let other = json!({"priority": 1, "rules": [
            {"name": "lost", "match": {"prefixes": ["+47"]}, "send": {"providers": [{"name": "misspelt"}]}},
            {"name": "kept", "send": {"providers": [{"name": "misspelt"}, {"name": "a"}]}},
        ]});
        world.policies.insert("other".into(), Some(serde_json::from_value(other).unwrap()));
        let compiled = world.compile(None);
        assert_eq!(faults(&compiled), []);
        let sends: Vec<_> = compiled.config.rules.iter().map(|rule| &rule.action).collect();
        let by = |names: &[&str]| Action::Send(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(sends, [&by(&[ABSENT]), &by(&["a"]), &by(&["a", "b"])]);
        assert_eq!(compiled.config.providers[ABSENT], Provider::absent());
        assert_eq!(problems_of(&compiled), [(At::Policy, "other", false)]);
        assert!(
            compiled.problems[0]
                .message
                .ends_with("misspelt; these rules have no provider left and answer FAILED: lost")
        );
        let again = world.compile(Some(&compiled.config));
        assert_eq!(again, compiled, "what stands for nothing is nothing to fall back to");
        world.providers.insert("misspelt".into(), Ok(provider("https://there.example")));
        let found = world.compile(Some(&again.config));
        assert_eq!(found.problems, []);
        assert!(!found.config.providers.contains_key(ABSENT));
    }

    #[test]
    fn a_deleted_provider_that_was_the_only_one_of_a_rule_fails_it_alone() {
        let mut world = World::good();
        world.policies.insert("q".into(), Some(policy(1, &["a"])));
        let before = world.compile(None).config;
        world.providers.remove("a");
        world.hooks.insert("h".into(), Ok(Hook { secrets: vec!["new".into()], ..hook() }));
        let compiled = world.compile(Some(&before));
        assert_eq!(faults(&compiled), []);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec![ABSENT.into()]));
        assert_eq!(compiled.config.rules[1].action, Action::Send(vec!["b".into()]));
        assert_eq!(compiled.config.hooks["h"].secrets.len(), 2, "a rotation is not held up by it");
    }

    #[test]
    fn a_provider_that_its_adapter_refuses_is_treated_as_one_that_is_broken() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.providers.insert("a".into(), Ok(provider("https://refused.example")));
        let compiled = world.compile(Some(&before));
        assert_eq!((compiled.config.providers == before.providers, faults(&compiled)), (true, vec![]));
        assert_eq!(problems_of(&compiled), [(At::Provider, "a", true)]);
        let anew = world.compile(None);
        assert_eq!((anew.config.rules[0].action.clone(), faults(&anew)), (Action::Send(vec!["b".into()]), vec![]));
    }

    #[test]
    fn what_a_release_before_wrote_and_no_gateway_takes_is_not_kept() {
        let mut world = World::good();
        let mut before = world.compile(None).config;
        before.rules[0].action = Action::Send(vec![]);
        before.providers.insert("a".into(), provider("https://refused.example"));
        before.hooks.get_mut("h").unwrap().secrets.clear();
        before.timing.deadline_ms = 100;
        world.policies.insert("p".into(), None);
        world.providers.insert("a".into(), Err("broken".into()));
        world.hooks.insert("h".into(), Err("no Secret".into()));
        world.spec.deadline = "500ms".parse().ok();
        let compiled = world.compile(Some(&before));
        assert_eq!(faults(&compiled), []);
        assert!(compiled.config.hooks.is_empty());
        assert_eq!(compiled.config.timing, DEFAULT_TIMING);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec![ABSENT.into()]));
    }

    #[test]
    fn times_that_do_not_fit_together_leave_those_that_did() {
        let mut world = World::good();
        world.spec.deadline = "2s".parse().ok();
        let before = world.compile(None).config;
        for (deadline, allowance, floor) in
            [("500ms", "450ms", "100ms"), ("500ms", "0s", "500ms"), ("2500ms", "1s", "2s")]
        {
            world.spec.deadline = deadline.parse().ok();
            world.spec.proxy_allowance = allowance.parse().ok();
            world.spec.attempts = serde_json::from_value(json!({"floor": floor})).ok();
            let compiled = world.compile(Some(&before));
            assert_eq!(compiled.config.timing, before.timing, "{deadline} {allowance} {floor}");
            assert_eq!(problems_of(&compiled), [(At::Gateway(ConfigSubject::Timing), "ns/gw", true)]);
            let anew = world.compile(None);
            assert_eq!((anew.config.timing, anew.problems[0].kept), (DEFAULT_TIMING, false));
        }
    }

    #[test]
    fn a_prefix_that_begins_no_number_takes_no_rule_further_than_it_was_meant() {
        let mut world = World::good();
        let rules = json!({"rules": [
            {"name": "gone", "match": {"prefixes": ["46"]}, "deny": {}},
            {"name": "half", "match": {"prefixes": ["", "+47"]}, "deny": {}},
            {"name": "rest", "send": {"providers": [{"name": "a"}]}},
        ]});
        world.policies.insert("p".into(), Some(serde_json::from_value(rules).unwrap()));
        let compiled = world.compile(None);
        assert_eq!(faults(&compiled), []);
        let shown: Vec<_> =
            compiled.config.rules.iter().map(|rule| (rule.name.as_str(), &rule.matches.prefixes)).collect();
        assert_eq!(shown, [("half", &vec!["+47".to_owned()]), ("rest", &vec![])]);
        assert_eq!(problems_of(&compiled), [(At::Policy, "p", false)]);
    }

    #[test]
    fn a_hook_that_nobody_could_call_is_not_served_and_is_reported() {
        let mut world = World::good();
        let before = world.compile(None).config;
        for broken in [Hook { header: "with space".into(), ..hook() }, Hook { secrets: vec![], ..hook() }] {
            world.hooks.insert("h".into(), Ok(broken));
            let compiled = world.compile(Some(&before));
            assert_eq!(compiled.config.hooks, before.hooks);
            assert_eq!(problems_of(&compiled), [(At::Hook, "h", true)]);
            assert!(world.compile(None).config.hooks.is_empty());
        }
    }

    #[test]
    fn a_deleted_provider_takes_its_rules_back_to_nothing_that_names_it() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.providers.remove("a");
        let compiled = world.compile(Some(&before));
        assert_eq!(
            compiled.config.rules[0].action,
            Action::Send(vec!["b".into()]),
            "its credentials are gone for good"
        );
    }

    #[test]
    fn a_policy_that_is_gone_serves_on_and_the_gateway_reports_it() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.insert("p".into(), None);
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(problems_of(&compiled), [(At::Gateway(ConfigSubject::NoPolicy), "ns/gw", true)]);
    }

    #[test]
    fn a_gateway_has_as_many_hooks_as_it_can_report_and_says_which_it_has_not() {
        let mut world = World::good();
        world.hooks = (1..=MAX_HOOKS).map(|number| (format!("h{number:03}"), Ok(hook()))).collect();
        let full = world.compile(None);
        assert_eq!((full.problems.len(), full.config.hooks.len()), (0, MAX_HOOKS));
        // by its name it would be the first
        world.hooks.insert("a".into(), Ok(hook()));
        let more = world.compile(Some(&full.config));
        assert_eq!(more.config.hooks, full.config.hooks, "nothing is lost for those that are served");
        assert_eq!(problems_of(&more), [(At::Gateway(ConfigSubject::TooManyHooks), "ns/gw", false)]);
        let message = &more.problems[0].message;
        assert!(message.starts_with("257 hooks") && message.contains("Not served: a. "), "{message}");
        world.hooks.remove("h001");
        let room = world.compile(Some(&more.config));
        assert!(room.config.hooks.contains_key("a") && room.problems.is_empty());
        // one of a release that knew no bound serves on
        let mut beyond = full.config;
        beyond.hooks.insert("a".into(), hook());
        world.hooks.insert("h001".into(), Ok(hook()));
        assert_eq!(world.compile(Some(&beyond)).config.hooks.len(), MAX_HOOKS + 1);
    }

    #[test]
    fn a_gateway_has_as_many_providers_as_it_can_report_and_says_which_it_has_not() {
        let mut world = World::good();
        let names: Vec<String> = (1..=MAX_PROVIDERS).map(|number| format!("c{number:03}")).collect();
        let one_each = |names: &[String]| -> RoutingPolicySpec {
            let rules = names.iter().map(|name| json!({"name": name, "send": {"providers": [{"name": name}]}}));
            serde_json::from_value(json!({"priority": 100, "rules": rules.collect::<Vec<_>>()})).unwrap()
        };
        world.providers.extend(names.iter().map(|name| (name.clone(), Ok(provider("https://c.example")))));
        world.policies.insert("p".into(), Some(one_each(&names)));
        let full = world.compile(None);
        assert_eq!((full.problems.len(), full.config.providers.len()), (0, MAX_PROVIDERS));
        // tried before all others
        let first = json!({"priority": 1, "rules": [{"name": "new", "send": {"providers": [{"name": "a"}, {"name": "c001"}]}}]});
        world.policies.insert("q".into(), Some(serde_json::from_value(first).unwrap()));
        let more = world.compile(Some(&full.config));
        assert_eq!(more.config.providers, full.config.providers, "nothing is lost for those that serve");
        assert_eq!(more.config.rules[0].action, Action::Send(vec!["c001".into()]));
        let expected = [(At::Gateway(ConfigSubject::TooManyProviders), "ns/gw", false), (At::Policy, "q", false)];
        assert_eq!(problems_of(&more), expected);
        assert!(more.problems[0].message.starts_with("its rules use 257 providers"), "{:?}", more.problems[0]);
        assert_eq!(faults(&more), []);
        world.policies.insert("p".into(), Some(one_each(&names[..8])));
        let room = world.compile(Some(&more.config));
        assert_eq!((room.problems.len(), room.config.providers.len()), (0, 9));
        // others in the place of all
        let others: Vec<String> = (1..=MAX_PROVIDERS).map(|number| format!("d{number:03}")).collect();
        world.providers.extend(others.iter().map(|name| (name.clone(), Ok(provider("https://d.example")))));
        world.policies.remove("q");
        world.policies.insert("p".into(), Some(one_each(&others)));
        let moved = world.compile(Some(&full.config));
        assert_eq!((moved.problems.len(), moved.config.providers.len()), (0, MAX_PROVIDERS));
    }

    #[test]
    fn a_hook_takes_the_room_that_it_needs_and_no_more() {
        let mut world = World::good();
        world.hooks = (0..MAX_HOOKS + 7).map(|number| (format!("h{number:03}"), Ok(hook()))).collect();
        let compiled = world.compile(None);
        assert_eq!(compiled.config.hooks.len(), MAX_HOOKS);
        assert_eq!(problems_of(&compiled), [(At::Gateway(ConfigSubject::TooManyHooks), "ns/gw", false)]);
        let message = &compiled.problems[0].message;
        assert!(message.contains("Not served: h256, h257, h258, h259, h260 and 2 more. "), "{message}");
    }

    #[test]
    fn five_names_are_listed_and_of_more_how_many_they_are() {
        let of = |count: u32| listed(&(1..=count).map(|name| name.to_string()).collect());
        assert_eq!([of(1), of(4), of(5), of(6)], ["1", "1, 2, 3, 4", "1, 2, 3, 4, 5", "1, 2, 3, 4, 5 and 1 more"]);
    }

    #[test]
    fn a_provider_that_no_gateway_takes_any_more_is_nothing_to_fall_back_to() {
        let mut world = World::good();
        let mut before = world.compile(None).config;
        before.providers.insert("a".into(), provider("https://refused.example"));
        world.providers.insert("a".into(), Err("Secret is gone".into()));
        let compiled = world.compile(Some(&before));
        assert_eq!(faults(&compiled), []);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec!["b".into()]));
        assert_eq!(problems_of(&compiled), [(At::Policy, "p", false)]);
    }

    #[test]
    fn rules_whose_policy_is_gone_send_by_the_providers_that_are_there_or_were() {
        let mut world = World::good();
        world.policies.insert("p".into(), Some(policy(100, &["a", "b", "c"])));
        world.providers.insert("c".into(), Ok(provider("https://c.example")));
        let mut before = world.compile(None).config;
        world.policies.insert("p".into(), None);
        world.providers.remove("a");
        world.providers.remove("c");
        // the one is still in the configuration that serves, the other never was
        before.providers.remove("c");
        before.providers.remove("b");
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec!["a".into(), "b".into()]));
        assert_eq!(compiled.config.providers.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(faults(&compiled), []);
    }

    #[test]
    fn a_rule_that_names_no_provider_fails_alone() {
        let mut world = World::good();
        world.policies.insert("p".into(), Some(policy(100, &[])));
        let compiled = world.compile(None);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec![ABSENT.into()]));
        assert_eq!((problems_of(&compiled), faults(&compiled)), (vec![(At::Policy, "p", false)], vec![]));
    }

    #[test]
    fn what_a_rule_says_is_compiled_whole() {
        let mut world = World::good();
        let matches =
            json!({"countries": ["SE"], "prefixes": ["+46"], "channels": ["SMS"], "requestTypes": ["AccountUnlock"]});
        let rules = json!({"priority": 7, "rules": [
            {"name": "all", "critical": true, "match": matches, "send": {"providers": [{"name": "a"}]}},
            {"name": "said", "critical": false, "deny": {}},
            {"name": "rest", "deny": {}},
        ]});
        world.policies.insert("p".into(), Some(serde_json::from_value(rules).unwrap()));
        let rules = world.compile(None).config.rules;
        assert_eq!(serde_json::to_value(&rules[0].matches).unwrap(), matches);
        assert_eq!(rules.iter().map(|rule| rule.critical).collect::<Vec<_>>(), [true, false, false]);
        assert!(rules.iter().all(|rule| (rule.policy.as_str(), rule.priority) == ("p", Some(7))));
        let actions = rules.iter().map(|rule| rule.action.clone()).collect::<Vec<_>>();
        assert_eq!(actions, [Action::Send(vec!["a".into()]), Action::Deny, Action::Deny]);
    }

    #[test]
    fn as_many_policies_as_a_gateway_takes_are_compiled() {
        let mut world = World::good();
        world.policies = (0..MAX_POLICIES).map(|n| (format!("p{n}"), Some(policy(1, &["a"])))).collect();
        let compiled = world.compile(None);
        assert_eq!((compiled.problems.len(), compiled.config.rules.len()), (0, MAX_POLICIES));
    }

    #[test]
    fn too_many_policies_change_nothing() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies = (0..17).map(|n| (format!("p{n}"), Some(policy(1, &["a"])))).collect();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(problems_of(&compiled), [(At::Gateway(ConfigSubject::TooManyPolicies), "ns/gw", true)]);
    }

    #[test]
    fn a_selector_that_matches_nothing_changes_nothing() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.clear();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(problems_of(&compiled), [(At::Gateway(ConfigSubject::NoPolicy), "ns/gw", true)]);
    }

    #[test]
    fn a_hook_without_its_secret_serves_on_with_the_one_it_had() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.hooks =
            [("h".to_owned(), Err("no Secret".to_owned())), ("new".to_owned(), Err("no Secret".to_owned()))].into();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.hooks, before.hooks);
        assert_eq!(problems_of(&compiled), [(At::Hook, "h", true), (At::Hook, "new", false)]);
    }

    proptest! {
        #[test]
        fn no_gateway_finds_fault_with_what_is_compiled(
            steps in prop::collection::vec((0_u8..4, 0_usize..4, 0_usize..4), 1..24)
        ) {
            let names = ["a", "b", "c", "d"];
            let mut world = World::good();
            let mut previous: Option<GatewayConfig> = None;
            for (what, one, other) in steps {
                match what {
                    0 => { world.providers.insert(names[one].into(), Ok(provider("https://x.example"))); }
                    1 => { world.providers.insert(names[one].into(), Err("broken".into())); }
                    2 => { world.providers.remove(names[one]); }
                    _ => { world.policies.insert("p".into(), Some(policy(1, &[names[one], names[other]]))); }
                }
                let compiled = world.compile(previous.as_ref());
                prop_assert_eq!(faults(&compiled), vec![]);
                previous = Some(compiled.config);
            }
        }
    }

    #[test]
    fn a_report_has_room_for_the_rules_of_all_policies() {
        assert_eq!(hookswitch_gateway_config::report::MAX_RULES, MAX_POLICIES * 256);
    }
}
