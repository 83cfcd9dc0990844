//! What refusals do to the next messages, and what of them is seen from outside.

use std::collections::BTreeMap;

use futures::future::join_all;
use hookswitch::operator::state::reports::{ReportedHealth, Reports, SendingRule};
use hookswitch_failover::signal::{CheckResult, Source};
use hookswitch_gateway::breaker::CONSECUTIVE;
use hookswitch_gateway_config::document::{Account, Action, GatewayConfig, ProviderConfig, Sender};
use hookswitch_gateway_config::report::{BreakerState, ProbeState, RefusedScope, ReplicaReport};
use hookswitch_gateway_config::twilio::TwilioOptions;
use hookswitch_message::Channel;
use hookswitch_sandbox::faults::FaultKind;
use serde_json::{Value, json};

use crate::canned::Canned;
use crate::scene::{Got, Scene, refuse, rule, sms};

/// Sends by providers in this order and no others.
fn only(providers: &[&str]) -> impl Fn(&mut GatewayConfig) {
    let providers: Vec<String> = providers.iter().map(|name| (*name).to_owned()).collect();
    move |config| config.rules = vec![rule(Action::Send(providers.clone()))]
}

async fn call(scene: &Scene, turn: usize) -> Got {
    scene.call(&to(&someone("+467017", turn), "SMS", &format!("e-{turn}"))).await
}

/// A number of its own for each turn.
fn someone(begins: &str, turn: usize) -> String {
    format!("{begins}{:05}", 40_605 + turn)
}

fn to(number: &str, channel: &str, event: &str) -> Value {
    let mut body = sms(event);
    body["data"]["messageProfile"]["phoneNumber"] = json!(number);
    body["data"]["messageProfile"]["deliveryChannel"] = json!(channel);
    body["data"]["userProfile"] = json!({"login": format!("{number}@example.com")});
    body
}

/// What a switch sees of the hook, and what is said of provider `one`, when a replica reports that.
fn observed(report: ReplicaReport, providers: &[&str]) -> (CheckResult, String, ReportedHealth) {
    let reports = Reports::default();
    let providers = providers.iter().map(|name| (*name).to_owned()).collect();
    let rule = SendingRule { name: "p/all".into(), critical: false, providers };
    let _arriving = reports.expect("ns", "gw", &report.config_hash, BTreeMap::new(), vec![rule]);
    reports.take(&("ns".into(), "gw".into()), [("gateway-0".to_owned(), Some(report))].into());
    let (signals, _) = reports.signals("ns", "gw", "h", 50);
    let coverage = signals.into_iter().find(|signal| signal.source == Source::Coverage).unwrap();
    (coverage.result, coverage.why, reports.provider("ns", "one"))
}

#[tokio::test]
async fn refusals_of_one_kind_in_a_row_are_ill_health_that_the_report_and_the_switch_see() {
    let degraded = |why: &str| ReportedHealth::Degraded(why.to_owned());
    for (class, scope, reported, said) in [
        (
            "permanent-config",
            Some("sender"),
            RefusedScope::Sender,
            degraded("The provider keeps refusing: SMS by a sender (no)."),
        ),
        ("message-rejected", None, RefusedScope::Channel, degraded("The provider keeps refusing: SMS (no).")),
        (
            "permanent-config",
            Some("account"),
            RefusedScope::Account,
            ReportedHealth::Down(
                "1 of 1 gateway replicas cannot send by it (no). The provider keeps refusing: the account (no).".into(),
            ),
        ),
    ] {
        let scene = Scene::with(only(&["one"])).await;
        assert_eq!(call(&scene, 0).await.answer(), ("SUCCESSFUL", Some("one")), "it is known to work");
        scene.fault("one", refuse(class, scope));
        for turn in 1..=25 {
            assert_eq!(call(&scene, turn).await.answer().0, "FAILED");
        }
        let report = scene.report().await;
        let provider = report.providers["one"].clone();
        let part = &provider.refused[0];
        assert_eq!((part.scope, part.code.as_str()), (reported, "no"), "{provider:?}");
        assert!(part.in_a_row >= CONSECUTIVE, "{provider:?}");
        let codes: Vec<&str> = provider.codes.iter().map(|code| code.code.as_str()).collect();
        assert_eq!(codes, ["no"]);
        let (result, why, health) = observed(report, &["one"]);
        assert_eq!(
            (result, why.as_str()),
            (CheckResult::Fail, "Without a usable provider: p/all."),
            "{class} {scope:?}"
        );
        assert_eq!(health, said);

        scene.sandbox.provider("one").unwrap().clear_faults(None);
        for turn in 26..28 {
            assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("one")), "it is asked all the same");
        }
        let (result, _, health) = observed(scene.report().await, &["one"]);
        assert_eq!((result, health), (CheckResult::Pass, ReportedHealth::Up));
    }
}

