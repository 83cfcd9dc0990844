use proptest::prelude::*;

use super::*;
use hookswitch_message::Channel;

const PROBE: Probe = Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 };
const INTERVAL: Duration = Duration::from_secs(30);

fn refusal(class: Class) -> Refusal {
    Refusal { class, code: "1".into(), retry_after_s: None }
}

fn down() -> Probed {
    Probed::Down(refusal(Class::Transient))
}

fn refused(class: Class) -> Outcome {
    Outcome::Refused(refusal(class))
}

fn accepted() -> Outcome {
    Outcome::Accepted { id: "SM1".into() }
}

fn country(code: &str) -> CountryCode {
    code.parse().unwrap()
}

fn to(country: Option<CountryCode>) -> Route {
    Route { channel: Channel::Sms, country, sender: Some("ACME".into()), recipient: None }
}

/// The state after each probe, an interval apart.
fn states(probes: &[Probed]) -> Vec<ProbeState> {
    let (mut health, mut now) = (ProviderHealth::new(&PROBE), Instant::now());
    let after = |probed| {
        health.probed(probed, now);
        now += INTERVAL;
        health.state()
    };
    probes.iter().map(after).collect()
}

#[test]
fn nothing_is_known_at_the_start_and_an_unknown_provider_is_tried() {
    let (mut health, now) = (ProviderHealth::new(&PROBE), Instant::now());
    assert_eq!((health.state(), health.probe_age(now)), (ProbeState::Unknown, None));
    assert!(health.serves(&to(Some(country("SE"))), now));
    health.probed(&Probed::Up, now);
    assert_eq!(health.probe_age(now + INTERVAL), Some(INTERVAL));
}

#[test]
fn it_falls_after_three_failures_and_rises_after_two_passes() {
    use ProbeState::{Down, Unknown, Up};
    let probes = [Probed::Up, down(), down(), down(), Probed::Up, down(), Probed::Up, Probed::Up, down()];
    assert_eq!(states(&probes), [Up, Up, Up, Down, Down, Down, Down, Up, Up]);
    assert_eq!(states(&[down(), down(), down()]), [Unknown, Unknown, Down]);
}

#[test]
fn a_probe_that_contradicts_what_is_known_asks_for_another_until_it_is_believed() {
    use Again::{InTurn, ToConfirm};
    let mut health = ProviderHealth::new(&PROBE);
    let probes = [Probed::Up, down(), down(), down(), down(), Probed::Up, Probed::Up, down(), Probed::Unknown];
    let again: Vec<Again> = probes.iter().map(|probed| health.probed(probed, Instant::now())).collect();
    let expected = [InTurn, ToConfirm, ToConfirm, InTurn, InTurn, ToConfirm, InTurn, ToConfirm, InTurn];
    assert_eq!(again, expected);
}

#[test]
fn a_failure_that_a_message_outweighs_is_asked_about_again_when_the_message_is_too_old() {
    let now = Instant::now();
    let mut health = ProviderHealth::new(&PROBE);
    health.attempted(&accepted(), &to(None), now);
    let part = INTERVAL / 3;
    assert_eq!(health.probed(&down(), now + part), Again::Within(part * 2));
    assert_eq!(health.probed(&down(), now + INTERVAL), Again::ToConfirm);
}

#[test]
fn what_is_down_has_failed_since_the_first_of_the_failures_that_brought_it_there() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut health = ProviderHealth::new(&PROBE);
    let mut since = Vec::new();
    for (at, probed) in (0..).zip([down(), Probed::Up, down(), down(), down(), Probed::Up, down(), Probed::Up]) {
        health.probed(&probed, now + second * at);
        since.push(health.failing_since().map(|since| since - now));
    }
    let two = Some(second * 2);
    assert_eq!(since, [None, None, None, None, two, two, two, two], "one pass is not believed");
    health.probed(&Probed::Up, now);
    assert_eq!(health.failing_since(), None);
    health.attempted(&refused(Class::PermanentConfig(Scope::Account)), &to(None), now + second);
    assert_eq!(health.failing_since(), Some(now + second));
    health.attempted(&accepted(), &to(None), now);
    assert_eq!(health.failing_since(), None);
}

