use super::{signals::usable, *};
use hookswitch_failover::signal::{CheckResult, Source};
use hookswitch_gateway_config::report::{
    CodeReport, HookReport, ProviderReport, RefusedPart, RefusedScope, RuleReport,
};

fn report(hook: bool, probe: ProbeState) -> ReplicaReport {
    let provider = ProviderReport { probe, breaker: BreakerState::Closed, ..ProviderReport::default() };
    let hooks = if hook { vec![("h".to_owned(), HookReport::default())] } else { vec![] };
    ReplicaReport {
        config_hash: "one".into(),
        hooks: hooks.into_iter().collect(),
        providers: [("c".to_owned(), provider)].into(),
        ..ReplicaReport::default()
    }
}

fn key() -> GatewayKey {
    ("ns".into(), "gw".into())
}

#[test]
fn a_provider_that_is_tried_again_is_unusable_for_as_long_as_it_fails() {
    for (breaker, failing_for_ms, expected) in [
        (BreakerState::Closed, 0, Some(true)),
        (BreakerState::Open, 3_000, Some(false)),
        (BreakerState::HalfOpen, 3_000, Some(false)),
        (BreakerState::HalfOpen, 0, None),
    ] {
        let mut reported = report(true, ProbeState::Up);
        let provider = reported.providers.get_mut("c").unwrap();
        (provider.breaker, provider.failing_for_ms) = (breaker, failing_for_ms);
        assert_eq!(usable(&[&reported], "c"), expected, "{breaker:?} and failing for {failing_for_ms} ms");
    }
}

#[test]
fn a_hook_is_served_when_a_replica_has_it_and_unknown_when_none_reports() {
    let reports = Reports::default();
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::Unknown);
    reports.take(&key(), [("a".to_owned(), None)].into());
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::Unknown);
    reports.take(&key(), [("a".to_owned(), Some(report(false, ProbeState::Up)))].into());
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::No);
    reports.take(&key(), [("a".to_owned(), None), ("b".to_owned(), Some(report(true, ProbeState::Up)))].into());
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::Yes { replicas: 1 });
    assert_eq!(
        reports.replicas("ns", "gw", "one"),
        Replicas { reporting: 2, current: 2, usable: 2, ..Replicas::default() }
    );
}

