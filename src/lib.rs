//! Hookswitch keeps Okta's one-time passcodes flowing.
//!
//! The library behind the binaries. Arrows point one way: `message` and `api` know nobody; `config`, `routing` and
//! `providers` are pure and know only those two and each other's values; `net` and `telemetry` do input and output;
//! `fair` gives out places at what is shared; `gateway` serves Okta's calls; `okta` speaks to the management API; `operator` reconciles. A test walks the `use` paths.

pub mod api;
pub mod config;
pub mod failover;
pub mod fair;
pub mod gateway;
pub mod message;
pub mod net;
pub mod okta;
pub mod operator;
pub mod providers;
pub mod routing;
pub mod sandbox;
pub mod telemetry;
