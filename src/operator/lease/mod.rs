//! Who may act: one operator at a time holds the Lease, and knows by its own clock how long it may still act.
//!
//! Each release of the chart has a Lease of its own, by its name. Older releases all had one of the same name, [`NAME`]: as long
//! as operators of such a version may run, a newer one leads only while it holds both ([`former`]).

mod election;
mod former;
mod handle;
mod holder;
#[cfg(test)]
mod tests;

pub use former::is_pod_of;
pub use handle::Handle;
pub use holder::{Holder, Lost};

use std::time::Duration;

/// Name of the Lease, unless another is given; that of all releases before each had its own.
pub const NAME: &str = "hookswitch-operator";

/// The Leases of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// Name of its own.
    pub own: String,
    /// The Deployment whose pods may be of a version that knows [`NAME`] alone. Absent: it is not known.
    pub deployment: Option<String>,
}

/// How long a lease lasts after its last confirmed renewal.
pub const DURATION: Duration = Duration::from_secs(30);

/// Time between two renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
