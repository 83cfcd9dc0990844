//! Probing one carrier again and again, sharing the work with the other replicas.
//!
//! Each replica probes at the interval times the number of replicas, at its own place in that period, found by a hash
//! of its name: together they probe about once per interval without talking to each other. How a probe is sent is the
//! caller's affair, and what its result means is that of `health`.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::document::Probe,
    providers::{Class, Probed, Refusal},
};

/// A replica that has just started wants to know soon; its first probe is made within this time, spread so that a
/// rollout does not probe in step.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// The shortest time between two probes, whatever is configured.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The most replicas that are reckoned with.
const MAX_REPLICAS: u32 = 1_000;

/// When one replica probes one carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    interval: Duration,
    timeout: Duration,
    place: u64,
}

impl Cadence {
    /// The cadence of `pod` for `carrier`.
    #[must_use]
    pub fn new(probe: &Probe, pod: &str, carrier: &str) -> Self {
        Self {
            interval: Duration::from_millis(probe.interval_ms).max(MIN_INTERVAL),
            timeout: Duration::from_millis(probe.timeout_ms).max(Duration::from_millis(1)),
            place: hash(pod, carrier),
        }
    }

    /// Time from start-up to the first probe.
    #[must_use]
    pub fn first(&self) -> Duration {
        remainder(self.place, FIRST_WITHIN.min(self.interval))
    }

    /// Time from `now`, given since 1970, to the next probe. Clocks that agree to within a fraction of the interval
    /// are enough to spread the replicas.
    #[must_use]
    pub fn next(&self, now: Duration, replicas: u32) -> Duration {
        let period = self.interval.saturating_mul(replicas.clamp(1, MAX_REPLICAS));
        let place = remainder(self.place, period);
        let now = Duration::from_nanos_u128(now.as_nanos() % period.as_nanos());
        place.checked_sub(now).filter(|left| !left.is_zero()).unwrap_or_else(|| (period + place).saturating_sub(now))
    }
}

/// Probes until `stop`, one probe at a time.
///
/// `ask` sends a probe; it is dropped when it takes longer than the probe's timeout, and that counts as a failure with
/// the code `timeout`. `tell` gets each result when it is there. `replicas` is how many replicas share the work.
/// `started` is the present since 1970; from then on the monotonic clock is used, so that a clock that is set does not
/// cause a burst.
pub async fn run<A, F, T>(
    cadence: Cadence,
    started: Duration,
    mut replicas: watch::Receiver<u32>,
    mut ask: A,
    mut tell: T,
    stop: CancellationToken,
) where
    A: FnMut() -> F + Send,
    F: Future<Output = Probed> + Send,
    T: FnMut(Probed) + Send,
{
    let began = Instant::now();
    let probing = async {
        sleep(cadence.first()).await;
        loop {
            let result = timeout(cadence.timeout, ask()).await.unwrap_or_else(|_| Probed::Down(timed_out()));
            tell(result);
            wait(&cadence, started, began, &mut replicas).await;
        }
    };
    stop.run_until_cancelled(probing).await;
}

async fn wait(cadence: &Cadence, started: Duration, began: Instant, replicas: &mut watch::Receiver<u32>) {
    loop {
        let count = *replicas.borrow_and_update();
        let delay = cadence.next(started + began.elapsed(), count);
        tokio::select! {
            () = sleep(delay) => return,
            Ok(()) = replicas.changed() => {}
        }
    }
}

fn timed_out() -> Refusal {
    Refusal { class: Class::Transient, code: "timeout".into(), retry_after_s: None }
}