#[test]
fn a_probe_that_shows_nothing_is_no_failure_but_three_in_a_row_are_not_knowing() {
    use ProbeState::{Unknown, Up};
    let probes = [Probed::Up, Probed::Unknown, Probed::Unknown, Probed::Unknown];
    assert_eq!(states(&probes), [Up, Up, Up, Unknown]);
    let probes = [Probed::Up, down(), down(), Probed::Unknown, down(), down()];
    assert_eq!(states(&probes), [Up; 6]);
}

#[test]
fn a_refused_account_is_down_at_once() {
    let now = Instant::now();
    let account = Class::PermanentConfig(Scope::Account);
    let mut health = ProviderHealth::new(&PROBE);
    health.probed(&Probed::Up, now);
    health.probed(&Probed::Down(refusal(account)), now);
    assert_eq!(health.state(), ProbeState::Down);

    let mut health = ProviderHealth::new(&PROBE);
    health.attempted(&accepted(), &to(None), now);
    health.attempted(&refused(account), &to(None), now);
    assert_eq!(health.state(), ProbeState::Down);
    assert!(!health.serves(&to(None), now));
}

#[test]
fn a_message_taken_within_the_interval_outweighs_failed_probes_and_an_older_one_does_not() {
    let now = Instant::now();
    let mut health = ProviderHealth::new(&PROBE);
    health.attempted(&accepted(), &to(None), now);
    for _ in 0..5 {
        health.probed(&Probed::Down(refusal(Class::PermanentConfig(Scope::Account))), now + INTERVAL / 2);
    }
    assert_eq!(health.state(), ProbeState::Up);
    for _ in 0..3 {
        health.probed(&down(), now + INTERVAL);
    }
    assert_eq!(health.state(), ProbeState::Down);
    health.attempted(&accepted(), &to(None), now + INTERVAL);
    assert_eq!(health.state(), ProbeState::Up);
}

#[test]
fn one_message_that_fails_says_nothing_about_the_provider() {
    let now = Instant::now();
    for outcome in [
        refused(Class::Transient),
        refused(Class::Throttled),
        refused(Class::PermanentDestination),
        refused(Class::UnreachableHere),
        refused(Class::Unknown),
        refused(Class::FraudBlocked),
        Outcome::Ambiguous { cause: "timeout" },
    ] {
        let mut health = ProviderHealth::new(&PROBE);
        health.probed(&Probed::Up, now);
        for _ in 0..10 {
            health.attempted(&outcome, &to(Some(country("SE"))), now);
        }
        assert_eq!((health.state(), health.failing_countries(now)), (ProbeState::Up, vec![]), "{outcome:?}");
    }
}

#[test]
fn a_refused_country_is_remembered_until_it_works_or_ten_minutes_pass() {
    let now = Instant::now();
    let mut health = ProviderHealth::new(&PROBE);
    for code in ["SE", "NO"] {
        health.attempted(&refused(Class::PermanentConfig(Scope::Country)), &to(Some(country(code))), now);
    }
    let serves = |health: &ProviderHealth, code, now| health.serves(&to(Some(country(code))), now);
    assert_eq!(health.failing_countries(now), [country("NO"), country("SE")]);
    assert!(!serves(&health, "SE", now) && serves(&health, "DK", now));
    health.attempted(&accepted(), &to(Some(country("SE"))), now);
    assert_eq!(health.failing_countries(now), [country("NO")]);
    assert!(serves(&health, "NO", now + MEMORY));
    assert_eq!(health.failing_countries(now + MEMORY), []);
}

