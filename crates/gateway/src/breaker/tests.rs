use proptest::prelude::*;

use super::*;
use hookswitch_message::{Channel, CountryCode};
use hookswitch_providers::Refusal;

const SECOND: Duration = Duration::from_secs(1);
const ALMOST: Duration = OPEN.saturating_sub(SECOND);

fn refused(class: Class) -> Outcome {
    Outcome::Refused(Refusal { class, code: "1".into(), retry_after_s: None })
}

fn accepted() -> Outcome {
    Outcome::Accepted { id: "SM1".into() }
}

fn to(country: Option<CountryCode>) -> Route {
    Route { channel: Channel::Sms, country, sender: Some("ACME".into()), recipient: None }
}

fn fail(breaker: &mut Breaker, times: u32, now: Instant) {
    for _ in 0..times {
        let permit = breaker.admit(now).unwrap();
        breaker.record(permit, false, now);
    }
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    fail(&mut breaker, CONSECUTIVE, now);
    breaker
}

/// One that is open because half of what is tried fails.
fn half_works(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for n in 0..SAMPLE {
        let permit = breaker.admit(now).unwrap();
        breaker.record(permit, n % 2 == 0, now);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
    breaker
}

#[test]
fn a_passed_probe_is_the_trial_of_a_breaker_without_traffic_and_one_failure_opens_it_again() {
    let (mut breaker, begun) = (Breaker::default(), Instant::now());
    for _ in 0..CONSECUTIVE {
        let permit = breaker.admit(begun).unwrap();
        breaker.record(permit, false, begun);
    }
    breaker.relieve(begun + OPEN / 2);
    assert_eq!(breaker.state(begun + OPEN / 2), BreakerState::Open, "not before its time");
    let later = begun + OPEN;
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    breaker.relieve(later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
    let permit = breaker.admit(later).unwrap();
    breaker.record(permit, false, later);
    assert_eq!(breaker.state(later), BreakerState::Open);
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    fail(&mut breaker, CONSECUTIVE - 1, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&mut breaker, 1, now);
    assert_eq!(breaker.state(now), BreakerState::Open);
    assert_eq!(breaker.admit(now + SECOND), Err(ALMOST));
}

#[test]
fn half_of_twenty_within_ten_seconds_open_it_and_of_nineteen_do_not() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for n in 0..SAMPLE {
        assert_eq!(breaker.state(now), BreakerState::Closed, "after {n}");
        let permit = breaker.admit(now).unwrap();
        breaker.record(permit, n % 2 == 0, now + SECOND * n / 4);
    }
    assert_eq!(breaker.state(now + 5 * SECOND), BreakerState::Open);
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for n in 0..SAMPLE * 3 {
        let at = now + SECOND * n;
        let permit = breaker.admit(at).unwrap();
        breaker.record(permit, n % 2 == 0, at);
    }
    assert_eq!(breaker.state(now + SECOND * SAMPLE * 3), BreakerState::Closed);
}

#[test]
fn results_count_for_ten_seconds_and_are_counted_in_slices_of_one() {
    let (now, slice) = (Instant::now(), WINDOW / SLICES);
    let almost = |time: Duration| now + time.saturating_sub(Duration::from_millis(1));
    let mut window = Window::default();
    let mut add = |times: u32, worked: bool, at: Instant| {
        for _ in 0..times {
            window.add(worked, at);
        }
        (window.slices.len(), window.mostly_failed())
    };
    assert_eq!(add(SAMPLE + 10, true, now), (1, false));
    assert_eq!(add(1, false, almost(slice)), (1, false));
    assert_eq!(add(SAMPLE - 2, false, now + slice), (2, false));
    assert_eq!(add(1, false, almost(WINDOW)), (3, false), "more of them worked");
    assert_eq!(add(1, false, now + WINDOW), (2, true), "those are too old now");
}

#[test]
fn when_it_half_opens_one_attempt_is_the_trial_and_decides() {
    let now = Instant::now();
    for (worked, state) in [(true, BreakerState::Closed), (false, BreakerState::Open)] {
        let mut breaker = opened(now);
        let later = now + OPEN;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        let trial = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later), Err(OPEN), "a second attempt beside the trial");
        breaker.record(trial, worked, later + SECOND);
        assert_eq!(breaker.state(later + SECOND), state);
    }
}

