//! What the operator and the gateway report about themselves: log lines, metrics, and whether they live and are ready.
//!
//! Knows nobody; `gateway` and `operator` bring their own metric families and their own notion of readiness. [`room`] bounds
//! the connections at all doors, the one for Okta's calls too.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves"))]

pub mod endpoint;
pub mod families;
pub mod files;
mod log_writer;
pub mod logs;
pub mod metrics;
mod process;
pub mod room;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
