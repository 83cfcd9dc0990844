//! What the operator compiles, a gateway serves: this one whole, and one of the release before as far as it can know.

use std::collections::BTreeMap;
use std::time::Duration;

use hookswitch::operator::controllers::gateway::compile::{Compiled, Input, KnownInOkta, compile};
use hookswitch_api::{RoutingPolicySpec, TelephonyGatewaySpec};
use hookswitch_gateway::runtime::{JUDGES, RunningConfig};
use hookswitch_gateway::testing::report;
use hookswitch_gateway_config::{
    check,
    document::{
        ABSENT, Account, Action, GatewayConfig, HookConfig, HookCredential, Probe, ProviderConfig, Report, Sender,
    },
    envelope,
    twilio::TwilioOptions,
};
use hookswitch_message::{Channel, Secret};
use hookswitch_net as net;
use hookswitch_providers as providers;
use hookswitch_providers::Message;
use hookswitch_routing as routing;
use hookswitch_routing::Facts;
use proptest::prelude::*;
use serde_json::json;

use crate::scene::{SECRET, Scene, got, replace, rule, sealed, sms};

/// Refuses what the first release refused a whole configuration for.
fn as_the_release_before(config: &GatewayConfig) -> Result<(), String> {
    let timing = config.timing;
    if timing.deadline_ms.min(2_800).saturating_sub(timing.proxy_allowance_ms) < 100 {
        return Err("deadline".to_owned());
    }
    for (name, provider) in &config.providers {
        providers::adapter(provider).map_err(|error| format!("{name}: {error}"))?;
        let policy = net::Policy { extra_roots_pem: provider.ca_bundle.clone(), ..net::Policy::default() };
        net::Connector::new(&policy).map_err(|error| format!("{name}: {error}"))?;
    }
    for rule in &config.rules {
        if let Action::Send(providers) = &rule.action
            && (providers.is_empty() || providers.iter().any(|provider| !config.providers.contains_key(provider)))
        {
            return Err(format!("{}/{}", rule.policy, rule.name));
        }
        if !rule.matches.prefixes.iter().all(|prefix| check::is_prefix(prefix)) {
            return Err(format!("{}/{}: prefix", rule.policy, rule.name));
        }
    }
    let invalid = config.hooks.iter().find(|(_, hook)| hook.secrets.iter().any(|secret| secret.expose().is_empty()));
    invalid.map_or(Ok(()), |(name, _)| Err(name.clone()))
}

fn account() -> impl Strategy<Value = Account> {
    let token = || prop::sample::select(vec!["token", "", "to\u{7f}ken", "with space", "to\nken"]);
    let url = prop::sample::select(vec![
        "https://a.example/x",
        "https://",
        "https://[::1",
        "mailto:a@b.example",
        "",
        "https://a.example:99999/",
    ]);
    let base = prop::sample::select(vec!["https://api.twilio.com", "https://a.example:99999", "api.twilio.com"]);
    let sid =
        prop::sample::select(vec!["AC00000000000000000000000000000000", "AC0", "SK00000000000000000000000000000000"]);
    let key = prop::option::of(sid.clone());
    prop_oneof![
        (url, token()).prop_map(|(url, token)| Account::Http { url: url.to_owned(), token: token.into() }),
        (sid, key, token(), base).prop_map(|(sid, key, token, base)| Account::Twilio {
            account_sid: sid.to_owned(),
            api_key_sid: key.map(str::to_owned),
            auth_token: token.into(),
            base_url: base.to_owned(),
            options: TwilioOptions::default(),
        }),
    ]
}

fn provider() -> impl Strategy<Value = Result<ProviderConfig, String>> {
    let good = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    let broken = good.replacen('M', "!", 1);
    let bundle = prop::sample::select(vec![None, Some(good), Some(broken), Some(String::new()), Some("x".to_owned())]);
    let from = prop::sample::select(vec!["+12025550100", "ACME", "ACME-AD", ""]);
    let voice = any::<bool>();
    prop_oneof![
        1 => Just(Err("Secret otp/x does not exist.".to_owned())),
        4 => (account(), bundle, from, voice).prop_map(|(account, ca_bundle, from, voice)| {
            let channel = if voice { Channel::Voice } else { Channel::Sms };
            Ok(ProviderConfig {
                account,
                senders: vec![Sender { channel, countries: vec![], from: from.to_owned() }],
                probe: Probe { interval_ms: 1, timeout_ms: 0, fall: 0, rise: 0 },
                max_in_flight: 0,
                ca_bundle,
            })
        }),
    ]
}

