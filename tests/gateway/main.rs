//! A gateway in this process, with simulated providers behind it, called as Okta calls it.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod canned;
mod configurations;
mod connections;
mod failover_matrix;
mod leaks;
mod log;
mod okta_hook;
mod probes;
mod refusals;
mod scene;
