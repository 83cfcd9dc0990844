//! Hookswitch keeps Okta's one-time passcodes flowing.
//!
//! This package holds the operator and the command line; the crates below `crates` hold the rest, and their manifests say
//! who may know whom.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves"))]

pub mod operator;
