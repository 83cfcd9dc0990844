//! From the moment at which every provider of a hook dies to the decision to switch, in simulated time: the gateway's probes and
//! what it makes of them, its report, the operator's polls, the switch's evaluations. What stands in for them is the network, the
//! providers, and Okta, whose four calls come on top.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![expect(clippy::expect_used, reason = "a simulation that cannot go on must fail")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hookswitch::operator::state::reports::{POLL, ROUND, Reports, SendingRule};
use hookswitch_failover::{
    health::Health,
    machine::{HookObservation, InOkta, Machine, Moment, Observation, Phase, Transition},
    settings::Settings,
};
use hookswitch_gateway::{
    health::{Again, ProviderHealth},
    probes::{self, Cadence, ProbeSubject},
};
use hookswitch_gateway_config::{
    document::Probe,
    report::{BreakerState, HookReport, ProbeState, ProviderReport, ReplicaReport},
};
use hookswitch_providers::{Class, Probed, Refusal};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// What a dead provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dead {
    Refuses,
    Hangs,
}

/// A provider as one replica sees it.
struct Provider {
    health: Mutex<ProviderHealth>,
    dead: Arc<Mutex<Option<Dead>>>,
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl Provider {
    fn health<T>(&self, of: impl FnOnce(&mut ProviderHealth) -> T) -> T {
        of(&mut self.health.lock().expect("nobody panicked"))
    }

    fn report(&self) -> ProviderReport {
        self.health(|health| {
            let failing_for = health.failing_since().map_or(Duration::ZERO, |since| now().duration_since(since));
            ProviderReport {
                probe: health.state(),
                breaker: BreakerState::Closed,
                failing_for_ms: u64::try_from(failing_for.as_millis()).expect("it is short"),
                ..ProviderReport::default()
            }
        })
    }
}

impl ProbeSubject for Provider {
    async fn ask(&self) -> Probed {
        sleep(Duration::from_millis(30)).await;
        let dead = *self.dead.lock().expect("nobody panicked");
        match dead {
            None => Probed::Up,
            Some(Dead::Refuses) => {
                Probed::Down(Refusal { class: Class::Transient, code: "503".into(), retry_after_s: None })
            }
            Some(Dead::Hangs) => std::future::pending().await,
        }
    }

    fn record(&self, probed: &Probed) -> Again {
        self.health(|health| health.probed(probed, now()))
    }

    fn is_down(&self) -> bool {
        self.health(|health| health.failing_since().is_some())
    }
}

/// A hook's gateway of some replicas with two providers, another that is always well, and a switch over both hooks.
struct World {
    replicas: Vec<[Arc<Provider>; 2]>,
    dead: Arc<Mutex<Option<Dead>>>,
    reports: Reports,
    machine: Machine,
    settings: Settings,
    began: Instant,
    stop: CancellationToken,
}

fn gateway(name: &str) -> (String, String) {
    ("otp".to_owned(), name.to_owned())
}

impl World {
    fn new(probe: &Probe, settings: Settings, replicas: u32, phase: u32) -> Self {
        let (dead, stop) = (Arc::new(Mutex::new(None)), CancellationToken::new());
        let reports = Reports::by(now);
        for name in ["first", "standby"] {
            let providers = vec!["one".to_owned(), "two".to_owned()];
            let rule = SendingRule { name: "otp/all".into(), critical: false, providers };
            let _arriving = reports.expect("otp", name, "", [].into(), vec![rule]);
        }
        let (_, count) = watch::channel(replicas);
        let of_replica = |replica| {
            ["one", "two"].map(|name| {
                let provider = Provider { health: Mutex::new(ProviderHealth::new(probe)), dead: Arc::clone(&dead) };
                let (provider, cadence) =
                    (Arc::new(provider), Cadence::new(probe, &format!("pod-{phase}-{replica}"), name));
                tokio::spawn(probes::run(cadence, EPOCH, count.clone(), Arc::clone(&provider), None, stop.clone()));
                provider
            })
        };
        let replicas = (0..replicas).map(of_replica).collect();
        let machine = Machine::new(Moment::at(0));
        Self { replicas, dead, reports, machine, settings, began: Instant::now(), stop }
    }

