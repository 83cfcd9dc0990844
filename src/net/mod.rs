//! The one way out: every call to a carrier or to Okta leaves through here.
//!
//! Knows nobody: it takes a plain request and gives a plain answer. What it adds is an address guard on every connection,
//! a deadline over the whole exchange, a cap on what is read, and a verdict on failures that tells "definitely not sent"
//! from "unclear".

mod connector;

pub use connector::{Answer, Connector, NetError, Policy, Request, SendError, client};
