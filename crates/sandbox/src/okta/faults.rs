//! Faults of the management API: by call, before or after the call has had its effect.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::gate::Gate;
use crate::provider::Moment;

/// At most this many faults stand at once for one org.
const MAX_FAULTS: usize = 64;

/// A call of the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// Every call.
    Any,
    /// `GET /inlineHooks`
    List,
    /// `POST /inlineHooks`
    Create,
    /// `GET /inlineHooks/{id}`
    Get,
    /// `PUT /inlineHooks/{id}`
    Replace,
    /// `POST /inlineHooks/{id}`
    Update,
    /// `DELETE /inlineHooks/{id}`
    Delete,
    /// `POST …/lifecycle/activate`
    Activate,
    /// `POST …/lifecycle/deactivate`
    Deactivate,
    /// `POST …/execute`
    Execute,
    /// `GET /logs`
    Logs,
    /// `GET /.well-known/okta-organization`
    Identity,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OktaFaultKind {
    /// 429 with a reset this many seconds ahead.
    RateLimited {
        /// Seconds until the reset.
        reset_seconds: u64,
    },
    /// 429 for too many calls at once: a limit of 0, and a reset that is no time to wait for.
    TooManyAtOnce,
    /// 401, 403, 500 or 503 in Okta's shape.
    Status {
        /// Which.
        status: u16,
    },
    /// No answer.
    Timeout,
    /// The connection is reset.
    Reset,
    /// 200 with JSON that is something else.
    WrongJson,
    /// 200 with half a document.
    TruncatedJson,
    /// Late by this many milliseconds, then as usual.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
}

/// A fault of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OktaFault {
    /// Which call.
    pub call: CallKind,
    /// Before or after the effect.
    pub when: Moment,
    /// What.
    pub fault: OktaFaultKind,
    /// How often; until cleared when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// A fault that cannot be set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OktaFaultError {
    /// More than the table holds.
    #[error("an org has at most {MAX_FAULTS} faults at once")]
    TooMany,
    /// A status the sandbox has no Okta error for.
    #[error("a status is one of 401, 403, 500, 503")]
    Status,
    /// Never used, or longer than the bound.
    #[error("a fault happens at least once and lasts at most two minutes")]
    Bounds,
}

/// What a call meets at one moment.
pub(super) enum Met {
    Fault(OktaFaultKind),
    Gate(Gate),
}

#[derive(Default)]
pub(super) struct OktaFaults {
    standing: Mutex<Vec<OktaFault>>,
    gates: Mutex<Vec<(CallKind, Moment, Gate)>>,
}

impl OktaFaults {
    pub(super) fn set(&self, fault: OktaFault) -> Result<(), OktaFaultError> {
        match fault.fault {
            OktaFaultKind::Status { status } if !matches!(status, 401 | 403 | 500 | 503) => {
                return Err(OktaFaultError::Status);
            }
            OktaFaultKind::Delay { ms } if ms > crate::faults::LONGEST_DELAY_MS => {
                return Err(OktaFaultError::Bounds);
            }
            _ if fault.times == Some(0) => return Err(OktaFaultError::Bounds),
            _ => {}
        }
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.len() == MAX_FAULTS {
            return Err(OktaFaultError::TooMany);
        }
        standing.push(fault);
        Ok(())
    }

    pub(super) fn hold(&self, call: CallKind, when: Moment) -> Gate {
        let gate = Gate::new();
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // A released gate holds nobody: the list stays as short as the holds that are wanted.
        gates.retain(|(_, _, gate)| !gate.is_released());
        gates.push((call, when, gate.clone()));
        gate
    }

    pub(super) fn clear(&self) {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, _, gate) in gates.drain(..) {
            gate.release();
        }
    }

    pub(super) fn list(&self) -> Vec<OktaFault> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a call meets, in order: gates first, then delays, then at most one fault that ends it.
    pub(super) fn met(&self, call: CallKind, when: Moment) -> Vec<Met> {
        let fits = |wanted: CallKind| wanted == CallKind::Any || wanted == call;
        let mut met: Vec<Met> = self
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(wanted, moment, _)| fits(*wanted) && *moment == when)
            .map(|(_, _, gate)| Met::Gate(gate.clone()))
            .collect();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = false;
        standing.retain_mut(|fault| {
            if ended || !fits(fault.call) || fault.when != when {
                return true;
            }
            ended = !matches!(fault.fault, OktaFaultKind::Delay { .. });
            met.push(Met::Fault(fault.fault.clone()));
            match &mut fault.times {
                None => true,
                Some(times) => {
                    *times -= 1;
                    *times > 0
                }
            }
        });
        met
    }
}
