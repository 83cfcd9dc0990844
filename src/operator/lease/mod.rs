//! Who may act: one operator at a time holds the Lease, and knows by its own clock how long it may still act.

mod election;
mod handle;
mod holder;
#[cfg(test)]
mod tests;

pub use handle::Handle;
pub use holder::{Holder, Lost};

use std::time::Duration;

/// Name of the Lease.
pub const NAME: &str = "hookswitch-operator";

/// How long a lease lasts after its last confirmed renewal.
pub const DURATION: Duration = Duration::from_secs(30);

/// Time between two renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