#[tokio::test]
async fn one_number_that_is_refused_again_and_again_is_no_reason_to_leave_the_hook() {
    for (class, scope) in [("permanent-config", Some("sender")), ("message-rejected", None), ("unknown", None)] {
        let scene = Scene::with(only(&["one"])).await;
        for turn in 0..10 {
            assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("one")));
        }
        scene.fault("one", refuse(class, scope));
        for turn in 0..25 {
            let got = scene.call(&to("+46701740605", "SMS", &format!("again-{turn}"))).await;
            assert_eq!(got.answer().0, "FAILED", "{}", got.body);
        }
        let report = scene.report().await;
        assert_eq!((report.rules["p/all"].recent, report.rules["p/all"].refused), (35, 0), "{class}");
        let (result, _, health) = observed(report, &["one"]);
        assert_eq!(result, CheckResult::Pass, "{class}");
        assert!(matches!(health, ReportedHealth::Degraded(_)), "and it is told: {health:?}");
    }
}

#[tokio::test]
async fn one_person_whose_numbers_are_all_refused_is_no_reason_to_leave_the_hook() {
    for (who, expected) in [
        (json!({"userId": "00u1", "login": "a@example.com"}), CheckResult::Pass),
        (json!({"login": " a@example.com "}), CheckResult::Pass),
        (json!({"userId": 4711, "login": ["odd"]}), CheckResult::Pass),
        // where Okta does not say who it is, each number is somebody
        (json!(null), CheckResult::Fail),
        (json!({"userId": "", "login": null}), CheckResult::Fail),
    ] {
        let scene = Scene::with(only(&["one"])).await;
        assert_eq!(call(&scene, 100).await.answer(), ("SUCCESSFUL", Some("one")), "it is known to work");
        scene.fault("one", refuse("permanent-config", Some("sender")));
        for turn in 0..25 {
            let mut body = to(&someone("+467017", turn), "SMS", &format!("e-{turn}"));
            body["data"]["userProfile"] = who.clone();
            assert_eq!(scene.call(&body).await.answer().0, "FAILED");
        }
        let (result, ..) = observed(scene.report().await, &["one"]);
        assert_eq!(result, expected, "{who}");
    }
}

#[tokio::test]
async fn a_pause_that_is_over_before_a_switch_is_decided_is_no_reason_to_leave_the_hook() {
    for (asked_for, refused) in [("1", 0), ("29", 0), ("30", 1), ("3600", 1)] {
        let scene = Scene::new().await;
        let canned = Canned::new(&scene.sandbox).await;
        let scene = Scene::with(|fresh| {
            fresh.providers = [("one".to_owned(), canned.provider())].into();
            only(&["one"])(fresh);
        })
        .await;
        let refusal = r#"{"status":"refused","code":"limit-1"}"#;
        canned.says("429 Too Many Requests", &format!("retry-after: {asked_for}\r\n"), refusal);
        assert_eq!(call(&scene, 0).await.answer(), ("FAILED", Some("one")));
        let report = scene.report().await;
        assert_eq!((report.rules["p/all"].recent, report.rules["p/all"].refused), (1, refused), "{asked_for}");
        assert_eq!(report.providers["one"].breaker, BreakerState::Closed);
    }
}

#[tokio::test]
async fn a_country_that_is_refused_fails_a_rule_that_names_it_and_no_other() {
    for (number, country) in [("+46701740605", "SE"), ("+881612345678", "")] {
        for named in [true, false] {
            let scene = Scene::with(|config| {
                only(&["one"])(config);
                if named {
                    config.rules[0].matches.prefixes = vec![number[..3].to_owned()];
                }
            })
            .await;
            let got = scene.call(&to(number, "SMS", "e-works")).await;
            assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
            scene.fault("one", refuse("permanent-config", Some("country")));
            for turn in 0..25 {
                let number = someone(&number[..number.len() - 5], turn);
                scene.call(&to(&number, "SMS", &format!("e-{turn}"))).await.answer();
            }
            let report = scene.report().await;
            let part = &report.providers["one"].refused[0];
            assert_eq!(
                (part.scope, part.country.as_str(), part.channel.as_str()),
                (RefusedScope::Country, country, "sms")
            );
            let probe = report.providers["one"].probe;
            assert_eq!((probe, report.providers["one"].breaker), (ProbeState::Up, BreakerState::Closed));
            let (result, ..) = observed(report, &["one"]);
            assert_eq!(result, if named { CheckResult::Fail } else { CheckResult::Pass }, "{number}");
        }
    }
}

