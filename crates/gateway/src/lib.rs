//! The gateway: authenticates and answers Okta's calls, and sends messages through providers.
//!
//! A call goes from [`listener`] to [`service`], which knows the caller and answers in time; [`protocol`] reads it,
//! [`duplicates`] sees whether it was here before, [`dispatch`] routes and sends it as [`compose`] writes it, [`budget`] and
//! [`attempt_policy`] decide about time and failover. [`source`] brings configurations, [`runtime`] is one made ready,
//! [`provider`] one provider of it with its [`health`], its [`breaker`] and what [`credential_keeper`] keeps for it. [`serve`] puts
//! it all together. Neither an API server nor the operator is needed to serve.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves"))]

pub mod attempt_policy;
pub mod awaited_body;
pub mod breaker;
pub mod budget;
#[cfg(test)]
mod calls_tests;
pub mod candidate;
pub mod codes;
pub mod compose;
pub mod credential_keeper;
pub mod dispatch;
pub mod duplicates;
pub mod handshake_bytes;
pub mod health;
pub mod hook_secrets;
pub mod listener;
pub mod metrics;
pub mod parts;
pub mod pause;
pub mod private;
pub mod probe_nonces;
pub mod probes;
pub mod protocol;
pub mod provider;
pub mod recent;
pub mod report;
pub mod request_body;
pub mod request_clock;
pub mod retry;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod turns;
