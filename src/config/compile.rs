//! From resources to the gateway's configuration. Pure.
//!
//! Good configuration survives bad: what an object asks for and cannot have is told as a [`Problem`] of that object, and
//! what the previous configuration had in its place serves on. The parts that are kept or replaced whole are a carrier, a
//! hook, and the rules of one policy; a rule is never taken apart, because half a rule routes where nobody wanted it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::document::{Action, GatewayConfig, Hook, Match, OnAmbiguous, Provider, Report, Rule, Timing};
use crate::{
    api::{OnAmbiguous as Declared, RoutingPolicySpec, RoutingRule, TelephonyGatewaySpec},
    message::Secret,
};

/// The most policies a gateway routes by.
pub const MAX_POLICIES: usize = 16;

/// The place of rules whose policy is gone, when the release that wrote them did not say theirs.
const DEFAULT_PRIORITY: i32 = 100;

/// The most secrets of one hook that are valid at once.
pub const MAX_SECRETS: usize = 3;

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
    /// Carriers of the namespace by name, or what is wrong with them, for people.
    pub providers: BTreeMap<String, Result<Provider, String>>,
    /// Hooks that target the gateway, or what is wrong with them. Each has the one secret that is declared now.
    pub hooks: BTreeMap<String, Result<Hook, String>>,
    /// Hooks whose declared secret Okta is known to have, or that are not in Okta.
    pub applied: BTreeSet<String>,
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

/// The kind of object a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The gateway itself.
    Gateway,
    /// A `RoutingPolicy`.
    Policy,
    /// A `TelephonyProvider`.
    Provider,
    /// A `TelephonyHook`.
    Hook,
}

/// What an object asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
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
    pub problems: Vec<Problem>,
}