fn hook() -> impl Strategy<Value = Result<HookConfig, String>> {
    let header = prop::sample::select(vec!["authorization", "auth_secret", "", "with space", "x:y", "grün"]);
    let secret = prop::sample::select(vec!["a-good-secret-of-24-chars", "another", "", " padded", "two\nlines"]);
    (header, prop::collection::vec(secret, 0..3)).prop_map(|(header, secrets)| {
        let secrets = secrets.into_iter().map(Secret::from).collect();
        Ok(HookConfig::new(header.to_owned(), secrets))
    })
}

fn policy() -> impl Strategy<Value = Option<RoutingPolicySpec>> {
    let prefix = prop::sample::select(vec!["+46", "46", "", "+0"]);
    let provider = prop::sample::select(vec!["a", "b", "misspelt"]);
    let action = prop_oneof![
        Just(json!({"deny": {}})),
        prop::collection::vec(provider, 0..3).prop_map(|names| {
            let names: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"send": {"providers": names}})
        }),
    ];
    let rule = (action, prop::collection::vec(prefix, 0..3));
    let spec = prop::collection::vec(rule, 0..4).prop_map(|rules| {
        let rules = rules.into_iter().enumerate().map(|(at, (mut rule, prefixes))| {
            rule["name"] = json!(format!("r{at}"));
            rule["match"] = json!({"prefixes": prefixes});
            rule
        });
        serde_json::from_value(json!({"rules": rules.collect::<Vec<_>>()})).unwrap()
    });
    prop::option::of(spec)
}

fn gateway() -> impl Strategy<Value = TelephonyGatewaySpec> {
    let duration = || prop::sample::select(vec!["0ms", "100ms", "450ms", "500ms", "2s", "2800ms", "999999999h"]);
    (duration(), duration(), duration(), any::<bool>()).prop_map(|(deadline, allowance, floor, defaults)| {
        let mut spec = json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["p", "q"]}});
        if !defaults {
            spec["deadline"] = json!(deadline);
            spec["proxyAllowance"] = json!(allowance);
            spec["attempts"] = json!({"floor": floor, "max": 1});
        }
        serde_json::from_value(spec).unwrap()
    })
}

#[derive(Debug, Clone)]
struct World {
    spec: TelephonyGatewaySpec,
    policies: BTreeMap<String, Option<RoutingPolicySpec>>,
    providers: BTreeMap<String, Result<ProviderConfig, String>>,
    hooks: BTreeMap<String, Result<HookConfig, String>>,
    now: i64,
}

impl World {
    fn compile(&self, previous: Option<&GatewayConfig>, report: Report) -> Compiled {
        let input = Input {
            gateway: "ns/gw".into(),
            generation: 1,
            spec: &self.spec,
            policies: self.policies.iter().map(|(name, spec)| (name.clone(), spec.as_ref())).collect(),
            providers: self.providers.clone(),
            hooks: self.hooks.clone(),
            in_okta: self.hooks.keys().map(|name| (name.clone(), KnownInOkta::Nothing)).collect(),
            now: self.now,
            report,
            allowed_cidrs: vec![],
            proxy: None,
            proxy_exceptions: vec![],
            extra_roots: None,
        };
        compile(previous, input, &JUDGES)
    }
}

fn world() -> impl Strategy<Value = World> {
    let named = |names: &'static [&'static str]| prop::sample::select(names).prop_map(str::to_owned);
    (
        gateway(),
        prop::collection::btree_map(named(&["p", "q"]), policy(), 0..3),
        prop::collection::btree_map(named(&["a", "b"]), provider(), 0..3),
        prop::collection::btree_map(named(&["h", "i"]), hook(), 0..3),
        0..2_000_i64,
    )
        .prop_map(|(spec, policies, providers, hooks, now)| World { spec, policies, providers, hooks, now })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(13), ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_declared_and_whatever_was_before_a_gateway_serves_what_is_compiled(worlds in prop::collection::vec(world(), 1..5)) {
        let report = report();
        let mut previous: Option<GatewayConfig> = None;
        for world in worlds {
            let config = world.compile(previous.as_ref(), report.clone()).config;
            prop_assert_eq!(check::faults(&config, &JUDGES), vec![]);
            prop_assert_eq!(as_the_release_before(&config), Ok(()));
            let runtime = RunningConfig::new(&config, "", None).unwrap();
            prop_assert_eq!(runtime.faults, vec![], "a pod that restarts serves all of it");
            previous = Some(config);
        }
    }
}

