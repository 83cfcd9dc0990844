//! Gates: a call is held at a chosen point until a test, or a person, lets it go on.

use std::time::Duration;

use tokio::sync::watch;

/// No call is held longer than this, so that a forgotten gate cannot keep a connection for ever.
const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// A gate that starts shut. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrivals: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A shut gate nobody waits at.
    #[must_use]
    pub fn new() -> Self {
        Self { arrivals: watch::Sender::new(0), open: watch::Sender::new(false) }
    }

    /// Waits until a call has come to the gate (it may have come already).
    pub async fn arrived(&self) {
        // The sender is held by `self`, so the channel cannot close while this waits.
        let _ = self.arrivals.subscribe().wait_for(|n| *n > 0).await;
    }

    /// How many calls have come to the gate so far.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        *self.arrivals.borrow()
    }

    /// Whether the gate is open.
    #[must_use]
    pub fn is_released(&self) -> bool {
        *self.open.borrow()
    }

    /// Opens the gate for good: those waiting go on, later ones do not wait.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Called by the held side.
    pub(crate) async fn pass(&self) {
        self.arrivals.send_modify(|n| *n += 1);
        let mut open = self.open.subscribe();
        let _ = tokio::time::timeout(LONGEST_HOLD, open.wait_for(|open| *open)).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_holds_its_caller_until_it_is_released() {
        let gate = Gate::new();
        let held = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.arrived().await;
        assert!(!held.is_finished());
        gate.release();
        held.await.unwrap();
        gate.pass().await;
        assert_eq!(gate.arrivals(), 2);
    }
}