/// Compiles a configuration. The same input gives the same output, whatever the order in which objects were read.
#[must_use]
pub fn compile(previous: Option<&GatewayConfig>, input: Input<'_>) -> Compiled {
    let mut problems = Vec::new();
    let rules = rules(previous, &input, &mut problems);
    let providers = providers(previous, &input, &rules, &mut problems);
    let hooks = hooks(previous, &input, &mut problems);
    problems.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    problems.dedup();
    let spec = input.spec;
    let attempts = spec.attempts.clone().unwrap_or_default();
    let config = GatewayConfig {
        gateway: input.gateway,
        generation: input.generation,
        timing: Timing {
            deadline_ms: spec.deadline.map_or(2_500, crate::api::Duration::millis),
            proxy_allowance_ms: spec.proxy_allowance.map_or(200, crate::api::Duration::millis),
            attempt_floor_ms: attempts.floor.map_or(500, crate::api::Duration::millis),
            max_attempts: attempts.max.unwrap_or(3),
        },
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

/// The rules of all policies, ordered by priority and then by name.
fn rules(previous: Option<&GatewayConfig>, input: &Input<'_>, problems: &mut Vec<Problem>) -> Vec<Rule> {
    if input.policies.len() > MAX_POLICIES {
        let message = format!("{} policies are selected; a gateway takes {MAX_POLICIES}", input.policies.len());
        problems.push(Problem { at: At::Gateway, name: input.gateway.clone(), message, kept: previous.is_some() });
        return previous.map(|previous| previous.rules.clone()).unwrap_or_default();
    }
    if input.policies.is_empty() {
        let message = "the selector matches no RoutingPolicy, which does not exist under these labels".to_owned();
        problems.push(Problem { at: At::Gateway, name: input.gateway.clone(), message, kept: previous.is_some() });
        return previous.map(|previous| previous.rules.clone()).unwrap_or_default();
    }
    let mut ordered: Vec<(i32, &String, Vec<Rule>)> = Vec::new();
    for (name, spec) in &input.policies {
        let before = || rules_of(previous, name);
        let Some(spec) = spec else {
            let kept = before();
            let message = format!("RoutingPolicy {name} does not exist");
            problems.push(Problem { at: At::Gateway, name: input.gateway.clone(), message, kept: !kept.is_empty() });
            let priority = kept.first().and_then(|rule| rule.priority).unwrap_or(DEFAULT_PRIORITY);
            ordered.push((priority, name, kept));
            continue;
        };
        let now: Vec<Rule> = spec.rules.iter().map(|rule| translate(name, spec.priority(), rule)).collect();
        let missing: BTreeSet<String> =
            sent_by(&now).filter(|carrier| !available(previous, input, carrier)).map(str::to_owned).collect();
        if missing.is_empty() {
            ordered.push((spec.priority(), name, now));
            continue;
        }
        let names = missing.iter().cloned().collect::<Vec<_>>().join(", ");
        let kept = before();
        let usable = !kept.is_empty() && sent_by(&kept).all(|carrier| available(previous, input, carrier));
        let message = format!("rules send by carriers that cannot be used: {names}");
        problems.push(Problem { at: At::Policy, name: name.clone(), message, kept: usable });
        ordered.push((spec.priority(), name, if usable { kept } else { without(now, &missing) }));
    }
    ordered.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    ordered.into_iter().flat_map(|(_, _, rules)| rules).collect()
}

/// With nothing to fall back to, rules keep the carriers that are there. One that is left with none still matches: its
/// calls are answered FAILED, instead of going where the next rule says.
fn without(mut rules: Vec<Rule>, missing: &BTreeSet<String>) -> Vec<Rule> {
    for rule in &mut rules {
        if let Action::Send(carriers) = &mut rule.action {
            carriers.retain(|carrier| !missing.contains(carrier));
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
            Action::Send(carriers) => carriers.as_slice(),
            Action::Deny => &[],
        })
        .map(String::as_str)
}

/// Whether a carrier can be in the configuration: it is in order, or its object still exists and it was in order.
fn available(previous: Option<&GatewayConfig>, input: &Input<'_>, carrier: &str) -> bool {
    match input.providers.get(carrier) {
        Some(Ok(_)) => true,
        Some(Err(_)) => previous.is_some_and(|previous| previous.providers.contains_key(carrier)),
        None => false,
    }
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

/// The carriers that rules send by.
fn providers(
    previous: Option<&GatewayConfig>,
    input: &Input<'_>,
    rules: &[Rule],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Provider> {
    let mut chosen = BTreeMap::new();
    for name in sent_by(rules).collect::<BTreeSet<_>>() {
        let before = previous.and_then(|previous| previous.providers.get(name));
        let provider = match input.providers.get(name) {
            Some(Ok(provider)) => Some(provider),
            Some(Err(message)) => {
                problems.push(Problem {
                    at: At::Provider,
                    name: name.to_owned(),
                    message: message.clone(),
                    kept: before.is_some(),
                });
                before
            }
            // Rules of a missing policy can name a carrier whose object is gone too.
            None => before,
        };
        if let Some(provider) = provider {
            chosen.insert(name.to_owned(), provider.clone());
        }
    }
    chosen
}

fn hooks(previous: Option<&GatewayConfig>, input: &Input<'_>, problems: &mut Vec<Problem>) -> BTreeMap<String, Hook> {
    let mut chosen = BTreeMap::new();
    for (name, hook) in &input.hooks {
        match hook {
            Ok(hook) => {
                let before = previous.and_then(|previous| previous.hooks.get(name));
                chosen.insert(name.clone(), overlapping(before, hook, input.applied.contains(name), input.now));
            }
            Err(message) => {
                let before = previous.and_then(|previous| previous.hooks.get(name));
                problems.push(Problem {
                    at: At::Hook,
                    name: name.clone(),
                    message: message.clone(),
                    kept: before.is_some(),
                });
                chosen.extend(before.map(|before| (name.clone(), before.clone())));
            }
        }
    }
    chosen
}

/// A hook with the secrets that Okta may still send: the older ones stay until [`OVERLAP_S`] after Okta took the new one.
fn overlapping(before: Option<&Hook>, declared: &Hook, applied: bool, now: i64) -> Hook {
    let mut hook = declared.clone();
    let Some(before) = before.filter(|before| before.header == declared.header) else { return hook };
    let older: Vec<_> = before
        .secrets
        .iter()
        .filter(|secret| !declared.secrets.contains(secret))
        .take(MAX_SECRETS - 1)
        .cloned()
        .collect();
    if older.is_empty() {
        return hook;
    }
    let known = before.secrets.first() == declared.secrets.first();
    let retire_at = applied.then(|| before.retire_at.filter(|_| known).unwrap_or(now + OVERLAP_S));
    if retire_at.is_some_and(|at| at <= now) {
        return hook;
    }
    hook.secrets.extend(older);
    hook.retire_at = retire_at;
    hook
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::document::{Carrier, Probe, Sender};

    fn provider(url: &str) -> Provider {
        Provider {
            carrier: Carrier::Http { url: url.into(), token: "token".into() },
            senders: vec![Sender { channel: crate::message::Channel::Sms, countries: vec![], from: "ACME".into() }],
            probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
            max_in_flight: 256,
            ca_bundle: None,
        }
    }

    fn hook() -> Hook {
        Hook { header: "authorization".into(), secrets: vec!["secret".into()], retire_at: None, okta_id: None }
    }

    fn spec() -> TelephonyGatewaySpec {
        serde_json::from_value(json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}})).unwrap()
    }

    fn policy(priority: i32, carriers: &[&str]) -> RoutingPolicySpec {
        let providers: Vec<_> = carriers.iter().map(|name| json!({"name": name})).collect();
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
        applied: bool,
        now: i64,
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
                applied: true,
                now: 0,
            }
        }

        fn compile(&self, previous: Option<&GatewayConfig>) -> Compiled {
            let input = Input {
                gateway: "ns/gw".into(),
                generation: 3,
                spec: &self.spec,
                policies: self.policies.iter().map(|(name, spec)| (name.clone(), spec.as_ref())).collect(),
                providers: self.providers.clone(),
                hooks: self.hooks.clone(),
                applied: self.hooks.keys().filter(|_| self.applied).cloned().collect(),
                now: self.now,
                report: Report { token: "t".into(), certificate: "c".into(), key: "k".into() },
                allowed_cidrs: vec![],
                proxy: None,
                proxy_exceptions: Vec::new(),
                extra_roots: None,
            };
            compile(previous, input)
        }
    }

    #[test]
    fn an_older_secret_stays_valid_until_okta_has_had_the_new_one_for_ten_minutes() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.hooks.insert("h".into(), Ok(Hook { secrets: vec!["new".into()], ..hook() }));
        let secrets = |config: &GatewayConfig| {
            config.hooks["h"].secrets.iter().map(|secret| secret.expose().clone()).collect::<Vec<_>>()
        };
        (world.applied, world.now) = (false, 1_000);
        let both = world.compile(Some(&before)).config;
        assert_eq!(secrets(&both), ["new", "secret"]);
        world.now = 100_000;
        let still = world.compile(Some(&both)).config;
        assert_eq!(
            (secrets(&still), still.hooks["h"].retire_at),
            (vec!["new".to_owned(), "secret".to_owned()], None),
            "Okta may not have it yet"
        );
        world.applied = true;
        let dated = world.compile(Some(&still)).config;
        assert_eq!(dated.hooks["h"].retire_at, Some(100_600));
        world.now = 100_599;
        assert_eq!(world.compile(Some(&dated)).config, dated, "the date does not move");
        world.now = 100_600;
        let over = world.compile(Some(&dated)).config;
        assert_eq!((secrets(&over), over.hooks["h"].retire_at), (vec!["new".to_owned()], None));
    }

    #[test]
    fn one_secret_after_another_leaves_the_last_three() {
        let mut world = World::good();
        let mut config = world.compile(None).config;
        world.applied = false;
        for secret in ["b", "c", "d", "e"] {
            world.hooks.insert("h".into(), Ok(Hook { secrets: vec![secret.into()], ..hook() }));
            config = world.compile(Some(&config)).config;
        }
        let secrets: Vec<&str> = config.hooks["h"].secrets.iter().map(|secret| secret.expose().as_str()).collect();
        assert_eq!(secrets, ["e", "d", "c"]);
    }

    #[test]
    fn the_rules_of_a_policy_that_is_gone_keep_their_place() {
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

    fn told(compiled: &Compiled) -> Vec<(At, &str, bool)> {
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
    fn only_carriers_that_rules_send_by_are_configured() {
        let mut world = World::good();
        world.providers.insert("unused".into(), Ok(provider("https://unused.example")));
        world.providers.insert("unused-and-broken".into(), Err("broken".into()));
        let compiled = world.compile(None);
        assert_eq!((compiled.config.providers.len(), compiled.problems.len()), (2, 0));
    }

    #[test]
    fn a_carrier_that_breaks_serves_on_as_it_was() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.providers.insert("a".into(), Err("Secret is gone".into()));
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config, before);
        assert_eq!(told(&compiled), [(At::Provider, "a", true)]);
    }

    #[test]
    fn a_policy_that_names_a_missing_carrier_serves_on_as_it_was() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.insert("p".into(), Some(policy(100, &["nobody"])));
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config, before);
        assert_eq!(told(&compiled), [(At::Policy, "p", true)]);
        assert!(compiled.problems[0].message.contains("nobody"));
    }

    #[test]
    fn with_nothing_to_fall_back_to_a_rule_keeps_the_carriers_it_has() {
        let mut world = World::good();
        world.providers.remove("a");
        let compiled = world.compile(None);
        assert_eq!(compiled.config.rules[0].action, Action::Send(vec!["b".into()]));
        assert_eq!(told(&compiled), [(At::Policy, "p", false)]);
        world.providers.remove("b");
        assert_eq!(world.compile(None).config.rules[0].action, Action::Send(vec![]));
    }

    #[test]
    fn a_deleted_carrier_takes_its_rules_back_to_nothing_that_names_it() {
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
    fn a_policy_that_is_gone_serves_on_and_the_gateway_is_told() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.insert("p".into(), None);
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(told(&compiled), [(At::Gateway, "ns/gw", true)]);
    }

    #[test]
    fn too_many_policies_change_nothing() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies = (0..17).map(|n| (format!("p{n}"), Some(policy(1, &["a"])))).collect();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(told(&compiled), [(At::Gateway, "ns/gw", true)]);
    }

    #[test]
    fn a_selector_that_matches_nothing_changes_nothing() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.policies.clear();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.rules, before.rules);
        assert_eq!(told(&compiled), [(At::Gateway, "ns/gw", true)]);
    }

    #[test]
    fn a_hook_without_its_secret_serves_on_with_the_one_it_had() {
        let mut world = World::good();
        let before = world.compile(None).config;
        world.hooks =
            [("h".to_owned(), Err("no Secret".to_owned())), ("new".to_owned(), Err("no Secret".to_owned()))].into();
        let compiled = world.compile(Some(&before));
        assert_eq!(compiled.config.hooks, before.hooks);
        assert_eq!(told(&compiled), [(At::Hook, "h", true), (At::Hook, "new", false)]);
    }

    proptest! {
        #[test]
        fn every_carrier_that_a_rule_names_is_configured(
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
                for carrier in sent_by(&compiled.config.rules) {
                    prop_assert!(compiled.config.providers.contains_key(carrier), "{carrier}");
                }
                previous = Some(compiled.config);
            }
        }
    }
}