#[test]
fn a_trial_that_is_never_recorded_makes_way_for_another() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let lost = breaker.admit(now + OPEN).unwrap();
    let second = breaker.admit(now + 2 * OPEN).unwrap();
    breaker.record(lost, false, now + 2 * OPEN);
    assert_eq!(breaker.state(now + 2 * OPEN), BreakerState::HalfOpen, "the lost one no longer decides");
    breaker.record(second, true, now + 2 * OPEN);
    assert_eq!(breaker.state(now + 2 * OPEN), BreakerState::Closed);
}

#[test]
fn a_trial_that_was_forced_and_took_its_time_makes_way_for_another() {
    let now = Instant::now();
    let mut breaker = half_works(now);
    let lost = breaker.force(now).unwrap();
    let second = breaker.force(now + OPEN).unwrap();
    breaker.record(lost, true, now + OPEN);
    assert_eq!(breaker.state(now + OPEN), BreakerState::HalfOpen, "the lost one no longer decides");
    breaker.record(second, true, now + OPEN);
    assert_eq!(breaker.state(now + OPEN), BreakerState::Closed);
}

#[test]
fn a_result_from_before_it_opened_changes_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    let slow = breaker.admit(now).unwrap();
    fail(&mut breaker, CONSECUTIVE, now);
    breaker.record(slow, true, now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::Open);
}

#[test]
fn a_call_without_another_provider_may_force_it_and_its_success_closes_it() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let forced = breaker.force(now + SECOND).unwrap();
    breaker.record(forced, true, now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::Closed);
}

#[test]
fn a_passed_probe_does_not_replace_a_trial_that_is_under_way() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let trial = breaker.force(now).unwrap();
    breaker.relieve(now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::HalfOpen);
    assert_eq!(breaker.failing_since(now + SECOND), Some(now), "the outage goes on");
    assert!(breaker.force(now + SECOND).is_err(), "nobody else is let in");
    breaker.record(trial, false, now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::Open, "what became of the trial counts");
}

#[test]
fn what_is_dead_is_forced_by_one_at_a_time_and_what_half_works_by_all() {
    let now = Instant::now();
    let mut dead = opened(now);
    let mut tripped = Breaker::default();
    tripped.trip(now);
    for breaker in [&mut dead, &mut tripped] {
        let trial = breaker.force(now).unwrap();
        for _ in 0..40 {
            assert_eq!(breaker.force(now), Err(OPEN), "another one is the trial");
        }
        breaker.record(trial, false, now + SECOND);
        assert!(breaker.force(now + SECOND).is_ok(), "the next trial, without waiting");
        assert!(breaker.force(now + SECOND).is_err());
    }
    let mut half = half_works(now);
    let permits: Vec<BreakerPermit> = (0..40).map(|_| half.force(now).unwrap()).collect();
    half.record(permits[7], true, now);
    assert_eq!(half.state(now), BreakerState::Closed);

    let mut dying = half;
    for n in 0..SAMPLE {
        let permit = dying.admit(now).unwrap();
        dying.record(permit, n % 2 == 0, now);
    }
    for _ in 0..CONSECUTIVE {
        let permit = dying.force(now).unwrap();
        dying.record(permit, false, now);
    }
    let _trial = dying.force(now).unwrap();
    assert!(dying.force(now).is_err(), "it half worked, and is dead now");
}