#[tokio::test]
async fn a_sender_that_is_refused_takes_nothing_from_the_other_channel_and_costs_a_rule_its_share() {
    let scene = Scene::with(|config| {
        only(&["one"])(config);
        let sender = |channel, from: &str| Sender { channel, countries: vec![], from: from.into() };
        config.providers.get_mut("one").unwrap().senders =
            vec![sender(Channel::Sms, "ACME"), sender(Channel::Voice, "+46101234567")];
    })
    .await;
    for turn in 0..20 {
        let got = scene.call(&to("+46701740605", "VOICE CALL", &format!("v-{turn}"))).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
    }
    scene.fault("one", refuse("permanent-config", Some("sender")));
    for turn in 0..8 {
        assert_eq!(call(&scene, turn).await.answer(), ("FAILED", Some("one")));
    }
    let report = scene.report().await;
    let of_rule = report.rules["p/all"];
    assert_eq!((of_rule.recent, of_rule.refused), (28, 8));
    let (result, why, _) = observed(report, &["one"]);
    assert_eq!(
        (result, why.as_str()),
        (CheckResult::Pass, "Degraded. Without a usable provider for some of its messages: p/all.")
    );
}

#[tokio::test]
async fn a_provider_that_refuses_texts_again_and_again_is_asked_after_one_that_takes_them() {
    let scene = Scene::new().await;
    scene.fault("one", refuse("message-rejected", None));
    for turn in 0..25 {
        assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("two")));
    }
    assert_eq!(scene.asked("one"), usize::try_from(CONSECUTIVE).unwrap());
    let (result, _, health) = observed(scene.report().await, &["one", "two"]);
    assert_eq!(result, CheckResult::Pass, "the other one takes all");
    assert!(matches!(health, ReportedHealth::Degraded(_)));
}

#[tokio::test]
async fn of_a_dead_provider_without_another_one_call_at_a_time_is_pending_and_the_rest_failed_unsent() {
    let scene = Scene::with(|config| {
        only(&["one"])(config);
        config.timing.deadline_ms = 1_000;
    })
    .await;
    scene.fault("one", FaultKind::Hang { delivered: false });
    let first = join_all((0..5).map(|turn| call(&scene, turn))).await;
    assert!(first.iter().all(|got| got.answer() == ("PENDING", Some("one"))), "nothing is known yet");
    let asked = scene.asked("one");

    let many = join_all((5..45).map(|turn| call(&scene, turn))).await;
    let pending = many.iter().filter(|got| got.answer().0 == "PENDING").count();
    let failed = many.iter().filter(|got| got.answer().0 == "FAILED").count();
    assert_eq!((pending, failed, scene.asked("one") - asked), (1, 39, 1), "Okta sends the 39");
    assert!(scene.report().await.rules["p/all"].uncovered >= 39, "whoever cannot be sent has no usable provider");

    scene.sandbox.provider("one").unwrap().clear_faults(None);
    assert_eq!(call(&scene, 45).await.answer(), ("SUCCESSFUL", Some("one")), "the next trial is let through at once");
    for turn in 46..50 {
        assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("one")));
    }
}