#[test]
fn a_gateway_is_asked_at_once_when_replicas_change_or_a_configuration_is_on_its_way() {
    let reports = Reports::default();
    let ready = BTreeSet::from(["a"]);
    assert!(reports.is_due(&key(), &ready, POLL), "never asked");
    reports.take(&key(), [("a".to_owned(), Some(report(true, ProbeState::Up)))].into());
    assert!(!reports.is_due(&key(), &ready, POLL), "asked a moment ago");
    assert!(
        reports.is_due(&key(), &BTreeSet::from(["a", "b"]), POLL) && reports.is_due(&key(), &BTreeSet::new(), POLL)
    );
    let _ = reports.expect("ns", "gw", "two", BTreeMap::new(), Vec::new());
    assert!(reports.is_due(&key(), &ready, POLL), "it serves the configuration before");
    let _ = reports.expect("ns", "gw", "one", BTreeMap::new(), Vec::new());
    assert!(!reports.is_due(&key(), &ready, POLL));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_asked_as_often_as_is_wanted_by_rounds_that_are_not_exact() {
    let reports = Reports::by(|| tokio::time::Instant::now().into_std());
    let ready = BTreeSet::from(["a"]);
    for every in [1_u32, 3, 5] {
        reports.take(&key(), [("a".to_owned(), Some(report(true, ProbeState::Up)))].into());
        // the answer took a while
        tokio::time::advance(ROUND.mul_f64(0.8)).await;
        for round in 1..every {
            assert!(!reports.is_due(&key(), &ready, ROUND * every), "{every} s, in round {round}");
            tokio::time::advance(ROUND).await;
        }
        assert!(reports.is_due(&key(), &ready, ROUND * every), "{every} s");
    }
}

#[test]
fn a_rule_whose_providers_are_not_there_is_without_a_usable_one() {
    let reports = Reports::default();
    let rule = SendingRule { name: "p/lost".into(), critical: true, providers: vec![] };
    let _arriving = reports.expect("ns", "gw", "one", BTreeMap::new(), vec![rule]);
    reports.take(&key(), [("a".to_owned(), Some(report(true, ProbeState::Up)))].into());
    let (signals, _) = reports.signals("ns", "gw", "h", 50);
    let coverage = signals.into_iter().find(|signal| signal.source == Source::Coverage).unwrap();
    assert_eq!(coverage.result, CheckResult::Fail);
    assert!(coverage.why.contains("p/lost"), "{}", coverage.why);
}

#[test]
fn coverage_has_failed_since_the_latest_of_the_first_failures_of_the_providers_that_are_missed() {
    let seconds = |replicas: &[[u64; 3]]| {
        let reports = Reports::default();
        let rule = |name: &str, providers: &[&str]| SendingRule {
            name: name.into(),
            critical: false,
            providers: providers.iter().map(|provider| (*provider).to_owned()).collect(),
        };
        let rules = vec![rule("p/one", &["a", "b"]), rule("p/other", &["b"]), rule("p/third", &["c"])];
        let _arriving = reports.expect("ns", "gw", "one", BTreeMap::new(), rules);
        let of = |replica: &[u64; 3]| {
            let provider = |(name, failing): (&str, &u64)| {
                let probe = if *failing == 0 { ProbeState::Up } else { ProbeState::Down };
                // a report of the release before says nothing
                let failing_for_ms = if *failing == 1 { 0 } else { failing * 1_000 };
                let provider = ProviderReport { failing_for_ms, ..report(true, probe).providers["c"].clone() };
                (name.to_owned(), provider)
            };
            let providers = ["a", "b", "c"].into_iter().zip(replica).map(provider).collect();
            ReplicaReport { providers, ..report(true, ProbeState::Up) }
        };
        let round = replicas.iter().enumerate().map(|(number, replica)| (number.to_string(), Some(of(replica))));
        reports.take(&key(), round.collect());
        let (signals, _) = reports.signals("ns", "gw", "h", 50);
        let coverage = signals.into_iter().find(|signal| signal.source == Source::Coverage).unwrap();
        (coverage.result, coverage.failing_for.as_secs())
    };
    assert_eq!(seconds(&[[9, 7, 0]]), (CheckResult::Fail, 7), "a rule has none since its last provider fails");
    assert_eq!(seconds(&[[9, 7, 0], [5, 8, 0]]), (CheckResult::Fail, 5), "and no replica since the last one of them");
    assert_eq!(seconds(&[[9, 7, 0], [1, 8, 0]]), (CheckResult::Fail, 0), "one does not say since when");
    assert_eq!(seconds(&[[9, 7, 3]]), (CheckResult::Fail, 3), "a rule that is not needed for it counts, too");
    assert_eq!(seconds(&[[9, 0, 7]]), (CheckResult::Pass, 0));
    assert_eq!(seconds(&[[9, 7, 0], [0, 0, 0]]), (CheckResult::Pass, 0), "one replica can send");
}

#[test]
fn a_replica_that_is_gone_is_forgotten_and_one_that_is_silent_is_not() {
    let reports = Reports::default();
    reports.take(&key(), [("a".to_owned(), Some(report(true, ProbeState::Up)))].into());
    reports.take(&key(), [("a".to_owned(), None)].into());
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::Yes { replicas: 1 });
    reports.take(&key(), BTreeMap::new());
    assert_eq!(reports.serving("ns", "gw", "h"), Serving::Unknown);
}

#[test]
fn a_provider_is_down_only_when_no_replica_can_use_it() {
    use ProbeState::{Down, Unknown, Up};
    let judge = |states: &[ProbeState]| {
        let all: Vec<_> = states.iter().map(|state| report(true, *state)).collect();
        health(all.iter().filter_map(|report| report.providers.get("c")))
    };
    assert_eq!(judge(&[]), ReportedHealth::Unknown);
    assert_eq!(judge(&[Unknown, Unknown]), ReportedHealth::Unknown);
    assert_eq!(judge(&[Up, Unknown]), ReportedHealth::Up);
    assert!(matches!(judge(&[Down, Down]), ReportedHealth::Down(_)));
    assert!(matches!(judge(&[Down, Up]), ReportedHealth::Degraded(_)));
    assert!(matches!(judge(&[Down, Unknown]), ReportedHealth::Degraded(_)));
}