#[test]
fn what_counts_against_the_provider_a_part_of_it_or_nobody() {
    let now = Instant::now();
    let route = to(Some("SE".parse().unwrap()));
    let sender = Part::Sender(Channel::Sms, route.sender.clone());
    let country = Part::Country(Channel::Sms, route.country);
    for (outcome, whole, part) in [
        (accepted(), false, None),
        (Outcome::Ambiguous { cause: "timeout" }, true, None),
        (refused(Class::Transient), true, None),
        (refused(Class::Throttled), true, None),
        (refused(Class::PermanentConfig(Scope::Account)), true, None),
        (refused(Class::PermanentConfig(Scope::Country)), false, Some(country)),
        (refused(Class::PermanentConfig(Scope::Sender)), false, Some(sender)),
        (refused(Class::MessageRejected), false, Some(Part::Channel(Channel::Sms))),
        (refused(Class::Unknown), false, Some(Part::Channel(Channel::Sms))),
        (refused(Class::UnreachableHere), false, None),
        (refused(Class::PermanentDestination), false, None),
        (refused(Class::FraudBlocked), false, None),
        (refused(Class::MessageTooLong), false, None),
    ] {
        let mut breakers = Breakers::default();
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(&route, now).unwrap();
            breakers.record(passage, &outcome, now);
        }
        assert_eq!(breakers.state(now) == BreakerState::Open, whole, "{outcome:?}");
        for of in route.parts() {
            let is_open = breakers.parts.get(&of).is_some_and(|(breaker, _)| breaker.state(now) == BreakerState::Open);
            assert_eq!(is_open, Some(&of) == part.as_ref(), "{outcome:?}");
        }
        let mut elsewhere = |route: Route| breakers.admit(&route, now).is_err();
        assert_eq!(elsewhere(route.clone()), whole || part.is_some(), "{outcome:?}");
        let norway = Route { country: Some("NO".parse().unwrap()), ..route.clone() };
        assert_eq!(elsewhere(norway), whole || part.is_some_and(|part| !matches!(part, Part::Country(..))));
        assert_eq!(elsewhere(Route { channel: Channel::Voice, ..route.clone() }), whole, "{outcome:?}");
    }
}

#[test]
fn numbers_without_a_country_are_a_part_of_their_own() {
    let now = Instant::now();
    let mut breakers = Breakers::default();
    for _ in 0..CONSECUTIVE {
        let passage = breakers.admit(&to(None), now).unwrap();
        breakers.record(passage, &refused(Class::PermanentConfig(Scope::Country)), now);
    }
    assert!(breakers.admit(&to(None), now).is_err());
    assert!(breakers.admit(&to(Some("SE".parse().unwrap())), now).is_ok());
}

#[test]
fn what_probes_alone_opened_probes_alone_close_at_once_and_a_failed_message_keeps_it_open() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    breaker.trip(now);
    assert_eq!(breaker.state(now), BreakerState::Open);
    breaker.relieve(now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::Closed);
    breaker.trip(now);
    let trial = breaker.force(now).unwrap();
    breaker.record(trial, false, now);
    breaker.relieve(now + SECOND);
    assert_eq!(breaker.state(now + SECOND), BreakerState::Open);
}

#[test]
fn refusals_of_a_part_count_whatever_became_of_the_other_parts_before() {
    let (now, route) = (Instant::now(), to(None));
    let mut breakers = Breakers::default();
    let mut attempt = |outcome: &Outcome, at: Instant| {
        let passage = breakers.admit(&route, at).unwrap();
        breakers.record(passage, outcome, at);
        breakers.wait(&route, at)
    };
    for n in 1..=CONSECUTIVE {
        assert_eq!(attempt(&refused(Class::MessageRejected), now).is_some(), n == CONSECUTIVE);
    }
    let later = now + OPEN;
    assert_eq!(attempt(&accepted(), later), None, "the trial closes it");
    for n in 1..=CONSECUTIVE {
        let waits = attempt(&refused(Class::PermanentConfig(Scope::Sender)), later).is_some();
        assert_eq!(waits, n == CONSECUTIVE, "{n} in a row");
    }
}

