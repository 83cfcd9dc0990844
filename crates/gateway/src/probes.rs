//! Probing one provider again and again, sharing the work with the other replicas.
//!
//! Each replica probes at the interval times the number of replicas, at its own offset in that period, found by a hash
//! of its name: together they probe about once per interval without talking to each other. That is how often it is
//! asked whether anything has changed; whether it has, each replica finds out by itself and quickly: a probe that
//! contradicts what is known, or hangs, is followed by others, one a second, until they make sure. So a replica's
//! period can be as long as all but one of the `fall` intervals, and no longer:
//!
//! **a provider that dies is known to be down by every replica within `fall × interval + timeout`**, whether it refuses or
//! hangs and however many replicas there are.
//!
//! How a probe is sent is the subject's affair, and what its result means is that of `health`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::health::Again;
use hookswitch_gateway_config::document::Probe;
use hookswitch_providers::{Class, Probed, Refusal};

/// The first probe of a provider that came later is made within this time, spread so that the replicas, which are told of it at
/// once, do not probe in step.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// The shortest time between two probes, whatever is configured.
const PACE: Duration = Duration::from_secs(1);

/// The most probes that one turn takes, and so the most that are under way at a time; `fall` and `rise` go no further.
const MOST: u32 = 20;

/// What is probed.
pub trait ProbeSubject: Send + Sync {
    /// Sends a probe. Dropped when it takes longer than the probe's timeout, which counts as a failure with the code
    /// `timeout`, and when it is not wanted any more.
    fn ask(&self) -> impl Future<Output = Probed> + Send;

    /// Takes in a result, when it is there, and returns when the next one is wanted.
    fn record(&self, probed: &Probed) -> Again;

    /// Whether it is known to be down, so that a probe that hangs is nothing new.
    fn is_down(&self) -> bool;
}

/// When one replica probes one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    interval: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
    offset: u64,
}

impl Cadence {
    /// The cadence of `pod` for `provider`.
    #[must_use]
    pub fn new(probe: &Probe, pod: &str, provider: &str) -> Self {
        Self {
            interval: Duration::from_millis(probe.interval_ms).max(PACE),
            timeout: Duration::from_millis(probe.timeout_ms).max(Duration::from_millis(1)),
            fall: probe.fall.clamp(1, MOST),
            rise: probe.rise.clamp(1, MOST),
            offset: hash(pod, provider),
        }
    }

    /// Time to the first probe of a provider that came later.
    #[must_use]
    pub fn first(&self) -> Duration {
        remainder(self.offset, FIRST_WITHIN.min(self.interval))
    }

    /// Time from one turn to the next. What is left of `fall` intervals when a failure has been confirmed is the most, and
    /// one of them is left in any case for whoever acts on it.
    #[must_use]
    pub fn period(&self, replicas: u32) -> Duration {
        let confirming = (PACE * (self.fall - 1)).max(self.interval);
        let most = self.interval.saturating_mul(self.fall).saturating_sub(confirming).max(self.interval);
        self.interval.saturating_mul(replicas.max(1)).min(most)
    }

    /// Time from `now`, given since 1970, to the next turn. Clocks that agree to within a fraction of the interval
    /// are enough to spread the replicas.
    #[must_use]
    pub fn next(&self, now: Duration, replicas: u32) -> Duration {
        let period = self.period(replicas);
        let offset = remainder(self.offset, period);
        let now = Duration::from_nanos_u128(now.as_nanos() % period.as_nanos());
        offset.checked_sub(now).filter(|left| !left.is_zero()).unwrap_or_else(|| (period + offset).saturating_sub(now))
    }
}

/// Held until a provider that a process starts with has answered its first probe, whatever the answer.
#[derive(Debug, Clone)]
pub struct FirstAnswer(#[expect(dead_code, reason = "its end is what is waited for")] mpsc::Sender<Infallible>);

impl FirstAnswer {
    /// One to be held for each provider, and what ends when none is held any more.
    pub fn new() -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (held, mut all) = mpsc::channel(1);
        (Self(held), async move { _ = all.recv().await })
    }
}