#[tokio::test]
async fn a_configuration_with_faults_serves_all_the_rest_of_it() {
    let scene = Scene::with(|config| {
        let lost = ProviderConfig { ca_bundle: Some("no PEM".into()), ..config.providers["one"].clone() };
        config.providers.insert("lost".into(), lost);
        config.providers.insert(ABSENT.into(), ProviderConfig::absent());
        config.timing.proxy_allowance_ms = 2_450;
        let open = HookConfig { secrets: vec![], ..config.hooks["h"].clone() };
        config.hooks.insert("open".into(), open);
        let to = |prefix: &str, providers: &[&str]| {
            let mut rule = rule(Action::Send(providers.iter().map(|name| (*name).to_owned()).collect()));
            (rule.name, rule.matches.prefixes) = (prefix.replace('+', "to-"), vec![prefix.to_owned()]);
            rule
        };
        config.rules = vec![
            to("", &["one"]),
            to("+45", &[]),
            to("+47", &["misspelt"]),
            to("+358", &["lost"]),
            to("+354", &[ABSENT]),
            to("+46", &["lost", "misspelt", "one"]),
        ];
    })
    .await;
    for (number, expected) in [
        ("+46701740605", ("SUCCESSFUL", Some("one"))),
        ("+4532123456", ("FAILED", None)),
        ("+4740612345", ("FAILED", None)),
        ("+358412345678", ("FAILED", None)),
        ("+3546111234", ("FAILED", None)),
    ] {
        let mut body = sms(number);
        body["data"]["messageProfile"]["phoneNumber"] = json!(number);
        assert_eq!(scene.call(&body).await.answer(), expected, "{number}");
    }
    assert_eq!(scene.delivered(), 1);
    for secret in ["", SECRET] {
        let request = scene.http.post(scene.url("open")).header("authorization", secret).body(sms("x").to_string());
        assert!([401, 404].contains(&got(request).await.status), "{secret:?}");
    }
}

#[test]
fn what_was_there_before_serves_on_instead_of_a_part_at_fault() {
    let provider = ProviderConfig {
        account: Account::Http { url: "https://a.example/".into(), token: "token".into() },
        ..ProviderConfig::absent()
    };
    let spec: TelephonyGatewaySpec = serde_json::from_value(
        json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}, "deadline": "2s"}),
    )
    .unwrap();
    let policy: RoutingPolicySpec =
        serde_json::from_value(json!({"rules": [{"name": "all", "send": {"providers": [{"name": "a"}]}}]})).unwrap();
    let hook = HookConfig::new("authorization".into(), vec![SECRET.into()]);
    let world = World {
        spec,
        policies: [("p".to_owned(), Some(policy))].into(),
        providers: [("a".to_owned(), Ok(provider))].into(),
        hooks: [("h".to_owned(), Ok(hook))].into(),
        now: 0,
    };
    let good = world.compile(None, report()).config;
    let before = RunningConfig::new(&good, "good", None).unwrap();
    let mut bad = good.clone();
    bad.generation = 2;
    bad.timing.deadline_ms = 300;
    bad.providers.get_mut("a").unwrap().account = Account::Http { url: "nowhere".into(), token: "token".into() };
    bad.hooks.get_mut("h").unwrap().secrets.clear();
    bad.rules = vec![rule(Action::Send(vec!["misspelt".into()]))];
    let after = RunningConfig::new(&bad, "bad", Some(&before)).unwrap();
    assert_eq!((after.faults.len(), after.generation, after.deadline), (4, 2, before.deadline));
    let number = "+46701740605".parse().unwrap();
    let facts = Facts { number: &number, country: None, channel: Channel::Sms, request_type: None };
    assert_eq!(after.table.decide(&facts).action, routing::RouteAction::Send(&["a".to_owned()]));
    let rules: Vec<&str> = after.table.rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["all"]);
    let message = Message {
        id: "id".into(),
        channel: Channel::Sms,
        to: number.clone(),
        country: None,
        text: Secret::from("Your code is 1234"),
        code: Secret::from("1234"),
        locale: None,
        ttl: None,
        original: None,
    };
    let by_secret = [(http::header::AUTHORIZATION, SECRET.parse().unwrap())].into_iter().collect();
    assert!(after.hook("h").unwrap().admits(&by_secret, 0));
    assert_eq!(after.candidates(&["a".to_owned()], &message, None).0.len(), 1);
    let lost = GatewayConfig { providers: BTreeMap::new(), ..bad.clone() };
    let after = RunningConfig::new(&lost, "lost", Some(&after)).unwrap();
    assert_eq!(
        after.candidates(&["a".to_owned()], &message, None).0.len(),
        1,
        "rules that serve on have their providers"
    );
    let restarted = RunningConfig::new(&bad, "bad", None).unwrap();
    assert!(restarted.hook("h").is_none() && restarted.candidates(&["a".to_owned()], &message, None).0.is_empty());
    assert_eq!(restarted.deadline, std::time::Duration::from_millis(2_300), "the defaults");
    for fault in &after.faults {
        assert!(!fault.to_string().contains("token"), "{fault}");
    }
}