#[test]
fn what_probes_find_shuts_and_opens_the_whole_provider() {
    let (now, route) = (Instant::now(), to(None));
    let mut breakers = Breakers::default();
    assert!(!breakers.is_shut(now));
    breakers.trip(now);
    assert!(breakers.is_shut(now) && breakers.clone().admit(&route, now).is_err());
    let mut forced = breakers.clone();
    assert_eq!(forced.wait_of_last(now), None);
    let _trial = forced.force(&route, now).unwrap();
    assert_eq!(forced.wait_of_last(now + SECOND), Some(ALMOST), "of the dead one trial at a time");
    breakers.relieve(now);
    assert!(!breakers.is_shut(now) && breakers.admit(&route, now).is_ok());
}

#[test]
fn as_many_parts_are_known_as_there_is_room_for_and_the_one_that_failed_longest_ago_goes() {
    let (began, count) = (Instant::now(), u32::try_from(MAX_PARTS).unwrap());
    let of = |n: u32| Route { sender: Some(format!("S{n}").into()), ..to(None) };
    let part = |n: u32| Part::Sender(Channel::Sms, of(n).sender);
    let mut breakers = Breakers::default();
    let refuse = |breakers: &mut Breakers, n: u32, at: u32| {
        let now = began + SECOND * at;
        let passage = breakers.admit(&of(n), now).unwrap();
        breakers.record(passage, &refused(Class::PermanentConfig(Scope::Sender)), now);
        breakers.parts.len()
    };
    for n in 0..count {
        assert_eq!(refuse(&mut breakers, n, n), n as usize + 1);
    }
    assert_eq!(refuse(&mut breakers, 0, count), MAX_PARTS, "a known one needs no room");
    assert_eq!(refuse(&mut breakers, count, count), MAX_PARTS);
    let known = [0, 1, 2, count].map(|n| breakers.parts.contains_key(&part(n)));
    assert_eq!(known, [true, false, true, true]);
}

#[test]
fn a_part_that_is_refused_may_be_forced_by_all_and_an_accepted_message_mends_it() {
    let (now, route) = (Instant::now(), to(None));
    let mut breakers = Breakers::default();
    for _ in 0..CONSECUTIVE {
        let passage = breakers.admit(&route, now).unwrap();
        breakers.record(passage, &refused(Class::PermanentConfig(Scope::Sender)), now);
    }
    let number = breakers.force(&route, now).unwrap();
    breakers.record(number, &refused(Class::PermanentDestination), now);
    let passages: Vec<Passage> = (0..10).map(|_| breakers.force(&route, now).unwrap()).collect();
    assert!(breakers.admit(&route, now).is_err(), "a number that nobody reaches says nothing about the sender");
    for passage in passages {
        breakers.record(passage, &accepted(), now);
    }
    assert!(breakers.admit(&route, now).is_ok());
}

#[test]
fn a_provider_that_is_left_alone_has_failed_since_the_first_failure_after_which_nothing_worked() {
    let began = Instant::now();
    let second = Duration::from_secs(1);
    let mut breakers = Breakers::default();
    let mut attempt = |at: u32, outcome: &Outcome| {
        let now = began + second * at;
        let passage = breakers.admit(&to(None), now).or_else(|_| breakers.force(&to(None), now)).unwrap();
        breakers.record(passage, outcome, now);
        breakers.failing_since(now).map(|since| since - began)
    };
    let failed = refused(Class::Transient);
    let since: Vec<_> = [&failed, &accepted(), &failed, &failed, &failed, &failed, &failed]
        .into_iter()
        .zip(0..)
        .map(|(outcome, at)| attempt(at, outcome))
        .collect();
    let two = Some(second * 2);
    assert_eq!(since, [None, None, None, None, None, None, two]);
    assert_eq!(attempt(30, &failed), two, "the trial failed, too");
    assert_eq!(attempt(60, &accepted()), None);
}

