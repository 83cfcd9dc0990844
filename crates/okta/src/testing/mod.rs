//! For tests of plan and run: an org in memory, and what is declared of its hooks.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a double for tests"
)]

mod behaviour;
mod fixtures;
mod model;

pub use behaviour::{Behaviour, Fault, SecondActivation, SecondCreation};
pub use fixtures::{declared, installation, org, settled, theirs};
pub use model::{Model, Stored, Violation, written};