#[test]
fn refusals_of_one_part_in_a_row_make_that_part_unhealthy_and_no_other() {
    let now = Instant::now();
    let route = to(Some(country("SE")));
    let voice = Route { channel: Channel::Voice, ..route.clone() };
    let other = Route { sender: Some("OTHER".into()), ..route.clone() };
    let account = Part::Account;
    for (class, part, others) in [
        (Class::PermanentConfig(Scope::Sender), Part::Sender(Channel::Sms, Some("ACME".into())), true),
        (Class::PermanentConfig(Scope::Country), Part::Country(Channel::Sms, route.country), false),
        (Class::MessageRejected, Part::Channel(Channel::Sms), false),
        (Class::Unknown, Part::Channel(Channel::Sms), false),
    ] {
        let mut health = ProviderHealth::new(&PROBE);
        health.probed(&Probed::Up, now);
        for n in 1..CONSECUTIVE {
            health.attempted(&refused(class), &route, now);
            assert!(!health.is_unwell(&part, now), "{class:?}: {n} in a row");
        }
        // a number that nobody reaches, and a provider that fails, say nothing of the part
        health.attempted(&refused(Class::PermanentDestination), &route, now);
        health.attempted(&refused(Class::Transient), &route, now);
        health.attempted(&refused(class), &route, now);
        assert_eq!(health.unwell(now).map(|(part, _)| part).collect::<Vec<_>>(), [&part]);
        assert!(!health.serves(&route, now) && health.serves(&voice, now));
        assert_eq!(health.serves(&other, now), others, "{class:?}");
        assert!(!health.is_unwell(&account, now));
        assert_eq!(health.state(), ProbeState::Up, "the probe says so");
        assert_eq!(health.unwell(now + MEMORY).count(), 0);
        health.attempted(&accepted(), &route, now);
        assert!(health.serves(&route, now) && health.unwell(now).count() == 0);
    }
}

#[test]
fn a_part_refuses_many_when_it_refused_so_many_numbers_of_so_many_people_in_a_row_and_lately() {
    let (now, part) = (Instant::now(), Part::Sender(Channel::Sms, Some("ACME".into())));
    for (what, recipients, many) in [
        ("as many people", &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)][..], true),
        ("more people", &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7)], true),
        ("too few people", &[(1, 1), (2, 2), (3, 3), (4, 4), (4, 4), (4, 4)], false),
        ("one person with many numbers", &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)], false),
        ("many people with one number", &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)], false),
    ] {
        let mut health = ProviderHealth::new(&PROBE);
        assert!(!health.refuses_many(&part, now));
        for &(number, person) in recipients {
            let route = Route { recipient: Some(Recipient { number, person }), ..to(None) };
            health.attempted(&refused(Class::PermanentConfig(Scope::Sender)), &route, now);
        }
        assert!(health.is_unwell(&part, now), "{what}");
        assert_eq!(health.refuses_many(&part, now), many, "{what}");
        assert!(!health.refuses_many(&part, now + MEMORY), "{what}, long ago");
        let known = &health.refused[&part];
        assert!(known.numbers.len() <= RECIPIENTS && known.people.len() <= RECIPIENTS, "{what}");
        health.attempted(&accepted(), &to(None), now);
        assert!(!health.refuses_many(&part, now), "{what}, and then one was taken");
    }
}

#[test]
fn as_many_parts_are_remembered_as_there_is_room_for_and_the_one_refused_longest_ago_goes() {
    let (began, count) = (Instant::now(), u32::try_from(MAX_PARTS).unwrap());
    let of = |n: u32| Route { sender: Some(format!("S{n}").into()), ..to(None) };
    let mut health = ProviderHealth::new(&PROBE);
    let mut refuse = |n: u32, at: u32| {
        let class = Class::PermanentConfig(Scope::Sender);
        health.attempted(&refused(class), &of(n), began + Duration::from_secs(at.into()));
        let known = |n: u32| health.refused.contains_key(&Part::Sender(Channel::Sms, of(n).sender));
        (health.refused.len(), [0, 1, 2, count].map(known))
    };
    for n in 0..count {
        assert_eq!(refuse(n, n).0, n as usize + 1);
    }
    assert_eq!(refuse(0, count), (MAX_PARTS, [true, true, true, false]), "a known one needs no room");
    assert_eq!(refuse(count, count), (MAX_PARTS, [true, false, true, true]));
}

#[test]
fn one_refusal_of_a_sender_or_a_text_does_not_put_the_provider_last() {
    let (now, route) = (Instant::now(), to(None));
    for class in [Class::PermanentConfig(Scope::Sender), Class::MessageRejected] {
        let mut health = ProviderHealth::new(&PROBE);
        health.attempted(&refused(class), &route, now);
        assert!(health.serves(&route, now), "{class:?}");
    }
    let mut health = ProviderHealth::new(&PROBE);
    health.attempted(&refused(Class::PermanentConfig(Scope::Country)), &route, now);
    assert!(!health.serves(&route, now), "numbers without a country are refused as such");
    assert!(health.serves(&to(Some(country("SE"))), now));
}