#[test]
fn failures_far_apart_or_with_a_passed_probe_between_them_are_not_one_outage() {
    let (began, hour, far) = (Instant::now(), Duration::from_hours(1), APART + SECOND);
    for (quiet, probe) in [(4 * hour, None), (4 * hour, Some(hour)), (far, None), (6 * SECOND, Some(3 * SECOND))] {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 1, began);
        if let Some(after) = probe {
            breaker.relieve(began + after);
        }
        for n in 0..CONSECUTIVE - 1 {
            fail(&mut breaker, 1, began + quiet + SECOND * n);
        }
        let opened = began + quiet + SECOND * (CONSECUTIVE - 2);
        assert_eq!(breaker.state(opened), BreakerState::Open);
        assert_eq!(breaker.failing_since(opened), Some(began + quiet), "{quiet:?} apart, a probe after {probe:?}");
    }
    let mut breaker = opened(began);
    fail(&mut breaker, 1, began + APART);
    assert_eq!(breaker.failing_since(began + APART), Some(began), "the trial is of the same outage");
    fail(&mut breaker, 1, began + hour);
    assert_eq!(breaker.failing_since(began + hour), Some(began + hour), "one that comes after an hour is not");
}

#[test]
fn a_trial_of_the_country_is_not_spent_while_the_provider_refuses() {
    let now = Instant::now();
    let (sweden, norway) = (to(Some("SE".parse().unwrap())), to(Some("NO".parse().unwrap())));
    let mut breakers = Breakers::default();
    for _ in 0..CONSECUTIVE {
        let passage = breakers.admit(&sweden, now).unwrap();
        breakers.record(passage, &refused(Class::PermanentConfig(Scope::Country)), now);
    }
    let later = now + ALMOST;
    for _ in 0..CONSECUTIVE {
        let passage = breakers.admit(&norway, later).unwrap();
        breakers.record(passage, &refused(Class::Transient), later);
    }
    assert_eq!(breakers.admit(&sweden, now + OPEN), Err(ALMOST));
    assert!(breakers.admit(&sweden, later + OPEN).is_ok(), "both trials are left");
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(accepted()),
        Just(refused(Class::Transient)),
        Just(refused(Class::PermanentConfig(Scope::Country))),
        Just(refused(Class::PermanentConfig(Scope::Sender))),
        Just(refused(Class::MessageRejected)),
        Just(Outcome::Ambiguous { cause: "reset" }),
    ]
}

fn countries() -> impl Strategy<Value = Option<CountryCode>> {
    proptest::option::of("[A-F][A-Z]".prop_map(|code| code.parse().unwrap()))
}

proptest! {
    #[test]
    fn whatever_happens_memory_is_bounded_and_a_refusal_ends_within_the_open_time(
        steps in proptest::collection::vec((outcomes(), countries(), 0_u64..4_000, any::<bool>()), 1..400),
    ) {
        let mut now = Instant::now();
        let mut breakers = Breakers::default();
        for (outcome, country, pause, reported) in steps {
            now += Duration::from_millis(pause);
            let route = to(country);
            let passage = match breakers.admit(&route, now) {
                Ok(passage) => Some(passage),
                Err(wait) => {
                    prop_assert!(wait > Duration::ZERO && wait <= OPEN);
                    prop_assert!(breakers.clone().admit(&route, now + wait).is_ok());
                    let forced = breakers.force(&route, now);
                    if let Err(wait) = forced {
                        prop_assert!(wait <= OPEN && breakers.clone().force(&route, now + wait).is_ok());
                    }
                    forced.ok()
                }
            };
            if let Some(passage) = passage.filter(|_| reported) {
                breakers.record(passage, &outcome, now);
            }
            prop_assert!(breakers.parts.len() <= MAX_PARTS);
            if let State::Closed { window, .. } = &breakers.whole.state {
                prop_assert!(window.slices.len() <= SLICES as usize + 1);
            }
        }
    }

    #[test]
    fn a_provider_that_mostly_works_is_never_left_alone(
        results in proptest::collection::vec(0_u64..2_000, 1..300),
    ) {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for (n, pause) in results.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            let permit = breaker.admit(now);
            prop_assert!(permit.is_ok());
            breaker.record(permit.unwrap(), n % 4 != 3, now);
        }
    }
}
