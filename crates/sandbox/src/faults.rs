//! Faults of a provider on demand: what goes wrong, for which numbers, how often.
//!
//! Okta's management API has faults of its own kind, in [`super::okta::faults`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::phone::Area;

/// At most this many faults stand at once for one provider.
const MAX_FAULTS: usize = 64;
/// No answer is delayed longer than this.
pub(crate) const LONGEST_DELAY_MS: u64 = 120_000;

/// What goes wrong.
///
/// `delivered` says whether the message reaches the handset all the same: the caller then cannot
/// know, which is what makes an outcome ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultKind {
    /// The provider is gone: connections are reset before a byte is read. Limited to a country or
    /// to a number of times it is a plain 503 instead.
    Down,
    /// Delivered at once, answered late.
    Slow {
        /// By how many milliseconds.
        ms: u64,
    },
    /// Never answered.
    Hang {
        /// Whether the handset gets the message.
        #[serde(default)]
        delivered: bool,
    },
    /// The connection is reset once the request has been read.
    Reset {
        /// Whether the handset gets the message.
        #[serde(default)]
        delivered: bool,
    },
    /// Refused in the vendor's own error shape.
    Refuse {
        /// The vendor's code.
        code: String,
        /// HTTP status; the vendor's usual one for the code when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The class, for the JSON provider alone; `transient` when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// The scope, for the JSON provider's `permanent-config` alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// A success status with a body that is not the vendor's.
    Garbage {
        /// Whether the handset gets the message.
        #[serde(default)]
        delivered: bool,
    },
    /// The success answer, one byte at a time.
    Trickle {
        /// Milliseconds between two bytes.
        ms: u64,
        /// Whether the handset gets the message.
        #[serde(default)]
        delivered: bool,
    },
    /// The JSON provider's `{"status":"unknown"}`; Twilio answers 500.
    Unknown {
        /// Whether the handset gets the message.
        #[serde(default)]
        delivered: bool,
    },
}

/// A fault that stands until cleared or used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub fault: FaultKind,
    /// For which numbers; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Area>,
    /// For how many messages; until cleared when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// A fault that cannot be set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    /// More than the table holds.
    #[error("a provider has at most {MAX_FAULTS} faults at once")]
    TooMany,
    /// A delay past the bound.
    #[error("a delay is at most {LONGEST_DELAY_MS} ms")]
    TooLong,
    /// A status that is no HTTP error.
    #[error("a refusal's status is between 200 and 599")]
    Status,
    /// Never used.
    #[error("a fault happens at least once")]
    ZeroTimes,
}

impl Fault {
    /// A fault for every message until it is cleared.
    #[must_use]
    pub fn always(fault: FaultKind) -> Self {
        Self { fault, country: None, times: None }
    }

    /// A fault for the next `times` messages.
    #[must_use]
    pub fn times(fault: FaultKind, times: u32) -> Self {
        Self { times: Some(times), ..Self::always(fault) }
    }

    /// A fault for the numbers of one area, until it is cleared.
    #[must_use]
    pub fn within(fault: FaultKind, area: Area) -> Self {
        Self { country: Some(area), ..Self::always(fault) }
    }

    /// Whether it takes the whole account off the network.
    fn refuses_connections(&self) -> bool {
        self.fault == FaultKind::Down && self.country.is_none() && self.times.is_none()
    }

    /// Whether health probes meet it too: what troubles the account as a whole does.
    fn meets_probes(&self) -> bool {
        self.country.is_none()
            && self.times.is_none()
            && match &self.fault {
                FaultKind::Refuse { status, .. } => matches!(status, Some(401 | 403)),
                FaultKind::Unknown { .. } => false,
                _ => true,
            }
    }

    fn check(&self) -> Result<(), FaultError> {
        if self.times == Some(0) {
            return Err(FaultError::ZeroTimes);
        }
        match &self.fault {
            FaultKind::Slow { ms } | FaultKind::Trickle { ms, .. } if *ms > LONGEST_DELAY_MS => {
                Err(FaultError::TooLong)
            }
            FaultKind::Refuse { status: Some(status), .. } if !(200..600).contains(status) => Err(FaultError::Status),
            _ => Ok(()),
        }
    }
}

/// The faults that stand for one provider; the newest that fits wins.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    standing: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn set(&self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.len() == MAX_FAULTS {
            return Err(FaultError::TooMany);
        }
        standing.push(fault);
        Ok(())
    }

    /// Clears the faults of one area, or all of them.
    pub(crate) fn clear(&self, area: Option<&Area>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.retain(|fault| area.is_some() && fault.country.as_ref() != area);
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn refuses_connections(&self) -> bool {
        self.list().iter().any(Fault::refuses_connections)
    }

    /// The fault a message to `to` meets; one of its times is used up.
    pub(crate) fn for_message(&self, to: &str) -> Option<FaultKind> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let at = standing.iter().rposition(|f| f.country.as_ref().is_none_or(|area| area.contains(to)))?;
        let kind = standing[at].fault.clone();
        if let Some(times) = &mut standing[at].times {
            *times -= 1;
            if *times == 0 {
                standing.remove(at);
            }
        }
        Some(kind)
    }

    /// The fault a health probe meets.
    pub(crate) fn for_probe(&self) -> Option<FaultKind> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.iter().rev().find(|fault| fault.meets_probes()).map(|fault| fault.fault.clone())
    }
}

/// A pause of a fault, within its bound.
pub(crate) fn pause(ms: u64) -> Duration {
    Duration::from_millis(ms.min(LONGEST_DELAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SE: &str = "+46701234567";
    const DK: &str = "+4520123456";

    fn sweden() -> Area {
        "SE".parse().unwrap()
    }

    #[test]
    fn a_countrys_fault_leaves_other_numbers_and_probes_alone() {
        let faults = Faults::default();
        faults.set(Fault::within(FaultKind::Down, sweden())).unwrap();
        assert_eq!(faults.for_message(SE), Some(FaultKind::Down));
        assert_eq!(faults.for_message(DK), None);
        assert_eq!(faults.for_probe(), None);
        assert!(!faults.refuses_connections());
    }

    #[test]
    fn a_fault_for_two_times_is_gone_at_the_third() {
        let faults = Faults::default();
        faults.set(Fault::times(FaultKind::Down, 2)).unwrap();
        assert!(faults.for_message(SE).is_some());
        assert!(faults.for_message(SE).is_some());
        assert!(faults.for_message(SE).is_none());
    }

    #[test]
    fn clearing_one_country_keeps_the_rest() {
        let faults = Faults::default();
        faults.set(Fault::always(FaultKind::Down)).unwrap();
        faults.set(Fault::within(FaultKind::Down, sweden())).unwrap();
        faults.clear(Some(&sweden()));
        assert!(faults.refuses_connections());
        faults.clear(None);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_fault_that_could_never_end_or_never_start_is_refused() {
        let faults = Faults::default();
        let slow = FaultKind::Slow { ms: LONGEST_DELAY_MS + 1 };
        assert_eq!(faults.set(Fault::always(slow)), Err(FaultError::TooLong));
        assert_eq!(faults.set(Fault::times(FaultKind::Down, 0)), Err(FaultError::ZeroTimes));
    }
}
