//! Who may hold the Lease, decided from what is read of it and our own clock. Pure.
//!
//! Clocks of machines are not compared: another's lease has run out when it was seen unchanged for its whole duration.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};

use super::terms::DURATION;
use crate::operator::runtime::clock::BootInstant;

/// Bounds of a duration that a record may claim.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// What is to be done about the Lease.
#[derive(Debug, Clone, PartialEq)]
pub enum ElectionDecision {
    /// There is none: create it with this.
    Create(LeaseSpec),
    /// It is free, ours, or has run out: replace the one that was read with this.
    Replace(LeaseSpec),
    /// Another holds it.
    Wait {
        /// Who.
        holder: String,
    },
}

/// The parts of a record that change when its holder is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    holder: String,
    renewed: Option<Timestamp>,
    transitions: i32,
    version: Option<String>,
}

/// One contender.
#[derive(Debug)]
pub struct Election {
    identity: String,
    observed: Option<(Record, BootInstant)>,
}

impl Election {
    /// A contender by the name of `identity`, which no other may have.
    #[must_use]
    pub const fn new(identity: String) -> Self {
        Self { identity, observed: None }
    }

    /// Whether that name is ours.
    #[must_use]
    pub fn is(&self, holder: &str) -> bool {
        self.identity == holder
    }

    /// Decides on what was read at `now`; `wall` is what the record says to people.
    pub fn decide(&mut self, lease: Option<&Lease>, now: BootInstant, wall: Timestamp) -> ElectionDecision {
        let Some(lease) = lease else {
            self.observed = None;
            return ElectionDecision::Create(self.spec(wall, wall, 0));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let record = record(lease, &spec);
        let since = match &self.observed {
            Some((known, since)) if *known == record => *since,
            _ => {
                self.observed = Some((record.clone(), now));
                now
            }
        };
        if record.holder == self.identity {
            let acquired = spec.acquire_time.map_or(wall, |time| time.0);
            return ElectionDecision::Replace(self.spec(acquired, wall, record.transitions));
        }
        if record.holder.is_empty() || now.since(since) >= claimed(&spec) {
            return ElectionDecision::Replace(self.spec(wall, wall, record.transitions.saturating_add(1)));
        }
        ElectionDecision::Wait { holder: record.holder }
    }

    /// The record that gives the Lease up; another may take it at once.
    #[must_use]
    pub fn release(&self, lease: &Lease, wall: Timestamp) -> Option<LeaseSpec> {
        let spec = lease.spec.clone().unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.identity);
        ours.then(|| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(wall)),
            ..spec
        })
    }

    fn spec(&self, acquired: Timestamp, renewed: Timestamp, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(renewed)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn record(lease: &Lease, spec: &LeaseSpec) -> Record {
    Record {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        renewed: spec.renew_time.as_ref().map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.clone(),
    }
}

/// How long the holder claims the Lease for. Never shorter than ours: a holder of another release may count on it.
fn claimed(spec: &LeaseSpec) -> Duration {
    let claimed = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Duration::from_secs(claimed).clamp(SHORTEST, LONGEST).max(DURATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::after_boot(Duration::from_secs(seconds))
    }

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stored(decision: ElectionDecision, version: &str) -> Lease {
        let (ElectionDecision::Create(spec) | ElectionDecision::Replace(spec)) = decision else {
            panic!("nothing to store")
        };
        let mut lease = Lease { spec: Some(spec), ..Lease::default() };
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn the_first_contender_creates_and_renews_the_lease() {
        let mut a = Election::new("a".into());
        let lease = stored(a.decide(None, at(0), wall(0)), "1");
        let ElectionDecision::Replace(renewed) = a.decide(Some(&lease), at(5), wall(5)) else { panic!() };
        assert_eq!(renewed.holder_identity.as_deref(), Some("a"));
        assert_eq!(renewed.acquire_time, Some(MicroTime(wall(0))), "acquired once");
        assert_eq!((renewed.renew_time, renewed.lease_transitions), (Some(MicroTime(wall(5))), Some(0)));
        assert_eq!(renewed.lease_duration_seconds, Some(30), "what others count by");
    }

    #[test]
    fn another_waits_as_long_as_the_record_moves_and_takes_it_when_it_stood_still() {
        let (mut a, mut b) = (Election::new("a".into()), Election::new("b".into()));
        let mut lease = stored(a.decide(None, at(0), wall(0)), "1");
        for tick in 1..20_u64 {
            assert!(
                matches!(b.decide(Some(&lease), at(tick * 5), wall(0)), ElectionDecision::Wait { holder } if holder == "a")
            );
            lease = stored(a.decide(Some(&lease), at(tick * 5), wall(i64::try_from(tick).unwrap())), &tick.to_string());
        }
        let from = 100;
        assert!(matches!(b.decide(Some(&lease), at(from), wall(0)), ElectionDecision::Wait { .. }));
        assert!(matches!(b.decide(Some(&lease), at(from + 29), wall(0)), ElectionDecision::Wait { .. }));
        let ElectionDecision::Replace(taken) = b.decide(Some(&lease), at(from + 30), wall(0)) else { panic!() };
        assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("b"), Some(1)));
    }

    #[test]
    fn the_clock_of_another_machine_decides_nothing() {
        let (mut a, mut b) = (Election::new("a".into()), Election::new("b".into()));
        let lease = stored(a.decide(None, at(0), wall(-1_000_000)), "1");
        assert!(matches!(b.decide(Some(&lease), at(1_000), wall(1_000_000)), ElectionDecision::Wait { .. }));
    }

    #[test]
    fn a_lease_given_up_is_taken_at_once_and_only_its_holder_gives_it_up() {
        let (mut a, mut b) = (Election::new("a".into()), Election::new("b".into()));
        let mut lease = stored(a.decide(None, at(0), wall(0)), "1");
        assert_eq!(b.release(&lease, wall(1)), None);
        lease.spec = a.release(&lease, wall(1));
        let spec = lease.spec.clone().unwrap();
        assert_eq!((spec.lease_duration_seconds, spec.renew_time), (Some(1), Some(MicroTime(wall(1)))));
        assert_eq!(spec.acquire_time, Some(MicroTime(wall(0))), "the rest stays");
        assert!(a.is("a") && !a.is("b"));
        assert!(matches!(b.decide(Some(&lease), at(0), wall(1)), ElectionDecision::Replace(_)));
    }

    #[test]
    fn a_record_cannot_claim_more_than_five_minutes_nor_less_than_ours() {
        for (claim, expected) in [(None, 30), (Some(1), 30), (Some(-5), 30), (Some(60), 60), (Some(i32::MAX), 300)] {
            let spec = LeaseSpec { lease_duration_seconds: claim, ..LeaseSpec::default() };
            assert_eq!(claimed(&spec).as_secs(), expected, "{claim:?}");
        }
    }
}
