//! The operator against an API server and an org in memory.

mod apply;
mod fairness;
mod finalizer;
pub mod flow;
mod foreign;
mod lifecycle;
mod matrix;
mod priority;
mod references;
mod refusal;
mod stale;
mod steady;
pub mod switch;
mod takeover;
mod tenant;
mod whole;