/// Probes until `stop`: one probe a turn, or as many as it takes to make sure, at most `fall` of a provider that was not down
/// and `rise` of one that was.
///
/// `replicas` is how many replicas share the work. `started` is the present since 1970; from then on the monotonic clock
/// is used, so that a clock that is set does not cause a burst. A provider whose `first` answer is waited for is asked at once.
pub async fn run<S: ProbeSubject>(
    cadence: Cadence,
    started: Duration,
    mut replicas: watch::Receiver<u32>,
    subject: Arc<S>,
    mut first: Option<FirstAnswer>,
    stop: CancellationToken,
) {
    let began = Instant::now();
    let probing = async {
        if first.is_none() {
            sleep(cadence.first()).await;
        }
        loop {
            let within = turn(&cadence, &*subject, &mut first).await;
            wait(&cadence, started, began, within, &mut replicas).await;
        }
    };
    stop.run_until_cancelled(probing).await;
}

/// Probes until what was seen agrees with what is known, or enough was asked. A probe that is not answered is followed by the
/// next all the same, so that a provider that hangs costs its timeout once. Answers within which time the next turn is
/// wanted, if it is.
async fn turn<S: ProbeSubject>(cadence: &Cadence, subject: &S, first: &mut Option<FirstAnswer>) -> Option<Duration> {
    let down = subject.is_down();
    let most = if down { cadence.rise } else { cadence.fall };
    let mut under_way = FuturesUnordered::new();
    let mut to_confirm = !down;
    let (mut begun, mut next) = (0, Instant::now());
    loop {
        tokio::select! {
            biased;
            Some(probed) = under_way.next() => {
                let again = subject.record(&probed);
                *first = None;
                match again {
                    Again::ToConfirm => to_confirm = true,
                    Again::InTurn => return None,
                    Again::Within(left) => return Some(left),
                }
            }
            () = sleep_until(next), if begun == 0 || to_confirm && begun < most => {
                let asked = timeout(cadence.timeout, subject.ask());
                under_way.push(async { asked.await.unwrap_or_else(|_| Probed::Down(timed_out())) });
                (begun, next) = (begun + 1, Instant::now() + PACE);
            }
            else => return None,
        }
    }
}

/// Waits for the next turn. Other replicas may move it forward and never back: nobody relies on an offset that is not taken yet.
async fn wait(
    cadence: &Cadence,
    started: Duration,
    began: Instant,
    within: Option<Duration>,
    replicas: &mut watch::Receiver<u32>,
) {
    let mut due = within.map(|within| Instant::now() + within);
    loop {
        let count = *replicas.borrow_and_update();
        let turn = Instant::now() + cadence.next(started + began.elapsed(), count);
        let at = due.map_or(turn, |due| due.min(turn));
        due = Some(at);
        tokio::select! {
            () = sleep_until(at) => return,
            Ok(()) = replicas.changed() => {}
        }
    }
}

fn timed_out() -> Refusal {
    Refusal::local(Class::Transient, "timeout")
}

