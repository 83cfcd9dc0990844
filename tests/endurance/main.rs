//! The real program under attack, and over time: what it holds is bounded, what it has taken it gives back, and calls go on.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod attacks;
#[path = "../gateway/scene.rs"]
#[allow(dead_code, unused_imports, reason = "the stage of the gateway's tests, which use more of it")]
mod scene;
mod soak;
mod subject;