#[tokio::test]
async fn an_older_secret_ends_at_its_time_although_nobody_takes_it_out() {
    let now =
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let former = vec![HookCredential { header: "x-former".into(), secret: SECRET.into() }];
    let secrets = vec!["the-newer-secret-of-24".into(), SECRET.into()];
    let hook = |retire_at| HookConfig {
        former: former.clone(),
        retire_at,
        ..HookConfig::new("authorization".into(), secrets.clone())
    };
    let scene = Scene::with(|config| {
        for (name, retire_at) in [("over", Some(now - 1)), ("soon", Some(now + 3_600)), ("open", None)] {
            config.hooks.insert(name.into(), hook(retire_at));
        }
    })
    .await;
    for (name, older) in [("over", 401), ("soon", 200), ("open", 200)] {
        for (secret, expected) in [("the-newer-secret-of-24", 200), (SECRET, older), ("wrong", 401)] {
            let request = scene.http.post(scene.url(name)).header("authorization", secret);
            let answer = got(request.body(sms(&format!("{name}-{secret}").replace(' ', "-")).to_string())).await;
            assert_eq!(answer.status, expected, "{name} {secret}");
        }
        let request = scene.http.post(scene.url(name)).header("x-former", SECRET);
        assert_eq!(got(request.body(sms(&format!("{name}-former")).to_string())).await.status, older, "{name}");
    }
}

#[tokio::test]
async fn a_document_of_a_version_that_is_not_known_changes_nothing_and_one_that_is_known_beside_it_counts() {
    let scene = Scene::new().await;
    let file = scene.folder.join("config").join(envelope::KEY);
    let envelope_of = |versions: &[(u32, &GatewayConfig)]| {
        let written = versions.iter().map(|(version, config)| (*version, serde_json::to_vec(config).unwrap()));
        envelope::seal(&written.collect::<Vec<_>>()).unwrap()
    };
    let mut other = scene.config.clone();
    (other.generation, other.rules) = (2, vec![rule(Action::Send(vec!["two".into()]))]);
    replace(&file, &envelope_of(&[(7, &other)]));
    while scene.report().await.refused.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(scene.report().await.refused.unwrap().reason.contains("no known version"));
    assert_eq!(scene.call(&sms("e-running")).await.answer(), ("SUCCESSFUL", Some("one")), "who runs serves on");
    replace(&file, &envelope_of(&[(1, &other), (7, &scene.config)]));
    while scene.report().await.generation != 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.call(&sms("e-changed")).await.answer(), ("SUCCESSFUL", Some("two")));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hookswitch"));
    command.stderr(std::process::Stdio::null());
    let restarted = scene.spawn(command).await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(scene.sandbox.authority().cert_pem().as_bytes()).unwrap()])
        .resolve("localhost", restarted.hooks)
        .no_proxy();
    let url = format!("https://localhost:{}/hooks/h", restarted.hooks.port());
    let asked = client.build().unwrap().post(url).header("authorization", SECRET).body(sms("e-restarted").to_string());
    assert_eq!(got(asked).await.answer(), ("SUCCESSFUL", Some("two")), "so does who starts");
}

#[tokio::test]
async fn a_credential_that_its_provider_revokes_costs_no_call_until_the_next_one_arrives() {
    let scene = Scene::with(|config| {
        let Account::Http { token, .. } = &mut config.providers.get_mut("one").unwrap().account else { panic!() };
        *token = "a token that is revoked".into();
    })
    .await;
    for turn in 0..20 {
        let got = scene.call(&sms(&format!("e-revoked-{turn}"))).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("two")), "within the call, {turn}");
    }
    assert_eq!(scene.delivered(), 20, "one message a call");
    let mut rotated = scene.config.clone();
    rotated.generation = 2;
    let Account::Http { token, .. } = &mut rotated.providers.get_mut("one").unwrap().account else { panic!() };
    *token = "token-of-one".into();
    replace(&scene.folder.join("config").join(envelope::KEY), &sealed(&rotated));
    let mut meanwhile = 0;
    while scene.report().await.generation != 2 {
        meanwhile += 1;
        let got = scene.call(&sms(&format!("e-meanwhile-{meanwhile}"))).await;
        assert_eq!(got.answer().0, "SUCCESSFUL", "by either of them");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.delivered(), 20 + meanwhile, "one message a call");
    assert_eq!(scene.call(&sms("e-rotated")).await.answer(), ("SUCCESSFUL", Some("one")), "at once, and first again");
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_costs_no_call() {
    let scene = Scene::new().await;
    let now = jiff::Timestamp::now();
    for (name, minutes) in [("ahead of Okta's", -60), ("behind Okta's", 60)] {
        let made = now + jiff::SignedDuration::from_mins(minutes);
        let expires = made + jiff::SignedDuration::from_mins(5);
        let mut body = sms(&format!("e{minutes}"));
        body["eventTime"] = json!(made.to_string());
        body["data"]["messageProfile"]["otpExpires"] = json!(expires.to_string());
        assert_eq!(scene.call(&body).await.answer(), ("SUCCESSFUL", Some("one")), "our clock is an hour {name}");
    }
}