fn hash(pod: &str, carrier: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{pod}/{carrier}").as_bytes());
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn remainder(place: u64, period: Duration) -> Duration {
    Duration::from_nanos_u128(u128::from(place) % period.as_nanos().max(1))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    const PROBE: Probe = Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 };
    const INTERVAL: Duration = Duration::from_secs(30);
    const EPOCH: Duration = Duration::from_secs(1_700_000_000);

    type Log = Arc<Mutex<Vec<(Duration, Probed)>>>;

    /// A loop whose probes take `takes`, with what it told and when.
    fn start(cadence: Cadence, replicas: watch::Receiver<u32>, takes: Duration) -> (Log, CancellationToken) {
        let (log, stop) = (Log::default(), CancellationToken::new());
        let (told, began) = (Arc::clone(&log), Instant::now());
        let ask = move || async move {
            sleep(takes).await;
            Probed::Up
        };
        let tell = move |probed| told.lock().unwrap().push((began.elapsed(), probed));
        tokio::spawn(run(cadence, EPOCH, replicas, ask, tell, stop.clone()));
        (log, stop)
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
        let (log, _stop) = start(Cadence::new(&PROBE, "main-abc", "twilio"), count, Duration::ZERO);
        pass(INTERVAL * 10).await;
        let log = log.lock().unwrap();
        assert!(log[0].0 <= FIRST_WITHIN + Duration::from_millis(200), "{log:?}");
        assert!((10..=11).contains(&log.len()), "{} probes in ten intervals", log.len());
        for pair in log[1..].windows(2) {
            let apart = pair[1].0.saturating_sub(pair[0].0);
            assert!(apart.abs_diff(INTERVAL) <= Duration::from_millis(200), "{apart:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_name_probes_at_the_same_times_again() {
        let mut logs = Vec::new();
        for _ in 0..2 {
            let (_replicas, count) = watch::channel(2);
            let (log, stop) = start(Cadence::new(&PROBE, "main-abc", "twilio"), count, Duration::ZERO);
            pass(INTERVAL * 5).await;
            stop.cancel();
            logs.push(log.lock().unwrap().clone());
        }
        assert_eq!(logs[0], logs[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_replicas_make_each_of_them_probe_less_often() {
        let (replicas, count) = watch::channel(1);
        let (log, _stop) = start(Cadence::new(&PROBE, "main-abc", "twilio"), count, Duration::ZERO);
        pass(INTERVAL * 4).await;
        let before = log.lock().unwrap().len();
        replicas.send(4).unwrap();
        pass(INTERVAL * 16).await;
        let after = log.lock().unwrap().len() - before;
        assert!((3..=5).contains(&after), "{after} probes in sixteen intervals of four replicas");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_replica_left_does_not_wait_for_the_turn_it_had_among_many() {
        let (replicas, count) = watch::channel(MAX_REPLICAS);
        let (log, _stop) = start(Cadence::new(&PROBE, "main-abc", "twilio"), count, Duration::ZERO);
        pass(INTERVAL * 4).await;
        assert_eq!(log.lock().unwrap().len(), 1, "the first alone");
        replicas.send(1).unwrap();
        pass(INTERVAL * 2).await;
        assert_eq!(log.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_fails_after_its_timeout_and_does_not_stop_the_loop() {
        let (_replicas, count) = watch::channel(1);
        let (log, _stop) = start(Cadence::new(&PROBE, "main-abc", "twilio"), count, Duration::from_hours(1));
        pass(INTERVAL * 3).await;
        let log = log.lock().unwrap();
        assert!(log.len() >= 2, "{log:?}");
        for (_, probed) in log.iter() {
            assert_eq!(*probed, Probed::Down(timed_out()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_probe_is_begun_while_one_is_under_way_nor_after_the_stop() {
        let (_replicas, count) = watch::channel(1);
        let probe = Probe { interval_ms: 1_000, timeout_ms: 10_000, ..PROBE };
        let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (now_running, at_most) = (Arc::clone(&running), Arc::clone(&most));
        let ask = move || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_secs(4)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Probed::Unknown
            }
        };
        let told = Arc::new(AtomicU32::new(0));
        let tell = {
            let told = Arc::clone(&told);
            move |_| _ = told.fetch_add(1, Ordering::SeqCst)
        };
        let stop = CancellationToken::new();
        let looping = tokio::spawn(run(Cadence::new(&probe, "a", "b"), EPOCH, count, ask, tell, stop.clone()));
        pass(Duration::from_secs(30)).await;
        stop.cancel();
        looping.await.unwrap();
        let before = told.load(Ordering::SeqCst);
        pass(Duration::from_secs(30)).await;
        assert!(before >= 5);
        assert_eq!(told.load(Ordering::SeqCst), before);
        assert_eq!(at_most.load(Ordering::SeqCst), 1);
        assert!(now_running.load(Ordering::SeqCst) <= 1);
    }

    proptest! {
        #[test]
        fn the_next_probe_is_at_the_replicas_place_and_never_further_than_a_period(
            pod in "[a-z0-9-]{1,40}", interval_ms in 0_u64..200_000, replicas in 0_u32..5_000, now_ms in 0_u64..1 << 42,
        ) {
            let cadence = Cadence::new(&Probe { interval_ms, ..PROBE }, &pod, "twilio");
            let now = Duration::from_millis(now_ms);
            let period = cadence.interval * replicas.clamp(1, MAX_REPLICAS);
            let delay = cadence.next(now, replicas);
            prop_assert!(delay > Duration::ZERO && delay <= period);
            let place = Duration::from_nanos_u128((now + delay).as_nanos() % period.as_nanos());
            prop_assert_eq!(place, remainder(cadence.place, period));
            prop_assert!(cadence.first() < FIRST_WITHIN);
        }
    }
}