#[test]
fn an_account_that_is_refused_again_and_again_is_down_although_its_probe_passes() {
    let now = Instant::now();
    let mut health = ProviderHealth::new(&PROBE);
    let account = refused(Class::PermanentConfig(Scope::Account));
    health.attempted(&account, &to(None), now);
    for _ in 0..PROBE.rise {
        health.probed(&Probed::Up, now);
    }
    assert_eq!(health.state(), ProbeState::Up, "one refusal may be the message's");
    for _ in 1..CONSECUTIVE {
        health.attempted(&account, &to(None), now);
    }
    for probed in [Probed::Up, Probed::Unknown] {
        for _ in 0..PROBE.fall.max(PROBE.rise) {
            assert_eq!(health.probed(&probed, now), Again::InTurn);
        }
        assert_eq!(health.state(), ProbeState::Down, "{probed:?}");
    }
    health.attempted(&accepted(), &to(None), now);
    assert_eq!(health.state(), ProbeState::Up);
}

#[test]
fn changed_settings_forget_nothing() {
    let now = Instant::now();
    let mut health = ProviderHealth::new(&PROBE);
    health.probed(&Probed::Up, now);
    health.probed(&down(), now);
    health.reconfigure(&Probe { fall: 2, ..PROBE });
    health.probed(&down(), now);
    assert_eq!(health.state(), ProbeState::Down);
}

#[derive(Debug, Clone)]
enum Step {
    Probed(Probed),
    Attempted(Outcome, Option<CountryCode>),
}

fn steps() -> impl Strategy<Value = Step> {
    let code = proptest::option::of("[A-F][A-Z]".prop_map(|code| code.parse().unwrap()));
    let outcome = prop_oneof![
        Just(accepted()),
        Just(refused(Class::PermanentConfig(Scope::Country))),
        Just(refused(Class::PermanentConfig(Scope::Account))),
        Just(Outcome::Ambiguous { cause: "reset" }),
    ];
    prop_oneof![
        prop_oneof![Just(Probed::Up), Just(down()), Just(Probed::Unknown)].prop_map(Step::Probed),
        (outcome, code).prop_map(|(outcome, code)| Step::Attempted(outcome, code)),
    ]
}

proptest! {
    #[test]
    fn it_is_down_only_for_a_reason_and_its_memory_is_bounded(
        history in proptest::collection::vec((steps(), 0_u64..40), 1..300),
    ) {
        let mut health = ProviderHealth::new(&PROBE);
        let mut now = Instant::now();
        let (mut failures, mut account_refused) = (0, false);
        for (step, pause) in history {
            now += Duration::from_secs(pause);
            match &step {
                Step::Probed(probed) => {
                    failures += u32::from(matches!(probed, Probed::Down(_)));
                    health.probed(probed, now);
                }
                Step::Attempted(outcome, country) => {
                    health.attempted(outcome, &to(*country), now);
                    account_refused |= *outcome == refused(Class::PermanentConfig(Scope::Account));
                    if matches!(outcome, Outcome::Accepted { .. }) {
                        (failures, account_refused) = (0, false);
                        prop_assert_eq!(health.state(), ProbeState::Up);
                        prop_assert!(health.serves(&to(*country), now));
                    }
                }
            }
            if health.state() == ProbeState::Down {
                prop_assert!(account_refused || failures >= PROBE.fall);
            }
            prop_assert!(health.refused.len() <= MAX_PARTS);
            prop_assert!(health.failing_countries(now).is_sorted());
        }
    }

    #[test]
    fn two_passes_bring_any_provider_up_whose_account_is_not_refused_in_a_row(history in proptest::collection::vec(steps(), 0..100)) {
        let mut health = ProviderHealth::new(&PROBE);
        let now = Instant::now();
        for step in history {
            match step {
                Step::Probed(probed) => _ = health.probed(&probed, now),
                Step::Attempted(outcome, country) => health.attempted(&outcome, &to(country), now),
            }
        }
        let refused = health.is_unwell(&Part::Account, now);
        health.probed(&Probed::Up, now + INTERVAL);
        health.probed(&Probed::Up, now + INTERVAL);
        prop_assert_eq!(health.state(), if refused { ProbeState::Down } else { ProbeState::Up });
        health.probed(&Probed::Up, now + MEMORY);
        health.probed(&Probed::Up, now + MEMORY);
        prop_assert_eq!(health.state(), ProbeState::Up);
    }
}
