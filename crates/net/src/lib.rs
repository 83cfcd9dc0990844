//! The one way out: every call to a provider or to Okta leaves through here.
//!
//! Knows nobody but the requests that it sends, `message`'s secrets and the places that `fair` gives out. It takes a plain request
//! and gives a plain answer. What it adds is an address guard on every connection, a deadline over the whole exchange, a cap on
//! what is read, and a verdict on failures that tells "definitely not sent" from "unclear".
//!
//! Two ways lead out: [`Connector`] and [`Client`]. Both ask the guard for every request, and connections are made to addresses
//! that it let through alone; neither gives out what it is made of. `clippy.toml` keeps others from making a way of
//! their own.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves"))]

mod body;
mod client;
mod connector;
mod dial;
mod exception;
mod failure;
mod guard;
mod identity;
mod leave;
mod policy;
mod pool;
mod prepare;
mod resolver;
mod roots;
mod shared;
#[cfg(test)]
mod tests;
mod wary;
mod wire;

pub use client::{Client, ClientError, Response};
pub use connector::{Answer, Connector};
pub use exception::{Exception, InvalidException};
pub use failure::{NoAnswer, SendError, Unsent};
pub use identity::{InvalidIdentity, server_identity};
pub use policy::{NetError, Policy};
pub use prepare::prepare;
pub use resolver::Lookups;
pub use roots::ca_bundle;

pub use hookswitch_request::Request;
