//! The sandbox from outside: every refusal of its vendors, every option of its org, every way a
//! hook can fail it.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod hook_calls;
mod isolation;
mod okta_api;
mod okta_clients;
mod okta_options;
mod providers;
mod scene;
mod traffic;
mod verify;
