//! The terms of a lease.

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
