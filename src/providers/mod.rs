//! Carrier adapters, without input or output: a message becomes an HTTP request, an HTTP answer becomes an [`Outcome`].
//!
//! One file per carrier. Adapters know neither sockets nor clocks; the dispatcher in `gateway` sends what they build and
//! hands them what came back, so every vendor answer is a table test.

mod outcome;

pub use outcome::{Class, Outcome, Refusal, Scope};
