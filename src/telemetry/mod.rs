//! What the operator and the gateway tell about themselves: log lines, metrics, and whether they live and are ready.
//!
//! Knows nobody; `gateway` and `operator` bring their own metric families and their own notion of readiness. [`room`] bounds
//! the connections at all doors, the one for Okta's calls too.

pub mod endpoint;
pub mod files;
pub mod logs;
pub mod metrics;
mod process;
pub mod room;