#[tokio::test]
async fn of_a_provider_that_probes_found_dead_one_call_at_a_time_is_pending_from_the_first_on() {
    let scene = Scene::with(|config| {
        only(&["one"])(config);
        config.timing.deadline_ms = 1_000;
        let probe = &mut config.providers.get_mut("one").unwrap().probe;
        (probe.interval_ms, probe.timeout_ms, probe.fall) = (1_000, 200, 2);
    })
    .await;
    scene.fault("one", FaultKind::Hang { delivered: false });
    while scene.report().await.providers["one"].probe != ProbeState::Down {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let many = join_all((0..40).map(|turn| call(&scene, turn))).await;
    let pending = many.iter().filter(|got| got.answer().0 == "PENDING").count();
    assert_eq!((pending, scene.asked("one")), (1, 1));
}

#[tokio::test]
async fn providers_that_nothing_left_for_use_up_no_attempt_and_no_time() {
    let twilio = |max_in_flight| ProviderConfig {
        account: Account::Twilio {
            account_sid: format!("AC{}", "0".repeat(32)),
            api_key_sid: None,
            auth_token: "token".into(),
            base_url: "https://127.0.0.1:9".into(),
            options: TwilioOptions::default(),
        },
        senders: vec![Sender {
            channel: Channel::Sms,
            countries: vec!["US".parse().unwrap()],
            from: "+12025550123".into(),
        }],
        probe: hookswitch_gateway_config::document::Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight,
        ca_bundle: None,
    };
    let everywhere = |max_in_flight| {
        let mut provider = twilio(max_in_flight);
        provider.senders[0].countries.clear();
        provider
    };
    // no sender for the country; full; nobody listens there
    for (what, others) in [
        ("no sender", [twilio(9), twilio(9), twilio(9)]),
        ("full", [everywhere(0), everywhere(0), everywhere(0)]),
        ("unreachable", [everywhere(9), everywhere(9), everywhere(9)]),
    ] {
        let scene = Scene::with(|config| {
            for (name, other) in ["x", "y", "z"].into_iter().zip(others) {
                config.providers.insert(name.to_owned(), other);
            }
            only(&["x", "y", "z", "one"])(config);
        })
        .await;
        // It has what the three do not need: two seconds.
        scene.fault("one", FaultKind::Slow { ms: 1_600 });
        let got = call(&scene, 0).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")), "{what}: {}", got.body);
        assert_eq!(got.body["commands"][0]["value"][0]["transactionMetadata"], json!("attempts=1"), "{what}");
    }
}

#[tokio::test]
async fn an_open_breaker_uses_up_no_attempt_and_is_tried_when_nobody_else_takes_the_message() {
    let scene = Scene::with(|config| config.timing.max_attempts = 2).await;
    scene.fault("one", refuse("transient", None));
    for turn in 0..5 {
        assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("two")));
    }
    assert_eq!(scene.report().await.providers["one"].breaker, BreakerState::Open);
    let asked = scene.asked("one");
    assert_eq!(call(&scene, 5).await.answer(), ("SUCCESSFUL", Some("two")));
    assert_eq!(scene.asked("one"), asked, "left alone while another one sends");
    scene.sandbox.provider("one").unwrap().clear_faults(None);
    scene.fault("two", refuse("transient", None));
    assert_eq!(call(&scene, 6).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_is_left_alone_in_either_form_and_by_whoever_has_nobody_else() {
    let at = jiff::Timestamp::now() + std::time::Duration::from_hours(1);
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for asked_for in ["3600".to_owned(), date] {
        for (status, class) in [("429 Too Many Requests", "throttled"), ("503 Service Unavailable", "transient")] {
            let scene = Scene::new().await;
            let canned = Canned::new(&scene.sandbox).await;
            let scene = Scene::with(|fresh| {
                let two = fresh.providers["two"].clone();
                fresh.providers = [("one".to_owned(), canned.provider()), ("two".to_owned(), two)].into();
            })
            .await;
            canned.says(status, &format!("retry-after: {asked_for}\r\n"), r#"{"status":"refused","code":"limit-1"}"#);
            for turn in 0..10 {
                assert_eq!(call(&scene, turn).await.answer(), ("SUCCESSFUL", Some("two")), "{class}");
            }
            assert_eq!(canned.asked(), 1, "{class}: it is not asked again within the hour");
            let report = scene.report().await;
            let provider = &report.providers["one"];
            assert!((3_500..=3_600).contains(&provider.paused_for_s), "{provider:?}");
            assert_eq!((provider.codes[0].code.as_str(), provider.codes[0].outcome.as_str()), ("limit-1", class));
            let (result, _, health) = observed(report, &["one", "two"]);
            let rests = "The provider asked for a pause (Retry-After).";
            assert_eq!((result, health), (CheckResult::Pass, ReportedHealth::Degraded(rests.into())));

            scene.fault("two", refuse("transient", None));
            let got = call(&scene, 10).await;
            assert_eq!((got.answer().0, canned.asked()), ("FAILED", 1), "nor by who has nobody else, for 15 s");
        }
    }
}

#[tokio::test]
async fn the_code_of_a_refusal_is_reported_and_one_that_quotes_the_message_is_not() {
    for (code, shown) in [("21660", "21660"), ("bad-493817", "withheld"), ("070-174-06-05", "withheld")] {
        let scene = Scene::new().await;
        let kind = FaultKind::Refuse {
            code: code.to_owned(),
            status: None,
            class: Some("permanent-config".to_owned()),
            scope: Some("account".to_owned()),
        };
        scene.fault("one", kind);
        assert_eq!(call(&scene, 0).await.answer(), ("SUCCESSFUL", Some("two")));
        let report = scene.report().await;
        let provider = &report.providers["one"];
        assert_eq!((provider.codes[0].code.as_str(), provider.because.as_str()), (shown, shown));
        assert_eq!((provider.codes[0].outcome.as_str(), provider.codes[0].count), ("permanent-config-account", 1));
        let (.., health) = observed(report, &["one", "two"]);
        let why = format!("1 of 1 gateway replicas cannot send by it ({shown}).");
        assert_eq!(health, ReportedHealth::Down(why));
    }
}
