//! The operator: resources in; Kubernetes objects, Okta calls and status out.
//!
//! One folder per kind, each a pipeline `dereference → validate → build or plan → apply → status`. What kinds share
//! stands beside the folders: [`pass`] runs passes, [`apply`] writes objects, [`status`] writes status and tells events,
//! [`references`] follows Secrets and `ConfigMaps`, [`wake`] carries wake-ups between objects, [`lease`] says who may act.

pub mod apply;
#[cfg(test)]
mod apply_tests;
pub mod backoff;
pub mod cache;
pub mod clock;
pub mod cluster;
pub mod conditions;
pub mod context;
#[cfg(test)]
mod double;
pub mod events;
#[cfg(test)]
mod fairness_tests;
pub mod finalizer;
#[cfg(test)]
mod finalizer_tests;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod foreign_tests;
pub mod gateway;
pub mod held_back;
pub mod hook;
pub mod installation;
pub mod lease;
#[cfg(test)]
mod lifecycle_tests;
pub mod listing;
#[cfg(test)]
mod matrix_tests;
pub mod metrics;
pub mod namespace;
pub mod options;
pub mod org;
pub mod pass;
pub mod policy;
#[cfg(test)]
mod priority_tests;
pub mod probe;
pub mod problem;
pub mod provider;
pub mod queue;
pub mod references;
#[cfg(test)]
mod references_tests;
#[cfg(test)]
mod refusal_tests;
pub mod release;
pub mod reports;
pub mod run;
pub mod secret_value;
#[cfg(test)]
mod stale_tests;
pub mod status;
#[cfg(test)]
mod steady_tests;
pub mod switch;
#[cfg(test)]
mod switch_tests;
#[cfg(test)]
mod takeover_tests;
pub mod tenancy;
#[cfg(test)]
mod tenant_tests;
pub mod wake;
pub mod watches;
#[cfg(test)]
mod whole_tests;

pub use context::Context;
pub use options::Options;
pub use pass::{PassError, Reconcile, Requeue};
pub use run::{RunError, run};
pub use wake::{Kind, Target};
