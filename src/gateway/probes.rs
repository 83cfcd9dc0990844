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
        if place > now { place - now } else { period - now + place }
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
