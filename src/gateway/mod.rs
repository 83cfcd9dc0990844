//! The gateway: authenticates and answers Okta's calls, and sends messages through carriers.

pub mod breaker;
pub mod health;
pub mod probes;
pub mod report;
pub mod source;