fn hash(pod: &str, provider: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{pod}/{provider}").as_bytes());
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn remainder(offset: u64, period: Duration) -> Duration {
    Duration::from_nanos_u128(u128::from(offset) % period.as_nanos().max(1))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use proptest::prelude::*;
    use tokio::{sync::Notify, time::advance};

    use super::*;
    use crate::{health::ProviderHealth, parts::Route};
    use hookswitch_gateway_config::report::ProbeState;
    use hookswitch_message::Channel;
    use hookswitch_providers::Outcome;

    const PROBE: Probe = Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 };
    const INTERVAL: Duration = Duration::from_secs(30);
    const EPOCH: Duration = Duration::from_secs(1_700_000_000);

    /// What a provider does that is asked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Does {
        Answer,
        Refuse,
        Hang,
    }

    /// A provider that is judged as a real one is, with what was asked and recorded of it.
    struct Simulated {
        does: Mutex<Does>,
        takes: Duration,
        health: Mutex<ProviderHealth>,
        began: Instant,
        asked: Mutex<Vec<Duration>>,
        recorded: Mutex<Vec<Duration>>,
        under_way: AtomicU32,
        most: AtomicU32,
        fell: Notify,
    }

    impl Simulated {
        fn new(probe: &Probe, does: Does, takes: Duration) -> Arc<Self> {
            Arc::new(Self {
                does: Mutex::new(does),
                takes,
                health: Mutex::new(ProviderHealth::new(probe)),
                began: Instant::now(),
                asked: Mutex::default(),
                recorded: Mutex::default(),
                under_way: AtomicU32::new(0),
                most: AtomicU32::new(0),
                fell: Notify::new(),
            })
        }

        fn set(&self, does: Does) {
            *self.does.lock().unwrap() = does;
        }

        fn takes_a_message(&self) {
            let accepted = Outcome::Accepted { id: "SM1".into() };
            let route = Route::new(Channel::Sms, None, &[]);
            self.health.lock().unwrap().attempted(&accepted, &route, Instant::now().into_std());
        }

        fn asked(&self) -> Vec<Duration> {
            self.asked.lock().unwrap().clone()
        }

        fn state(&self) -> ProbeState {
            self.health.lock().unwrap().state()
        }
    }

    struct UnderWay<'s>(&'s Simulated);

    impl Drop for UnderWay<'_> {
        fn drop(&mut self) {
            self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl ProbeSubject for Simulated {
        async fn ask(&self) -> Probed {
            self.asked.lock().unwrap().push(self.began.elapsed());
            self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _under_way = UnderWay(self);
            sleep(self.takes).await;
            let does = *self.does.lock().unwrap();
            match does {
                Does::Answer => Probed::Up,
                Does::Refuse => Probed::Down(Refusal { code: "503".into(), ..timed_out() }),
                Does::Hang => std::future::pending().await,
            }
        }

        fn record(&self, probed: &Probed) -> Again {
            self.recorded.lock().unwrap().push(self.began.elapsed());
            let mut health = self.health.lock().unwrap();
            let again = health.probed(probed, Instant::now().into_std());
            if health.state() == ProbeState::Down {
                self.fell.notify_one();
            }
            again
        }

        fn is_down(&self) -> bool {
            self.state() == ProbeState::Down
        }
    }

    fn start(probe: &Probe, subject: &Arc<Simulated>, replicas: watch::Receiver<u32>) -> CancellationToken {
        let stop = CancellationToken::new();
        let cadence = Cadence::new(probe, "main-abc", "twilio");
        tokio::spawn(run(cadence, EPOCH, replicas, Arc::clone(subject), None, stop.clone()));
        stop
    }

    async fn pass(time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_probe_is_made_within_two_seconds_and_the_others_an_interval_apart() {
        let (_replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Answer, Duration::ZERO);
        let _stop = start(&PROBE, &subject, count);
        pass(INTERVAL * 10).await;
        let asked = subject.asked();
        assert!(asked[0] <= FIRST_WITHIN + Duration::from_millis(200), "{asked:?}");
        assert!((10..=11).contains(&asked.len()), "{} probes in ten intervals", asked.len());
        for pair in asked[1..].windows(2) {
            let apart = pair[1].saturating_sub(pair[0]);
            assert!(apart.abs_diff(INTERVAL) <= Duration::from_millis(200), "{apart:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn providers_whose_first_answers_are_waited_for_are_asked_at_once() {
        for (does, answered) in [(Does::Answer, true), (Does::Refuse, true), (Does::Hang, false)] {
            let (_replicas, count) = watch::channel(1);
            let subjects = [Does::Answer, does].map(|does| Simulated::new(&PROBE, does, Duration::from_millis(300)));
            let (first, all) = FirstAnswer::new();
            let stop = CancellationToken::new();
            for subject in &subjects {
                let cadence = Cadence::new(&PROBE, "main-abc", "twilio");
                let first = Some(first.clone());
                tokio::spawn(run(cadence, EPOCH, count.clone(), Arc::clone(subject), first, stop.clone()));
            }
            drop(first);
            let all = timeout(PACE, all).await;
            assert_eq!(all.is_ok(), answered, "{does:?}");
            assert!(subjects.iter().all(|subject| subject.asked()[0] == Duration::ZERO), "{does:?}");
            stop.cancel();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_name_probes_at_the_same_times_again() {
        let mut all = Vec::new();
        for _ in 0..2 {
            let (_replicas, count) = watch::channel(2);
            let subject = Simulated::new(&PROBE, Does::Answer, Duration::ZERO);
            let stop = start(&PROBE, &subject, count);
            pass(INTERVAL * 5).await;
            stop.cancel();
            all.push(subject.asked());
        }
        assert_eq!(all[0], all[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_replicas_make_each_of_them_probe_less_often_and_never_more_seldom_than_all_but_one_of_fall_intervals()
    {
        let (replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Answer, Duration::ZERO);
        let _stop = start(&PROBE, &subject, count);
        for (of, fewest, most) in [(1, 16, 18), (2, 8, 9), (4, 8, 9), (1_000, 8, 9), (1, 15, 17)] {
            replicas.send(of).unwrap();
            let before = subject.asked().len();
            pass(INTERVAL * 16).await;
            let made = subject.asked().len() - before;
            assert!((fewest..=most).contains(&made), "{made} probes of one of {of} replicas in sixteen intervals");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_replica_left_does_not_wait_for_the_turn_it_had_among_many() {
        let (replicas, count) = watch::channel(20);
        let probe = Probe { fall: 20, ..PROBE };
        let subject = Simulated::new(&probe, Does::Answer, Duration::ZERO);
        let _stop = start(&probe, &subject, count);
        pass(INTERVAL * 4).await;
        assert_eq!(subject.asked().len(), 1, "the first alone");
        replicas.send(1).unwrap();
        pass(INTERVAL * 2).await;
        assert_eq!(subject.asked().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_refuses_or_hangs_is_asked_fall_times_a_second_apart_and_in_turn_once_it_is_known_to_be_down()
     {
        for does in [Does::Refuse, Does::Hang] {
            let (_replicas, count) = watch::channel(1);
            let subject = Simulated::new(&PROBE, does, Duration::ZERO);
            let _stop = start(&PROBE, &subject, count);
            pass(INTERVAL * 4).await;
            let asked = subject.asked();
            assert_eq!(subject.state(), ProbeState::Down);
            assert!((6..=7).contains(&asked.len()), "three, and one an interval: {asked:?}");
            for pair in asked[..3].windows(2) {
                let apart = pair[1].saturating_sub(pair[0]);
                assert!(apart.abs_diff(PACE) <= Duration::from_millis(200), "{does:?}: {apart:?}");
            }
            let most = subject.most.load(Ordering::SeqCst);
            assert_eq!(most, if does == Does::Hang { PROBE.fall } else { 1 }, "under way at a time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_among_passes_is_asked_about_at_once_and_forgotten() {
        let (_replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Answer, Duration::ZERO);
        let _stop = start(&PROBE, &subject, count);
        pass(INTERVAL * 2).await;
        subject.set(Does::Refuse);
        let before = subject.asked().len();
        while subject.asked().len() == before {
            pass(Duration::from_millis(100)).await;
        }
        subject.set(Does::Answer);
        pass(PACE * 5).await;
        assert_eq!((subject.asked().len() - before, subject.state()), (2, ProbeState::Up));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_answers_again_is_up_after_rise_passes_a_second_apart() {
        let (_replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Hang, Duration::ZERO);
        let _stop = start(&PROBE, &subject, count);
        pass(INTERVAL).await;
        assert_eq!(subject.state(), ProbeState::Down);
        subject.set(Does::Answer);
        pass(INTERVAL + PACE * 2).await;
        assert_eq!(subject.state(), ProbeState::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_ends_the_turn_and_what_else_was_asked_is_let_go() {
        let (_replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Answer, Duration::from_millis(1_500));
        let _stop = start(&PROBE, &subject, count);
        pass(INTERVAL * 3).await;
        let (asked, recorded) = (subject.asked().len(), subject.recorded.lock().unwrap().len());
        assert_eq!((asked, subject.state()), (recorded * 2, ProbeState::Up));
        assert_eq!(subject.under_way.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_or_answered_after_the_stop() {
        let (_replicas, count) = watch::channel(1);
        let subject = Simulated::new(&PROBE, Does::Hang, Duration::ZERO);
        let stop = start(&PROBE, &subject, count);
        pass(Duration::from_secs(4)).await;
        assert!(subject.under_way.load(Ordering::SeqCst) > 1);
        stop.cancel();
        let asked = subject.asked().len();
        pass(INTERVAL * 2).await;
        assert_eq!((subject.asked().len(), subject.recorded.lock().unwrap().len()), (asked, 0));
        assert_eq!(subject.under_way.load(Ordering::SeqCst), 0);
    }

    fn simulate<T>(doing: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(doing)
    }

    proptest! {
        #[test]
        fn the_next_turn_is_at_the_replicas_offset_and_never_further_than_a_period(
            pod in "[a-z0-9-]{1,40}", interval_ms in 0_u64..200_000, replicas in 0_u32..5_000, now_ms in 0_u64..1 << 42,
            fall in 0_u32..30,
        ) {
            let cadence = Cadence::new(&Probe { interval_ms, fall, ..PROBE }, &pod, "twilio");
            let now = Duration::from_millis(now_ms);
            let period = cadence.period(replicas);
            prop_assert!(period >= cadence.interval && period <= cadence.interval * (cadence.fall - 1).max(1));
            let delay = cadence.next(now, replicas);
            prop_assert!(delay > Duration::ZERO && delay <= period);
            let offset = Duration::from_nanos_u128((now + delay).as_nanos() % period.as_nanos());
            prop_assert_eq!(offset, remainder(cadence.offset, period));
            prop_assert!(cadence.first() < FIRST_WITHIN);
        }

        #[test]
        fn a_provider_that_dies_is_known_to_be_down_within_fall_intervals_and_one_timeout(
            interval_ms in 1_000_u64..60_000, timeout_ms in 100_u64..30_000, fall in 1_u32..8, rise in 1_u32..4,
            pod in "[a-z0-9]{5}", replicas in (1_u32..8, 1_u32..8), dies_ms in 0_u64..400_000, hangs in any::<bool>(),
            takes_ms in 0_u64..3_000, message in proptest::option::of(0_u64..60_000),
        ) {
            let probe = Probe { interval_ms, timeout_ms, fall, rise };
            let takes = Duration::from_millis(takes_ms.min(timeout_ms / 2));
            let (bound, took, most) = simulate(async {
                let (sender, count) = watch::channel(replicas.0);
                let subject = Simulated::new(&probe, Does::Answer, takes);
                let cadence = Cadence::new(&probe, &pod, "twilio");
                tokio::spawn(run(cadence, EPOCH, count, Arc::clone(&subject), None, CancellationToken::new()));
                // the first probe after a start has been answered
                sleep(FIRST_WITHIN + takes + Duration::from_millis(dies_ms)).await;
                if let Some(ago) = message {
                    subject.takes_a_message();
                    sleep(Duration::from_millis(ago)).await;
                }
                sender.send(replicas.1).unwrap();
                subject.set(if hangs { Does::Hang } else { Does::Refuse });
                let died = Instant::now();
                let bound = Duration::from_millis(interval_ms) * fall + Duration::from_millis(timeout_ms);
                let _ = timeout(bound * 3, subject.fell.notified()).await;
                (bound, died.elapsed(), subject.most.load(Ordering::SeqCst))
            });
            // timers are exact to a millisecond
            prop_assert!(took <= bound + Duration::from_millis(20), "{took:?} of {bound:?}");
            prop_assert!(most <= fall.max(rise));
        }
    }
}