    /// What the operator does once a second. Returns whether the switch is woken by it.
    fn poll(&self) -> bool {
        let mut woken = false;
        let every = self.settings.interval.clamp(ROUND, POLL);
        for (name, replicas) in [("first", &self.replicas[..]), ("standby", &[])] {
            let hooks = [(name.to_owned(), HookReport::default())];
            let report =
                |providers| ReplicaReport { hooks: hooks.clone().into(), providers, ..ReplicaReport::default() };
            let up =
                ProviderReport { probe: ProbeState::Up, breaker: BreakerState::Closed, ..ProviderReport::default() };
            let mut round: Vec<ReplicaReport> = replicas
                .iter()
                .map(|[one, two]| report([("one".to_owned(), one.report()), ("two".to_owned(), two.report())].into()))
                .collect();
            if round.is_empty() {
                round.push(report([("one".to_owned(), up.clone()), ("two".to_owned(), up)].into()));
            }
            let round: Vec<(String, ReplicaReport)> =
                round.into_iter().enumerate().map(|(number, report)| (format!("pod-{number}"), report)).collect();
            let ready = round.iter().map(|(name, _)| name.as_str()).collect();
            if self.reports.is_due(&gateway(name), &ready, every) {
                let round = round.into_iter().map(|(name, report)| (name, Some(report))).collect();
                woken |= !self.reports.take(&gateway(name), round).is_empty();
            }
        }
        woken
    }

    fn evaluate(&mut self) -> Vec<Transition> {
        let hooks = ["first", "standby"].map(|name| {
            let (signals, percent) = self.reports.signals("otp", name, name, 50);
            let health = Health::of(&signals, percent);
            HookObservation {
                name: name.to_owned(),
                health,
                provable: true,
                usable_in_okta: true,
                refused: false,
                leaving: false,
            }
        });
        let okta = self.machine.target().map_or(InOkta::Nobody, |target| InOkta::Ours(target.to_owned()));
        let observation = Observation { hooks: hooks.into(), okta, paused: false, request: None, acknowledged: false };
        let at = Moment::at(i64::try_from(self.began.elapsed().as_millis()).expect("it is short"));
        self.machine.step(&observation, &self.settings, at)
    }

    /// Lets every provider die after that time; how long after that a switch is decided.
    async fn decides(mut self, dies_after: Duration, dead: Dead) -> Duration {
        let end = self.began + dies_after;
        let (mut round, mut evaluate, mut died) = (Instant::now(), Instant::now() + ROUND / 3, false);
        loop {
            let due = round.min(evaluate);
            if !died && end <= due {
                sleep_until(end).await;
                assert_eq!(self.machine.phase(), &Phase::Healthy);
                *self.dead.lock().expect("nobody panicked") = Some(dead);
                died = true;
            }
            sleep_until(due).await;
            if round <= due {
                if self.poll() {
                    evaluate = Instant::now();
                }
                round += ROUND;
            }
            if evaluate <= Instant::now() {
                let transitions = self.evaluate();
                if transitions
                    .iter()
                    .any(|one| matches!(one, Transition::Started { from: Some(from), .. } if from == "first"))
                {
                    assert!(died, "switched needlessly");
                    self.stop.cancel();
                    return end.elapsed();
                }
                let now = Moment::at(i64::try_from(self.began.elapsed().as_millis()).expect("it is short"));
                evaluate = Instant::now() + self.machine.next_evaluation(&self.settings, now);
            }
            assert!(end.elapsed() < Duration::from_mins(10), "never: {:?}", self.machine);
        }
    }
}

fn simulate<T>(doing: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(doing)
}

#[test]
fn a_switch_is_decided_within_fall_intervals_of_the_providers_a_timeout_the_delay_and_two_seconds() {
    let fast = Settings { interval: Duration::from_secs(1), delay: Duration::from_secs(2), ..Settings::default() };
    let probe = |interval_ms, timeout_ms| Probe { interval_ms, timeout_ms, fall: 3, rise: 2 };
    for (name, probe, settings) in
        [("default", probe(30_000, 5_000), Settings::default()), ("fast", probe(2_000, 1_000), fast)]
    {
        let period = Duration::from_millis(probe.interval_ms) * probe.fall;
        let bound = period + Duration::from_millis(probe.timeout_ms) + settings.delay + Duration::from_secs(2);
        for replicas in [1, 2, 5] {
            for dead in [Dead::Refuses, Dead::Hangs] {
                let decides = |phase: u32| {
                    let dies_after = period * 2 + period * phase / 41;
                    simulate(async {
                        World::new(&probe, settings.clone(), replicas, phase).decides(dies_after, dead).await
                    })
                };
                let worst = (0..41).map(decides).max().expect("there are some");
                println!("{name}, {replicas} replicas, {dead:?}: at most {worst:.1?} of {bound:?}");
                assert!(worst <= bound, "{name}, {replicas} replicas, {dead:?}: {worst:?} of {bound:?}");
            }
        }
    }
}
