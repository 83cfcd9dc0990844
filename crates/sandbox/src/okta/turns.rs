//! Which telephony hooks were active, change by change: the org's own record, for whoever judges a run afterwards.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many changes an org remembers.
const REMEMBERED: usize = 1_000;

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A client of the management API, by its token.
    Client,
    /// Somebody else, by [`super::Org::admin`].
    Admin,
}

/// The telephony hooks that are active from one moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// When the change took effect.
    pub at: Timestamp,
    /// Whose change it was.
    pub by: By,
    /// Names of the hooks.
    pub active: Vec<String>,
}

/// The last changes, the oldest first. Whoever holds the hooks writes them down, so their order is that of the effects.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<Turn>);

impl Turns {
    /// Writes down which hooks are active once `delay` is over, if others were before.
    pub(super) fn note(&mut self, by: By, active: Vec<String>, delay: Duration) {
        let before = self.0.back().map_or(&[][..], |turn| &turn.active);
        if before == active {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let now = Timestamp::now();
        self.0.push_back(Turn { at: now.checked_add(delay).unwrap_or(now), by, active });
    }

    pub(super) fn all(&self) -> Vec<Turn> {
        self.0.iter().cloned().collect()
    }
}
