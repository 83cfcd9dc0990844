use proptest::prelude::*;
use serde_json::json;

use super::*;
use hookswitch_gateway_config::document::{Account, Probe, Sender};

fn provider(url: &str) -> ProviderConfig {
    ProviderConfig {
        account: Account::Http { url: url.into(), token: "token".into() },
        senders: vec![Sender { channel: hookswitch_message::Channel::Sms, countries: vec![], from: "ACME".into() }],
        probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
        max_in_flight: 256,
        ca_bundle: None,
    }
}

fn hook() -> HookConfig {
    HookConfig::new("authorization".into(), vec!["secret".into()])
}

fn spec() -> TelephonyGatewaySpec {
    serde_json::from_value(json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}})).unwrap()
}

fn policy(priority: i32, names: &[&str]) -> RoutingPolicySpec {
    let providers: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    serde_json::from_value(json!({"priority": priority, "rules": [{"name": "all", "send": {"providers": providers}}]}))
        .unwrap()
}

struct World {
    spec: TelephonyGatewaySpec,
    policies: BTreeMap<String, Option<RoutingPolicySpec>>,
    providers: BTreeMap<String, Result<ProviderConfig, String>>,
    hooks: BTreeMap<String, Result<HookConfig, String>>,
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
    Has(HookCredential),
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

    fn has(&self, hook: &Result<HookConfig, String>) -> Option<KnownInOkta> {
        match &self.okta {
            Okta::All => hook.as_ref().ok()?.credentials().next().map(KnownInOkta::Has),
            Okta::Unknown => None,
            Okta::Has(one) => Some(KnownInOkta::Has(one.clone())),
        }
    }

    fn declare(&mut self, header: &str, secret: &str) {
        self.hooks.insert("h".into(), Ok(HookConfig::new(header.into(), vec![secret.into()])));
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
        Account::Http { .. } | Account::Twilio { .. } | Account::OktaHook { .. } => Ok(()),
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
    world.hooks.insert("h".into(), Ok(HookConfig { secrets: vec!["new".into()], ..hook() }));
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

fn credential(header: &str, secret: &str) -> HookCredential {
    HookCredential { header: header.into(), secret: secret.into() }
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
    assert_eq!(compiled.config.providers[ABSENT], ProviderConfig::absent());
    assert_eq!(problems_of(&compiled), [(At::Policy, "other", false)]);
    assert!(
        compiled.problems[0].message.ends_with("misspelt; these rules have no provider left and answer FAILED: lost")
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
    world.hooks.insert("h".into(), Ok(HookConfig { secrets: vec!["new".into()], ..hook() }));
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
    for (deadline, allowance, floor) in [("500ms", "450ms", "100ms"), ("500ms", "0s", "500ms"), ("2500ms", "1s", "2s")]
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
    let shown: Vec<_> = compiled.config.rules.iter().map(|rule| (rule.name.as_str(), &rule.matches.prefixes)).collect();
    assert_eq!(shown, [("half", &vec!["+47".to_owned()]), ("rest", &vec![])]);
    assert_eq!(problems_of(&compiled), [(At::Policy, "p", false)]);
}

#[test]
fn a_hook_that_nobody_could_call_is_not_served_and_is_reported() {
    let mut world = World::good();
    let before = world.compile(None).config;
    for broken in [HookConfig { header: "with space".into(), ..hook() }, HookConfig { secrets: vec![], ..hook() }] {
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
    assert_eq!(compiled.config.rules[0].action, Action::Send(vec!["b".into()]), "its credentials are gone for good");
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
    let first =
        json!({"priority": 1, "rules": [{"name": "new", "send": {"providers": [{"name": "a"}, {"name": "c001"}]}}]});
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
