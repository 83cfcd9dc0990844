//! Which hook of an org should be active, decided by what is seen of each: pure, with the clock injected.
//!
//! [`signal`] is what was seen, with three values: pass, fail, unknown. [`health`] makes one judgement per hook of it, and
//! `hook_failure` says after how many of them a hook has failed.
//! [`settings`] are the thresholds with their defaults. [`machine`] is the state machine: observations in, the hook that is
//! to be active and what is to be published. Nothing here calls anybody; the org's planner brings Okta to the decision.

pub mod coverage;
pub mod fallback;
pub mod health;
mod hook_failure;
pub mod machine;
pub mod refusals;
pub mod settings;
pub mod signal;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod machine_edge_tests;
#[cfg(test)]
mod machine_tests;
