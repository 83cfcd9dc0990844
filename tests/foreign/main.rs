//! Bodies and inputs that come from outside, each with its source: what others really write is put to our readers.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its table must fail")]

mod numbers;
mod okta_calls;