#[test]
fn what_a_provider_refuses_again_and_again_is_said_with_its_codes_and_each_once() {
    let part = |scope, channel: &str, country: &str, code: &str| RefusedPart {
        scope,
        channel: channel.into(),
        country: country.into(),
        code: code.into(),
        in_a_row: 25,
        for_s: 9,
    };
    let of = |change: &dyn Fn(&mut ProviderReport)| {
        let mut provider = report(true, ProbeState::Up).providers["c"].clone();
        change(&mut provider);
        let again = ProviderReport { codes: vec![CodeReport::default()], ..provider.clone() };
        health([&provider, &again].into_iter())
    };
    let degraded = |why: &str| ReportedHealth::Degraded(why.to_owned());
    let sender = part(RefusedScope::Sender, "sms", "", "21660");
    let text = part(RefusedScope::Channel, "voice", "", "http-404");
    assert_eq!(
        of(&|provider| provider.refused = vec![sender.clone(), text.clone()]),
        degraded("The provider keeps refusing: SMS by a sender (21660), calls (http-404)."),
    );
    assert_eq!(
        of(&|provider| {
            provider.failing_countries = vec!["NO".into(), "SE".into()];
            provider.refused = vec![
                part(RefusedScope::Country, "sms", "SE", "21408"),
                part(RefusedScope::Country, "sms", "", "21408"),
            ];
        }),
        degraded(
            "The provider keeps refusing: SMS to numbers of no country (21408). The provider refuses these countries: NO, SE (21408)."
        ),
    );
    assert_eq!(of(&|provider| provider.paused_for_s = 900), degraded("The provider asked for a pause (Retry-After)."),);
    for breaker in [BreakerState::Open, BreakerState::HalfOpen] {
        let down = of(&|provider| {
            (provider.breaker, provider.because) = (breaker, "20503".into());
        });
        assert_eq!(down, ReportedHealth::Down("2 of 2 gateway replicas cannot send by it (20503).".into()));
    }
    let account = of(&|provider| {
        (provider.probe, provider.refused) = (ProbeState::Down, vec![part(RefusedScope::Account, "", "", "20003")]);
    });
    let why = "2 of 2 gateway replicas cannot send by it. The provider keeps refusing: the account (20003).";
    assert_eq!(account, ReportedHealth::Down(why.into()));
    assert_eq!(of(&|provider| provider.codes = vec![CodeReport::default()]), ReportedHealth::Up, "single refusals");
}

#[test]
fn refusals_of_the_sender_that_a_rule_is_used_by_fail_coverage_although_every_probe_passes() {
    let covered = |replicas: &[(u64, u64)]| {
        let reports = Reports::default();
        let rule = SendingRule { name: "p/all".into(), critical: false, providers: vec!["c".into()] };
        let _arriving = reports.expect("ns", "gw", "one", BTreeMap::new(), vec![rule]);
        let of = |(recent, refused): &(u64, u64)| {
            let rule = RuleReport { recent: *recent, refused: *refused, ..RuleReport::default() };
            ReplicaReport { rules: [("p/all".to_owned(), rule)].into(), ..report(true, ProbeState::Up) }
        };
        let round = replicas.iter().enumerate().map(|(number, replica)| (number.to_string(), Some(of(replica))));
        reports.take(&key(), round.collect());
        let (signals, percent) = reports.signals("ns", "gw", "h", 50);
        let coverage = signals.into_iter().find(|signal| signal.source == Source::Coverage).unwrap();
        (coverage.result, percent, coverage.why)
    };
    let without = |result, percent, why: &str| (result, Some(percent), why.to_owned());
    assert_eq!(covered(&[(25, 25), (0, 0)]), without(CheckResult::Fail, 0, "Without a usable provider: p/all."));
    assert_eq!(covered(&[(25, 25), (15, 3)]), without(CheckResult::Fail, 30, "Without a usable provider: p/all."));
    let partly = "Degraded. Without a usable provider for some of its messages: p/all.";
    assert_eq!(covered(&[(25, 5), (25, 0)]), without(CheckResult::Pass, 90, partly));
    assert_eq!(covered(&[(25, 0), (0, 0)]), without(CheckResult::Pass, 100, "Every rule has a usable provider."));
}

#[test]
fn only_what_shows_in_status_wakes_a_reconcile() {
    let reports = Reports::default();
    let mut first = report(true, ProbeState::Up);
    let woken = reports.take(&key(), [("a".to_owned(), Some(first.clone()))].into());
    assert_eq!(woken.len(), 3, "{woken:?}");
    first.started_at += 1;
    first.hooks.get_mut("h").unwrap().unauthorised += 7;
    first.providers.get_mut("c").unwrap().codes = vec![CodeReport { count: 7, ..CodeReport::default() }];
    assert_eq!(reports.take(&key(), [("a".to_owned(), Some(first.clone()))].into()), BTreeSet::new());
    first.providers.get_mut("c").unwrap().probe = ProbeState::Down;
    let woken: Vec<Kind> =
        reports.take(&key(), [("a".to_owned(), Some(first))].into()).into_iter().map(|target| target.kind).collect();
    assert_eq!(woken, [Kind::TelephonyGateway, Kind::TelephonyProvider]);
}
