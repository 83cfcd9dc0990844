//! What comes from outside: bodies and inputs that were not written for this project, read by tables. Each file of data
//! notes its source.
#![allow(clippy::unwrap_used, clippy::panic)]

mod numbers;
mod okta;
mod okta_calls;
mod providers;
