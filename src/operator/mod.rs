//! The operator: resources in; Kubernetes objects, Okta calls and status out.
//!
//! Its folders are floors, and each knows only those below it (a test keeps that): [`run`] wires everything; [`controllers`] reconcile
//! one kind each; [`probes`] try whether calls arrive; [`resolve`] reads what objects refer to; [`state`] is kept between
//! reconciles; [`outbound`] reaches what is outside; [`model`] is pure; [`runtime`] runs reconciles and knows no kind of ours.

pub mod controllers;
pub mod installation;
pub mod model;
pub mod options;
pub mod outbound;
pub mod probes;
pub mod release;
pub mod resolve;
pub mod run;
pub mod runtime;
pub mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use options::Options;
pub use run::{RunError, run};
