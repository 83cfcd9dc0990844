//! One controller for each kind: `dereference → validate → plan or build → apply → status`.

pub mod context;
pub mod gateway;
pub mod hook;
pub mod org;
pub mod policy;
pub mod provider;
pub mod switch;
pub mod terminating;