#[tokio::test]
async fn a_preview_whose_number_is_corrected_is_sent_although_its_id_is_the_same() {
    let scene = Scene::new().await;
    let numbered = |number: &str, path: &str| {
        let mut body = sms("preview-1");
        body["data"]["messageProfile"]["phoneNumber"] = json!(number);
        body["data"]["context"]["request"]["url"] = json!({"value": path});
        body
    };
    let preview = "/api/internal/v1/inlineHooks/com.okta.telephony.provider/generatePreview";
    assert_eq!(scene.call(&numbered("9876543210", preview)).await.answer().0, "FAILED");
    assert_eq!(scene.call(&numbered("+46701740605", preview)).await.answer().0, "SUCCESSFUL");
    assert_eq!(scene.call(&numbered("+46701740605", preview)).await.answer().0, "SUCCESSFUL");
    assert_eq!(scene.delivered(), 1, "the very same preview is not sent twice");
    let corrected = scene.call(&numbered("+46701740606", preview)).await;
    assert_eq!(corrected.answer(), ("SUCCESSFUL", Some("one")), "to the provider, too, it is another message");
    assert_eq!(scene.delivered(), 2);
    let ordinary = |number: &str| {
        let mut body = numbered(number, "/idp/idx/challenge");
        body["eventId"] = json!("ordinary-1");
        body
    };
    assert_eq!(scene.call(&ordinary("9876543210")).await.answer().0, "FAILED");
    assert_eq!(scene.call(&ordinary("+46701740605")).await.answer().0, "SUCCESSFUL");
    assert_eq!(scene.call(&ordinary("+46701740606")).await.answer().0, "FAILED", "the id is bound now");
    assert_eq!(scene.delivered(), 3);
}

#[tokio::test]
async fn previews_are_sent_and_do_not_count_as_the_calls_of_people() {
    let scene = Scene::new().await;
    let preview = |event: &str, number: &str| {
        let mut body = sms(event);
        body["data"]["messageProfile"]["phoneNumber"] = json!(number);
        body["source"] =
            json!("https://acme.okta.com/api/internal/v1/inlineHooks/com.okta.telephony.provider/generatePreview");
        body
    };
    assert_eq!(scene.call(&preview("e-1", "+46701740605")).await.answer().0, "SUCCESSFUL");
    // not even a number, and none that can be called
    assert_eq!(scene.call(&preview("e-2", "")).await.answer().0, "FAILED");
    assert_eq!(scene.call(&preview("e-3", "+4670")).await.answer().0, "FAILED");
    let report = scene.report().await;
    let hook = &report.hooks["h"];
    assert_eq!((hook.answers.len(), hook.last_call_age_s), (0, None), "{hook:?}");
    assert_eq!((report.rules["p/all"].calls, report.rules["p/all"].recent), (0, 0));
    assert_eq!(report.providers["one"].outcomes["accepted"], 1, "a message is a message to the provider");
    let text = reqwest::get(format!("http://{}/metrics", scene.at.metrics)).await.unwrap().text().await.unwrap();
    let reported = |series: &str| text.lines().filter(|line| line.starts_with(series)).collect::<Vec<_>>();
    assert_eq!(reported("hookswitch_gateway_calls_total"), Vec::<&str>::new());
    let mut previews = reported("hookswitch_gateway_previews_total");
    previews.sort_unstable();
    let of = |status: &str, count: u32| {
        format!("hookswitch_gateway_previews_total{{hook=\"h\",status=\"{status}\"}} {count}")
    };
    assert_eq!(previews, [of("FAILED", 2), of("SUCCESSFUL", 1)]);
    assert_eq!(scene.call(&sms("e-4")).await.answer().0, "SUCCESSFUL");
    let report = scene.report().await;
    assert_eq!((report.hooks["h"].answers["SUCCESSFUL"], report.rules["p/all"].calls), (1, 1));
}
